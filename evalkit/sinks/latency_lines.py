"""What the warm probe found, in a few rounded lines."""

from __future__ import annotations

from evalkit.record import Latency, StageTwoLatency
from evalkit.result import EvalResult
from evalkit.sinks.table import DASH


def latency_lines(result: EvalResult) -> list[str]:
    """Where and when it was measured, then stage 1, then one line per top-k; nothing where nothing was measured."""
    found, gains = result.latency, result.points_per_100_ms
    if found is None:
        return []
    lines = [
        latency_head(found),
        f"  stage 1: p50 {milliseconds(found.stage1_p50_ms)}, p95 {milliseconds(found.stage1_p95_ms)}",
    ]
    for one in found.stage2:
        spent = f"p50 {milliseconds(one.p50_ms)}, p95 {milliseconds(one.p95_ms)}"
        size = "" if one.tokens_per_pair is None else f" of {one.tokens_per_pair:.0f} tokens"
        gain = f"{_points(gains[one.top_k])} points per 100 ms"
        paid = "" if one.cost_per_1000_queries is None else f"; {cost(one)} per 1,000 queries"
        lines.append(f"  rerank@{one.top_k}: {spent}; {one.pairs_per_second:.0f} pairs/s{size}; {gain}{paid}")
    return lines


def latency_head(found: Latency) -> str:
    """Where and when it was measured."""
    when = f"measured {found.measured}" + (" by an earlier run" if found.stored else "")
    place = f"{found.store}, which is not your server" if found.in_process else found.store
    return (
        f"latency, warm, {found.n_queries} queries one at a time: {when} on {found.machine}; reranker on "
        f"{found.device}; vectors in {place}"
    )


def milliseconds(value: float) -> str:
    """Whole milliseconds; one decimal below 10."""
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def cost(one: StageTwoLatency) -> str:
    """What 1,000 queries cost, two decimals, more below 0.10; a dash where that is not known."""
    found = one.cost_per_1000_queries
    if found is None:
        return DASH
    return f"{found:.2f} {one.currency}" if found >= 0.1 or found == 0 else f"{found:.2g} {one.currency}"


def _points(value: float | None) -> str:
    return DASH if value is None else f"{value:+.2f}"
