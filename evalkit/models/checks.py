"""What a constructor of this package refuses: arguments of the wrong kind, before anything is opened."""

from __future__ import annotations

from evalkit.errors import ConfigError


def whole_number(owner: str, name: str, value: object, least: int, or_null: bool = False) -> None:
    """Refuse anything but a whole number of at least ``least``; neither 2.0 nor True is one.

    Args:
        owner: Whose argument it is: ``embedder``, ``reranker`` or ``weights``.
        name: The argument's name.
        value: What was given.
        least: The smallest number that makes sense.
        or_null: Whether None has a meaning, too.

    Raises:
        ConfigError: It is something else.
    """
    number = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not (number or (or_null and value is None)):
        raise unfit(owner, name, value, f"a whole number of at least {least}{', or null' if or_null else ''}")


def boolean(owner: str, name: str, value: object) -> None:
    """Refuse anything but True and False: a text such as ``no`` would count as true.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(value, bool):
        raise unfit(owner, name, value, "true or false")


def text(owner: str, name: str, value: object, or_null: bool = False) -> None:
    """Refuse anything but text; a number in a YAML file is text only in quotes.

    Raises:
        ConfigError: It is something else.
    """
    if not (isinstance(value, str) or (or_null and value is None)):
        raise unfit(owner, name, value, f"text{', or null' if or_null else ''}")


def unfit(owner: str, name: str, value: object, expected: str) -> ConfigError:
    """The error that says which argument holds what, and what was expected."""
    return ConfigError(f"{owner} argument {name} is {value!r}; expected {expected}")
