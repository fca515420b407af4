"""What the language table of a result is held to: no row may gain less, and those that cannot tell are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.analysis.gate import hold
from evalkit.parts import LanguageGain, Languages
from evalkit.result import EvalResult
from evalkit.rules import Rules, Ruling
from evalkit.types import Metric
from tests.analysis.gains import cell_of
from tests.hits import result_by, stopped
from tests.results import bilingual, evidence_of, result_of


@pytest.fixture(scope="module")
def result() -> EvalResult:
    """Without a language table; the decision is recall@5 at top-k 10."""
    return result_by()


def held(result: EvalResult, *gains: LanguageGain, least: float = 0.0, top_k: int | None = None) -> Ruling:
    """What came of the rule on a table of these gains."""
    told = replace(result, assessment=replace(result.assessment, languages=Languages(gains, ()) if gains else None))
    (found,) = [one for one in hold(told, Rules(languages=least, top_k=top_k)) if one.name == "languages"]
    return found


@pytest.mark.parametrize(
    ("least", "status", "message"),
    [
        (-5.0, "passed", "the lowest of 3 is de -> fr -3.1 points (40 independent), at least -5 is asked for"),
        (-3.1, "passed", "the lowest of 3 is de -> fr -3.1 points (40 independent), at least -3.1 is asked for"),
        (0.0, "failed", "under the least gain of +0 points: de -> fr -3.1 points (40 independent)"),
        (
            3.0,
            "failed",
            "under the least gain of +3 points: de -> fr -3.1 points (40 independent), fr -> de +2.0 points (12 "
            "independent)",
        ),
    ],
)
def test_no_cell_may_gain_less_and_the_worst_is_named_first(
    result: EvalResult, least: float, status: str, message: str
) -> None:
    cells = (cell_of("de", "de", 9), cell_of("fr", "de", 2, 12), cell_of("de", "fr", -3.1))
    assert held(result, *cells, least=least) == Ruling("languages", status, message)  # type: ignore[arg-type]


def test_a_preference_for_the_askers_language_fails_by_the_pooled_row_though_no_cell_loses(result: EvalResult) -> None:
    found = held(result, cell_of("de", "de", 0), cell_of("de", "fr", 0), cell_of("de", None, -50))
    assert (found.status, found.message) == (
        "failed",
        "under the least gain of +0 points: de -> all -50.0 points (40 independent)",
    )


@pytest.mark.parametrize(("note", "status"), [("cannot tell: a reason", "passed"), ("", "failed")])
@pytest.mark.parametrize("document_lang", ["fr", None])
def test_a_row_with_a_note_is_named_and_held_to_nothing(
    result: EvalResult, document_lang: str | None, note: str, status: str
) -> None:
    found = held(result, cell_of("de", "de", 9), cell_of("it", document_lang, -20, 40, note=note))
    row = f"it -> {document_lang or 'all'} -20.0 points (40 independent)"
    assert found.status == status
    assert row in found.message
    assert (f"; cannot tell, by its note, and held to nothing: {row}" in found.message) == bool(note)


def test_rows_that_all_have_a_note_fail(result: EvalResult) -> None:
    cells = (cell_of("de", "fr", 20, 9, note="too small to tell"), cell_of("de", None, 1, note="cannot tell"))
    assert held(result, *cells) == Ruling(
        "languages",
        "failed",
        "no row can tell, by its note, so that nothing was held to +0 points: de -> fr +20.0 points (9 independent), "
        "de -> all +1.0 points (40 independent)",
    )


def test_without_a_table_the_rule_fails(result: EvalResult) -> None:
    assert held(result, least=-100.0) == Ruling(
        "languages",
        "failed",
        "there is no language table: queries or documents do not name their language in the metadata's lang, or all "
        "are in one, so that nothing was held to -100 points",
    )


def test_a_table_of_another_decision_cannot_be_held(result: EvalResult) -> None:
    found = held(result, cell_of("de", "de", 9), top_k=6)
    assert found == Ruling(
        "languages",
        "error",
        "the language table was measured on recall@5 at top-k 10, and the gate speaks of recall@5 at top-k 6; to "
        "measure that without a model: evalkit report RESULT expectation.metric=recall@5 expectation.top_k=6",
    )


def test_a_run_that_stopped_early_has_none_to_be_held(result: EvalResult) -> None:
    found = held(stopped(result))
    assert found.status == "error"
    assert "the run stopped early" in found.message


def test_the_table_that_an_evaluation_makes_is_held() -> None:
    """Its lowest row without a note, found here by looking at all."""
    result = result_of(bilingual(evidence_of(60)))
    table = result.assessment.languages
    assert table is not None
    worst = min((row for row in table.gains if not row.note), key=lambda row: row.delta_points)
    documents = "all" if worst.document_lang is None else worst.document_lang
    named = f"{worst.query_lang} -> {documents} {worst.delta_points:+.1f} points ({worst.n_units} independent)"
    for least, status in ((worst.delta_points, "passed"), (worst.delta_points + 0.01, "failed")):
        (found,) = [one for one in hold(result, Rules(languages=least)) if one.name == "languages"]
        assert (found.status, named in found.message) == (status, True)


def test_the_rule_stands_behind_the_slices_and_only_where_it_is_asked(result: EvalResult) -> None:
    rules = Rules(floors={Metric("ndcg", 10): 0.1}, slices={"lang": 0.0}, languages=0.0, latency_p95_ms=1000.0)
    assert [one.name for one in hold(result, rules)] == [
        "self-checks", "expectation", "floor ndcg@10", "slice lang", "languages", "latency", "baseline",
    ]  # fmt: skip
    assert "languages" not in [one.name for one in hold(result, Rules())]
