"""What the gate prints, and what it adds to the summary of a CI run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.result import EvalResult
from evalkit.rules import Ruling
from evalkit.sinks.summary import markdown, terminal_lines
from tests.hits import hits, result_by

RULINGS = (
    Ruling("self-checks", "passed", "14 of 14 passed"),
    Ruling("floor ndcg@10", "inconclusive", "two\nlines \x1b[31m"),
)


@pytest.fixture(scope="module")
def result() -> EvalResult:
    return result_by(hits((10, 0, 1), (10, 1, 1)))


def test_the_terminal_shows_one_aligned_line_per_rule() -> None:
    assert terminal_lines(RULINGS) == [
        "passed        self-checks    14 of 14 passed",
        "inconclusive  floor ndcg@10  two lines [31m",
    ]


def test_the_summary_is_a_heading_a_table_and_the_result(result: EvalResult) -> None:
    lines = markdown(RULINGS[:1], result, 0).splitlines()
    assert lines[0] == "### ✅ evalkit gate: passed, made"
    assert lines[2:5] == ["| | rule | |", "| --- | --- | --- |", "| ✅ passed | self-checks | 14 of 14 passed |"]
    assert lines[6] == (
        f"Exit code 0. Run 20260102-030405-abcdef of {result.provenance.created}: 20 queries, 900 documents, digest "
        "111111111111."
    )


@pytest.mark.parametrize(
    ("status", "heading"),
    [
        ("invalid", "### ⛔ evalkit gate: invalid"),
        ("error", "### 🚫 evalkit gate: error"),
        ("failed", "### ❌ evalkit gate: failed"),
        ("inconclusive", "### ❔ evalkit gate: inconclusive"),
        ("warned", "### ✅ evalkit gate: passed"),
        ("skipped", "### ✅ evalkit gate: passed"),
    ],
)
def test_the_gravest_ruling_heads_the_summary(result: EvalResult, status: str, heading: str) -> None:
    ruling = Ruling("one", status, "")  # type: ignore[arg-type]
    assert markdown([Ruling("two", "passed", ""), ruling], result, 0).startswith(heading)


def test_nothing_counts_as_markup(result: EvalResult) -> None:
    odd = replace(result, dataset=replace(result.dataset, name="a|b`c"))
    text = markdown([Ruling("slice <b>", "failed", "de|fr *x* [y](z)\n| new row |")], odd, 3)
    assert "a\\|b\\`c" in text.splitlines()[0]
    row = text.splitlines()[4]
    assert row == "| ❌ failed | slice \\<b\\> | de\\|fr \\*x\\* \\[y\\](z) \\| new row \\| |"


def test_a_second_summary_begins_on_a_line_of_its_own(result: EvalResult) -> None:
    assert markdown(RULINGS, result, 4).endswith(".\n\n")
