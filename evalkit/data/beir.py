"""BEIR folders: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``, each also gzipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from evalkit.checks import path as checked_path
from evalkit.checks import text
from evalkit.data.files import find, lines
from evalkit.data.judgments import read_judgments
from evalkit.data.selection import Selection, assemble
from evalkit.errors import DataError
from evalkit.types import Dataset, Document, Query

Entry = TypeVar("Entry", Document, Query)


class BeirFolder:
    """A data set in BEIR's layout.

    Args:
        path: The folder.
        name: Name of the data set in results; None takes the folder's name.
        split: Which ``qrels/<split>.tsv`` to read.
        filters, limit, seed, corpus_filter, on_dangling: see :class:`evalkit.data.selection.Selection`.
    """

    def __init__(
        self,
        path: str,
        name: str | None,
        split: str,
        filters: Mapping[str, Any] | None,
        limit: int | None,
        seed: int,
        corpus_filter: Mapping[str, Any] | None,
        on_dangling: Literal["error", "keep"],
    ) -> None:
        self._folder = checked_path("dataset.path", path)
        text("dataset.name", name, or_null=True)
        text("dataset.split", split)
        self._name = name or self._folder.resolve().name
        self._split = split
        self._selection = Selection(filters or {}, limit, seed, corpus_filter or {}, on_dangling)

    def load(self) -> Dataset:
        """Read, check and select.

        Raises:
            DataError: A file is missing or breaks its format.
        """
        return assemble(
            self._name,
            _entries(find(self._folder, "corpus.jsonl"), _document),
            _entries(find(self._folder, "queries.jsonl"), _query),
            read_judgments(find(self._folder / "qrels", f"{self._split}.tsv")),
            self._selection,
        )


def _entries(path: Path, make: Callable[[dict[str, Any]], Entry]) -> Iterator[Entry]:
    """Parse one JSON object per line; an id may appear once."""
    first_line: dict[str, int] = {}
    for number, line in lines(path):
        try:
            entry = make(_object(line))
        except DataError as error:
            raise DataError(str(error), path, number) from error
        if entry.id in first_line:
            raise DataError(f"id {entry.id!r} was used in line {first_line[entry.id]} already", path, number)
        first_line[entry.id] = number
        yield entry
    if not first_line:
        raise DataError("the file is empty; expected one JSON object per line", path)


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON ({error.msg}, column {error.colno}); expected one object per line") from error
    except (ValueError, RecursionError) as error:
        raise DataError("a number is too long or the nesting too deep to be read; mend this line") from error
    if not isinstance(value, dict):
        raise DataError(f"a JSON {type(value).__name__}; expected an object with _id and text")
    return value


def _document(row: dict[str, Any]) -> Document:
    return Document(_id(row), _text(row, "text"), _text(row, "title", default=""), _metadata(row))


def _query(row: dict[str, Any]) -> Query:
    return Query(_id(row), _text(row, "text"), _metadata(row))


def _id(row: dict[str, Any]) -> str:
    value = row.get("_id")
    if isinstance(value, bool) or not isinstance(value, str | int):
        found = "no _id" if "_id" not in row else f"_id of type {type(value).__name__}"
        raise DataError(f"{found}; expected a string. Keys here: {', '.join(row) or 'none'}")
    # Judgments are read from columns whose outer white space means nothing.
    return _encodable(str(value).strip(), "_id")


def _text(row: dict[str, Any], key: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        found = f"no {key}" if key not in row else f"{key} of type {type(value).__name__}"
        raise DataError(f"{found}; expected a string. Keys here: {', '.join(row)}")
    return _encodable(value, key)


def _encodable(value: str, key: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"{key} holds half of a surrogate pair at character {error.start}"
        raise DataError(f"{found}; no tokenizer reads it, remove it") from error
    return value


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    value = row.get("metadata") or {}
    if not isinstance(value, dict):
        raise DataError(f"metadata of type {type(value).__name__}; expected an object")
    return value
