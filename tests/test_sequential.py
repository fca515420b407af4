"""Runs that stop when it is decided: what is spent, what is kept, what stays valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.grouping import FamilyRule
from evalkit.findings import Expectation
from evalkit.pipeline import evaluate
from evalkit.result import EvalResult
from evalkit.stages import Plan
from evalkit.testing import DictCache, FunctionReranker, WordEmbedder
from evalkit.types import Metric
from tests.conftest import BeirWriter, beir, plan_of

CITIES = [f"Town{number}" for number in range(120)]
NOISE = 9


def perfect(query: str, document: str) -> float:
    """Only the note that answers scores."""
    return float(document.endswith("answer") and document.split(maxsplit=1)[0] == query.split(maxsplit=1)[0])


def useless(query: str, document: str) -> float:
    return -perfect(query, document)


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    """Nine notes share two words with each question, and the one that answers it only one: dense ranks it tenth."""
    documents = {f"{c}-{n}": f"{c} rent note{n}" for c in CITIES for n in range(NOISE)}
    documents |= {f"{c}-answer": f"{c} answer" for c in CITIES}
    queries = {f"q-{c}": f"{c} rent" for c in CITIES}
    return write_beir(documents, queries, [(f"q-{c}", f"{c}-answer", 1) for c in CITIES])


def sequential(folder: Path, function: Any, **changes: Any) -> tuple[EvalResult, FunctionReranker]:
    reranker = FunctionReranker(function, function.__name__)
    return evaluate(plan(folder, reranker, sequential=True, **changes)), reranker


def plan(folder: Path, reranker: FunctionReranker, **changes: Any) -> Plan:
    return plan_of(beir(folder), reranker=reranker, embedder=WordEmbedder(1 << 12), **{"top_ks": (6, 10), **changes})


@pytest.mark.parametrize(("function", "side", "points"), [(perfect, "above", 100.0), (useless, "below", 0.0)])
def test_a_clear_gain_is_decided_after_few_queries(folder: Path, function: Any, side: str, points: float) -> None:
    result, reranker = sequential(folder, function)
    ended = result.sequential
    assert ended is not None
    assert ended.side == side
    assert ended.spent_queries < len(CITIES) / 2
    assert ended.total_queries == len(CITIES)
    assert ended.total_pairs == 10 * len(CITIES)
    assert result.assessment.verdict.delta_points == pytest.approx(points)
    assert reranker.pairs < ended.total_pairs / 2


def test_what_is_spent_is_what_was_scored(folder: Path) -> None:
    """Chunks of seven pairs: at most six more than the spent queries' ten each."""
    result, _ = sequential(folder, perfect)
    ended = result.sequential
    assert ended is not None
    assert result.computed["pairs"] == ended.spent_pairs
    assert 0 <= ended.spent_pairs - 10 * ended.spent_queries < 7


def test_only_the_decision_top_k_is_scored_and_reported(folder: Path) -> None:
    result, _ = sequential(folder, perfect)
    assert [system.name for system in result.assessment.systems] == ["dense", "rerank@10"]
    assert set(result.evidence.candidates) == set(result.evidence.qrels)
    assert result.sequential is not None
    assert len(result.evidence.qrels) == result.sequential.spent_queries


def test_intervals_for_a_fixed_number_of_queries_are_absent_and_the_sequence_judges(folder: Path) -> None:
    result, _ = sequential(folder, perfect)
    decision, verdict, ended = result.assessment.decision, result.assessment.verdict, result.sequential
    assert ended is not None
    assert decision.ci_low is decision.p_value is decision.detectable_points is None
    assert (verdict.ci_low, verdict.ci_high) == (ended.ci_low, ended.ci_high)
    assert ended.ci_low > 12
    assert "An estimate after early stopping is biased" in verdict.reason
    assert not result.assessment.slices
    assert not result.assessment.what_ifs


def test_the_same_seed_spends_the_same_queries_and_another_seed_others(folder: Path) -> None:
    first, again = (sequential(folder, perfect)[0] for _ in range(2))
    other, _ = sequential(folder, perfect, seed=1)
    assert first.evidence == again.evidence
    assert set(first.evidence.qrels) != set(other.evidence.qrels)


def test_a_full_run_goes_on_from_what_was_scored(folder: Path) -> None:
    cache = DictCache()
    early, _ = sequential(folder, perfect, cache=cache)
    full = evaluate(plan(folder, FunctionReranker(perfect, "perfect"), cache=cache))
    assert early.computed["pairs"] + full.computed["pairs"] == 10 * len(CITIES)
    fresh = evaluate(plan(folder, FunctionReranker(perfect, "perfect")))
    assert full.evidence == fresh.evidence


def test_queries_that_run_out_are_all_there(folder: Path) -> None:
    """The gain is 100 points and the edge 99.9: no finite number of these queries decides that."""
    expectation = Expectation(Metric("recall", 5), 10, 99.9, None)
    result, _ = sequential(folder, perfect, expectation=expectation)
    ended = result.sequential
    assert ended is not None
    assert (ended.side, ended.spent_queries, ended.spent_pairs) == (None, len(CITIES), 10 * len(CITIES))
    assert ended.ci_low < 99.9 < ended.ci_high
    assert not result.assessment.verdict.conclusive


def test_a_family_is_spent_whole(write_beir: BeirWriter) -> None:
    documents = {f"{c}-{n}": f"{c} rent note{n}" for c in CITIES for n in range(NOISE)}
    documents |= {f"{c}-answer": f"{c} answer" for c in CITIES}
    queries = {f"q-{c}-{n}": f"{c} rent" for c in CITIES for n in range(2)}
    notes = {f"q-{c}-{n}": {"family": c} for c in CITIES for n in range(2)}
    folder = write_beir(documents, queries, [(q, f"{q.split('-')[1]}-answer", 1) for q in queries], metadata=notes)
    result, _ = sequential(folder, perfect, family=FamilyRule("family"))
    spent = [query_id.rsplit("-", 1)[0] for query_id in result.evidence.qrels]
    assert {spent.count(name) for name in spent} == {2}
    assert len(spent) < len(queries)
