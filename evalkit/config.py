"""Hydra nodes to objects: the only caller of ``instantiate``."""

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
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from evalkit.analysis.grouping import FamilyRule
from evalkit.analysis.metrics import parse_metrics
from evalkit.checks import boolean, unfit, whole_number
from evalkit.errors import ConfigError, EvalkitError
from evalkit.findings import Expectation
from evalkit.ports import Sink
from evalkit.record import LatencyBudget
from evalkit.result import Design
from evalkit.stages import Plan
from evalkit.types import Metric

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
        raise explain(error) from error


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
            raise explain(error) from error
    if failures:
        raise failures[0]


def build_plan(config: DictConfig, command: Sequence[str] = ()) -> Plan:
    """Turn a composed configuration into the parts of an evaluation; nothing is opened yet.

    Args:
        config: Composed.
        command: The words that led to it, for the record.

    Raises:
        ConfigError: A value is missing or impossible.
        EvalkitError: A part refuses its arguments.
    """
    try:
        resolved = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
        retrieval, sweep, statistics, latency = (
            _mapping(resolved, name) for name in ("retrieval", "sweep", "statistics", "latency")
        )
        boolean("retrieval.exclude_self", retrieval["exclude_self"])
        boolean("sweep.sequential", sweep["sequential"])
        return Plan(
            source=_make(config, "dataset"),
            embedder=_make(config, "embedder"),
            reranker=_make(config, "reranker"),
            store=_make(config, "vector_store"),
            cache=_make(config, "cache"),
            executor=_make(config, "executor"),
            design=_design(resolved),
            family=FamilyRule(statistics["family"], statistics["family_pattern"]),
            sequential=sweep["sequential"],
            exclude_self=retrieval["exclude_self"],
            latency=LatencyBudget(latency["queries"], latency["time_limit_s"]),
            notes=_make(config, "notes"),
            config=resolved,
            command=tuple(command),
        )
    except CONFIG_ERRORS as error:
        raise explain(error) from error


def redesign(
    config: DictConfig, overrides: Sequence[str], stored: Mapping[str, Mapping[str, Any]]
) -> tuple[Design, FamilyRule]:
    """A stored design with what the overrides change of it, and nothing else.

    Args:
        config: Composed with these overrides: their values are read from there.
        overrides: Those of ``reports_dir``, ``cache_dir`` and ``sinks`` are no part of a design.
        stored: Group -> setting -> value; what it does not hold cannot be changed.

    Raises:
        ConfigError: An override needs the data or a model, or its value is impossible.
    """
    settings = {group: dict(values) for group, values in stored.items()}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group, _, name = override.key_or_group.partition(".")
        if group in ("reports_dir", "cache_dir", "sinks"):
            continue
        known = settings.get(group, {})
        wanted = [name] if name else list(known)
        if override.is_delete() or not known or not known.keys() >= set(wanted):
            able = ", ".join(f"{group}.{name}" for group, values in stored.items() for name in values)
            raise ConfigError(
                f"{override.input_line} cannot be answered from a stored result: it needs the data or a model, so use "
                f"evalkit run. Without them these can change: {able}"
            )
        try:
            known.update({name: _plain(config[group][name]) for name in wanted})
        except CONFIG_ERRORS as error:
            raise explain(error) from error
    return _design(settings), FamilyRule(settings["statistics"]["family"], settings["statistics"]["family_pattern"])


def _design(resolved: Mapping[str, Any]) -> Design:
    expected, sweep, metrics, statistics = (
        _mapping(resolved, name) for name in ("expectation", "sweep", "metrics", "statistics")
    )
    top_ks = _list(sweep["top_k"], "sweep.top_k")
    for top_k in top_ks:
        whole_number("sweep.top_k", top_k, 1)
    whole_number("expectation.top_k", expected["top_k"], 1)
    highest = expected["max_points"]
    return Design(
        top_ks=tuple(top_ks),
        metrics=parse_metrics([str(name) for name in _list(metrics["names"], "metrics.names")]),
        expectation=Expectation(
            metric=Metric.parse(str(expected["metric"])),
            top_k=expected["top_k"],
            min_points=_number(expected["min_points"], "expectation.min_points"),
            max_points=None if highest is None else _number(highest, "expectation.max_points"),
            decide_on=expected["decide_on"],
        ),
        slices=tuple(str(name) for name in _list(statistics["slices"], "statistics.slices")),
        resamples=statistics["resamples"],
        seed=statistics["seed"],
    )


def build_sinks(config: DictConfig) -> dict[str, Sink]:
    """The sinks that are switched on, by name, in order.

    Raises:
        ConfigError: A sink refuses its arguments.
    """
    try:
        return {str(name): _make(config.sinks, str(name)) for name, node in (config.sinks or {}).items() if node}
    except CONFIG_ERRORS as error:
        raise explain(error) from error


def reports_folder(config: DictConfig) -> Path:
    """Where results land.

    Raises:
        ConfigError: ``reports_dir`` is no text.
    """
    if not isinstance(config.reports_dir, str) or not config.reports_dir:
        raise ConfigError(f"reports_dir is {config.reports_dir!r}; expected a folder")
    return Path(config.reports_dir).expanduser()


def _refuse_null_groups(arguments: Sequence[str]) -> None:
    """Hydra itself fails with a bug's traceback on these."""
    for argument in arguments:
        name = argument.removesuffix("=null")
        if name not in (argument, "experiment") and (folder_of("conf") / name).is_dir():
            options = ", ".join(sorted(file.stem for file in (folder_of("conf") / name).glob("*.yaml")))
            raise ConfigError(f"{name} cannot be null; its options are: {options}")


def explain(error: Exception) -> EvalkitError:
    """The evalkit error that says what a Hydra or OmegaConf error means for the user."""
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, EvalkitError):
        return error.__cause__
    return ConfigError(_meaning(error))


def _meaning(error: Exception) -> str:
    message = _squeeze(str(error))
    unknown = re.search(r"Could not override '([^']+)'", message)
    if unknown:
        message = _unknown_key(unknown[1])
    elif isinstance(error, InstantiationException) and isinstance(error.__cause__, TypeError | ValueError):
        message = f"an argument has a wrong type or value: {message}"
    elif isinstance(error, MissingMandatoryValue):
        key = str(getattr(error, "full_key", None) or "a value")
        message = f"{key} has no value; pass it on the command line: {key}=..."
    elif isinstance(error, OverrideParseException):
        message = (
            f"cannot read the override {error.override}: {str(error).splitlines()[0]}. Write key=value, lists as "
            "key=[1,2]; quote a value with other signs in it, twice for the shell: 'key=\"a value (1)\"'"
        )
    return message


def _unknown_key(key: str) -> str:
    known = list(_keys(cast(Mapping[str, Any], OmegaConf.to_container(compose_config([]), resolve=False))))
    near = difflib.get_close_matches(key, known, n=1)
    group = key.rpartition(".")[0]
    siblings = sorted({name.removeprefix(f"{group}.").split(".")[0] for name in known if name.startswith(f"{group}.")})
    hint = f" Did you mean {near[0]}?" if near else ""
    listing = f" Keys of {group}: {', '.join(siblings)}." if siblings else ""
    return f"the configuration has no key {key!r}.{hint}{listing}"


def _keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")


def _make(config: DictConfig, name: str) -> Any:
    node = config[name]
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise ConfigError(f"{name} is {node!r}; expected one of the options in conf/{name}/, such as {name}=...")
    return instantiate(node, _convert_="all")


def _mapping(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = config[name]
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is {value!r}; expected one of the options in conf/{name}/")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise unfit(name, value, f"a list, such as {name}=[...]")
    return value


def _number(value: Any, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise unfit(name, value, "a number of points")
    return float(value)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _squeeze(text: str) -> str:
    """Several lines of a library's message as one."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())
