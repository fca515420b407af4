"""What constructors refuse: arguments of the wrong kind, before anything is opened.

Every function takes the setting's full name, such as ``embedder.normalize``, and what was given for it, and
raises ConfigError for anything else than what its own name says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import ConfigError


def whole_number(name: str, value: object, least: int, or_null: bool = False) -> None:
    """Refuse anything but a whole number of at least ``least``; neither 2.0 nor True is one."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not (number or (or_null and value is None)):
        raise unfit(name, value, f"a whole number of at least {least}{', or null' if or_null else ''}")


def boolean(name: str, value: object) -> None:
    """Refuse anything but True and False: a text such as ``no`` would count as true."""
    if not isinstance(value, bool):
        raise unfit(name, value, "true or false")


def text(name: str, value: object, or_null: bool = False) -> None:
    """Refuse anything but text; the message names a type and no value, which may be secret."""
    if not (isinstance(value, str) or (or_null and value is None)):
        raise ConfigError(f"{name} is {_kind(value)}; expected text{', or null' if or_null else ''}")


def path(name: str, value: object) -> Path:
    """Refuse anything but a path that is not empty, and return it with ``~`` expanded."""
    if not isinstance(value, str | Path) or value == "":
        raise ConfigError(f"{name} is {'empty' if value == '' else _kind(value)}; expected a path")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{name} is '{value}', and this machine knows no such home folder; write it out") from error


def settings(name: str, value: object, known: Sequence[str], optional: Sequence[str] = ()) -> Mapping[str, Any]:
    """Refuse anything but a mapping of all known settings, and of no other than these and optional ones; return it."""
    every = [*known, *optional]
    if not isinstance(value, Mapping):
        raise unfit(name, value, f"a mapping of {', '.join(every)}")
    strange = [str(key) for key in value if key not in every]
    if strange:
        raise ConfigError(f"{name} has no setting {', '.join(strange)}; expected {', '.join(every)}")
    missing = [key for key in known if key not in value]
    if missing:
        raise ConfigError(f"{name} lacks {', '.join(missing)}; expected {', '.join(every)}")
    return value


def key(variable: str, value: str) -> None:
    """Refuse a key that no HTTP header can carry; the message names its environment variable and quotes nothing."""
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError(
            f"{variable} holds a sign that no header can carry; expected a key of printable ASCII without spaces; set "
            "it anew"
        )


def unfit(name: str, value: object, expected: str) -> ConfigError:
    """The error that says which setting holds what, and what was expected."""
    return ConfigError(f"{name} is {value!r}; expected {expected}")


def _kind(value: object) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"
