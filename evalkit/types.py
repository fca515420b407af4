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
            raise DataError(f"query {self.id!r} has no text; remove it or give it one")


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
        if not self.name or self.name.startswith(".") or set(self.name) & set("/\\\0"):
            raise ConfigError(f"dataset name {self.name!r} cannot name a folder; set dataset.name to a plain word")
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
        return tuple(sorted({str(attributes["lang"]) for attributes in metadata if "lang" in attributes}))


_METRIC = re.compile(
    r"(?P<name>rbp\.[0-9]{1,3}|r-precision|[a-z]+(?:_[a-z0-9]+)*)(?:@(?P<cutoff>[1-9][0-9]*))?(?:-l(?P<level>[1-9]))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """A metric of ranked lists; its text, such as ``recall@5``, parses back to itself.

    Attributes:
        name: ranx's name of it; rank-biased precision carries its persistence, as in ``rbp.95``.
        cutoff: Ranks that count; None counts all.
        level: Smallest grade that is relevant to it; ``recall@5-l2`` asks for grade 2.
    """

    name: str
    cutoff: int | None = None
    level: int = 1

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Read ``name``, ``name@cutoff`` or ``name@cutoff-l<grade>``.

        Raises:
            ConfigError: The text has another form.
        """
        found = _METRIC.fullmatch(text.strip())
        if found is None:
            raise ConfigError(f"{text!r} is not a metric; write a name and a cutoff, such as recall@5")
        cutoff, level = found["cutoff"], found["level"]
        return cls(found["name"], int(cutoff) if cutoff else None, int(level) if level else 1)

    def __str__(self) -> str:
        cutoff = "" if self.cutoff is None else f"@{self.cutoff}"
        return f"{self.name}{cutoff}" + ("" if self.level == 1 else f"-l{self.level}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One document that stage 1 returned for a query.

    Attributes:
        doc_id: The document.
        stage1_rank: Its place in stage 1, from 1.
        stage1_score: Inner product of the query's and the document's vectors.
        rerank_score: The reranker's raw score (logit), or None before stage 2.
    """

    doc_id: str
    stage1_rank: int
    stage1_score: float
    rerank_score: float | None = None

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


@dataclass(frozen=True, slots=True)
class Expectation:
    """The gain that was promised, declared before the run.

    Attributes:
        metric: The metric it speaks of.
        top_k: The decision top-k.
        min_points: Lower edge of the band, in points.
        max_points: Upper edge of the band, in points.
    """

    metric: Metric
    top_k: int
    min_points: float
    max_points: float

    def __post_init__(self) -> None:
        if self.metric.cutoff is not None and self.top_k <= self.metric.cutoff:
            raise ConfigError(
                f"expectation.top_k is {self.top_k}, but {self.metric} cannot change unless more than "
                f"{self.metric.cutoff} candidates are reranked; choose a top_k above {self.metric.cutoff}"
            )
        if not self.min_points <= self.max_points:
            raise ConfigError(
                f"expectation.min_points {self.min_points} is above max_points {self.max_points}; swap them"
            )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one reranked system changed against dense retrieval, on one metric.

    Means, ``oracle`` and ``captured`` are fractions; ``*_points`` are 100 x a difference of means;
    ``relative_percent`` is None where the baseline is 0, ``captured`` where the headroom is 0.
    The fields from ``ci_low`` to ``p_adjusted`` are None as long as no statistics were computed.
    """

    metric: Metric
    baseline: str
    candidate: str
    top_k: int
    baseline_mean: float
    candidate_mean: float
    delta_points: float
    relative_percent: float | None
    wins: int
    ties: int
    losses: int
    n_queries: int
    oracle: float
    headroom_points: float
    captured: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the measured gain compares with the expectation.

    Attributes:
        expectation: What was promised.
        status: ``below``, ``met`` or ``above`` the band.
        delta_points: The measured gain at the decision top-k.
        ci_low: Lower edge of its 95 % interval in points, or None where no interval was computed.
        ci_high: Upper edge, likewise.
        conclusive: The interval excludes every adjacent edge of the band.
        reason: One sentence with the numbers.
        advice: What to do next, most useful first.
    """

    expectation: Expectation
    status: Literal["met", "below", "above", "invalid"]
    delta_points: float
    conclusive: bool
    reason: str
    advice: tuple[str, ...] = ()
    ci_low: float | None = None
    ci_high: float | None = None


@dataclass(frozen=True, slots=True)
class Scoring:
    """How stage 2 came about.

    Attributes:
        pairs: Unique (query, document) pairs that were needed.
        truncated: Pairs longer than the reranker's max_length.
        max_length: That limit, in tokens, special tokens included.
        ties: Candidates whose score equals that of another candidate of the same query.
    """

    pairs: int
    truncated: int
    max_length: int
    ties: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers come from.

    Attributes:
        created: Start of the run, ISO 8601, UTC.
        versions: Package -> version.
        machine: Processor, cores, platform.
        fingerprints: ``embedder`` and ``reranker`` -> fingerprint.
        config: The resolved configuration, without secrets.
    """

    created: str
    versions: Mapping[str, str]
    machine: Mapping[str, str | int]
    fingerprints: Mapping[str, Fingerprint]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One finished evaluation: what every sink draws from.

    Attributes:
        run_id: Name of the result folder.
        status: ``invalid`` when a self-check failed.
        dataset: What was evaluated; its texts stay out of every file that leaves the machine.
        systems: ``dense`` first, then ``rerank@K`` by rising K.
        candidates: Stage-1 candidates with both scores.
        runs: One per system, in the order of ``systems``.
        per_query: system -> metric -> query id -> value.
        metrics: system -> metric -> mean over the evaluated queries.
        judged: system -> share of its top 5 that is judged (Judged@5), over the evaluated queries.
        comparisons: Every metric and top-k against dense.
        verdict: The expectation, judged.
        scoring: How stage 2 came about.
        timings: Phase -> seconds of wall time.
        computed: ``documents``, ``queries`` and ``pairs`` that a model worked on in this run; the
            others were remembered.
        provenance: Where the numbers come from.
    """

    run_id: str
    status: Literal["ok", "invalid"]
    dataset: Dataset
    systems: tuple[System, ...]
    candidates: Candidates
    runs: tuple[Run, ...]
    per_query: Mapping[str, Mapping[Metric, PerQuery]]
    metrics: Mapping[str, Mapping[Metric, float]]
    judged: Mapping[str, float]
    comparisons: tuple[Comparison, ...]
    verdict: Verdict
    scoring: Scoring
    timings: Mapping[str, float]
    computed: Mapping[str, int]
    provenance: Provenance

    def comparison(self, metric: Metric, top_k: int) -> Comparison:
        """The comparison of ``rerank@top_k`` with dense on one metric."""
        for found in self.comparisons:
            if found.metric == metric and found.top_k == top_k:
                return found
        raise KeyError(f"{metric} at top-k {top_k}")
