"""Hold the measured gain against the promised one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evalkit.errors import ConfigError
from evalkit.result import Comparison, Expectation, Verdict
from evalkit.types import Metric

EPSILON_POINTS = 1e-9
"""A gain this close to an edge of the band lies on it: 0.2 - 0.02 is not 0.18 in floating point."""


def check_sweep(
    top_ks: Sequence[int], metrics: Sequence[Metric], expectation: Expectation, n_documents: int | None = None
) -> None:
    """Refuse a sweep that cannot answer the question, before any model runs.

    Args:
        top_ks: The stage-1 top-k values.
        metrics: The metrics that will be computed.
        expectation: What will be judged.
        n_documents: Documents that a query can find; None before it is known.

    Raises:
        ConfigError: A top-k is below 1 or repeated, the decision top-k or metric is not part of the
            run, or a top-k is larger than the corpus.
    """
    if not top_ks or min(top_ks) < 1 or len(set(top_ks)) != len(top_ks):
        raise ConfigError(f"sweep.top_k is {list(top_ks)}; expected distinct whole numbers of at least 1")
    if expectation.top_k not in top_ks:
        raise ConfigError(
            f"expectation.top_k is {expectation.top_k}, which sweep.top_k {list(top_ks)} does not hold; add it "
            "there, or declare another decision top-k"
        )
    if expectation.metric not in metrics:
        raise ConfigError(
            f"expectation.metric is {expectation.metric}, which is not computed; metrics are "
            f"{', '.join(map(str, metrics))}. Add it to metrics.names"
        )
    if n_documents is not None and max(top_ks) > n_documents:
        decision = "the decision " if expectation.top_k > n_documents else ""
        raise ConfigError(
            f"{decision}top-k {max(top_ks)} is larger than the corpus of {n_documents} documents; lower "
            "sweep.top_k" + (" and expectation.top_k" if decision else "")
        )


def judge(comparison: Comparison, expectation: Expectation) -> Verdict:
    """Decide from the estimate whether the gain lies in the band.

    No interval is computed here, so the verdict never claims to be conclusive.
    """
    gain, low, high = comparison.delta_points, expectation.min_points, expectation.max_points
    status: Literal["below", "met", "above"] = (
        "below" if gain < low - EPSILON_POINTS else "above" if gain > high + EPSILON_POINTS else "met"
    )
    return Verdict(
        expectation=expectation,
        status=status,
        delta_points=gain,
        conclusive=False,
        reason=_reason(comparison, expectation, status),
    )


def _reason(comparison: Comparison, expectation: Expectation, status: str) -> str:
    place = {"below": "below", "met": "within", "above": "above"}[status]
    relative = comparison.relative_percent
    percent = "" if relative is None else f" ({relative:+.1f} % relative)"
    captured = comparison.captured
    share = "" if captured is None else f", of which {100 * captured:.0f} % was captured"
    unreachable = (
        f" The band cannot be reached: even a perfect reranker would gain only {comparison.headroom_points:.1f} points."
        if comparison.headroom_points < expectation.min_points
        else ""
    )
    return (
        f"At top-k {comparison.top_k}, {comparison.metric} went from {comparison.baseline_mean:.3f} to "
        f"{comparison.candidate_mean:.3f}: {comparison.delta_points:+.1f} points{percent}, {place} the expected "
        f"{expectation.min_points:+g} to {expectation.max_points:+g}. The headroom was "
        f"{comparison.headroom_points:.1f} points{share}.{unreachable}"
    )
