"""Hydra: from overrides to a composed configuration, and from its errors to ours."""

from __future__ import annotations

import difflib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra import main as hydra_main
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from evalkit.errors import ConfigError, EvalkitError
from evalkit.provenance import without_credentials, without_secret

CONFIG_ERRORS = (HydraException, OmegaConfBaseException)
"""What Hydra and OmegaConf raise for a configuration that cannot be used."""


def folder_of(name: str) -> Path:
    """``conf`` or ``datasets``: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).parent
    installed = package / "_shipped" / name
    return installed if installed.is_dir() else package.parent / name


OmegaConf.register_new_resolver("shipped", lambda name: str(folder_of(name)), replace=True)


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration without running anything.

    Raises:
        ConfigError: An override names something that does not exist.
    """
    _refuse_null_groups(overrides)
    try:
        with initialize_config_dir(str(folder_of("conf").resolve()), version_base="1.3"):
            return compose("config", list(overrides))
    except CONFIG_ERRORS as error:
        raise explain(error, overrides) from error


def with_hydra(task: Callable[[DictConfig], None], arguments: Sequence[str]) -> None:
    """Run ``task`` under Hydra, so that its flags, multirun and launchers work.

    A job of a multirun that fails does not keep the others from running.

    Raises:
        ConfigError: The configuration cannot be composed.
        EvalkitError: The first error of a job.
    """
    _refuse_null_groups(arguments)
    process, failures = os.getpid(), list[EvalkitError]()

    def job(config: DictConfig) -> None:
        try:
            task(config)
        except EvalkitError as error:
            # A launcher's worker process can only raise; here Hydra would print a line of its own first.
            if os.getpid() != process:
                raise
            failures.append(error)

    # Hydra would print errors its own way and exit with 1; evalkit decides about messages and codes.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["evalkit run", *arguments]
    with tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
        # A multirun notes its overrides in a file, secrets on the command line included: let it vanish.
        os.environ.setdefault("EVALKIT_SWEEP_DIR", scratch)
        try:
            hydra_main(config_path=str(folder_of("conf").resolve()), config_name="config", version_base="1.3")(job)()
        except CONFIG_ERRORS as error:
            raise explain(error, arguments) from error
    if failures:
        raise failures[0]


def _refuse_null_groups(arguments: Sequence[str]) -> None:
    """Hydra itself fails with a bug's traceback on these."""
    for argument in arguments:
        name = argument.removesuffix("=null")
        if name not in (argument, "experiment") and (folder_of("conf") / name).is_dir():
            options = ", ".join(sorted(file.stem for file in (folder_of("conf") / name).glob("*.yaml")))
            raise ConfigError(f"{name} cannot be null; its options are: {options}")


def explain(error: Exception, overrides: Sequence[str] = ()) -> EvalkitError:
    """The evalkit error that says what a Hydra or OmegaConf error means for the user.

    Args:
        error: Theirs.
        overrides: Those that were composed, where that is what failed.
    """
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, EvalkitError):
        return error.__cause__
    return ConfigError(str(without_credentials(_meaning(error, overrides))))


def _meaning(error: Exception, overrides: Sequence[str]) -> str:
    message = _squeeze(str(error))
    unknown = re.search(r"Could not override '([^']+)'", message)
    if unknown:
        # Where a mapping was set, what is unknown is one of its keys.
        inner = str(getattr(error.__cause__, "full_key", ""))
        message = _unknown_key(inner if inner.startswith(f"{unknown[1]}.") else unknown[1], overrides)
    elif isinstance(error, InstantiationException) and isinstance(error.__cause__, TypeError | ValueError):
        message = f"an argument has a wrong type or value: {message}"
    elif isinstance(error, MissingMandatoryValue):
        key = str(getattr(error, "full_key", None) or "a value")
        message = f"{key} has no value; pass it on the command line: {key}=..."
    elif isinstance(error, OverrideParseException):
        message = (
            f"cannot read the override {_shown(error)}. Write key=value, lists as "
            "key=[1,2]; quote a value with other signs in it, twice for the shell: 'key=\"a value (1)\"'"
        )
    return message


def _shown(error: OverrideParseException) -> str:
    """The override and what is wrong with it; nothing of its value where that is secret."""
    shown = without_secret(error.override)
    return shown if shown != error.override else f"{shown}: {str(error).splitlines()[0]}"


def _unknown_key(key: str, overrides: Sequence[str]) -> str:
    chosen = [word for word in overrides if (folder_of("conf") / word.partition("=")[0].lstrip("+")).is_dir()]
    try:
        config = compose_config(chosen)
    except ConfigError:
        config = compose_config([])
    composed = cast(Mapping[str, Any], OmegaConf.to_container(config, resolve=False))
    known = list(_keys(composed))
    near = difflib.get_close_matches(key, known, n=1)
    group = key.rpartition(".")[0]
    siblings = sorted({name.removeprefix(f"{group}.").split(".")[0] for name in known if name.startswith(f"{group}.")})
    if _is_open(composed, group):
        name = key.removeprefix(f"{group}.")
        return f"{group} holds {', '.join(siblings)} and no {name!r}; to add it, write +{key}=..."
    hint = f" Did you mean {near[0]}?" if near else ""
    listing = f" Keys of {group}: {', '.join(siblings)}." if siblings else ""
    return f"the configuration has no key {key!r}.{hint}{listing}"


def _is_open(config: Mapping[str, Any], path: str) -> bool:
    """Whether a mapping is an argument that may hold anything: not one that is built, but within one that is."""
    owner, _, name = path.rpartition(".")
    for key in owner.split("."):
        found = config.get(key)
        if not isinstance(found, Mapping):
            return False
        config = found
    value = config.get(name)
    return "_target_" in config and isinstance(value, Mapping) and "_target_" not in value


def _keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")


def _squeeze(text: str) -> str:
    """Several lines of a library's message as one."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())
