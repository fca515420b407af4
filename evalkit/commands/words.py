"""What stands behind a command: a result folder, and Hydra overrides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from evalkit.config import compose_config, reports_folder
from evalkit.errors import ConfigError
from evalkit.folder import locate


def split(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The result that is named, if one is, and the overrides.

    Raises:
        ConfigError: Two results are named.
    """
    overrides = [word for word in words if "=" in word and not Path(word).exists()]
    named = [word for word in words if word not in overrides]
    if len(named) > 1:
        raise ConfigError(f"found two results, {named[0]} and {named[1]}; expected one, or none for the newest")
    return (named[0] if named else None), overrides


def read(words: Sequence[str]) -> tuple[Path, DictConfig, list[str]]:
    """The result folder, the composed configuration and the overrides that went into it.

    Raises:
        ConfigError: The overrides cannot be composed.
        DataError: There is no such result.
    """
    named, overrides = split(words)
    config = compose_config(overrides)
    return locate(named, reports_folder(config)), config, overrides
