"""What one look finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.errors import EvalkitError

Status: TypeAlias = Literal["ok", "warning", "fault"]

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What; stays the same from version to version.
        status: ``fault`` where a run cannot start or cannot end well, ``warning`` where it can and something is amiss.
        found: What was found.
        advice: What to do; empty where ``found`` says it, or nothing is to be done.
    """

    name: str
    status: Status
    found: str
    advice: str = ""


def attempted(name: str, look: Callable[[], str]) -> Check:
    """What a look finds; an error of evalkit is a fault, and its message says what to do.

    Args:
        name: Of the check.
        look: Returns what was found.
    """
    try:
        return Check(name, "ok", look())
    except EvalkitError as error:
        return Check(name, "fault", str(error))


def size(n_bytes: float) -> str:
    """Bytes as people read them, such as ``2.3 GB``."""
    unit, name = next(((unit, name) for unit, name in _UNITS if n_bytes >= unit), _UNITS[-1])
    return f"{n_bytes / unit:.3g} {name}"
