"""One finished evaluation: what it follows from, what was asked, what was found, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from evalkit.checks import whole_number
from evalkit.errors import ConfigError
from evalkit.exhibits import Example, Texts
from evalkit.findings import (
    Attribution,
    Comparison,
    Control,
    Expectation,
    Fate,
    Knee,
    Verdict,
    WhatIf,
)
from evalkit.parts import Languages, LengthGain, SliceGain
from evalkit.record import Latency, Provenance, Scoring, Sequential, StageOne
from evalkit.types import Candidates, Metric, PerQuery, Qrels, Run, System


@dataclass(frozen=True, slots=True)
class Subject:
    """What was evaluated, without its texts.

    Attributes:
        name: Short name; also the folder under ``reports/``.
        digest: SHA-256 over documents, queries, qrels and selection.
        corpus_digest: SHA-256 over the documents alone.
        qrels_digest: SHA-256 over the judgments of the evaluated queries.
        n_documents: Documents of the corpus.
        n_queries: Evaluated queries.
        languages: Distinct ``lang`` values of queries and documents, sorted.
        dangling: (query id, document id) of the positives that the corpus does not hold.
        unjudged: Selected queries without any judgment; not evaluated.
        without_positives: Selected queries whose judgments are all below 1; not evaluated.
        unanswered: Evaluated queries that stage 1 does not answer: a run made elsewhere, or a search for words that no
            document has; they count as 0.
        warnings: What a careful reader of the result should know about the files.
    """

    name: str
    digest: str
    corpus_digest: str
    qrels_digest: str
    n_documents: int
    n_queries: int
    languages: tuple[str, ...] = ()
    dangling: tuple[tuple[str, str], ...] = ()
    unjudged: tuple[str, ...] = ()
    without_positives: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


ValuesOf: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]
"""id -> attribute -> its values, as text."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a result follows from: what the tables of a result folder hold.

    Attributes:
        candidates: Stage-1 candidates with both scores.
        qrels: Judgments of exactly the evaluated queries; each has a positive.
        families: query id -> family, for the queries that have one: translations or paraphrases of one question.
        attributes: query id -> attribute -> values, for ``lang`` and the attributes that slices are made of.
        document_attributes: The same of documents, for those that are candidates or judged.
    """

    candidates: Candidates
    qrels: Qrels
    families: Mapping[str, str] = field(default_factory=dict)
    attributes: ValuesOf = field(default_factory=dict)
    document_attributes: ValuesOf = field(default_factory=dict)

    @property
    def unit(self) -> Literal["family", "query"]:
        """What every resampling draws."""
        return "family" if self.families else "query"


@dataclass(frozen=True, slots=True)
class Design:
    """What is asked of the evidence, declared before the run.

    Attributes:
        top_ks: The stage-1 top-k values of the sweep.
        metrics: The metrics, the expectation's among them.
        expectation: What is judged.
        slices: Attributes of queries by which the gain is split.
        document_slices: Attributes of documents by which it is split.
        resamples: Of every bootstrap and permutation.
        seed: Of everything that is drawn.
    """

    top_ks: tuple[int, ...]
    metrics: tuple[Metric, ...]
    expectation: Expectation
    slices: tuple[str, ...] = ()
    document_slices: tuple[str, ...] = ()
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, keys in (("slices", self.slices), ("document_slices", self.document_slices)):
            if len(set(keys)) < len(keys):
                raise ConfigError(f"statistics.{name} is {list(keys)}; expected every key once")
        whole_number("statistics.resamples", self.resamples, 100)
        whole_number("statistics.seed", self.seed, 0)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What follows from the evidence and the design alone.

    Attributes:
        systems: ``dense`` first, then ``rerank@K`` by rising K.
        runs: One per system, in the order of ``systems``.
        per_query: system -> metric -> query id -> value.
        metrics: system -> metric -> mean over the evaluated queries.
        judged: system -> share of its top 5 that is judged (Judged@5), over the evaluated queries.
        comparisons: Every metric and top-k against dense.
        verdict: The expectation, judged.
        fates: Per query and top-k, what became of the positives.
        attribution: The same in points, per top-k.
        knee: Where a larger top-k stops to pay.
        slices: The gain by attributes of queries and documents.
        languages: The gain by language of queries and documents; None where they do not say, all are in one, or the run
            stopped early.
        lengths: The gain on relevant candidates that the reranker reads whole, and on longer ones.
        controls: The self-checks.
        what_ifs: Other uses of the same scores.
        examples: The queries that won and lost most.
    """

    systems: tuple[System, ...]
    runs: tuple[Run, ...]
    per_query: Mapping[str, Mapping[Metric, PerQuery]]
    metrics: Mapping[str, Mapping[Metric, float]]
    judged: Mapping[str, float]
    comparisons: tuple[Comparison, ...]
    verdict: Verdict
    fates: tuple[Fate, ...]
    attribution: tuple[Attribution, ...]
    knee: Knee
    slices: tuple[SliceGain, ...]
    languages: Languages | None
    lengths: tuple[LengthGain, ...]
    controls: tuple[Control, ...]
    what_ifs: tuple[WhatIf, ...]
    examples: tuple[Example, ...]

    @property
    def status(self) -> Literal["ok", "invalid"]:
        """``invalid`` when a control failed."""
        return "invalid" if any(control.status == "failed" for control in self.controls) else "ok"

    def comparison(self, metric: Metric, top_k: int) -> Comparison:
        """The comparison of ``rerank@top_k`` with dense on one metric."""
        for found in self.comparisons:
            if found.metric == metric and found.top_k == top_k:
                return found
        raise KeyError(f"{metric} at top-k {top_k}")

    @property
    def decision(self) -> Comparison:
        """The comparison that the expectation speaks of."""
        return self.comparison(self.verdict.expectation.metric, self.verdict.expectation.top_k)


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One finished evaluation: what every sink draws from.

    Attributes:
        run_id: Name of the result folder.
        dataset: What was evaluated.
        evidence: What the assessment follows from.
        design: What was asked.
        assessment: What was found.
        scoring: How stage 2 came about.
        stage_one: How the candidates were retrieved, in words.
        latency: The warm probe; None where none was measured.
        sequential: How a sequential run ended; None for a full one.
        timings: Phase -> seconds of wall time.
        computed: ``documents``, ``queries`` and ``pairs`` that a model worked on in this run, windows of long ones
            included; the others were remembered.
        provenance: Where the numbers come from.
        texts: What the examples say; None where nobody wants to see it.
    """

    run_id: str
    dataset: Subject
    evidence: Evidence
    design: Design
    assessment: Assessment
    scoring: Scoring
    timings: Mapping[str, float]
    computed: Mapping[str, int]
    provenance: Provenance
    stage_one: StageOne = field(default_factory=StageOne)
    latency: Latency | None = None
    sequential: Sequential | None = None
    texts: Texts | None = None

    @property
    def points_per_100_ms(self) -> dict[int, float | None]:
        """Top-k -> points of the expectation's metric per 100 ms of stage 2, at its median.

        Those top-k only whose latency is known; None where the gain is not.
        """
        metric = self.assessment.verdict.expectation.metric
        gains = {found.top_k: found.delta_points for found in self.assessment.comparisons if found.metric == metric}
        measured = () if self.latency is None else self.latency.stage2
        return {one.top_k: gains[one.top_k] * 100 / one.p50_ms if one.top_k in gains else None for one in measured}
