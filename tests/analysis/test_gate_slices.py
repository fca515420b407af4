"""What the slices of a result are held to: none may gain less, and those that cannot tell are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evalkit.analysis.gate import hold
from evalkit.analysis.regression import Baseline
from evalkit.parts import Languages
from evalkit.result import EvalResult
from evalkit.rules import Rules, Ruling
from tests.analysis.evidence import RECALL
from tests.analysis.gains import cell_of
from tests.hits import GAINING, Columns, hits, result_by, stopped


def ruling(result: EvalResult, name: str, **rules: Any) -> Ruling:
    """What came of one rule, which must be there exactly once."""
    (found,) = [one for one in hold(result, Rules(**rules)) if one.name == name]
    return found


TWO_LANGUAGES: Columns = hits((10, 1, 1), (10, 0, 1), (20, 0, 0), (30, 1, 1), (6, 0, 1), (24, 0, 0))
"""40 questions in de, 10 of which gain: 25 points. 60 in fr, 6 of which gain: 10 points."""
LANGUAGES = ["de"] * 40 + ["fr"] * 60


@pytest.mark.parametrize(("least", "status"), [(9.0, "passed"), (10.0, "passed"), (10.5, "failed")])
def test_no_slice_may_gain_less(least: float, status: str) -> None:
    found = ruling(result_by(TWO_LANGUAGES, {"lang": LANGUAGES}), "slice lang", slices={"lang": least})
    assert found.status == status
    assert "fr +10.0 points (60 independent)" in found.message
    assert "de +" not in found.message


def test_every_slice_that_gains_less_is_named_the_worst_first() -> None:
    found = ruling(result_by(TWO_LANGUAGES, {"lang": LANGUAGES}), "slice lang", slices={"lang": 30.0})
    assert found.message == (
        "under the least gain of +30 points: fr +10.0 points (60 independent), de +25.0 points (40 independent)"
    )


@pytest.mark.parametrize(("size", "status"), [(9, "passed"), (10, "failed")])
def test_a_slice_under_ten_questions_is_named_and_held_to_nothing(size: int, status: str) -> None:
    """All of them lose."""
    columns = hits((20, 0, 1), (20, 1, 1), (size, 1, 0))
    found = ruling(result_by(columns, {"lang": ["de"] * 40 + ["it"] * size}), "slice lang", slices={"lang": 5.0})
    assert found.status == status
    assert f"it -100.0 points ({size} independent)" in found.message
    assert ("; cannot tell, by its note, and held to nothing: it" in found.message) == (size == 9)


def test_many_questions_of_few_families_are_a_small_slice() -> None:
    columns = hits((20, 0, 1), (20, 1, 1), (20, 0, 0))
    families = {f"q{place}": f"f{place % 4}" for place in range(40, 60)}
    result = result_by(columns, {"lang": ["de"] * 40 + ["it"] * 20}, families)
    assert "held to nothing: it +0.0 points (4 independent)" in ruling(result, "slice lang", slices={"lang": 5}).message


def test_a_slice_in_which_reranking_changed_nothing_is_held_to_nothing() -> None:
    """Its note says so: no p under 0.05 was possible."""
    columns = hits((20, 0, 1), (20, 1, 1), (20, 0, 0))
    found = ruling(result_by(columns, {"lang": ["de"] * 40 + ["it"] * 20}), "slice lang", slices={"lang": 5.0})
    assert found.status == "passed"
    assert "held to nothing: it +0.0 points (20 independent)" in found.message


def test_slices_that_are_all_too_small_fail() -> None:
    columns = hits((8, 0, 1), (8, 1, 1))
    found = ruling(result_by(columns, {"lang": ["de", "fr"] * 8}), "slice lang", slices={"lang": 0.0})
    assert found.status == "failed"
    assert "no slice can tell, by its note, so that nothing was held to +0 points: de" in found.message


def test_an_attribute_that_all_queries_share_is_the_whole() -> None:
    result = result_by(GAINING, {"lang": ["en"] * 100})
    assert result.assessment.slices == ()
    assert ruling(result, "slice lang", slices={"lang": 15.0}).status == "passed"
    found = ruling(result, "slice lang", slices={"lang": 16.0})
    assert (found.status, found.message) == (
        "failed",
        "under the least gain of +16 points: en (all queries) +15.0 points (100 independent)",
    )


@pytest.mark.parametrize(("size", "status"), [(9, "failed"), (10, "passed")])
def test_too_few_queries_that_all_share_an_attribute_tell_nothing(size: int, status: str) -> None:
    result = result_by(hits((size, 0, 1)), {"lang": ["en"] * size})
    assert ruling(result, "slice lang", slices={"lang": 50.0}).status == status


def test_an_attribute_of_documents_alone_is_said_to_be_one_and_what_can_be_held_is_named() -> None:
    result = result_by(TWO_LANGUAGES, {"lang": LANGUAGES})
    evidence = replace(result.evidence, document_attributes={"q0-answer": {"kind": ("faq",)}})
    assert ruling(replace(result, evidence=evidence), "slice kind", slices={"kind": 0.0}) == Ruling(
        "slice kind",
        "failed",
        "kind is an attribute of documents, and slices of documents are not held; those of queries can be: lang "
        "(statistics.slices), so that nothing was held to +0 points",
    )


def test_where_there_is_a_language_table_it_is_named_instead_of_the_languages_of_documents() -> None:
    """The queries name none, so that there is no slice either."""
    result = result_by(TWO_LANGUAGES)
    evidence = replace(result.evidence, document_attributes={"q0-answer": {"lang": ("de",)}})
    assessment = replace(result.assessment, languages=Languages((cell_of("de", "de", 1),), ()))
    found = ruling(replace(result, evidence=evidence, assessment=assessment), "slice lang", slices={"lang": 0.0})
    assert "can be: none in this result (statistics.slices); gate.languages holds the language table" in found.message


def test_an_attribute_that_no_query_has_fails() -> None:
    result = result_by(TWO_LANGUAGES, {"lang": LANGUAGES})
    found = ruling(result, "slice kind", slices={"kind": 0.0})
    assert found.status == "failed"
    assert "no query has the attribute kind, or it is not among statistics.slices (lang)" in found.message


def test_an_attribute_that_was_not_split_by_fails_although_the_queries_have_it() -> None:
    """As after evalkit report with fewer slices."""
    result = result_by(TWO_LANGUAGES, {"lang": LANGUAGES})
    narrower = replace(result.assessment, slices=())
    result = replace(result, assessment=narrower, design=replace(result.design, slices=()))
    assert "so that nothing was held to +0 points" in ruling(result, "slice lang", slices={"lang": 0.0}).message


def test_slices_of_documents_are_not_held() -> None:
    """The attribute is one of queries: de and fr of these gain 25 and 10 points."""
    result = result_by(TWO_LANGUAGES, {"lang": LANGUAGES})
    lost = replace(result.assessment.slices[0], of="document", value="it", delta_points=-50.0)
    result = replace(result, assessment=replace(result.assessment, slices=(*result.assessment.slices, lost)))
    found = ruling(result, "slice lang", slices={"lang": 0.0})
    assert found.status == "passed"
    assert found.message.startswith("the lowest of 2 is fr +10.0 points")


def test_slices_of_another_decision_cannot_be_held() -> None:
    found = ruling(result_by(TWO_LANGUAGES, {"lang": LANGUAGES}), "slice lang", top_k=6, slices={"lang": 0.0})
    assert found.status == "error"
    assert "evalkit report RESULT expectation.metric=recall@5 expectation.top_k=6" in found.message


def test_a_run_that_stopped_early_is_held_to_nothing_else() -> None:
    full = result_by(TWO_LANGUAGES, {"lang": LANGUAGES})
    kept = Baseline.of(full, full.assessment.verdict.expectation)
    found = hold(stopped(full), Rules(floors={RECALL: 0.1}, slices={"lang": -50.0}), kept)
    refused = [one.name for one in found if one.status == "error"]
    assert refused == ["floor recall@5", "slice lang", "baseline"]
    assert all("the run stopped early" in one.message for one in found if one.name in refused)
