"""The accounting: where every relevant document is, per top-k, in points of recall that sum to 100."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.findings import Attribution
from evalkit.result import EvalResult
from evalkit.sinks.drawing.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SKY,
    SMALL,
    VERMILLION,
    WIDTH,
    canvas,
    head,
    panel,
    width_of,
)
from evalkit.sinks.drawing.labels import name_x, write_column

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT, _RIGHT, _TOP, _PITCH = 60, 38, 66, 30

_FATES = (
    ("kept", BLUE, "", "white"),
    ("promoted", GREEN, "///", "black"),
    ("demoted", VERMILLION, "\\\\\\", "black"),
    ("left by the reranker", ORANGE, "---", "black"),
    ("missed by stage 1", SKY, "xxx", "black"),
    ("capped", "none", "", INK),
)
"""Name, colour, hatch, and the colour of a number upon it; those without a place at the end."""


def draw(result: EvalResult) -> Figure:
    """A bar per top-k, from what both found to what neither could."""
    from matplotlib.patches import Patch

    found = result.assessment.attribution
    figure = canvas("accounting", _TOP + _PITCH * len(found) + 36)
    head(figure, "Where the relevant documents are")
    axes = panel(figure, _LEFT, _RIGHT, _TOP, _PITCH * len(found))
    per_point = (WIDTH - _LEFT - _RIGHT) / 100
    starts = [0.0] * len(found)
    for place, (name, color, hatch, ink) in enumerate(_FATES):
        widths = [_points(row)[place] for row in found]
        style = {"facecolor": color, "edgecolor": INK, "hatch": hatch, "linewidth": 0.6}
        axes.barh(range(len(found)), widths, height=0.68, left=starts, label=name, **style)  # type: ignore[arg-type]
        for row, (start, wide) in enumerate(zip(starts, widths, strict=True)):
            text = f"{wide:.1f}"
            if width_of(text) + 2 <= wide * per_point:
                plate = {"facecolor": color, "edgecolor": "none", "pad": 0.8}
                axes.text(start + wide / 2, row, text, color=ink, fontsize=SMALL, ha="center", va="center", bbox=plate)
        starts = [start + wide for start, wide in zip(starts, widths, strict=True)]
    axes.set_xlim(0, 100)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_yticks(range(len(found)), [f"top-k {row.top_k}" for row in found])
    decision = [row.top_k for row in found].index(result.assessment.verdict.expectation.top_k)
    axes.yaxis.get_ticklabels()[decision].set_fontweight("bold")
    axes.spines["left"].set_visible(False)
    name_x(axes, f"points of {found[0].metric}; kept and promoted are what reranking found")
    write_column(axes, _RIGHT, "gain", [f"{row.delta_points:+.1f}" for row in found])
    keys = [
        Patch(facecolor=color, edgecolor=INK, hatch=hatch, linewidth=0.6, label=name)
        for name, color, hatch, _ in _FATES
    ]
    figure.legend(
        # Filled by columns, read by rows.
        handles=[keys[place] for place in (0, 3, 1, 4, 2, 5)],
        ncols=3,
        loc="upper left",
        bbox_to_anchor=(2 / WIDTH, 1 - 20 / (figure.get_figheight() * 72)),
        frameon=False,
        borderpad=0.2,
        borderaxespad=0,
        columnspacing=1.4,
        handlelength=1.8,
        handleheight=1,
    )
    return figure


def describe(result: EvalResult) -> str:
    """The decision's accounts in words, and what the sweep changed in what stage 1 missed."""
    found = result.assessment.attribution
    decision = next(row for row in found if row.top_k == result.assessment.verdict.expectation.top_k)
    parts = ", ".join(f"{wide:.1f} {name}" for wide, (name, *_) in zip(_points(decision), _FATES, strict=True))
    first, last = found[0], found[-1]
    trend = (
        f" Stage 1 missed {first.missed_by_stage1_points:.1f} at top-k {first.top_k} and "
        f"{last.missed_by_stage1_points:.1f} at top-k {last.top_k}."
    )
    return f"Of 100 points of {decision.metric} at top-k {decision.top_k}: {parts}." + (trend if len(found) > 1 else "")


def _points(row: Attribution) -> tuple[float, ...]:
    """The widths of one bar, in the order of the fates."""
    return (
        row.kept_points,
        row.promoted_points,
        row.demoted_points,
        row.missed_by_reranker_points,
        row.missed_by_stage1_points,
        row.capped_points,
    )
