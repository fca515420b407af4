"""What the constructors of this package refuse: arguments of the wrong kind, before anything is opened."""

from __future__ import annotations

from pathlib import Path

from evalkit.errors import ConfigError


def checked_path(name: str, value: object) -> Path:
    """The path that was given.

    Args:
        name: The setting's full name, such as ``vector_store.path``.
        value: What was given.

    Raises:
        ConfigError: It is neither a Path nor text, or empty text.
    """
    if not isinstance(value, str | Path):
        raise ConfigError(f"{name} is {_kind(value)}; expected a path, as text")
    if value == "":
        raise ConfigError(f"{name} is empty; expected a path")
    return Path(value)


def check_whole_number(name: str, value: object) -> None:
    """Refuse anything but a whole number of at least 1; neither 2.0 nor True is one.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} is {value!r}; expected a whole number of at least 1")


def check_text(name: str, value: object) -> None:
    """Refuse anything but text; a number in a YAML file is text only in quotes.

    Raises:
        ConfigError: It is something else; its type is named, not its value, which may be secret.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {_kind(value)}; expected text (a number in YAML needs quotes)")


def _kind(value: object) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"
