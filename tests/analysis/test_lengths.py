"""Long documents against short ones, by hand: what is relevant among the candidates, split by tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.analysis.derive import derive, rank_perfectly
from evalkit.analysis.lengths import lengths
from evalkit.analysis.parts import Rankings
from evalkit.parts import LengthGain
from evalkit.record import Scoring
from evalkit.result import Evidence
from evalkit.types import DENSE, Candidate, Metric, Run, System
from tests.analysis.evidence import design_of

LIMIT = 100
TWO = Metric("recall", 2)
DESIGN = design_of(top_k=4, top_ks=[4], metric=TWO)


def candidates(*rows: tuple[str, float, int | None]) -> tuple[Candidate, ...]:
    """Document, rerank score and tokens, in stage-1 order."""
    return tuple(
        Candidate(doc_id, rank, 1 - rank / 100, score, tokens) for rank, (doc_id, score, tokens) in enumerate(rows, 1)
    )


EVIDENCE = Evidence(
    candidates={
        # Reranked: long2, short1, short2, long1. short1 stays, long1 falls out of the top 2, long2 enters it.
        "q1": candidates(("short1", 8, 50), ("long1", 1, 101), ("short2", 3, 100), ("long2", 9, 300)),
        # Reranked: short2, short1: short2 enters from rank 3, long2 never does. Its fifth positive was not found.
        "q2": candidates(("short1", 5, 60), ("other", 4, 90), ("short2", 9, 70), ("long2", 1, 200)),
    },
    qrels={
        "q1": {"short1": 1, "long1": 2, "long2": 1, "short2": 0},
        "q2": {"short1": 1, "short2": 1, "long2": 1, "unfound": 1},
    },
)


def rankings_of(evidence: Evidence) -> Rankings:
    reranked = System("reranked", 4)
    perfect = {query: rank_perfectly(found, 4, evidence.qrels[query]) for query, found in evidence.candidates.items()}
    return derive(evidence.candidates, DENSE), derive(evidence.candidates, reranked), Run("oracle@4", perfect)


def found_in(evidence: Evidence, scoring: Scoring, design: object = DESIGN) -> dict[str, LengthGain]:
    found = lengths(evidence, design, scoring, rankings_of(evidence))  # type: ignore[arg-type]
    return {gain.length: gain for gain in found}


def scoring(truncated: int = 3, max_length: int | None = LIMIT) -> Scoring:
    return Scoring(pairs=8, truncated=truncated, max_length=max_length, ties=0)


def test_each_length_counts_its_own_relevant_candidates_alone() -> None:
    """Short: q1 1 of 1 before and after, q2 1 of 2 before, 2 of 2 after. Long: q1 1 of 2 both times, q2 0 of 1."""
    found = found_in(EVIDENCE, scoring())
    short, long = found["fits"], found["longer"]
    assert (short.baseline_mean, short.candidate_mean) == pytest.approx((0.75, 1.0))
    assert (long.baseline_mean, long.candidate_mean) == pytest.approx((0.25, 0.25))
    assert (short.delta_points, long.delta_points) == pytest.approx((25, 0))
    assert (short.pairs, long.pairs) == (5, 3)
    assert (short.positives, long.positives) == (3, 3)
    assert (short.metric, short.top_k, short.n_queries, long.n_queries) == (TWO, 4, 2, 2)


def test_the_contributions_sum_to_the_gain_of_recall() -> None:
    """q1: (short1, long1) of 3 becomes (long2, short1) of 3: 0. q2: 1 of 4 becomes 2 of 4: +0.25. Mean +12.5 points."""
    found = found_in(EVIDENCE, scoring())
    assert found["fits"].contribution_points == pytest.approx(100 * (0 / 3 + 1 / 4) / 2)
    assert found["longer"].contribution_points == pytest.approx(100 * (0 / 3 + 0 / 4) / 2)


def test_a_length_without_a_relevant_candidate_is_left_out() -> None:
    irrelevant = replace(EVIDENCE, qrels={"q1": {"short1": 1}, "q2": {"short2": 1, "unfound": 1}})
    assert list(found_in(irrelevant, scoring())) == ["fits"]


def test_another_metric_is_told_by_recall_at_its_cutoff() -> None:
    ndcg = design_of(top_k=4, top_ks=[4], metric=Metric("ndcg", 2))
    assert {gain.metric for gain in found_in(EVIDENCE, scoring(), ndcg).values()} == {TWO}


@pytest.mark.parametrize(
    ("told", "design"),
    [
        (scoring(max_length=None), DESIGN),
        (scoring(), design_of(top_k=4, top_ks=[4], metric=Metric("ndcg", 10))),
    ],
    ids=["nobody counted tokens", "so few candidates cannot change recall"],
)
def test_there_is_nothing_to_tell(told: Scoring, design: object) -> None:
    assert found_in(EVIDENCE, told, design) == {}


def test_there_is_nothing_to_tell_where_every_candidate_fits() -> None:
    assert found_in(EVIDENCE, scoring(max_length=300)) == {}
