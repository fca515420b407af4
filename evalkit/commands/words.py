"""What stands behind a command: a result folder, and Hydra overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from evalkit import manifest
from evalkit.composition import CONFIG_ERRORS, compose_config, explain
from evalkit.config import reports_folder
from evalkit.errors import ConfigError, ControlError
from evalkit.folder import RESULT, TABLES, read_result
from evalkit.locating import locate
from evalkit.provenance import without_secret
from evalkit.result import EvalResult
from evalkit.rules import Rules


def split(
    words: Sequence[str], things: str = "results", expected: str = "expected one, or none for the newest"
) -> tuple[str | None, list[str]]:
    """The result, or other thing, that is named, if one is, and the overrides.

    Args:
        words: What stands behind the command.
        things: What is named, for the message.
        expected: How it should be, likewise.

    Raises:
        ConfigError: Two are named.
    """
    overrides = [word for word in words if "=" in word and not _exists(word)]
    named = [word for word in words if word not in overrides]
    if len(named) > 1:
        raise ConfigError(f"found two {things}, {named[0]} and {named[1]}; {expected}")
    return (named[0] if named else None), overrides


def _exists(word: str) -> bool:
    try:
        return Path(word).exists()
    # Such as a name that is longer than any can be.
    except OSError:
        return False


def read(words: Sequence[str]) -> tuple[Path, DictConfig, list[str]]:
    """The result folder, the composed configuration and the overrides that went into it.

    Raises:
        ConfigError: The overrides cannot be composed.
        DataError: There is no such result.
    """
    named, overrides = split(words)
    config = compose_config(overrides)
    return locate(named, reports_folder(config)), config, overrides


def outside(overrides: Sequence[str], groups: Sequence[str]) -> list[str]:
    """The overrides of any other group, without secrets."""
    return [
        without_secret(word)
        for word in overrides
        if word.lstrip("+~").partition("=")[0].partition(".")[0] not in groups
    ]


def allow(overrides: Sequence[str], groups: Sequence[str], command: str) -> None:
    """Refuse overrides of anything else: a finished result does not follow them.

    Raises:
        ConfigError: One is of another group.
    """
    others = outside(overrides, groups)
    if others:
        raise ConfigError(
            f"{command} takes a finished result as it is, and overrides of {' and '.join(groups)} only; found "
            f"{', '.join(others)}. What it is held to stands in gate.*; to measure it otherwise, "
            "use evalkit report"
        )


def rules(config: DictConfig, flags: Mapping[str, Any] | None = None) -> Rules:
    """What the group ``gate`` asks, with the flags that count before it.

    Raises:
        ConfigError: A rule is unknown or impossible.
    """
    try:
        settings = cast(dict[str, Any], OmegaConf.to_container(config.gate, resolve=True, throw_on_missing=True))
    except CONFIG_ERRORS as error:
        raise explain(error) from error
    return Rules.parse({**settings, **(flags or {})})


def untouched(folder: Path, use: str = "follows") -> EvalResult:
    """The result in a folder whose evidence and numbers are what the run wrote.

    Args:
        folder: A result folder.
        use: What is not done with one that was changed, for the message.

    Raises:
        DataError: It is incomplete or damaged.
        ControlError: A file was changed after the run.
    """
    changed = [sentence for name, sentence in manifest.problems(folder).items() if name in (RESULT, *TABLES)]
    if changed:
        raise ControlError(f"{folder}: {'; '.join(changed)}. Nothing {use} from it; evalkit verify says more")
    return read_result(folder)
