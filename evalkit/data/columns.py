"""Columns of tables: how a file is written, whether it has what is needed, and what a cell means."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, TypeAlias

from evalkit.data.rows import encodable, presentable, shown
from evalkit.errors import DataError
from evalkit.types import as_list

Keys: TypeAlias = Mapping[str, str]
"""Metadata key -> column."""

Values: TypeAlias = dict[str, dict[str, Any]]
"""Metadata key -> its values by how they are written, so that each is there once."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written, where that can be chosen.

    Attributes:
        delimiter: Between the cells of a CSV file; None finds out which of comma, semicolon and tab it is.
        quote: What a CSV file puts around cells; None where it quotes nothing.
        sheet: Name of the Excel sheet; None takes the only one.
    """

    delimiter: str | None = None
    quote: str | None = '"'
    sheet: str | None = None


def check_columns(path: Path, found: Sequence[str], needed: Collection[str] | None, line: int | None = None) -> None:
    """Refuse a header that lacks a column or has it twice.

    Raises:
        DataError: The message lists the columns, but for what may be a text: a file without a header starts with texts.
    """
    for name in sorted(needed or ()):
        if found.count(name) == 1:
            continue
        if name in found:
            raise DataError(f"two columns are called {name!r}; rename one", path, line)
        names = presentable(found)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else "" if names else " Its first row must name the columns"
        raise DataError(f"no column {name!r}; found: {shown(found, repr)}.{hint}", path, line)


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing: null, not a number, or white space; ``NA`` is a text."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def plain(value: Any) -> Any:
    """A cell's value as JSON has it: a date as its text, a whole number without the ``.0`` of Excel and pandas."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return value


def text_cell(value: Any, name: str) -> str | None:
    """A text or an id: text, a number or a date, without outer white space; None where the cell is empty.

    Raises:
        DataError: It is something else, or no tokenizer reads it.
    """
    if is_empty(value):
        return None
    found = plain(value)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise DataError(f"{name} of type {type(value).__name__}; expected text or a number")
    return encodable(str(found).strip(), name)


def values_of(row: Mapping[str, Any], keys: Keys) -> Values:
    """What a row says under these keys; empty cells say nothing.

    Raises:
        DataError: A value is neither text nor a number nor a list of them.
    """
    found: Values = {}
    for key, column in keys.items():
        for value in map(plain, as_list(row[column])):
            if is_empty(value):
                continue
            if not isinstance(value, str | int | float):
                kind = type(value).__name__
                raise DataError(f"{column!r} of type {kind}; expected text, a number, or a list of them")
            encodable(str(value), column)
            found.setdefault(key, {})[repr(value)] = value
    return found


def attributes(values: Values) -> dict[str, Any]:
    """Metadata; a list where there are several values, in an order that does not depend on that of rows."""
    listed = {key: [said[shown] for shown in sorted(said)] for key, said in values.items()}
    return {key: said[0] if len(said) == 1 else said for key, said in listed.items()}


def metadata_of(row: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """Metadata of one row.

    Raises:
        DataError: As :func:`values_of`.
    """
    return attributes(values_of(row, keys))
