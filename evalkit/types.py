"""The values that every part of evalkit speaks: frozen, validated, free of I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from evalkit.errors import ConfigError, DataError, ModelError

Attributes: TypeAlias = Mapping[str, Any]
"""Metadata of a document or a query, such as ``{"lang": "de"}``."""

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""query id -> document id -> grade; relevant means a grade of at least 1."""

PerQuery: TypeAlias = Mapping[str, float]
"""query id -> value of one metric, in [0, 1]."""

Fingerprint: TypeAlias = Mapping[str, str | int | float | bool | None]
"""Everything that changes a model's numbers: backend, weights, precision, lengths, prompts."""


def as_list(value: Any) -> list[Any]:
    """A list as it is, anything else as a list of one: metadata and filters take either."""
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True, slots=True)
class Document:
    """One retrievable passage."""

    id: str
    text: str
    title: str = ""
    metadata: Attributes = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise DataError("a document has an empty id; every document needs one")

    @property
    def content(self) -> str:
        """What models read: title and text, joined by a space as BEIR does."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class Query:
    """One question."""

    id: str
    text: str
    metadata: Attributes = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise DataError("a query has an empty id; every query needs one")
        if not self.text.strip():
            raise DataError(f"query {self.id!r} has no text; remove it or give it one", entry=self.id)


def check_name(name: str) -> None:
    """Refuse a data set's name that cannot name a folder.

    Raises:
        ConfigError: It is empty, hidden or holds a separator.
    """
    if not name or name.startswith(".") or set(name) & set("/\\\0"):
        raise ConfigError(f"dataset name {name!r} cannot name a folder; set dataset.name to a plain word")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A corpus, the evaluated queries and their judgments.

    Attributes:
        name: Short name; also the folder under ``reports/``.
        documents: The corpus, after ``corpus_filter``.
        queries: The evaluated queries: selected, judged, with at least one relevant document.
        qrels: Judgments of exactly the evaluated queries, dangling positives included, so that
            R counts every positive of a query.
        digest: SHA-256 over everything above and the selection that led to it.
        corpus_digest: SHA-256 over the documents alone.
        dangling: (query id, document id) of the positives that the corpus does not hold.
        unjudged: Selected queries without any judgment; not evaluated.
        without_positives: Selected queries whose judgments are all below 1; not evaluated.
        warnings: What a careful reader of the result should know about the files.
    """

    name: str
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    qrels: Qrels
    digest: str
    corpus_digest: str
    dangling: tuple[tuple[str, str], ...] = ()
    unjudged: tuple[str, ...] = ()
    without_positives: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.documents:
            raise DataError(f"dataset {self.name!r} has no documents")
        if not self.queries:
            raise DataError(
                f"dataset {self.name!r} has no query to evaluate: after filters and limit, "
                f"{len(self.unjudged)} are unjudged and {len(self.without_positives)} have no "
                "relevant document; check the filters and the qrels"
            )

    @property
    def languages(self) -> tuple[str, ...]:
        """The distinct ``lang`` values of queries and documents, sorted; empty where none says."""
        metadata = [query.metadata for query in self.queries] + [document.metadata for document in self.documents]
        return tuple(sorted({str(value) for attributes in metadata for value in as_list(attributes.get("lang") or [])}))


_METRIC = re.compile(
    r"(?P<name>rbp\.[0-9]{1,2}|(?!rbp)(?:r-precision|[a-z][a-z0-9]*(?:_[a-z0-9]+)*))(?:@(?P<cutoff>[1-9][0-9]{0,5}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """A metric of ranked lists; its text, such as ``recall@5``, parses back to itself.

    Attributes:
        name: ranx's name of it; rank-biased precision carries its persistence, as in ``rbp.95``.
        cutoff: Ranks that count; None counts all that were retrieved.
    """

    name: str
    cutoff: int | None = None

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Read ``name`` or ``name@cutoff``.

        Raises:
            ConfigError: The text has another form.
        """
        found = _METRIC.fullmatch(text.strip())
        if found is None or (found["name"].startswith("rbp") and found["cutoff"]):
            raise ConfigError(f"{text!r} is not a metric; write a name and a cutoff, such as recall@5, or rbp.95")
        cutoff = found["cutoff"]
        return cls(found["name"], int(cutoff) if cutoff else None)

    @property
    def unmoved(self) -> int:
        """So many candidates, or fewer, can be reranked without any change: the cutoff, where the order is nothing."""
        return self.cutoff or 1 if self.name in ("hit_rate", "precision", "recall", "f1") else 1

    def __str__(self) -> str:
        return self.name if self.cutoff is None else f"{self.name}@{self.cutoff}"

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        """How pydantic reads a metric from a result: by its text."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())


@dataclass(frozen=True, slots=True)
class Candidate:
    """One document that stage 1 returned for a query.

    Attributes:
        doc_id: The document.
        stage1_rank: Its place in stage 1, from 1.
        stage1_score: Inner product of the query's and the document's vectors.
        rerank_score: The reranker's raw score (logit), or None before stage 2.
        tokens: Tokens of the pair before anything is cut or split; None where no reranker counted them.
    """

    doc_id: str
    stage1_rank: int
    stage1_score: float
    rerank_score: float | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("stage-1", self.stage1_score), ("rerank", self.rerank_score)):
            if value is not None and not math.isfinite(value):
                raise ModelError(
                    f"the {name} score of document {self.doc_id!r} is {value}; a finite number is "
                    "needed. Half precision can overflow: try dtype float32"
                )


Candidates: TypeAlias = Mapping[str, tuple[Candidate, ...]]
"""query id -> the candidates of stage 1, by stage-1 rank."""


@dataclass(frozen=True, slots=True)
class System:
    """One way to rank: ``dense``, or ``rerank@K``."""

    stage: Literal["dense", "reranked"]
    top_k: int | None = None

    def __post_init__(self) -> None:
        if (self.stage == "dense") != (self.top_k is None) or (self.top_k is not None and self.top_k < 1):
            raise ConfigError(f"a {self.stage} system cannot have top_k {self.top_k}")

    @property
    def name(self) -> str:
        return "dense" if self.top_k is None else f"rerank@{self.top_k}"


DENSE = System("dense")


@dataclass(frozen=True, slots=True)
class Run:
    """One ranking per query, best first; a TREC run.

    Attributes:
        name: Name of the system.
        rankings: query id -> document ids, without repetition.
    """

    name: str
    rankings: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        for query_id, ranking in self.rankings.items():
            if len(set(ranking)) != len(ranking):
                raise DataError(f"run {self.name!r} ranks a document twice for query {query_id!r}")
