"""The tables and lines behind the verdict, from a small result whose numbers are known by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.findings import Control, WhatIf
from evalkit.parts import SliceGain
from evalkit.pipeline import evaluate
from evalkit.record import Scoring, Sequential
from evalkit.result import EvalResult
from evalkit.sinks import details, table
from evalkit.testing import FunctionReranker, WordEmbedder
from evalkit.types import Metric
from tests.conftest import BeirWriter, beir, plan_of
from tests.pages import complete


@pytest.fixture
def result(write_beir: BeirWriter) -> EvalResult:
    """Stage 1 ranks the one relevant document of each of 12 questions seventh; the reranker of 10 puts it first."""
    towns = [f"town{number}" for number in range(12)]
    documents = {f"{town}-{n}": f"{town} rent note{n}" for town in towns for n in range(6)}
    documents |= {f"{town}-answer": f"{town} answer" for town in towns}
    folder = write_beir(
        documents, {f"q-{t}": f"{t} rent" for t in towns}, [(f"q-{t}", f"{t}-answer", 1) for t in towns]
    )
    reranker = FunctionReranker(lambda query, document: float(document == f"{query.split()[0]} answer"), "perfect")
    return evaluate(plan_of(beir(folder), reranker=reranker, embedder=WordEmbedder(1 << 14), top_ks=(6, 10)))


def changed(result: EvalResult, **changes: object) -> EvalResult:
    return replace(result, assessment=replace(result.assessment, **changes))  # type: ignore[arg-type]


def test_the_attribution_says_where_every_relevant_document_is(result: EvalResult) -> None:
    """At 6, stage 1 has not found it; at 10, the reranker promotes all of them."""
    found = details.attribution(result)
    assert found.titles[0] == "system"
    assert found.rows == (
        ("rerank@6", "0.0", "0.0", "0.0", "+0.0", "0.0", "100.0", "0.0"),
        ("rerank@10", "0.0", "100.0", "0.0", "+100.0", "0.0", "0.0", "0.0"),
    )


def test_a_slice_shows_gain_interval_and_note(result: EvalResult) -> None:
    one = SliceGain(
        Metric("recall", 5), 10, 0.25, 0.5, 25.0, -3.04, 53.06, 0.0004, 0.0008, 40.0, 4, 4, "few", "query", "lang", "it"
    )
    numbers = ("4", "0.250", "+25.0", "-3.0 to +53.1", "< 0.001", "40.0", "few")
    found = details.slices(changed(result, slices=(one,)))
    assert found.rows == (("lang = it", *numbers),)
    assert "ranks these alone" not in found.note
    found = details.slices(changed(result, slices=(one, replace(one, of="document"))))
    assert found.rows == (("lang = it", *numbers), ("document lang = it", *numbers))
    assert "a slice of documents ranks these alone" in found.note


def test_long_documents_stand_beside_the_others() -> None:
    told = replace(complete(), scoring=Scoring(pairs=1000, truncated=100, max_length=512, ties=0, windows=250))
    drawn = details.lengths(told)
    assert drawn.rows == (
        ("fits", "900", "95", "0.500", "0.750", "+25.0", "+20.0 to +30.0", "0.001", "+22.5"),
        ("longer", "100", "20", "0.400", "0.300", "-10.0", "-30.0 to +10.0", "0.400", "-2.5"),
    )
    assert "512 tokens were read in 250 windows, of which the best one counts" in drawn.note
    assert "tokens were cut." in details.lengths(replace(told, scoring=replace(told.scoring, windows=0))).note
    assert any(
        "+25.0 points on the 95 relevant ones that it reads whole, -10.0 points on the 20 relevant ones that are longer"
        in note
        for note in table.notes(told)
    )


def test_a_what_if_shows_both_halves(result: EvalResult) -> None:
    one = WhatIf("margin", "rerank where close", 5.0, 4.5, -1.0, 9.0, 4.0, 0.25)
    assert details.what_ifs(changed(result, what_ifs=(one,))).rows == (
        ("margin", "rerank where close", "+5.0", "+4.5", "-1.0 to +9.0", "+4.0", "25 %"),
    )


def test_controls_that_passed_are_named_and_the_others_explained(result: EvalResult) -> None:
    checks = (Control("identity", "passed", "fine"), Control("ties", "warned", "expected few; found many"))
    found = details.controls(changed(result, controls=checks))
    assert found.note == "1 of 2 passed: identity."
    assert found.rows == (("ties", "warned", "expected few; found many"),)
    assert table.control_line(changed(result, controls=checks)) == "1 of 2 self-checks passed; ties warned"


def test_a_table_without_rows_is_not_drawn(result: EvalResult) -> None:
    assert "For whom" not in {found.name for found in details.tables(changed(result, slices=()))}


def test_the_depth_from_which_nothing_more_is_gained_is_said(result: EvalResult) -> None:
    (line,) = [line for line in table.sure_lines(result) if line.startswith("depth")]
    assert line == (
        "depth: 10 is the smallest top-k whose gain is within noise of the best, which is that of 10, 10 the smallest "
        "with 90 % of it"
    )


def test_labels_that_cannot_resolve_anything_are_called_unresolvable(result: EvalResult) -> None:
    decision = result.assessment.decision
    few = tuple(replace(row, attainable_p=0.125) if row is decision else row for row in result.assessment.comparisons)
    assert "Unresolvable" not in table.sure_lines(result)[0]
    assert (
        "Unresolvable: no outcome of these labels could reach p = 0.05 (at best 0.12)."
        in (table.sure_lines(changed(result, comparisons=few))[0])
    )


def test_an_early_stop_says_what_was_spent_and_saved(result: EvalResult) -> None:
    early = replace(result, sequential=Sequential("above", 20.0, 90.0, 30, 320, 120, 1280, 0))
    assert (
        "stopped early: it was decided that the gain lies above 12 points, after 30 of 120 queries and 320 of 1280 "
        "pairs (75 % saved); the same command without sweep.sequential=true goes on from there"
    ) in table.sure_lines(early)
    assert "0 of 1280 pair scores" in table.work_line(replace(early, computed={**result.computed, "pairs": 0}))


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.0009, "< 0.001"), (0.001, "0.001"), (0.5, "0.500")])
def test_p_values_are_never_shown_as_zero(value: float | None, shown: str) -> None:
    assert table.p_value(value) == shown


def test_an_absent_interval_is_a_dash() -> None:
    assert table.interval(None, None) == "–"
    assert table.interval(-1.25, 3.0) == "-1.2 to +3.0"
