"""Two results in one page: every part of both, no id twice, no text."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from evalkit.analysis.between import contrast
from evalkit.result import EvalResult
from evalkit.sinks.html_pair import pair_page
from tests.pages import complete
from tests.results import evidence_of, result_of


@pytest.fixture(scope="module")
def pair() -> tuple[EvalResult, EvalResult]:
    second = result_of(evidence_of(skill=0.0), run_id="20260202-030405-abcdef")
    return result_of(), second


@pytest.fixture(scope="module")
def page(pair: tuple[EvalResult, EvalResult]) -> str:
    return pair_page(contrast(*pair), *pair)


def test_both_results_and_what_changed_between_them_are_there(pair: tuple[EvalResult, EvalResult], page: str) -> None:
    for result in pair:
        assert result.run_id in page
    found = contrast(*pair)
    for change in (*found.values, *found.gains):
        assert f"{change.delta_points:+.1f}" in page


def test_no_id_is_there_twice(page: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) > 10
    assert len(set(ids)) == len(ids)


def test_every_reference_inside_a_figure_finds_its_own_side(page: str) -> None:
    ids = set(re.findall(r'\sid="([^"]+)"', page))
    asked = set(re.findall(r"url\(#([^)]+)\)", page)) | set(re.findall(r'href="#([^"]+)"', page))
    assert asked <= ids
    assert {name[0] for name in asked if re.match("[ab]-", name)} <= {"a", "b"}


def test_no_text_is_in_it() -> None:
    shown = complete()
    assert shown.texts is not None
    page = pair_page(contrast(shown, shown), shown, shown)
    for text in (*shown.texts.queries.values(), *shown.texts.documents.values()):
        assert text not in page


def test_nothing_that_differs_is_said(pair: tuple[EvalResult, EvalResult]) -> None:
    first, _ = pair
    assert "Nothing but the date." in pair_page(contrast(first, first), first, first)


def test_an_invalid_result_is_named_before_its_numbers(pair: tuple[EvalResult, EvalResult]) -> None:
    first, second = pair
    failed = replace(second.assessment.controls[0], status="failed")
    invalid = replace(second, assessment=replace(second.assessment, controls=(failed,)))
    page = pair_page(contrast(first, invalid), first, invalid)
    assert page.index("B is invalid, a self-check failed") < page.index("The metrics")
