"""From rows of a file or a library, keyed by column, to documents and queries with unique ids."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from evalkit.data.faults import refuse
from evalkit.data.files import fault, lines
from evalkit.errors import DataError
from evalkit.types import Document, Query

Entry = TypeVar("Entry", Document, Query)

Row = Mapping[str, Any]
"""Column -> value."""

_NAME = re.compile(r"[\w.-]{0,23}[\w-]")
"""One word of up to 24 characters that does not end like a sentence."""


def json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(1-based line number, object) of a file with one JSON object per line.

    Raises:
        DataError: A line holds anything else.
    """
    return json_objects(lines(path), path)


def json_objects(content: Iterable[tuple[int, str]], path: Path | None = None) -> Iterator[tuple[int, Row]]:
    """(number, object) of numbered lines with one JSON object each.

    Raises:
        DataError: A line holds anything else.
    """
    for number, line in content:
        try:
            row = _object(line)
        except DataError as error:
            refuse(DataError(str(error), path, number))
        else:
            yield number, row


class Part(NamedTuple):
    """Numbered rows of one file, or of a library.

    Attributes:
        rows: (number, row), numbered as a reader would find them.
        path: The file; None where they come from a library.
        unit: What the numbers count, for messages.
    """

    rows: Iterable[tuple[int, Row]]
    path: Path | None
    unit: str = "line"


def entries(parts: Iterable[Part], make: Callable[[Row], Entry]) -> Iterator[Entry]:
    """Make one entry of each row of all parts; an id may appear once.

    Raises:
        DataError: A row is unfit, an id appears twice, or there is no row at all.
    """
    first: dict[str, tuple[Part, int]] = {}
    part = None
    for part in parts:
        for number, row in part.rows:
            try:
                entry = make(row)
            except DataError as error:
                unfit = fault(str(error), part.path, number, part.unit, error.entry)
                refuse(unfit, "unfit" if error.entry is None else "empty")
                continue
            if entry.id in first:
                told = _place(*first[entry.id], seen_from=part)
                again = f"id {entry.id!r} was used in {told} already"
                refuse(fault(again, part.path, number, part.unit, entry.id), "repeated")
                continue
            first[entry.id] = part, number
            yield entry
    if not first:
        what = "the file is empty" if part and part.path else "there is nothing here"
        raise DataError(f"{what}; expected at least one row, with an id and a text", part.path if part else None)


def _place(part: Part, number: int, seen_from: Part) -> str:
    elsewhere = f" of {part.path.name}" if part.path and part is not seen_from else ""
    return f"{part.unit} {number}{elsewhere}"


def document(row: Row) -> Document:
    """A document from BEIR's keys: ``_id``, ``text``, and where there are any ``title`` and ``metadata``."""
    return Document(identifier(row, "_id"), text_of(row, "text"), text_of(row, "title", default=""), _metadata(row))


def query(row: Row) -> Query:
    """A query from BEIR's keys: ``_id``, ``text``, and where there is any ``metadata``."""
    return Query(identifier(row, "_id"), text_of(row, "text"), _metadata(row))


def identifier(row: Row, key: str) -> str:
    """An id: text or a whole number, without outer white space."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        found = f"no {key}" if key not in row else f"{key} of type {type(value).__name__}"
        raise DataError(f"{found}; expected a string. Keys here: {shown(row)}")
    # Judgments are read from columns whose outer white space means nothing.
    return encodable(str(value).strip(), key)


def text_of(row: Row, key: str, default: str | None = None) -> str:
    """A text that a tokenizer can read."""
    value = row.get(key, default)
    if not isinstance(value, str):
        found = f"no {key}" if key not in row else f"{key} of type {type(value).__name__}"
        raise DataError(f"{found}; expected a string. Keys here: {shown(row)}")
    return encodable(value, key)


def shown(names: Iterable[str], form: Callable[[str], str] = str) -> str:
    """Names of keys or columns for a message; what may be a text is counted."""
    known = [name for name in names if name.strip()]
    quoted = [form(name) for name in presentable(known)]
    others = len(known) - len(quoted)
    return ", ".join([*quoted, f"{others} that may be text"] if others else quoted) or "none"


def presentable(names: Iterable[str]) -> list[str]:
    """Those of the names of keys or columns that are no text: a file without a header starts with texts.

    Returns:
        Single words, in order; none where one of the names ends like a sentence, as they are cells then.
    """
    known = list(names)
    if any(map(_is_sentence, known)):
        return []
    return [name for name in known if _NAME.fullmatch(name)]


def _is_sentence(name: str) -> bool:
    """Whether it ends like one; a single word with a full stop may be an abbreviation."""
    end = name.rstrip("\"'»”’) \t\r\n")
    return end.endswith(("?", "!", "…", "。", "？", "！")) or (end.endswith(".") and len(end.split(maxsplit=1)) > 1)


def encodable(value: str, key: str) -> str:
    """The text as it is.

    Raises:
        DataError: It holds half of a surrogate pair.
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"{key} holds half of a surrogate pair at character {error.start}"
        raise DataError(f"{found}; no tokenizer reads it, remove it") from error
    return value


def _object(line: str) -> Row:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON ({error.msg}, column {error.colno}); expected one object per line") from error
    except (ValueError, RecursionError) as error:
        raise DataError("a number is too long or the nesting too deep to be read; mend this line") from error
    if not isinstance(value, dict):
        raise DataError(f"a JSON {type(value).__name__}; expected an object with an id and a text")
    return value


def _metadata(row: Row) -> dict[str, Any]:
    value = row.get("metadata") or {}
    if not isinstance(value, dict):
        raise DataError(f"metadata of type {type(value).__name__}; expected an object")
    return value
