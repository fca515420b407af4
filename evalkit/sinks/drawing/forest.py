"""Forest plots: gain and interval for groups of queries, and for other uses of the same scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.findings import Expectation
from evalkit.result import EvalResult
from evalkit.sinks.drawing.canvas import (
    BLUE,
    INK,
    VERMILLION,
    canvas,
    head,
    in_points,
    panel,
    place_x,
    round_ticks,
    shade_expected,
    shortened,
    width_of,
)
from evalkit.sinks.drawing.labels import name_x, write_above, write_column
from evalkit.sinks.table import interval, slice_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOP, _PITCH, _WIDEST_LABEL = 42, 21, 150

_USES = {"rrf": "ranks fused (rrf)", "weighted": "scores fused (weighted)", "margin": "only where unsure (margin)"}


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of a forest: a gain in points with its interval, and a number in the column to the right."""

    label: str
    points: float
    low: float
    high: float
    column: str
    marker: str = "o"


def draw_slices(result: EvalResult) -> Figure | None:
    """The gain of every slice below that of all queries; None where there are no slices."""
    verdict, found = result.assessment.verdict, result.assessment.slices
    if not found:
        return None
    n_queries = str(result.assessment.decision.n_queries)
    rows = [_Row("all queries", verdict.delta_points, verdict.ci_low, verdict.ci_high, n_queries, "D")]
    for one in found:
        label, marker = slice_name(one), "x" if one.note else "o"
        rows.append(_Row(label, one.delta_points, one.ci_low, one.ci_high, str(one.n_queries), marker))
    documents = " or documents" if any(one.of == "document" for one in found) else ""
    title = f"For whom: gain by group of queries{documents}"
    figure, axes = _forest("slices", title, rows, "queries", verdict.expectation)
    small = "; x: too small to tell" if any(one.note for one in found) else ""
    name_x(axes, f"points of {verdict.expectation.metric} over {result.stage_one.label}, 95 % interval{small}")
    return figure


def draw_what_ifs(result: EvalResult) -> Figure | None:
    """What was confirmed of every other use beside plain reranking; None where there is none."""
    found = result.assessment.what_ifs
    if not found:
        return None
    rows = [
        _Row(
            _USES.get(one.name, one.name),
            one.confirmed_points,
            one.confirmed_ci_low,
            one.confirmed_ci_high,
            f"{one.confirmed_points:+.1f}",
        )
        for one in found
    ]
    plain = [one.plain_points for one in found]
    figure, axes = _forest("what_ifs", "What if: other uses of the same scores", rows, "points", None, plain)
    places = range(len(found))
    axes.vlines(
        plain,
        [place - 0.5 for place in places],
        [place + 0.5 for place in places],
        color=VERMILLION,
        linestyles="--",
        zorder=1,
        label="plain",
    )
    write_above(axes, place_x(axes, plain[0]), f"plain reranking {plain[0]:+.1f}")
    name_x(
        axes, f"points of {result.assessment.verdict.expectation.metric} over {result.stage_one.label}, 95 % interval"
    )
    return figure


def describe_slices(result: EvalResult) -> str:
    """The lowest, the highest, and how many are clear of 0."""
    found = sorted(result.assessment.slices, key=lambda one: one.delta_points)
    above, below = sum(one.ci_low > 0 for one in found), sum(one.ci_high < 0 for one in found)
    ends = [
        f"{name} {slice_name(one)} with {one.delta_points:+.1f} points "
        f"({interval(one.ci_low, one.ci_high)}, {one.n_queries} queries)"
        for name, one in (("lowest", found[0]), ("highest", found[-1]))
    ]
    return (
        f"Gain of {found[0].metric} at top-k {found[0].top_k} in {len(found)} slices: {'; '.join(ends)}. The 95 % "
        f"interval lies above 0 in {above} of them and below 0 in {below}."
    )


def describe_what_ifs(result: EvalResult) -> str:
    """Every use in words."""
    found = result.assessment.what_ifs
    uses = "; ".join(
        f"{one.name} {one.confirmed_points:+.1f} ({interval(one.confirmed_ci_low, one.confirmed_ci_high)})"
        for one in found
    )
    return (
        f"Points over {result.stage_one.label} on the half of the queries that confirms, with 95 % "
        f"interval: {uses}; plain reranking {found[0].plain_points:+.1f}."
    )


def _forest(
    name: str,
    title: str,
    rows: Sequence[_Row],
    column: str,
    expected: Expectation | None,
    others: Sequence[float] = (),
) -> tuple[Figure, Axes]:
    height = _PITCH * len(rows) + 4
    labels = [shortened(row.label, _WIDEST_LABEL) for row in rows]
    left = 10 + max(map(width_of, labels))
    right = 14 + max(map(width_of, [column, *(row.column for row in rows)]))
    figure = canvas(name, _TOP + height + 36)
    head(figure, title)
    axes = panel(figure, left, right, _TOP, height)
    places = range(len(rows))
    edges = () if expected is None else (expected.min_points, expected.max_points)
    values = [0.0, *others, *(edge for edge in edges if edge is not None)]
    values += [value for row in rows for value in (row.low, row.points, row.high)]
    pad = 0.05 * (max(values) - min(values)) or 1
    axes.set_xlim(min(values) - pad, max(values) + pad)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.axvline(0, color=INK, linewidth=1, label="stage 1")
    for place, row in enumerate(rows):
        axes.hlines(place, row.low, row.high, color=BLUE, linewidth=1.6, label=f"interval {place}")
        axes.plot(row.points, place, color=BLUE, marker=row.marker, linestyle="", label=f"points {place}")
    write_column(axes, right, column, [row.column for row in rows])
    axes.set_yticks(places, labels)
    axes.spines["left"].set_visible(False)
    ticks = round_ticks(*axes.get_xlim(), 6)
    axes.set_xticks(ticks, in_points(ticks))
    axes.xaxis.grid(True)
    if expected is not None:
        shade_expected(axes, "x", expected)
        middle = expected.min_points if expected.max_points is None else (expected.min_points + expected.max_points) / 2
        write_above(axes, place_x(axes, middle), f"{expected.band} expected")
    return figure, axes
