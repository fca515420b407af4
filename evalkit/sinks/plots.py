"""The plots of a result, as figures, as SVG for a page, and as files. They hold no query or document text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.result import EvalResult
from evalkit.sinks.drawing import accounting, cost, forest, sweep
from evalkit.sinks.drawing.canvas import settings
from evalkit.sinks.drawing.svg import as_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PlotsSink", "alternative_text", "as_svg", "figures"]

_DPI = 150


@dataclass(frozen=True, slots=True)
class _Plot:
    """How a plot is drawn, or not where there is nothing to draw, and how it is said in words."""

    draw: Callable[[EvalResult], Figure | None]
    describe: Callable[[EvalResult], str]


_PLOTS: Mapping[str, _Plot] = {
    "sweep": _Plot(sweep.draw, sweep.describe),
    "accounting": _Plot(accounting.draw, accounting.describe),
    "cost": _Plot(cost.draw, cost.describe),
    "slices": _Plot(forest.draw_slices, forest.describe_slices),
    "what_ifs": _Plot(forest.draw_what_ifs, forest.describe_what_ifs),
}


def figures(result: EvalResult) -> dict[str, Figure]:
    """Name -> figure, in the order of a report, without those that would be empty."""
    with settings():
        drawn = {name: plot.draw(result) for name, plot in _PLOTS.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def alternative_text(result: EvalResult, name: str) -> str:
    """What a plot that ``figures`` returned shows, in a sentence or two with its numbers."""
    return _PLOTS[name].describe(result)


class PlotsSink:
    """Writes ``plots/<name>.png`` and ``plots/<name>.svg`` into the result folder."""

    publishes = False

    def write(self, result: EvalResult, folder: Path) -> None:
        """Draw all plots that the result has something for."""
        plots = folder / "plots"
        plots.mkdir()
        for name, figure in figures(result).items():
            (plots / f"{name}.svg").write_text(as_svg(figure) + "\n", encoding="utf-8")
            with settings():
                figure.savefig(plots / f"{name}.png", dpi=_DPI, facecolor="white", metadata={"Software": None})
