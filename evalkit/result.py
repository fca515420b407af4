"""What an evaluation expects and finds: frozen values, built from those in ``types``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.errors import ConfigError
from evalkit.types import Candidates, Dataset, Fingerprint, Metric, PerQuery, Run, System


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
