"""Two results in a few rounded tables; no query id, no text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from evalkit.contrast import Change, Contrast
from evalkit.result import EvalResult
from evalkit.sinks.table import DASH, aligned, interval, p_value, shortened
from evalkit.types import DENSE

NOTE = "Points are 100 x (B - A), paired by query, with a 95 % interval; p is Holm-adjusted over the rows of a table."


def lines(found: Contrast, first: EvalResult, second: EvalResult) -> list[str]:
    """What differs, how many queries are paired, then every system and metric, and the gains over stage 1."""
    searched = stage_one(first, second)
    return [
        *(headline(name, result) for name, result in (("A", first), ("B", second))),
        "",
        *_differences(found),
        "",
        paired(found),
        *cautions(found, first, second),
        "",
        *aligned(*changes(found.values, searched)),
        *(
            ["", "gain over stage 1, in points", *aligned(*changes(found.gains, searched, "gain "))]
            if found.gains
            else []
        ),
        "",
        NOTE,
    ]


def paired(found: Contrast) -> str:
    """How many queries both have, and how many were left out."""
    families = f", in {found.n_units} families," if found.n_units < found.n_queries else ""
    return (
        f"{found.n_queries} queries{families} with the same judgments in both; left out: {found.only_first} in A "
        f"alone, {found.only_second} in B alone, {found.judged_otherwise} judged otherwise"
    )


def headline(name: str, result: EvalResult) -> str:
    """Which result that is."""
    origin = result.provenance
    derived = "" if origin.derived_from is None else f", measured again from {origin.derived_from}"
    return f"{name}  {result.dataset.name}/{result.run_id}, {origin.created}{derived}"


def _differences(found: Contrast) -> list[str]:
    if not found.differences:
        return ["nothing differs but the date"]
    rows = differences(found)
    widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
    titles = ["what differs", "A", "B"]
    return [
        f"{name:<{max(widths[0], len(titles[0]))}}  {one:<{widths[1]}}  {other}".rstrip()
        for name, one, other in (titles, *rows)
    ]


def differences(found: Contrast) -> list[list[str]]:
    """Rows of (what differs, A, B)."""
    return [[one.name, _plain(one.first), _plain(one.second)] for one in found.differences]


def _plain(value: Any) -> str:
    if value is None:
        return DASH
    return shortened(value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))


def cautions(found: Contrast, first: EvalResult, second: EvalResult) -> list[str]:
    """What lowers trust in the comparison."""
    invalid = [name for name, result in (("A", first), ("B", second)) if result.assessment.status == "invalid"]
    cautions = [f"note: {name} is invalid, a self-check failed: no number of it should be quoted" for name in invalid]
    if found.stopped:
        cautions.append(
            "note: a result was stopped early, when its gain was decided: means are biased, and no interval or p holds"
        )
    return cautions


def stage_one(first: EvalResult, second: EvalResult) -> str:
    """What both results can call their search: its own name where that is the same."""
    one, other = first.stage_one.label, second.stage_one.label
    return one if one == other else "stage 1"


def changes(found: Sequence[Change], searched: str, what: str = "") -> tuple[list[str], list[list[str]]]:
    """Titles and rows of what changed.

    Args:
        found: What did.
        searched: What stage 1 is called.
        what: Stands before A and B; where it is set, means are in points.
    """
    titles = ["system", "metric", f"{what}A", f"{what}B", "points", "95 % interval", "p", "W/T/L"]
    rows = [
        [
            searched if change.system == DENSE.name else change.system,
            str(change.metric),
            *(f"{100 * mean:+.1f}" if what else f"{mean:.3f}" for mean in (change.first_mean, change.second_mean)),
            f"{change.delta_points:+.1f}",
            interval(change.ci_low, change.ci_high),
            p_value(change.p_adjusted),
            f"{change.wins}/{change.ties}/{change.losses}",
        ]
        for change in found
    ]
    return titles, rows
