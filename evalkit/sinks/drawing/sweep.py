"""The sweep: stage 1, reranked and oracle against top-k, the interval of the gain, and the band that was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.findings import Comparison, Expectation
from evalkit.result import EvalResult
from evalkit.sinks.drawing.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    canvas,
    head,
    limit_y,
    panel,
    place_x,
    round_ticks,
    scale_x,
    shade_expected,
    size_of,
)
from evalkit.sinks.drawing.labels import Label, apart, few, name_beside, name_x, write_above
from evalkit.sinks.table import interval, shown_metrics
from evalkit.types import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _RIGHT, _TOP, _HEIGHT, _PITCH = 34, 106, 34, 176, 234


def draw(result: EvalResult) -> Figure:
    """One panel for the expectation's metric and, below it on the same axis, one for nDCG@10."""
    metrics = shown_metrics(result)
    figure = canvas("sweep", _PITCH * len(metrics) + 16)
    for place, metric in enumerate(metrics):
        top = _PITCH * place
        axes = panel(figure, _LEFT, _RIGHT, top + _TOP, _HEIGHT)
        found = _comparisons(result, metric)
        head(figure, f"{metric}, mean over {found[0].n_queries} queries", top)
        _draw(axes, result, metric, found)
    name_x(figure.axes[-1], "top-k: candidates per query that are reranked")
    return figure


def describe(result: EvalResult) -> str:
    """The same in words."""
    verdict = result.assessment.verdict
    expected = verdict.expectation
    found = _comparisons(result, expected.metric)
    named = few([row.top_k for row in found], expected.top_k)
    means = ", ".join(f"{row.candidate_mean:.3f} at top-k {row.top_k}" for row in found if row.top_k in named)
    return (
        f"{expected.metric}: {result.stage_one.label} {found[0].baseline_mean:.3f}; reranked {means}; oracle "
        f"{found[-1].oracle:.3f} at top-k {found[-1].top_k}. At the decision top-k {expected.top_k} the gain is "
        f"{verdict.delta_points:+.1f} points ({_interval_name(result)} {interval(verdict.ci_low, verdict.ci_high)}), "
        f"{expected.band} were expected."
    )


def _comparisons(result: EvalResult, metric: Metric) -> list[Comparison]:
    return [result.assessment.comparison(metric, top_k) for top_k in sorted(result.design.top_ks)]


def _interval_name(result: EvalResult) -> str:
    return "95 % interval" if result.sequential is None else "anytime-valid 95 % interval"


def _intervals(result: EvalResult, metric: Metric, found: list[Comparison]) -> list[tuple[int, float, float]]:
    """(top-k, lower edge, upper edge), as values of the metric; after an early stop, the verdict's alone is valid."""
    verdict = result.assessment.verdict
    edges = [(row.top_k, row.ci_low, row.ci_high) for row in found]
    if result.sequential is not None and metric == verdict.expectation.metric:
        edges = [(verdict.expectation.top_k, verdict.ci_low, verdict.ci_high)]
    dense = found[0].baseline_mean
    return [
        (top_k, dense + low / 100, dense + high / 100)
        for top_k, low, high in edges
        if low is not None and high is not None
    ]


def _draw(axes: Axes, result: EvalResult, metric: Metric, found: list[Comparison]) -> None:
    expected, known = result.assessment.verdict.expectation, _intervals(result, metric, found)
    dense, top_ks = found[0].baseline_mean, [row.top_k for row in found]
    means, oracle = [row.candidate_mean for row in found], [row.oracle for row in found]
    scale_x(axes, top_ks, min(top_ks), max(top_ks))
    axes.axhline(dense, color=INK, linestyle="--", linewidth=1.5, label=result.stage_one.label)
    axes.plot(top_ks, oracle, color=GREEN, linestyle="-.", linewidth=1.5, marker="^", label="oracle")
    axes.plot(top_ks, means, color=BLUE, linewidth=2, marker="o", zorder=3, label="reranked")
    _draw_intervals(axes, known)
    low, high = min(dense, *means, *oracle), max(dense, *means, *oracle)
    low, high = min([low, *(row[1] for row in known)]), max([high, *(row[2] for row in known)])
    end = axes.get_xlim()[1]
    sure = "\n" + _interval_name(result).replace("valid ", "valid\n") if known else ""
    labels = [
        Label(f"{result.stage_one.label} {dense:.3f}", end, dense, INK),
        Label(f"oracle {oracle[-1]:.3f}", top_ks[-1], oracle[-1], GREEN),
        Label(f"reranked {means[-1]:.3f}{sure}", top_ks[-1], means[-1], BLUE),
    ]
    if metric == expected.metric:
        lower, upper = _shown_band(expected, dense)
        limit_y(axes, min(low, lower), max(high, upper), 0.06)
        shade_expected(axes, "y", expected, dense, 0.01)
        middle = (lower + (axes.get_ylim()[1] if expected.max_points is None else upper)) / 2
        labels.append(Label(f"{expected.band}\nexpected", end, middle, ORANGE))
    else:
        limit_y(axes, low, high, 0.06)
    _tick(axes, expected.top_k, top_ks)
    gain = result.assessment.comparison(metric, expected.top_k).delta_points
    write_above(axes, place_x(axes, expected.top_k), f"decision: {gain:+.1f} points at top-k {expected.top_k}")
    name_beside(axes, labels)


def _draw_intervals(axes: Axes, known: list[tuple[int, float, float]]) -> None:
    places, low, high = [row[0] for row in known], [row[1] for row in known], [row[2] for row in known]
    if len(known) > 1:
        axes.fill_between(places, low, high, color=BLUE, alpha=0.2, linewidth=0, label="interval")
    else:
        axes.vlines(places, low, high, color=BLUE, linewidth=5, alpha=0.35, label="interval")


def _shown_band(expected: Expectation, dense: float) -> tuple[float, float]:
    """The part of the expected band that the axis must reach: no metric exceeds 1, but the band may begin there."""
    low = dense + expected.min_points / 100
    high = low if expected.max_points is None else dense + expected.max_points / 100
    return low, min(high, max(1.0, low + 0.03))


def _tick(axes: Axes, decision: int, top_ks: list[int]) -> None:
    """Ticks of the sweep with the decision in bold; ticks of the metric within 0 and 1."""
    shown = apart({str(top_k): place_x(axes, top_k) * size_of(axes)[0] for top_k in top_ks}, str(decision))
    axes.set_xticks(top_ks, [str(top_k) if str(top_k) in shown else "" for top_k in top_ks])
    axes.xaxis.get_ticklabels()[top_ks.index(decision)].set_fontweight("bold")
    axes.axvline(decision, color=INK, linestyle=":", linewidth=1, alpha=0.7, zorder=1, label="decision")
    low, high = axes.get_ylim()
    ticks = round_ticks(max(0, low), min(1, high), 5)
    axes.set_yticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.yaxis.grid(True)
