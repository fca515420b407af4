"""A table of questions and answers: CSV, TSV, Parquet, JSON lines or Excel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from evalkit.checks import path as checked_path
from evalkit.checks import text, unfit
from evalkit.data.columns import Dialect, Keys, metadata_of, text_cell
from evalkit.data.files import named_file, plain_name
from evalkit.data.judgments import Judgments
from evalkit.data.pairs import Columns, Pairs
from evalkit.data.rows import Row, entries
from evalkit.data.selection import assemble
from evalkit.data.source import Choices, Source
from evalkit.data.tabular import table
from evalkit.errors import ConfigError, DataError
from evalkit.types import Dataset, Document, Query

_ROLES = ("question", "answer", "question_id", "answer_id", "title", "grade", "question_lang", "answer_lang")
_PARTS = ("path", "id", "text", "title", "lang", "metadata", "sheet")


class Table(Source):
    """Questions and their answers in the rows of one table.

    Equal answers are one document, equal questions one query. A row without a question adds its answers to the corpus
    only. Ids that are not given are made from the text, so that they stay when rows move.

    Args:
        path: The file; its suffix tells the format.
        columns: Role -> column: ``question``, ``answer``, and where there are any ``question_id``, ``answer_id``,
            ``title`` of the answer, ``grade``, ``question_lang`` and ``answer_lang``.
        question_metadata: More metadata of questions: key -> column, or a list of columns.
        answer_metadata: More metadata of answers, likewise.
        documents: A table of its own for the documents, which ``answer_id`` refers to: its ``path``, its ``sheet``, its
            columns ``id``, ``text``, ``title`` and ``lang``, and ``metadata`` as above. A null path: there is none.
        sheet: Name of the Excel sheet; None takes the only one.
        delimiter: Between the cells of CSV files; None finds out whether it is comma, semicolon or tab.
        quote: What CSV files put around cells; None where they quote nothing.
        choices: see :class:`evalkit.data.source.Choices`.
    """

    def __init__(
        self,
        path: str,
        columns: Mapping[str, str | None],
        question_metadata: Mapping[str, str] | list[str] | None,
        answer_metadata: Mapping[str, str] | list[str] | None,
        documents: Mapping[str, Any],
        sheet: str | None,
        delimiter: str | None,
        quote: str | None,
        **choices: Unpack[Choices],
    ) -> None:
        self._path = checked_path("dataset.path", path)
        self._dialect = _dialect(sheet, delimiter, quote)
        self._own = _own(documents, self._dialect)
        roles = _mapping("dataset.columns", columns, _ROLES)
        for role, name in roles.items():
            text(f"dataset.columns.{role}", name, or_null=True)
        self._columns = _columns(
            roles,
            _keys("dataset.question_metadata", question_metadata, roles["question_lang"]),
            _keys("dataset.answer_metadata", answer_metadata, roles["answer_lang"]),
            refers=self._own is not None,
        )
        super().__init__(plain_name(self._path), **choices)

    def documents(self) -> Iterable[Document]:
        return self._own.read() if self._own else self._pairs().documents()

    def queries(self) -> Iterable[Query]:
        return self._pairs().queries()

    def judgments(self) -> Judgments:
        return self._pairs().judgments()

    def load(self) -> Dataset:
        # The table is read once for all three parts.
        pairs = self._pairs()
        documents = self._own.read() if self._own else pairs.documents()
        return assemble(self._name, documents, pairs.queries(), pairs.judgments(), self._selection)

    def _pairs(self) -> Pairs:
        path = named_file("dataset.path", self._path)
        return Pairs(table(path, self._columns.needed(), self._dialect), self._columns)


@dataclass(frozen=True, slots=True)
class _Documents:
    """The documents' own table."""

    path: Path
    dialect: Dialect
    id: str
    text: str
    title: str | None
    metadata: Keys

    def read(self) -> Iterator[Document]:
        path = named_file("dataset.documents.path", self.path)
        needed = {name for name in (self.id, self.text, self.title) if name is not None}
        return entries([table(path, needed | set(self.metadata.values()), self.dialect)], self._document)

    def _document(self, row: Row) -> Document:
        names = (self.id, self.text, self.title)
        key, body, title = (None if name is None else text_cell(row[name], repr(name)) for name in names)
        if key is None:
            raise DataError(f"no id in {self.id!r}; every document needs one")
        return Document(key, body or "", title or "", metadata_of(row, self.metadata))


def _own(given: Mapping[str, Any], dialect: Dialect) -> _Documents | None:
    own = _mapping("dataset.documents", given, _PARTS)
    if own["path"] is None:
        return None
    for name in ("id", "text", "title", "lang", "sheet"):
        text(f"dataset.documents.{name}", own[name], or_null=name not in ("id", "text"))
    return _Documents(
        path=checked_path("dataset.documents.path", own["path"]),
        dialect=replace(dialect, sheet=own["sheet"]),
        id=own["id"],
        text=own["text"],
        title=own["title"],
        metadata=_keys("dataset.documents.metadata", own["metadata"], own["lang"]),
    )


def _mapping(name: str, value: object, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) - set(known):
        raise unfit(name, value, f"some of {', '.join(known)}")
    return {key: value.get(key) for key in known}


def _columns(roles: Mapping[str, Any], questions: Keys, answers: Keys, refers: bool) -> Columns:
    if roles["question"] is None:
        raise ConfigError("dataset.columns.question is null; name the column of the questions")
    if refers and roles["answer_id"] is None:
        raise ConfigError(
            "dataset.columns.answer_id is null; with dataset.documents.path it names the column that holds the id of "
            "the document that answers"
        )
    if not refers and roles["answer"] is None:
        raise ConfigError("dataset.columns.answer is null; name the column of the answers, or set dataset.documents")
    return Columns(
        question=roles["question"],
        answer=None if refers else roles["answer"],
        question_id=roles["question_id"],
        answer_id=roles["answer_id"],
        title=None if refers else roles["title"],
        grade=roles["grade"],
        question_metadata=questions,
        answer_metadata={} if refers else answers,
    )


def _keys(name: str, given: object, lang: str | None) -> Keys:
    """Metadata key -> column, that of the language included."""
    pairs = dict(zip(given, given, strict=True)) if isinstance(given, list) else given or {}
    if not isinstance(pairs, Mapping) or not all(isinstance(word, str) for pair in pairs.items() for word in pair):
        raise unfit(name, given, "metadata keys and columns, such as {kind: Art}, a list of columns, or null")
    return {**pairs, **({} if lang is None else {"lang": lang})}


def _dialect(sheet: str | None, delimiter: str | None, quote: str | None) -> Dialect:
    for name, value in (("sheet", sheet), ("delimiter", delimiter), ("quote", quote)):
        text(f"dataset.{name}", value, or_null=True)
    between = "\t" if delimiter in ("tab", "\\t") else delimiter
    for name, value in (("delimiter", between), ("quote", quote)):
        if value is not None and (len(value) != 1 or value in "\r\n"):
            raise unfit(f"dataset.{name}", value, "one character (tab for a tab), or null")
    if between is not None and between == quote:
        raise ConfigError("dataset.delimiter and dataset.quote are the same; expected two characters")
    return Dialect(between, quote, sheet)
