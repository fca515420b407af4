"""What the gate found, in one line per rule: for the terminal, and as markdown for a CI's summary page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.result import EvalResult
from evalkit.rules import Ruling, RulingStatus, gravest
from evalkit.sinks.escaping import escaped, one_line

_SIGNS: Mapping[RulingStatus, str] = {
    "passed": "✅", "warned": "⚠️", "skipped": "⏭️", "inconclusive": "❔", "failed": "❌", "error": "🚫", "invalid": "⛔",
}  # fmt: skip


def terminal_lines(rulings: Sequence[Ruling]) -> list[str]:
    """Status, rule and message, aligned."""
    widths = [max(len(ruling.status) for ruling in rulings), max(len(one_line(ruling.name)) for ruling in rulings)]
    return [
        f"{ruling.status:<{widths[0]}}  {one_line(ruling.name):<{widths[1]}}  {one_line(ruling.message)}"
        for ruling in rulings
    ]


def markdown(rulings: Sequence[Ruling], result: EvalResult, exit_code: int) -> str:
    """A heading with the outcome, a table of the rules, and which result they were held to."""
    outcome = gravest(rulings)
    dataset = result.dataset
    lines = [
        f"### {_SIGNS[outcome]} evalkit gate: {outcome}, {escaped(dataset.name)}",
        "",
        "| | rule | |",
        "| --- | --- | --- |",
        *(
            f"| {_SIGNS[ruling.status]} {ruling.status} | {escaped(ruling.name)} | {escaped(ruling.message)} |"
            for ruling in rulings
        ),
        "",
        f"Exit code {exit_code}. Run {escaped(result.run_id)} of {result.provenance.created}: {dataset.n_queries} "
        f"queries, {dataset.n_documents} documents, digest {dataset.digest[:12]}.",
    ]
    return "\n".join(lines) + "\n\n"
