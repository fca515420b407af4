"""What is said of results that are easily overstated: noisy slices, lower bounds, early stops, and worse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.parts import SliceGain
from evalkit.record import Sequential
from evalkit.result import EvalResult
from evalkit.sinks import answers, table
from evalkit.sinks.html import page
from evalkit.sinks.markdown import MarkdownSink
from evalkit.sinks.tracking import sheets
from evalkit.types import Metric
from tests.pages import complete

CERTAIN = SliceGain(
    Metric("recall", 5), 10, 0.5, 0.7, 20.0, 5.0, 35.0, 0.001, 0.003, 40.0, 90, 90, "", "query", "lang", "de"
)


@pytest.fixture
def result() -> EvalResult:
    return complete()


def sliced(result: EvalResult, one: SliceGain) -> EvalResult:
    return replace(result, assessment=replace(result.assessment, slices=(one,)))


def judged(result: EvalResult, **changes: object) -> EvalResult:
    verdict = replace(result.assessment.verdict, **changes)  # type: ignore[arg-type]
    return replace(result, assessment=replace(result.assessment, verdict=verdict))


@pytest.mark.parametrize(
    ("one", "certain"),
    [(CERTAIN, True), (replace(CERTAIN, p_adjusted=0.2), False), (replace(CERTAIN, note="too small to tell"), False)],
)
def test_a_group_is_better_off_for_certain_only_where_the_adjusted_test_says_so(
    result: EvalResult, one: SliceGain, certain: bool
) -> None:
    told = answers.whom(sliced(result, one))
    assert ("Better off for certain: lang = de" in told) is certain
    assert ("Not certain either way: lang = de" in told) is not certain


def test_a_group_of_documents_is_called_one(result: EvalResult) -> None:
    told = answers.whom(sliced(result, replace(CERTAIN, of="document")))
    assert "Better off for certain: document lang = de (+20.0)." in told


def test_a_gain_that_is_judged_by_its_lower_bound_shows_that_bound(result: EvalResult, tmp_path: Path) -> None:
    expectation = replace(result.assessment.verdict.expectation, decide_on="lower_bound")
    bound = judged(result, expectation=expectation, ci_low=3.41)
    assert "judged by its lower bound of +3.4" in answers.headline(bound)
    MarkdownSink().write(bound, tmp_path)
    assert "judged by its lower bound of +3.4" in (tmp_path / "report.md").read_text().splitlines()[0]
    assert "lower bound +3.4" in sheets.evaluation(bound).name
    assert sheets.evaluation(bound).params["decide_on"] == "lower_bound"


def test_no_number_of_an_invalid_result_is_put_forward(result: EvalResult, tmp_path: Path) -> None:
    failed = replace(result.assessment.controls[0], status="failed")
    invalid = judged(result, status="invalid")
    invalid = replace(invalid, assessment=replace(invalid.assessment, controls=(failed,)))
    MarkdownSink().write(invalid, tmp_path)
    assert "points" not in (tmp_path / "report.md").read_text().splitlines()[0]
    assert "points" not in sheets.evaluation(invalid).name
    assert len(answers.sure(invalid)) == 2
    assert answers.whom(invalid) == "Nothing can be said of groups while a self-check fails."


def test_an_early_stop_speaks_of_the_queries_that_were_spent(result: EvalResult) -> None:
    spent = Sequential("above", 20.0, 90.0, 30, 320, 120, 1280, 0)
    early = replace(result, sequential=spent)
    assert ": 30 of 120 queries, " in table.subject_line(early)
    numbers = {name: value for name, value, _ in sheets.evaluation(early).points}
    assert numbers["n_queries"] == result.assessment.decision.n_queries


def test_a_page_of_what_was_measured_again_says_so_and_claims_nothing_about_the_command(result: EvalResult) -> None:
    command = ("run", "sweep.top_k=[6,10]")
    first = replace(result, provenance=replace(result.provenance, command=command))
    again = replace(first, provenance=replace(first.provenance, derived_from="20260101-000000-aaaaaa"))
    assert "Run it again:" in page(first, include_texts=False)
    drawn = page(again, include_texts=False)
    assert "measured again without a model from 20260101-000000-aaaaaa" in drawn
    assert "Run 20260101-000000-aaaaaa again, from which this was measured:" in drawn
    assert "Run it again:" not in drawn
