"""Topics, collection and qrels as TREC distributes them; runs are read by :mod:`evalkit.data.trec`."""

from __future__ import annotations

import codecs
import fnmatch
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Unpack

from evalkit.checks import path as checked_path
from evalkit.checks import text, unfit
from evalkit.data import sgml
from evalkit.data.files import lines, named_file, plain_name
from evalkit.data.judgments import Judgments, read_judgments
from evalkit.data.rows import Part, Row, document, entries, json_objects, query, text_of
from evalkit.data.source import Choices, Source
from evalkit.errors import ConfigError, DataError
from evalkit.types import Document, Query

Lines = Iterable[tuple[int, str]]
Reader = Callable[[Lines], Iterator[tuple[int, Row]]]

_IDS = ("_id", "id", "docno", "doc_id", "docid", "pid", "qid", "query_id", "topic_id", "number", "num")
_TEXTS = ("text", "contents", "body", "passage")
_QUERIES = ("title", "query", "text", "question", "contents")
"""What stands for an id, a document's text and the query in JSON and in a TSV's header, the usual names first."""
_SHORT = {"desc": "description", "narr": "narrative"}
_PACKED = (".z", ".0z", ".1z", ".2z", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz", ".7z")


class TrecFiles(Source):
    """A test collection as TREC distributes it.

    What a file's format is, its first line says: markup, JSON objects one a line, or columns between tabs.

    Args:
        topics: The file of topics: ``<top>`` with ``<num>``, ``<title>``, ``<desc>``, ``<narr>``, closed or not;
            ``id<tab>text``; or JSON lines.
        collection: The file of documents or a folder of such files: ``<DOC>`` with ``<DOCNO>`` and ``<TEXT>``;
            ``id<tab>text`` or ``id<tab>title<tab>text``; or JSON lines.
        qrels: The file of judgments.
        topic_field: The field of a topic that is the query, such as ``title``, ``description`` or ``narrative``; of
            several, joined by a space, a list. None takes the title, or what stands for it where there is none.
        files: Which files of a collection's folder to read, as a pattern of their paths in it.
        encoding: Of topics and collection, one that ends lines as ASCII does.
        choices: see :class:`evalkit.data.source.Choices`.
    """

    def __init__(
        self,
        topics: str,
        collection: str,
        qrels: str,
        topic_field: str | list[str] | None,
        files: str,
        encoding: str,
        **choices: Unpack[Choices],
    ) -> None:
        self._topics = checked_path("dataset.topics", topics)
        self._collection = checked_path("dataset.collection", collection)
        self._qrels = checked_path("dataset.qrels", qrels)
        self._fields = _names(topic_field)
        text("dataset.files", files)
        self._pattern = files
        self._encoding = _encoding(encoding)
        super().__init__(plain_name(self._collection), **choices)

    def documents(self) -> Iterator[Document]:
        said = False
        parts = (Part(self._rows(path, sgml.documents, (2, 3)), path) for path in self._files())
        for found in entries(parts, _document):
            said = said or bool(found.content)
            yield found
        if not said:
            tags = ", ".join(f"<{tag}>" for tag in sgml.CONTENT_TAGS)
            raise DataError(f"no document has a title or a text; in markup they stand in {tags}", self._collection)

    def queries(self) -> Iterator[Query]:
        path = named_file("dataset.topics", self._topics)
        return entries([Part(self._rows(path, sgml.topics, (2,)), path)], self._query)

    def judgments(self) -> Judgments:
        return read_judgments(named_file("dataset.qrels", self._qrels))

    def _query(self, row: Row) -> Query:
        named = [name if name in row else _SHORT.get(name, name) for name in self._fields]
        usual = sorted(_QUERIES, key=lambda name: (not row.get(name), name not in row))
        fields = named or usual[:1]
        return query({**_with(row, "_id", _IDS), "text": " ".join(text_of(row, name) for name in fields)})

    def _files(self) -> list[Path]:
        folder = self._collection
        if not folder.is_dir():
            return [named_file("dataset.collection", folder)]
        # Not rglob, which passes by a folder that is a link.
        paths = [Path(parent, name) for parent, _, names in os.walk(folder, followlinks=True) for name in names]
        names = {path.relative_to(folder): path for path in paths}
        found = sorted(
            path
            for name, path in names.items()
            if fnmatch.fnmatchcase(name.as_posix(), self._pattern) and not any(part[0] == "." for part in name.parts)
        )
        if not found:
            raise DataError(f"no file of this folder matches {self._pattern!r}; set dataset.files", folder)
        return found

    def _rows(self, path: Path, markup: Reader, widths: tuple[int, ...]) -> Iterator[tuple[int, Row]]:
        if path.suffix.lower() in _PACKED:
            raise DataError(f"packed as {path.suffix}; unpack it, or pack it with gzip", path)
        content = lines(path, self._encoding)
        head = next(content, None)
        if head is None:
            return
        try:
            yield from _reader(head[1], markup, widths)(chain([head], content))
        except DataError as error:
            raise error if error.path else DataError(str(error), path, error.line) from error


def _document(row: Row) -> Document:
    return document(_with(_with(row, "_id", _IDS), "text", _TEXTS))


def _with(row: Row, key: str, names: Iterable[str]) -> Row:
    """The row with ``key`` in it, if it has any of these names; a null counts as not there."""
    given = {name: value for name, value in row.items() if value is not None}
    found = next((given[name] for name in names if name in given), None)
    return given if found is None else {**given, key: found}


def _reader(line: str, markup: Reader, widths: tuple[int, ...]) -> Reader:
    """What reads a file that starts with this line."""
    start = line.strip()
    if start.startswith("{"):
        return json_objects
    if start.startswith("<") and "\t" not in start:
        return markup
    if "\t" in line:
        return partial(_columns, widths)
    raise DataError("neither markup (<...>), nor JSON ({...}), nor columns between tabs; expected one of them", None, 1)


def _columns(widths: tuple[int, ...], content: Lines) -> Iterator[tuple[int, Row]]:
    width = 0
    for number, line in content:
        cells = line.split("\t")
        if not width:
            width = len(cells)
            if width not in widths:
                more = " (or id, title and text)" if 3 in widths else ""
                raise DataError(f"{width} columns between tabs; expected id and text{more}", None, number)
            if cells[0].strip().lower() in _IDS and cells[-1].strip().lower() in _TEXTS + _QUERIES:
                continue
        if len(cells) != width:
            raise DataError(f"{len(cells)} columns between tabs; the rows before have {width}", None, number)
        yield number, {"_id": cells[0], **({"title": cells[1]} if width == 3 else {}), "text": cells[-1]}


def _names(field: str | list[str] | None) -> list[str]:
    names = [field] if isinstance(field, str) else field
    if names is None:
        return []
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise unfit("dataset.topic_field", field, "a field of the topics such as title, a list of them, or null")
    return names


def _encoding(name: str) -> str:
    text("dataset.encoding", name)
    try:
        plain = "\n".encode(name) == b"\n"
        codecs.lookup(name)
    except LookupError as error:
        raise ConfigError(f"dataset.encoding {name!r} is unknown; expected such as utf-8, latin-1, cp1252") from error
    if not plain:
        raise ConfigError(f"dataset.encoding is {name!r}; convert the files to utf-8")
    return name
