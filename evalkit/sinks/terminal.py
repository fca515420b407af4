"""The result on standard output."""

from __future__ import annotations

from pathlib import Path

from evalkit.result import EvalResult
from evalkit.sinks import languages, table
from evalkit.sinks.escaping import one_line
from evalkit.sinks.latency_lines import latency_lines


class TerminalSink:
    """Prints the sweep and the verdict once the folder is complete."""

    publishes = True

    def write(self, result: EvalResult, folder: Path) -> None:
        """Print; nothing is added to the folder."""
        lines = [
            table.subject_line(result),
            *table.model_lines(result),
            "",
            *table.aligned(table.header(result), table.rows(result)),
            "",
            *languages.lines(result),
            *(f"note: {note}" for note in table.notes(result)),
            *table.sure_lines(result),
            *latency_lines(result),
            table.control_line(result),
            table.work_line(result),
            "",
            table.verdict_line(result),
            *(f"  - {one_line(advice)}" for advice in result.assessment.verdict.advice),
            "",
            f"result  {folder}",
        ]
        print("\n".join(lines), flush=True)
