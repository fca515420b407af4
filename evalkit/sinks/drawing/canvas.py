"""What all plots share: a canvas as wide as a phone shows it legibly, colours, and settings that hold while drawing.

Lengths are in printer's points, 72 to the inch; points of a metric are called that only in what is drawn.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evalkit.findings import Expectation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREEN, ORANGE, SKY, VERMILLION = "#0072B2", "#009E73", "#E69F00", "#56B4E9", "#D55E00"
"""Of Okabe and Ito's palette, which colour-blind readers can tell apart."""

INK = "#010203"
"""Text, axes and outlines. No other colour equals it, so that ``as_svg`` can put the page's own colour in its place."""

WIDTH = 360
TITLE, TEXT, SMALL = 11, 10, 9

_WIDEST_RATIO = 10

_SETTINGS: Mapping[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": SMALL,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": False,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.fontsize": SMALL,
    "svg.fonttype": "none",
    "text.color": INK,
    # Without it a text is as wide in every resolution as it was measured.
    "text.hinting": "none",
    "text.parse_math": False,
    "xtick.color": INK,
    "xtick.labelsize": SMALL,
    "xtick.major.size": 3,
    "ytick.color": INK,
    "ytick.labelsize": SMALL,
    "ytick.major.size": 0,
}

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def settings() -> Iterator[None]:
    """These settings over matplotlib's defaults, whatever the user has set; all is as before afterwards.

    Matplotlib's settings belong to the process, hence one thread at a time.
    """
    import matplotlib

    with _ONE_AT_A_TIME, matplotlib.rc_context(), warnings.catch_warnings():
        # A script that the bundled font lacks shows as boxes in a PNG; an SVG holds the text itself.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def canvas(name: str, height: float) -> Figure:
    """An empty, transparent figure that knows its name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, height / 72))
    figure.set_label(name)
    return figure


def panel(figure: Figure, left: float, right: float, top: float, height: float) -> Axes:
    """Axes with these margins to the left and right edge and from the top edge."""
    total = figure.get_figheight() * 72
    return figure.add_axes(
        (left / WIDTH, (total - top - height) / total, (WIDTH - left - right) / WIDTH, height / total)
    )


def head(figure: Figure, text: str, top: float = 0.0) -> None:
    """The title of a plot, or of the panel that begins that far from the top: what is drawn, and its unit."""
    height = figure.get_figheight() * 72
    figure.text(4 / WIDTH, 1 - (top + 13) / height, text, fontsize=TITLE, fontweight="bold")


def width_of(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """How wide a text is drawn."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0])


def shortened(text: str, limit: float) -> str:
    """The text on one line, without what cannot be printed, cut at that width."""
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    while width_of(line) > limit:
        line = line[:-2] + "…"
    return line


def scale_x(axes: Axes, values: Sequence[float], low: float, high: float) -> None:
    """Limits around ``low`` and ``high``; logarithmic, from the smallest value, where small ones would be crowded."""
    if 0 < min(values) * _WIDEST_RATIO < max(values):
        axes.set_xscale("log")
        pad = (high / min(values)) ** 0.05
        axes.set_xlim(min(values) / pad, high * pad)
    else:
        pad = 0.06 * (high - low) or 0.1 * high
        axes.set_xlim(low - pad, high + pad)
    axes.minorticks_off()


def size_of(axes: Axes) -> tuple[float, float]:
    """Width and height of the axes alone."""
    return axes.bbox.width * 72 / axes.figure.dpi, axes.bbox.height * 72 / axes.figure.dpi


def place_x(axes: Axes, value: float) -> float:
    """How far right of the axes' left edge a value lies, as a share of their width."""
    low, high = axes.get_xlim()
    if axes.get_xscale() == "log":
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def limit_y(axes: Axes, low: float, high: float, pad: float) -> None:
    """Limits around ``low`` and ``high`` with that share of their distance beyond both."""
    beyond = pad * (high - low) or 0.05
    axes.set_ylim(low - beyond, high + beyond)


def round_ticks(low: float, high: float, bins: int) -> list[float]:
    """Few round numbers between two limits."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(bins, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [round(float(tick), 12) for tick in found if low <= tick <= high]


def in_points(ticks: Sequence[float]) -> list[str]:
    """Ticks with a sign: ``+5``, ``0``, ``-5``."""
    return [f"{tick:+g}" if tick else "0" for tick in ticks]


def shade_expected(axes: Axes, which: str, expected: Expectation, dense: float = 0.0, unit: float = 1.0) -> None:
    """Shade the band over a finished axis; an open one reaches beyond its end.

    Args:
        axes: With final limits.
        which: The axis that carries the metric, ``x`` or ``y``.
        expected: The band, in points.
        dense: Where on that axis a gain of 0 lies.
        unit: How much of that axis is one point.
    """
    start, end = axes.get_xlim() if which == "x" else axes.get_ylim()
    low = dense + expected.min_points * unit
    high = 2 * end - start if expected.max_points is None else dense + expected.max_points * unit
    span, line = (axes.axvspan, axes.axvline) if which == "x" else (axes.axhspan, axes.axhline)
    span(low, high, color=ORANGE, alpha=0.22, linewidth=0, label="expected")
    for edge in (low, high):
        line(edge, color=ORANGE, linewidth=0.8, label="edge")
