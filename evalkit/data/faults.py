"""Faults of single rows: raised where a data set is loaded, collected where it is only looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from evalkit.errors import DataError

Kind: TypeAlias = Literal["unfit", "empty", "repeated", "contradictory"]
"""A row that cannot be read, an entry without a text, an id that was there already, a grade unlike an earlier one."""

KEPT = 3
"""Messages that are kept of each kind."""


@dataclass(slots=True)
class Faults:
    """What was passed over.

    Attributes:
        counts: How many rows, by kind.
        messages: The first few of each kind, each with file and line.
        entries: Ids that a row has although it was passed over.
    """

    counts: dict[Kind, int] = field(default_factory=dict)
    messages: dict[Kind, list[str]] = field(default_factory=dict)
    entries: set[str] = field(default_factory=set)

    def note(self, kind: Kind, error: DataError) -> None:
        """Count one row."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if error.entry is not None:
            self.entries.add(error.entry)
        kept = self.messages.setdefault(kind, [])
        if len(kept) < KEPT:
            kept.append(briefly(error))


_COLLECTED: ContextVar[Faults | None] = ContextVar("faults", default=None)


@contextmanager
def collected() -> Iterator[Faults]:
    """Within it, a row with a fault is noted and passed over, and reading goes on."""
    faults = Faults()
    token = _COLLECTED.set(faults)
    try:
        yield faults
    finally:
        _COLLECTED.reset(token)


def refuse(error: DataError, kind: Kind = "unfit") -> None:
    """Say that a row cannot be used: an error, unless faults are collected.

    Raises:
        DataError: They are not.
    """
    faults = _COLLECTED.get()
    if faults is None:
        raise error
    faults.note(kind, error)


def briefly(error: DataError) -> str:
    """The message with the file's name in place of its path."""
    return str(error) if error.path is None else str(error).replace(str(error.path), error.path.name, 1)
