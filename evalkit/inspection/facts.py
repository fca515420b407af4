"""What was found in a data set: counts, and a few ids of each kind; never a text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias

from evalkit.data.faults import Kind

Part: TypeAlias = Literal["documents", "queries", "judgments"]

SHOWN = 3
"""Ids that are shown of each kind."""

LONGEST_ID = 40
"""Characters of an id that are shown: a longer one may be a text that slipped into the wrong column."""


@dataclass(frozen=True, slots=True)
class Some:
    """How many there are, and the first few ids; those of a pair are a query's and a document's."""

    count: int = 0
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, ids: Iterable[str]) -> Some:
        """Count ids and show the first few."""
        remaining = iter(ids)
        first = tuple(map(shown, islice(remaining, SHOWN)))
        return cls(len(first) + sum(1 for _ in remaining), first)

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]]) -> Some:
        """Count (query id, document id) and show the first few."""
        remaining = iter(pairs)
        first = tuple(f"{shown(query_id)} → {shown(doc_id)}" for query_id, doc_id in islice(remaining, SHOWN))
        return cls(len(first) + sum(1 for _ in remaining), first)


def shown(name: str) -> str:
    """An id on one line, cut where it is long."""
    flat = " ".join(name.split())
    return flat if len(flat) <= LONGEST_ID else f"{flat[:LONGEST_ID]}…"


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows of one part that loading refuses.

    Attributes:
        part: What they should have been.
        kind: What is wrong with them.
        rows: How many, and messages about the first few, with file and line.
    """

    part: Part
    kind: Kind
    rows: Some


@dataclass(frozen=True, slots=True)
class Unread:
    """A part that could not be read to its end.

    Attributes:
        part: Which one.
        reason: The message.
    """

    part: Part
    reason: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is.

    Attributes:
        documents: The corpus, after ``corpus_filter``.
        queries: All queries.
        selected: Those that ``filters`` keeps.
        evaluated: Those of them that a run measures: judged, with a positive, after ``limit``.
        judgments: Grade -> judgments of the selected queries, the highest grade first.
    """

    documents: int
    queries: int
    selected: int
    evaluated: int
    judgments: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is judged, and what judgments point at; all but the first three of the evaluated queries.

    Attributes:
        unjudged: Selected queries without a judgment.
        without_positives: Selected queries whose judgments are all below 1.
        unknown_queries: Judged queries that are not among the queries.
        never_judged: Documents without any judgment.
        dangling: Positives that are not in the corpus.
        dangling_others: Judgments below 1 of documents that are not in the corpus.
        repeated: Rows that say again what an earlier one said.
        positives: R -> number of queries with so many positives, ascending; those that are not in the corpus included.
    """

    unjudged: Some
    without_positives: Some
    unknown_queries: Some
    never_judged: int
    dangling: Some
    dangling_others: int
    repeated: int
    positives: Mapping[int, int]

    @property
    def n_positives(self) -> int:
        """Positives of all evaluated queries."""
        return sum(total * queries for total, queries in self.positives.items())

    def above(self, cutoff: int) -> int:
        """Queries with more positives than a ranking of ``cutoff`` documents can hold."""
        return sum(queries for total, queries in self.positives.items() if total > cutoff)

    def best_recall(self, cutoff: int) -> float:
        """Mean recall of perfect rankings cut at ``cutoff``: the mean of min(R, cutoff) / R."""
        recalled = math.fsum(queries * min(total, cutoff) / total for total, queries in self.positives.items())
        return recalled / max(1, sum(self.positives.values()))


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts that are missing, or there more than once; white space and case do not count.

    Attributes:
        empty: Documents with neither title nor text.
        empty_positives: Positives among the pairs of a query and an empty document.
        identical: Documents that say what an earlier one says.
        twins: Positives with an identical document that has no judgment for the query.
        same_questions: Selected queries that ask what an earlier one asks.
        contradictory: Those of them whose judgments are not those of the earlier one.
    """

    empty: Some
    empty_positives: int
    identical: Some
    twins: Some
    same_questions: Some
    contradictory: Some


@dataclass(frozen=True, slots=True)
class Lengths:
    """How much of the data is longer than a model reads.

    Attributes:
        role: ``embedder`` or ``reranker``.
        max_length: Tokens that it reads, special tokens included; None where it does not say.
        documents: Documents that were counted: all, or a sample.
        long_documents: Those of them that are longer, beside an empty query where the model reads pairs.
        pairs: Judged positive pairs that were counted: all, or a sample.
        long_pairs: Those of them that are longer; for the embedder, whose document is.
        unknown: Why nothing was counted; None where it was.
    """

    role: str
    max_length: int | None
    documents: int = 0
    long_documents: int = 0
    pairs: int = 0
    long_pairs: int = 0
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """Positives from queries in one language to documents in another, or the same; None where none is declared."""

    query_lang: str | None
    document_lang: str | None
    positives: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """Languages as ``lang`` declares them; an entry of two counts in both.

    Attributes:
        documents: Language -> documents.
        queries: Language -> selected queries.
        documents_without: Documents that declare none.
        queries_without: Selected queries that declare none.
        cells: Positives of the evaluated queries by both languages.
    """

    documents: Mapping[str, int]
    queries: Mapping[str, int]
    documents_without: int
    queries_without: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Leaks:
    """Queries that give their answer away.

    Attributes:
        named: (query, positive) where the query contains the document's id.
        copied: (query, positive) where the document contains the whole query.
    """

    named: Some
    copied: Some


@dataclass(frozen=True, slots=True)
class Grouped:
    """Evaluated queries that are one question in other words or languages.

    Attributes:
        families: Families that the queries name.
        members: Queries that name one.
        largest: Members of the largest family.
        units: What is drawn together: families, and each query without one.
        unmatched: The setting that finds no family in any query; None where there is no such.
        suspected: Queries without a family that share all positives with an earlier one in another language.
    """

    families: int
    members: int
    largest: int
    units: int
    unmatched: str | None
    suspected: Some


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found."""

    sizes: Sizes
    coverage: Coverage
    texts: Texts
    languages: Spoken
    leaks: Leaks
    families: Grouped
    lengths: tuple[Lengths, ...] = ()
    refused: tuple[Refused, ...] = ()
    unread: tuple[Unread, ...] = ()
