"""``report.md``: the result in one screen, for pull requests. Holds no query or document text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalkit.findings import Verdict
from evalkit.result import EvalResult
from evalkit.sinks import details, table
from evalkit.sinks.escaping import escaped
from evalkit.sinks.latency_lines import latency_lines

_FLAG = {"met": "✅", "below": "⚠️", "above": "🔎", "invalid": "⛔"}


class MarkdownSink:
    """Writes ``report.md`` into the result folder."""

    publishes = False

    def write(self, result: EvalResult, folder: Path) -> None:
        """Draw the verdict, the sweep and the notes."""
        (folder / "report.md").write_text("\n".join(self._lines(result)) + "\n", encoding="utf-8")

    def _lines(self, result: EvalResult) -> list[str]:
        verdict = result.assessment.verdict
        expected = verdict.expectation
        return [
            f"# {_FLAG[verdict.status]} {verdict.status}: {_headline(verdict)}",
            "",
            escaped(verdict.reason),
            "",
            *(f"- {escaped(advice)}" for advice in verdict.advice),
            *[""][: len(verdict.advice)],
            f"Dataset {escaped(table.subject_line(result))}.",
            "",
            *_grid(table.header(result), table.rows(result)),
            "",
            "Points are 100 x (reranked - stage 1); relative is the same change as a share of stage 1. Headroom is "
            f"what a perfect reranker of the same candidates would gain on {expected.metric}; captured is the part "
            "of it that was gained.",
            "",
            *(f"- {escaped(line)}" for line in _facts(result)),
            "",
            *(line for found in details.tables(result) for line in _section(found)),
            "",
            _origin(result),
        ]


def _headline(verdict: Verdict) -> str:
    expected = verdict.expectation
    if verdict.status == "invalid":
        return "a self-check failed, so no number can be relied on"
    judged = f", judged by its lower bound of {verdict.ci_low:+.1f}" if expected.decide_on == "lower_bound" else ""
    return f"{verdict.delta_points:+.1f} points of {expected.metric} at top-k {expected.top_k}{judged}"


def _origin(result: EvalResult) -> str:
    first = result.provenance.derived_from
    again = "" if first is None else f", measured again without a model from `{first}`"
    return f"Run `{result.run_id}`, {result.provenance.created}{again}."


def _facts(result: EvalResult) -> list[str]:
    return [
        *table.sure_lines(result),
        *table.model_lines(result),
        *table.notes(result),
        *latency_lines(result),
        table.control_line(result),
        table.work_line(result),
    ]


def _section(found: details.Table) -> list[str]:
    return [f"## {found.name}", "", found.note, "", *_grid(found.titles, found.rows), ""]


def _grid(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(titles) - 1)]
    cells = [[escaped(cell) for cell in row] for row in (titles, *rows)]
    return ["| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:])]
