"""BEIR folders: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``, each also gzipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Unpack

from evalkit.checks import path as checked_path
from evalkit.checks import text
from evalkit.data.files import find
from evalkit.data.judgments import Judgments, read_judgments
from evalkit.data.rows import Entry, Part, Row, document, entries, json_rows, query
from evalkit.data.source import Choices, Source
from evalkit.types import Document, Query


class BeirFolder(Source):
    """A data set in BEIR's layout.

    Args:
        path: The folder.
        split: Which ``qrels/<split>.tsv`` to read.
        choices: see :class:`evalkit.data.source.Choices`.
    """

    def __init__(self, path: str, split: str, **choices: Unpack[Choices]) -> None:
        self._folder = checked_path("dataset.path", path)
        text("dataset.split", split)
        super().__init__(self._folder.resolve().name, **choices)
        self._split = split

    def documents(self) -> Iterator[Document]:
        return self._entries("corpus.jsonl", document)

    def queries(self) -> Iterator[Query]:
        return self._entries("queries.jsonl", query)

    def judgments(self) -> Judgments:
        return read_judgments(find(self._folder / "qrels", f"{self._split}.tsv"))

    def _entries(self, name: str, make: Callable[[Row], Entry]) -> Iterator[Entry]:
        file = find(self._folder, name)
        return entries([Part(json_rows(file), file)], make)
