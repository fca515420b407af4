"""What reranking changed: every metric and top-k against dense, with the room there was."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.analysis.metrics import mean
from evalkit.result import Comparison
from evalkit.types import Metric, PerQuery, System

EPSILON = 1e-9
"""Per-query differences up to this size are ties: metrics are sums of fractions in floating point."""


def compare(metric: Metric, system: System, dense: PerQuery, reranked: PerQuery, oracle: PerQuery) -> Comparison:
    """Compare one reranked system with dense on one metric, paired by query.

    Args:
        metric: The metric that the values are of.
        system: The reranked system.
        dense: query id -> value of stage 1 alone.
        reranked: query id -> value of ``system``, over the same queries.
        oracle: query id -> value of the perfect ranking of the same candidates.
    """
    if system.top_k is None:
        raise ValueError("dense is the baseline, not a candidate")
    differences = [reranked[query_id] - value for query_id, value in dense.items()]
    before, after, best = mean(dense), mean(reranked), mean(oracle)
    headroom = best - before
    return Comparison(
        metric=metric,
        baseline="dense",
        candidate=system.name,
        top_k=system.top_k,
        baseline_mean=before,
        candidate_mean=after,
        delta_points=100 * (after - before),
        relative_percent=100 * (after - before) / before if before > 0 else None,
        wins=_count(differences, 1),
        ties=_count(differences, 0),
        losses=_count(differences, -1),
        n_queries=len(differences),
        oracle=best,
        headroom_points=100 * headroom,
        captured=(after - before) / headroom if headroom > EPSILON else None,
    )


def _count(differences: Sequence[float], sign: int) -> int:
    return sum((value > EPSILON) - (value < -EPSILON) == sign for value in differences)
