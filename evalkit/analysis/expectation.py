"""Hold the measured gain against the promised one."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.analysis.power import queries_needed
from evalkit.errors import ConfigError
from evalkit.findings import Comparison, Control, Expectation, Status, Verdict
from evalkit.record import Sequential
from evalkit.result import Design

EPSILON_POINTS = 1e-9
"""A gain this close to an edge of the band lies on it: 0.2 - 0.02 is not 0.18 in floating point."""


def check_sweep(design: Design, n_documents: int | None = None) -> None:
    """Refuse a sweep that cannot answer the question, before any model runs.

    Args:
        design: Top-k values, metrics and what will be judged.
        n_documents: Documents that a query can find; None before it is known.

    Raises:
        ConfigError: A top-k is below 1 or repeated, the decision top-k or metric is not part of the
            run, or a top-k is larger than the corpus.
    """
    top_ks, metrics, expectation = design.top_ks, design.metrics, design.expectation
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


def judge(
    comparison: Comparison,
    expectation: Expectation,
    sequential: Sequential | None = None,
    failed: Sequence[Control] = (),
) -> Verdict:
    """Hold the gain against the band.

    Args:
        comparison: The gain on the expectation's metric and top-k.
        expectation: The band, and what of the gain is held against it.
        sequential: How the run was stopped, if it was: its interval is the valid one then.
        failed: Controls that failed: then there is no verdict but ``invalid``.
    """
    source = comparison if sequential is None else sequential
    low, high = source.ci_low, source.ci_high
    if low is None or high is None:
        raise ValueError("a comparison without an interval cannot be judged")
    decisive = low if expectation.decide_on == "lower_bound" else comparison.delta_points
    status = _place(decisive, expectation)
    edges = _adjacent(status, expectation)
    conclusive = not failed and all(not low <= edge <= high for edge in edges)
    needed = None
    # Where nothing changed, nothing says how widely changes scatter.
    if not conclusive and not failed and comparison.wins + comparison.losses:
        needed = queries_needed(comparison.delta_points, low, high, edges, comparison.n_queries)
    return Verdict(
        expectation=expectation,
        status="invalid" if failed else status,
        delta_points=comparison.delta_points,
        ci_low=low,
        ci_high=high,
        conclusive=conclusive,
        reason=_invalid(failed)
        if failed
        else _reason(comparison, expectation, status, low, high, conclusive, sequential),
        queries_needed=needed,
    )


def _place(points: float, expectation: Expectation) -> Status:
    if points < expectation.min_points - EPSILON_POINTS:
        return "below"
    if expectation.max_points is not None and points > expectation.max_points + EPSILON_POINTS:
        return "above"
    return "met"


def _adjacent(status: Status, expectation: Expectation) -> list[float]:
    """The edges of the band between the status and another one."""
    low, high = expectation.min_points, expectation.max_points
    edges = (low if status != "above" else None, high if status != "below" else None)
    return [edge for edge in edges if edge is not None]


def _invalid(failed: Sequence[Control]) -> str:
    return "The result cannot be trusted, a self-check failed: " + " ".join(
        f"{control.name}: {control.message}" for control in failed
    )


def _reason(
    comparison: Comparison,
    expectation: Expectation,
    status: Status,
    low: float,
    high: float,
    conclusive: bool,
    sequential: Sequential | None,
) -> str:
    place = {"below": "below", "met": "within", "above": "above"}[status]
    relative = comparison.relative_percent
    percent = "" if relative is None else f", {relative:+.1f} % relative"
    judged = ", judged by the lower bound" if expectation.decide_on == "lower_bound" else ""
    sure = "" if conclusive else "; not conclusive, the interval holds an edge of the band"
    kind, early = "95 % interval", ""
    if sequential is not None:
        kind = "anytime-valid 95 % interval"
        if sequential.side is not None:
            early = " An estimate after early stopping is biased; the interval holds."
    return (
        f"At top-k {comparison.top_k}, {comparison.metric} went from {comparison.baseline_mean:.3f} to "
        f"{comparison.candidate_mean:.3f}: {comparison.delta_points:+.1f} points ({kind} {low:+.1f} to "
        f"{high:+.1f}{percent}), {place} the expected {expectation.band}{judged}{sure}.{early}"
    )
