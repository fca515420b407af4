"""Two results side by side in one HTML file, with the parts of the report; no query id, no text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.contrast import Change, Contrast
from evalkit.result import EvalResult
from evalkit.sinks import answers, details, side_by_side, table
from evalkit.sinks.details import Table
from evalkit.sinks.rendering import drawn, render

CONTENTS = (
    ("changed", "How much, and how sure?"),
    ("differs", "What differs?"),
    ("depth", "At which top-k?"),
    ("why", "Why?"),
    ("whom", "For whom?"),
    ("latency", "At what latency?"),
    ("checks", "Self-checks"),
)


def pair_page(found: Contrast, first: EvalResult, second: EvalResult) -> str:
    """The page as HTML.

    Args:
        found: What differs, and what that changed.
        first: A.
        second: B.
    """
    rows = tuple(map(tuple, side_by_side.differences(found)))
    searched = side_by_side.stage_one(first, second)
    return render(
        "compare.html.j2",
        title=f"{first.run_id} and {second.run_id}",
        contents=CONTENTS,
        sides=[_side("A", first), _side("B", second)],
        cautions=side_by_side.cautions(found, first, second),
        paired=f"{side_by_side.paired(found)}.",
        values=_changes("The metrics", found.values, searched),
        gains=_changes("The gain over stage 1", found.gains, searched, "gain "),
        differs=Table("What differs", "", ("what", "in A", "in B"), rows),
        footer=f"{side_by_side.headline('A', first)}; {side_by_side.headline('B', second)}.",
    )


def _changes(name: str, found: Sequence[Change], searched: str, what: str = "") -> Table:
    titles, rows = side_by_side.changes(found, searched, what)
    return Table(name, side_by_side.NOTE, tuple(titles), tuple(map(tuple, rows)))


def _side(name: str, result: EvalResult) -> Mapping[str, Any]:
    verdict = result.assessment.verdict
    tables = {
        "sweep": details.sweep(result),
        "accounting": details.attribution(result),
        "slices": details.slices(result),
        "cost": details.latency(result),
        "checks": details.checks(result),
    }
    return {
        "name": name,
        "status": verdict.status,
        "flag": answers.FLAGS[verdict.status],
        "headline": answers.headline(result),
        "which": side_by_side.headline(name, result),
        "subject": [table.subject_line(result), *table.model_lines(result)],
        "decision": result.assessment.decision.candidate,
        "figures": drawn(result, f"{name.lower()}-"),
        **{part: replace(found, name=f"{found.name}, {name}") for part, found in tables.items()},
    }
