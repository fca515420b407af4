"""Texts in and around the axes, moved so that they neither overlap nor stick out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from evalkit.sinks.drawing.canvas import SMALL, WIDTH, size_of, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE_HEIGHT = 12

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Label:
    """A text beside the axes, the point of the data that it names, and the colour of the line between them."""

    text: str
    x: float
    y: float
    color: str

    @property
    def height(self) -> float:
        """Room that it takes, and a little air."""
        return _LINE_HEIGHT * (1 + self.text.count("\n")) + 3


def name_beside(axes: Axes, labels: Sequence[Label]) -> None:
    """Write labels to the right of finished axes, at the height of what they name as far as there is room."""
    (width, height), (low, high) = size_of(axes), axes.get_ylim()
    wanted = [((label.y - low) / (high - low) * height, label.height) for label in labels]
    for label, centre in zip(labels, spread(wanted, height + 10), strict=True):
        line = {"arrowstyle": "-", "color": label.color, "shrinkA": 2, "shrinkB": 3, "relpos": (0, 0.5)}
        axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=(1 + 16 / width, centre / height),
            textcoords="axes fraction",
            annotation_clip=False,
            fontsize=SMALL,
            va="center",
            arrowprops={**line, "linewidth": 0.8},
        )


def spread(wanted: Sequence[tuple[float, float]], top: float) -> list[float]:
    """Centres near the wanted ones at which labels do not overlap.

    Args:
        wanted: (centre, height) of each label, in any order.
        top: What the highest label should not exceed; too many labels sink below 0 instead.

    Returns:
        One centre per label, in the order of ``wanted``.
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place][0])
    centres = [centre for centre, _ in wanted]
    heights = [height for _, height in wanted]
    for lower, upper in pairwise(order):
        centres[upper] = max(centres[upper], centres[lower] + (heights[lower] + heights[upper]) / 2)
    for upper in reversed(order):
        centres[upper] = min(centres[upper], top - heights[upper] / 2)
        top = centres[upper] - heights[upper] / 2
    return centres


def apart(places: Mapping[str, float], first: str) -> set[str]:
    """Those labels, centred at these places, that have room beside one another; ``first`` is among them."""
    widths = {label: width_of(label, weight="bold") for label in places}
    kept: list[str] = []
    for label in sorted(places, key=lambda label: label != first):
        if all(abs(places[label] - places[other]) >= (widths[label] + widths[other]) / 2 + 5 for other in kept):
            kept.append(label)
    return set(kept)


def write_above(axes: Axes, share: float, text: str) -> None:
    """A label over a place of the axes, given as a share of their width; moved inwards where it would stick out."""
    half = width_of(text) / (2 * size_of(axes)[0])
    centre = min(max(share, half), max(half, 1 - half))
    axes.annotate(
        text, (centre, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points",
        fontsize=SMALL, ha="center",
    )  # fmt: skip


def write_column(axes: Axes, margin: float, title: str, cells: Sequence[str]) -> None:
    """One cell beside each of the rows 0, 1, 2, … of the axes, aligned at the right edge of the figure."""
    places = [((1, row), axes.get_yaxis_transform(), 0, cell) for row, cell in enumerate(cells)]
    for at, coordinates, rise, cell in (*places, ((1, 1), axes.transAxes, 4, title)):
        axes.annotate(
            cell, at, xytext=(margin - 5, rise), xycoords=coordinates, textcoords="offset points",
            fontsize=SMALL, ha="right", va="baseline" if rise else "center_baseline",
        )  # fmt: skip


def name_x(axes: Axes, text: str) -> None:
    """What the x axis shows and in which unit, below its middle as far as there is room."""
    width, left, half = size_of(axes)[0], axes.get_position().x0 * WIDTH, width_of(text) / 2 + 3
    centre = min(max(left + width / 2, half), WIDTH - half)
    axes.set_xlabel(text, x=(centre - left) / width)


def few(top_ks: Sequence[int], decision: int) -> set[int]:
    """Those of a rising sweep that a sentence names: all of a short one, else both ends and the decision's."""
    return set(top_ks) if len(top_ks) <= _NAMED else {top_ks[0], decision, top_ks[-1]}
