"""Data sets of the Hugging Face hub in MTEB's layout: one configuration each for corpus, queries and qrels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Unpack

from evalkit.checks import path as checked_path
from evalkit.checks import text, unfit
from evalkit.data.columns import Dialect, metadata_of
from evalkit.data.files import fault, plain_suffix
from evalkit.data.hub_files import fetch, files_of
from evalkit.data.judgments import Judgments, collect, read_judgments
from evalkit.data.rows import Part, Row, document, entries, identifier, query, shown
from evalkit.data.source import Choices, Source
from evalkit.data.tabular import table
from evalkit.errors import ConfigError, DataError
from evalkit.types import Document, Query

_COMMIT = re.compile(r"[0-9a-f]{40}")
_QRELS = ("qrels", "default")
"""What the configuration of the judgments is called where nothing is said: by BEIR and by MTEB."""


class HubDataset(Source):
    """A data set on the Hugging Face hub, in its cache, or in a folder of the same layout.

    Args:
        repo: Owner and name on the hub; None where ``path`` is given.
        revision: The commit, in full, so that the data are the same tomorrow; None where ``path`` is given.
        path: A folder to read in place of the hub: its card's configurations, or ``<configuration>/<split>...`` and
            ``<configuration>.jsonl``, in Parquet or JSON lines.
        split: Whose judgments count; also the split of corpus and queries where they have more than one.
        corpus: Name of the corpus's configuration.
        queries: Name of the queries' configuration.
        qrels: Name of the judgments' configuration; None takes ``qrels`` or, where there is none, ``default``.
        metadata: More columns to keep as metadata of documents and queries that have them.
        choices: see :class:`evalkit.data.source.Choices`.
    """

    def __init__(
        self,
        repo: str | None,
        revision: str | None,
        path: str | None,
        split: str,
        corpus: str,
        queries: str,
        qrels: str | None,
        metadata: list[str] | None,
        **choices: Unpack[Choices],
    ) -> None:
        for name, value in (("split", split), ("corpus", corpus), ("queries", queries)):
            text(f"dataset.{name}", value)
        text("dataset.qrels", qrels, or_null=True)
        text("dataset.repo", repo, or_null=True)
        if metadata is not None and not (isinstance(metadata, list) and all(isinstance(key, str) for key in metadata)):
            raise unfit("dataset.metadata", metadata, "a list of columns, or null")
        self._path = None if path is None else checked_path("dataset.path", path)
        if self._path is None:
            _check_pinned(repo, revision)
        self._repo, self._revision = repo, revision
        self._split, self._corpus, self._queries = split, corpus, queries
        self._qrels = (qrels,) if qrels else _QRELS
        self._metadata = {key: key for key in metadata or []}
        known_as = self._path.resolve().name if self._path else (repo or "").rpartition("/")[2]
        super().__init__(known_as, **choices)

    def documents(self) -> Iterator[Document]:
        return entries(self._parts((self._corpus,)), lambda row: document(self._row(row)))

    def queries(self) -> Iterator[Query]:
        return entries(self._parts((self._queries,)), lambda row: query(self._row(row)))

    def judgments(self) -> Judgments:
        found = files_of(self._folder, self._qrels, self._split, exact=True)
        # BEIR's own files, with a header or without.
        if len(found.files) == 1 and plain_suffix(found.files[0]) == ".tsv":
            return read_judgments(found.files[0])
        parts = list(_parts(found.files))
        rows = _judged(_counted(parts, found.rows, self._folder))
        if len(parts) == 1:
            return collect(rows, parts[0].path, parts[0].unit)
        return collect(((number, *row[1:]) for number, row in enumerate(rows, start=1)), self._folder, "row")

    @cached_property
    def _folder(self) -> Path:
        if self._path is None:
            return fetch(str(self._repo), str(self._revision), (self._corpus, self._queries, *self._qrels))
        if not self._path.is_dir():
            raise DataError("no such folder; set dataset.path to one with corpus, queries and qrels", self._path)
        return self._path

    def _parts(self, configs: tuple[str, ...]) -> Iterator[Part]:
        found = files_of(self._folder, configs, self._split, exact=False)
        return _counted(_parts(found.files), found.rows, self._folder)

    def _row(self, row: Row) -> Row:
        """The row with BEIR's keys; a null is no value."""
        given = {key: value for key, value in row.items() if value is not None}
        own = given.pop("metadata", None)
        extra = metadata_of(given, {key: column for key, column in self._metadata.items() if column in given})
        metadata = {**(own if isinstance(own, dict) else {}), **extra}
        key = "_id" if "_id" in given or "id" not in given else "id"
        named = {"_id": given[key]} if key in given else {}
        return {**given, **named, **({"metadata": metadata} if metadata else {})}


def _check_pinned(repo: str | None, revision: str | None) -> None:
    if not repo:
        raise ConfigError("dataset.repo is null; name a data set of the hub such as mteb/scifact, or set dataset.path")
    if not isinstance(revision, str) or not _COMMIT.fullmatch(revision):
        found = "null" if revision is None else f"{revision!r}, which is no commit: branches and tags move"
        raise ConfigError(
            f"dataset.revision is {found}; expected the 40 digits of a commit, as listed at "
            f"https://huggingface.co/datasets/{repo}/commits/main"
        )


def _parts(files: Iterable[Path]) -> Iterator[Part]:
    return (table(file, None, Dialect()) for file in files)


def _counted(parts: Iterable[Part], expected: int | None, folder: Path) -> Iterator[Part]:
    """The parts, after which there must have been as many rows as the card says: a copy may be cut short."""
    count = 0

    def counting(rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        nonlocal count
        for item in rows:
            count += 1
            yield item

    for part in parts:
        yield part._replace(rows=counting(part.rows))
    if expected is not None and count != expected:
        files = f"{count} rows, but the data set's card says {expected}"
        raise DataError(f"{files}; fetch it again, or mend README.md if the card is wrong", folder)


def _judged(parts: Iterable[Part]) -> Iterator[tuple[int, str, str, str | int]]:
    for part in parts:
        for number, row in part.rows:
            try:
                judged = identifier(row, "query-id"), identifier(row, "corpus-id")
                if row.get("score") is None:
                    raise DataError(f"no score; expected a whole number. Keys here: {shown(row)}")
            except DataError as error:
                raise fault(str(error), part.path, number, part.unit) from error
            yield number, *judged, row["score"]
