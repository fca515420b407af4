"""From candidates to comparisons and verdict, by hand: each top-k has its own oracle, each verdict its own comparison.

Ten candidates d1 to d10 by stage-1 rank. Query "a" has the positives d6 and d8, query "b" has d1 and d9.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from evalkit.analysis.assess import assess
from evalkit.analysis.derive import count_ties, rank
from evalkit.analysis.metrics import parse_metrics
from evalkit.errors import ControlError
from evalkit.findings import Comparison, Control
from evalkit.pipeline import evaluate
from evalkit.record import Sequential
from evalkit.result import Assessment, Evidence
from evalkit.testing import FunctionReranker
from evalkit.types import Candidate, Candidates, Metric
from tests.analysis.evidence import design_of, scoring_of, subject_of
from tests.conftest import BeirWriter, beir, plan_of

RECALL, NDCG = METRICS = parse_metrics(["recall@5", "ndcg@10"])
QRELS = {"a": {"d6": 1, "d8": 1}, "b": {"d1": 1, "d9": 1}}
IDEAL = 1 + 1 / math.log2(3)
"""DCG of two positives on ranks 1 and 2."""


def candidates(*scores: float) -> tuple[Candidate, ...]:
    """D1, d2, ... in stage-1 order, with these rerank scores."""
    return tuple(Candidate(f"d{rank}", rank, 1 - rank / 20, score) for rank, score in enumerate(scores, start=1))


def lifted(rank: int) -> tuple[Candidate, ...]:
    """The reranker puts the document of this stage-1 rank first and leaves all others in their order."""
    return candidates(*[9.0 if place == rank else -float(place) for place in range(1, 11)])


FOUND = {"a": lifted(8), "b": lifted(9)}


SUBJECT = subject_of(100, 2)


def assessed(metric: Metric = RECALL, top_k: int = 10, found: Candidates = FOUND, **more: Any) -> Assessment:
    design = design_of(top_k, (1, 6, 8, 10), metric, metrics=METRICS)
    return assess(Evidence(found, QRELS), design, SUBJECT, scoring_of(), **more)


def comparison(result: Assessment, metric: Metric, top_k: int) -> Comparison:
    (found,) = [entry for entry in result.comparisons if (entry.metric, entry.top_k) == (metric, top_k)]
    assert result.comparison(metric, top_k) == found
    return found


@pytest.mark.parametrize(("top_k", "oracle"), [(1, 0.25), (6, 0.5), (8, 0.75), (10, 1.0)])
def test_the_oracle_of_a_top_k_reaches_only_what_that_top_k_holds(top_k: int, oracle: float) -> None:
    """Dense recall@5 is 0 and 1/2. Within 6, d6 can be lifted; within 8, d8 too; within 10, d9 as well."""
    found = comparison(assessed(), RECALL, top_k)
    assert found.baseline_mean == 0.25
    assert found.oracle == pytest.approx(oracle)
    assert found.headroom_points == pytest.approx(100 * (oracle - 0.25))


@pytest.mark.parametrize(
    ("top_k", "a", "b"),
    [
        (1, 1 / math.log2(7) + 1 / math.log2(9), 1 + 1 / math.log2(10)),
        (6, 1 + 1 / math.log2(9), 1 + 1 / math.log2(10)),
        (8, IDEAL, 1 + 1 / math.log2(10)),
        (10, IDEAL, IDEAL),
    ],
)
def test_beyond_its_top_k_the_oracle_keeps_the_order_of_stage_1(top_k: int, a: float, b: float) -> None:
    """A positive on rank r adds 1 / log2(r + 1): d6 and d8 of "a", d1 and d9 of "b", as far as they stay put."""
    assert comparison(assessed(), NDCG, top_k).oracle == pytest.approx((a + b) / 2 / IDEAL)


@pytest.mark.parametrize(("top_k", "points"), [(1, 0.0), (6, 0.0), (8, 25.0), (10, 50.0)])
def test_every_top_k_is_compared_with_dense(top_k: int, points: float) -> None:
    """D8 enters the top 5 of "a" from top-k 8 on, d9 that of "b" from 10 on: each is half of a query's positives."""
    found = comparison(assessed(), RECALL, top_k)
    assert found.delta_points == pytest.approx(points)
    assert found.candidate == f"rerank@{top_k}"


def test_every_metric_is_compared_at_every_top_k_and_never_dense_with_itself() -> None:
    assert [(found.top_k, str(found.metric)) for found in assessed().comparisons] == [
        (1, "recall@5"), (1, "ndcg@10"), (6, "recall@5"), (6, "ndcg@10"),
        (8, "recall@5"), (8, "ndcg@10"), (10, "recall@5"), (10, "ndcg@10"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "top_k", "points", "status"), [(RECALL, 6, 0.0, "below"), (RECALL, 8, 25.0, "above")]
)
def test_the_verdict_is_on_the_declared_top_k(metric: Metric, top_k: int, points: float, status: str) -> None:
    verdict = assessed(metric, top_k).verdict
    assert verdict.delta_points == pytest.approx(points)
    assert verdict.status == status


@pytest.mark.parametrize(("text", "points"), [("recall@5", 50.0), ("mrr@9", 100 * 5 / 12), ("precision@5", 20.0)])
def test_the_verdict_is_on_the_declared_metric(text: str, points: float) -> None:
    """At top-k 10 each query has one positive more in its top 5 (of five places, of two positives).

    The reciprocal rank of "a" goes from 1/6 to 1, that of "b" stays at 1: from 7/12 to 1.
    """
    metrics = parse_metrics(["recall@5", "mrr@9", "precision@5"])
    design = design_of(10, (6, 10), Metric.parse(text), metrics=metrics)
    result = assess(Evidence(FOUND, QRELS), design, SUBJECT, scoring_of())
    assert result.verdict.delta_points == result.decision.delta_points == pytest.approx(points)


def test_a_comparison_that_was_not_asked_for_is_no_comparison() -> None:
    with pytest.raises(KeyError, match="recall@5 at top-k 7"):
        assessed().comparison(RECALL, 7)


def test_every_positive_is_accounted_for_at_every_top_k() -> None:
    """At top-k 10, d8 of "a" is lifted and d6 is not; "b" keeps d1 and gets d9. At 6 nothing but d1 is in the top 5.

    Within 6 candidates d6 could have been lifted, d8 and d9 could not.
    """
    result = assessed()
    assert [found.top_k for found in result.attribution] == [1, 6, 8, 10]
    six, ten = result.attribution[1], result.attribution[3]
    assert (ten.kept_points, ten.promoted_points, ten.missed_by_reranker_points) == (25, 50, 25)
    assert (six.kept_points, six.missed_by_reranker_points, six.missed_by_stage1_points) == (25, 25, 50)
    assert {(fate.query_id, fate.positives) for fate in result.fates} == {("a", 2), ("b", 2)}


def test_translations_of_one_question_are_one_unit() -> None:
    evidence = Evidence(FOUND, QRELS, families={"a": "rent", "b": "rent"})
    result = assess(evidence, design_of(10, (6, 10)), SUBJECT, scoring_of())
    assert {(found.n_queries, found.n_units) for found in result.comparisons} == {(2, 1)}


# --- what cannot be assessed, and what cannot be trusted --------------------------------------------


@pytest.mark.parametrize(
    ("place", "change", "name"),
    [
        (3, {"rerank_score": None}, "coverage"),
        (3, {"stage1_rank": 12}, "coverage"),
        (3, {"doc_id": "d1"}, "duplicates"),
    ],
)
def test_candidates_that_cannot_be_ranked_end_the_assessment(place: int, change: dict[str, Any], name: str) -> None:
    spoiled = tuple(replace(one, **change) if at == place else one for at, one in enumerate(FOUND["b"]))
    with pytest.raises(ControlError, match=f"^control {name} failed: expected ") as caught:
        assessed(found={**FOUND, "b": spoiled})
    assert caught.value.exit_code == 5


def test_a_query_without_candidates_ends_the_assessment() -> None:
    with pytest.raises(ControlError, match="found 1 queries without candidates"):
        assessed(found={"a": FOUND["a"]})


def test_scores_below_the_deepest_top_k_are_not_needed() -> None:
    deeper = {key: (*found, Candidate("d11", 11, 0.1)) for key, found in FOUND.items()}
    assert assessed(found=deeper).status == "ok"


def test_a_control_that_fails_makes_the_result_invalid_whatever_was_gained() -> None:
    """One that was observed during the run counts like those that are checked here, and stands first."""
    fine, broken = Control("repeat", "passed", "equal"), Control("repeat", "failed", "scores differ by 0.3")
    assert (assessed(observed=[fine]).status, assessed(observed=[fine]).verdict.status) == ("ok", "above")
    result = assessed(observed=[broken])
    assert (result.status, result.verdict.status, result.controls[0]) == ("invalid", "invalid", broken)
    assert "repeat: scores differ by 0.3" in result.verdict.reason


def test_after_an_early_stop_only_the_intervals_of_the_sequence_are_given() -> None:
    stopped = Sequential("above", 20.0, 75.0, 2, 20, 9, 90, 0)
    result = assessed(sequential=stopped)
    assert {found.ci_low for found in result.comparisons} == {None}
    assert {found.p_value for found in result.comparisons} == {None}
    assert (result.verdict.ci_low, result.verdict.ci_high) == (20.0, 75.0)
    assert (result.slices, result.what_ifs) == ((), ())
    assert result.decision.delta_points == pytest.approx(50.0)


# --- ties -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scores",
    [(1.0001, 1.0002), (9.0, 9.0001), (17.0, 40.0), (0.0, 1e-9), (1.0, 1.0 + 1e-9), (-1.0, 1.0)],
    ids=str,
)
def test_scores_that_differ_are_no_tie_however_near(scores: tuple[float, float]) -> None:
    assert count_ties({"q": candidates(*scores)}) == 0
    assert rank(candidates(*scores), 2) == ("d2", "d1")


def test_equal_scores_are_a_tie_and_keep_the_order_of_stage_1() -> None:
    assert count_ties({"q": candidates(1.0001, 1.0001)}) > 0
    assert rank(candidates(1.0001, 1.0001), 2) == ("d1", "d2")


def test_near_scores_stay_apart_through_the_whole_flow(write_beir: BeirWriter) -> None:
    """Each document scores 1e-9 above the one before, which is lost in single precision; the last comes first."""
    documents = {f"d{number:02}": f"word{number:02}" for number in range(10)}
    folder = write_beir(documents, {"q": "other"}, [("q", "d00", 1)])
    reranker = FunctionReranker(lambda _, document: 1 + 1e-9 * int(document[4:]), "near")
    result = evaluate(plan_of(beir(folder), reranker=reranker))
    assert count_ties(result.evidence.candidates) == 0
    reranked = next(run for run in result.assessment.runs if run.name == "rerank@10")
    assert reranked.rankings["q"] == tuple(f"d{number:02}" for number in reversed(range(10)))
