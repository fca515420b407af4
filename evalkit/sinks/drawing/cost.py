"""The cost: points gained against the time that stage 2 takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.record import StageTwoLatency
from evalkit.result import EvalResult
from evalkit.sinks.drawing.canvas import (
    BLUE,
    INK,
    ORANGE,
    SMALL,
    canvas,
    head,
    in_points,
    limit_y,
    panel,
    place_x,
    round_ticks,
    scale_x,
    shade_expected,
    size_of,
)
from evalkit.sinks.drawing.labels import Label, apart, few, name_beside, name_x

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _RIGHT, _TOP, _HEIGHT = 34, 92, 26, 190


def draw(result: EvalResult) -> Figure | None:
    """A point per top-k with a whisker to the 95th percentile; None where no latency is known."""
    from matplotlib.ticker import LogLocator

    found = _measured(result)
    if not found:
        return None
    expected = result.assessment.verdict.expectation
    spent, slow, gains = [one.p50_ms for one, _ in found], [one.p95_ms for one, _ in found], [gain for _, gain in found]
    figure = canvas("cost", _TOP + _HEIGHT + 36)
    head(figure, f"Points of {expected.metric} over {result.stage_one.label}, by time of stage 2")
    axes = panel(figure, _LEFT, _RIGHT, _TOP, _HEIGHT)
    scale_x(axes, spent, 0, max(slow))
    edges = [edge for edge in (expected.min_points, expected.max_points) if edge is not None]
    limit_y(axes, min(0, *gains, *edges), max(0, *gains, *edges), 0.12)
    shade_expected(axes, "y", expected)
    axes.axhline(0, color=INK, linestyle="--", linewidth=1.5, label=result.stage_one.label)
    axes.hlines(gains, spent, slow, color=BLUE, linewidth=1.2, alpha=0.6, label="to p95")
    axes.plot(slow, gains, color=BLUE, linestyle="", marker="|", alpha=0.6, label="p95")
    axes.plot(spent, gains, color=BLUE, linestyle="", marker="o", label="p50")
    _number(axes, result, found)
    (_, end), (low, high) = axes.get_xlim(), axes.get_ylim()
    middle = (expected.min_points + (high if expected.max_points is None else expected.max_points)) / 2
    name_beside(
        axes, [Label(result.stage_one.label, end, 0, INK), Label(f"{expected.band}\nexpected", end, middle, ORANGE)]
    )
    ticks = round_ticks(low, high, 6)
    axes.set_yticks(ticks, in_points(ticks))
    axes.yaxis.grid(True)
    if axes.get_xscale() == "log":
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(slow) < 100 * min(spent) else (1,)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    name_x(axes, "milliseconds per query: median and 95th percentile; numbers: top-k")
    return figure


def _number(axes: Axes, result: EvalResult, found: list[tuple[StageTwoLatency, float]]) -> None:
    """Write top-k at the points, as far as there is room: above a gain, below a loss."""
    decision, width = str(result.assessment.verdict.expectation.top_k), size_of(axes)[0]
    shown = apart({str(one.top_k): place_x(axes, one.p50_ms) * width for one, _ in found}, decision)
    for one, gain in found:
        if str(one.top_k) in shown:
            axes.annotate(
                str(one.top_k),
                (one.p50_ms, gain),
                xytext=(0, -14 if gain < 0 else 6),
                textcoords="offset points",
                fontsize=SMALL,
                fontweight="bold" if str(one.top_k) == decision else "normal",
                ha="center",
            )


def describe(result: EvalResult) -> str:
    """The same in words."""
    expected, found = result.assessment.verdict.expectation, _measured(result)
    named = few([one.top_k for one, _ in found], expected.top_k)
    rows = "; ".join(
        f"top-k {one.top_k} {gain:+.1f} points in {one.p50_ms:.0f} ms (95th percentile {one.p95_ms:.0f} ms)"
        for one, gain in found
        if one.top_k in named
    )
    return f"Gain of {expected.metric} and median time of stage 2 per query: {rows}."


def _measured(result: EvalResult) -> list[tuple[StageTwoLatency, float]]:
    """Those top-k of which latency and gain are known."""
    metric = result.assessment.verdict.expectation.metric
    gains = {row.top_k: row.delta_points for row in result.assessment.comparisons if row.metric == metric}
    measured = () if result.latency is None else result.latency.stage2
    return [(one, gains[one.top_k]) for one in sorted(measured, key=lambda one: one.top_k) if one.top_k in gains]
