"""What one look finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.errors import EvalkitError
from evalkit.provenance import without_credentials

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


def looked(name: str, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """What a look finds, up to what breaks it off: the other looks go on.

    Args:
        name: Of the check that says what broke it off.
        look: Returns what was found.
    """
    try:
        yield from look()
    # Whatever a damaged installation raises: this is where people come with one.
    except Exception as error:
        yield broken_off(name, error)


def attempted(name: str, look: Callable[[], str]) -> Check:
    """What a look finds, where it ends well; what it raises is a fault.

    Args:
        name: Of the check.
        look: Returns what was found.
    """
    try:
        return Check(name, "ok", look())
    except Exception as error:
        return broken_off(name, error)


def broken_off(name: str, error: Exception) -> Check:
    """The fault that an exception stands for; only an error of evalkit says in its message what to do.

    Args:
        name: Of the check.
        error: What the look raised.
    """
    if isinstance(error, EvalkitError):
        return Check(name, "fault", str(error))
    # These name a module or a file; the message of another one may quote what it was about.
    said = f": {error}".partition("\n")[0] if isinstance(error, ImportError | OSError) else ""
    found = f"could not be looked at ({type(error).__name__}{without_credentials(said)})"
    return Check(name, "fault", found, "mend what it names; evalkit run with the same words shows the traceback")


def size(n_bytes: float) -> str:
    """Bytes as people read them, such as ``2.3 GB``."""
    unit, name = next(((unit, name) for unit, name in _UNITS if n_bytes >= unit), _UNITS[-1])
    return f"{n_bytes / unit:.3g} {name}"
