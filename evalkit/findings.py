"""What an analysis expects and finds: frozen values, built from those in ``types``.

Means, ``oracle`` and ``captured`` are fractions. What is named ``*_points``, ``ci_low`` and ``ci_high`` is in points:
100 x a difference of means. Intervals are two-sided, 95 %. The unit of every resampling is the query, or the query
family where the data names one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.errors import ConfigError
from evalkit.types import Metric

Status: TypeAlias = Literal["met", "below", "above", "invalid"]
DecideOn: TypeAlias = Literal["estimate", "lower_bound"]


@dataclass(frozen=True, slots=True)
class Expectation:
    """The gain that was promised, declared before the run.

    Attributes:
        metric: The metric it speaks of.
        top_k: The decision top-k.
        min_points: Lower edge of the band, in points.
        max_points: Upper edge of the band, in points; None leaves it open.
        decide_on: What is held against the band: the estimate, or the lower bound of its interval.
    """

    metric: Metric
    top_k: int
    min_points: float
    max_points: float | None
    decide_on: DecideOn = "estimate"

    def __post_init__(self) -> None:
        if self.top_k <= self.metric.unmoved:
            raise ConfigError(
                f"expectation.top_k is {self.top_k}, but {self.metric} cannot change unless more than "
                f"{self.metric.unmoved} candidates are reranked; choose a top_k above {self.metric.unmoved}"
            )
        for name, points in (("min_points", self.min_points), ("max_points", self.max_points)):
            if points is not None and not math.isfinite(points):
                raise ConfigError(f"expectation.{name} is {points}; expected a finite number of points")
        if self.max_points is not None and not self.min_points <= self.max_points:
            raise ConfigError(
                f"expectation.min_points {self.min_points} is above max_points {self.max_points}; swap them"
            )
        if self.decide_on not in ("estimate", "lower_bound"):
            raise ConfigError(f"expectation.decide_on is {self.decide_on!r}; expected estimate or lower_bound")

    @property
    def band(self) -> str:
        """The band in words, such as ``+12 to +18``."""
        if self.max_points is None:
            return f"{self.min_points:+g} or more"
        return f"{self.min_points:+g} to {self.max_points:+g}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one reranked system changed against dense retrieval, on one metric.

    The fields from ``ci_low`` to ``detectable_points`` are None after an early stop, which leaves only the sequence's
    own interval valid.

    Attributes:
        relative_percent: The change as a share of the baseline; None where that is 0.
        ci_low, ci_high: The paired interval of ``delta_points``.
        interval_method: How that interval came about.
        p_value: Paired sign-flip permutation test of "no gain", two-sided.
        p_adjusted: Holm over the top-k of one metric, the decision top-k excepted, which was declared beforehand.
        attainable_p: The smallest p that these labels could ever attain; above 0.05 the question cannot be resolved.
        detectable_points: The smallest effect that is found with a power of 80 %.
        n_units: Queries, or families of queries, that were resampled.
        captured: Gain / headroom; None where the headroom is 0.
    """

    metric: Metric
    baseline: str
    candidate: str
    top_k: int
    baseline_mean: float
    candidate_mean: float
    delta_points: float
    relative_percent: float | None
    ci_low: float | None
    ci_high: float | None
    interval_method: str | None
    p_value: float | None
    p_adjusted: float | None
    attainable_p: float | None
    detectable_points: float | None
    wins: int
    ties: int
    losses: int
    n_queries: int
    n_units: int
    oracle: float
    headroom_points: float
    captured: float | None

    @property
    def half_width_points(self) -> float | None:
        """Half the width of the interval, in points."""
        return None if self.ci_low is None or self.ci_high is None else (self.ci_high - self.ci_low) / 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the measured gain compares with the expectation.

    Attributes:
        expectation: What was promised.
        status: ``below``, ``met`` or ``above`` the band, or ``invalid`` where a control failed.
        delta_points: The measured gain at the decision top-k.
        ci_low: Lower edge of its interval.
        ci_high: Upper edge, likewise.
        conclusive: The interval excludes every adjacent edge of the band.
        reason: One sentence with the numbers.
        advice: What to do next, most useful first.
        queries_needed: About how many queries would settle the verdict; None where it is settled, or where the
            estimate lies on an edge of the band.
    """

    expectation: Expectation
    status: Status
    delta_points: float
    ci_low: float
    ci_high: float
    conclusive: bool
    reason: str
    advice: tuple[str, ...] = ()
    queries_needed: int | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one query's positives at one top-k; counts that sum to R.

    Attributes:
        kept: In the top c of dense and of reranked.
        promoted: In the top c of reranked only.
        demoted: In the top c of dense only.
        missed_by_reranker: Among the candidates, in neither top c, though there was room for it.
        missed_by_stage1: Not among the candidates, though the top c had room for it.
        capped: Without a place because more than c documents are relevant.
    """

    query_id: str
    top_k: int
    kept: int
    promoted: int
    demoted: int
    missed_by_reranker: int
    missed_by_stage1: int
    capped: int

    @property
    def positives(self) -> int:
        """R: all positives of the query."""
        return self.kept + self.promoted + self.demoted + self.missed_by_reranker + self.missed_by_stage1 + self.capped


@dataclass(frozen=True, slots=True)
class Attribution:
    """The fates of all positives at one top-k, as points of recall.

    They sum to 100, and ``promoted_points - demoted_points`` is the gain.

    Attributes:
        metric: Recall at the cutoff c that the fates speak of.
        delta_points: The gain of that recall.
    """

    metric: Metric
    top_k: int
    kept_points: float
    promoted_points: float
    demoted_points: float
    missed_by_reranker_points: float
    missed_by_stage1_points: float
    capped_points: float
    delta_points: float


@dataclass(frozen=True, slots=True)
class Knee:
    """Where a larger top-k stops to pay, on the expectation's metric.

    Found on the queries it speaks of, so it explores; the decision top-k is declared beforehand.

    Attributes:
        best_top_k: The top-k of the largest gain.
        within_noise: The smallest top-k whose 95 % interval of (best - this) holds 0.
        ninety_percent: The smallest top-k with 90 % of the best gain; None where nothing is gained.
    """

    metric: Metric
    best_top_k: int
    within_noise: int
    ninety_percent: int | None


@dataclass(frozen=True, slots=True)
class Control:
    """One self-check.

    Attributes:
        name: Its name, such as ``identity``.
        status: A ``failed`` control makes the result invalid; ``warned`` asks a reader to look; ``skipped`` could not
            be checked here.
        message: What was expected and what was found.
    """

    name: str
    status: Literal["passed", "failed", "warned", "skipped"]
    message: str


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What another use of the same scores would have gained at the decision top-k.

    Chosen on one half of the units and confirmed on the other.

    Attributes:
        name: ``rrf``, ``weighted`` or ``margin``.
        setting: What was chosen, in words.
        chosen_points: Gain over dense on the half where the setting was chosen.
        confirmed_points: Gain over dense on the other half.
        confirmed_ci_low, confirmed_ci_high: Its interval.
        plain_points: Gain of plain reranking on that other half.
        saved_pairs: Share of the pairs, on the other half, that need no score.
    """

    name: str
    setting: str
    chosen_points: float
    confirmed_points: float
    confirmed_ci_low: float
    confirmed_ci_high: float
    plain_points: float
    saved_pairs: float
