"""Two results side by side: frozen values. Means are fractions, what is named ``*_points`` or ``ci_*`` is in points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evalkit.types import Metric


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not the same in both results.

    Attributes:
        name: Dotted, such as ``reranker.weights``.
        first, second: The plain values; None where a result does not say.
    """

    name: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What changed from the first result to the second, on one metric of one system, over the same queries.

    Attributes:
        first_mean, second_mean: Means over these queries: of the metric, or of its gain over dense.
        delta_points: 100 x (second - first).
        ci_low, ci_high: Its paired 95 % interval; None where a result was stopped early.
        p_value: Paired sign-flip permutation test of "no change", two-sided; likewise.
        p_adjusted: Holm over all rows of the same table; likewise.
        wins, ties, losses: Queries that are better, equal and worse in the second.
    """

    system: str
    metric: Metric
    first_mean: float
    second_mean: float
    delta_points: float
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    p_adjusted: float | None
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two results, held against each other.

    Attributes:
        differences: What is not the same about them, their dates aside.
        n_queries: Queries that both evaluated with the same judgments; everything below speaks of these.
        n_units: Queries, or families of them, that were resampled.
        only_first, only_second: Queries that one alone evaluated.
        judged_otherwise: Queries that both evaluated, with other judgments.
        values: Every metric of every system that both have.
        gains: The same for the gain over dense, of the reranked systems.
        stopped: A result was stopped early, so that no interval for a fixed number of queries holds.
    """

    differences: tuple[Difference, ...]
    n_queries: int
    n_units: int
    only_first: int
    only_second: int
    judged_otherwise: int
    values: tuple[Change, ...]
    gains: tuple[Change, ...]
    stopped: bool
