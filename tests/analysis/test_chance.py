"""What is held against chance: by hand, and never wrong by chance on small data."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.analysis.chance import check_labels, check_random, hypergeometric
from evalkit.analysis.matrices import Matrices, midranks
from evalkit.analysis.pairing import check_alignment, check_direction
from evalkit.result import Evidence
from tests.analysis.evidence import listed, made, re_scored, subject_of


def test_qrels_of_another_corpus_fail() -> None:
    evidence = made(20)
    qrels = {key: {f"elsewhere {doc_id}": 1 for doc_id in grades} for key, grades in evidence.qrels.items()}
    dangling = tuple((key, doc_id) for key, grades in qrels.items() for doc_id in grades)
    matrices = Matrices.of(evidence.candidates, qrels, 50)
    found = check_labels(matrices, subject_of(1000, 20, dangling), 50)
    assert found.status == "failed"
    assert "another corpus or another chunking" in found.message
    evidence = made(60)
    partly = tuple((key, next(iter(grades))) for key, grades in evidence.qrels.items() if len(grades) > 1)
    found = check_labels(Matrices.of(evidence.candidates, evidence.qrels, 50), subject_of(1000, 60, partly), 50)
    assert found.status == "warned"
    assert f"found {len(partly)} of {sum(map(len, evidence.qrels.values()))} outside" in found.message


def test_hypergeometric_moments_are_those_of_the_six_draws() -> None:
    """2 of 4 with 2 marked: 0, 1, 2 marked in 1, 4, 1 of 6 draws: mean 1, variance 2 / 6."""
    mean, variance = hypergeometric(np.array([2.0, 3.0]), np.array([2.0, 1.0]), np.array([4.0, 3.0]))
    assert mean.tolist() == pytest.approx([1, 1])
    assert variance.tolist() == pytest.approx([1 / 3, 0])


def test_tied_scores_share_their_mean_rank() -> None:
    """1 is first, the three 2s share (2 + 3 + 4) / 3, 5 is fifth; the empty place does not count."""
    assert midranks(np.array([[2, 5, 2, 1, 2, np.nan]]))[0, :5].tolist() == [3, 5, 3, 1, 3]


@pytest.mark.parametrize("n_queries", [1, 2, 5, 30])
def test_small_data_never_fails_by_chance(n_queries: int) -> None:
    """300 seeded trials each, in turn with a good, a weak and a useless reranker, and a good and a poor stage 1."""
    for seed in range(300):
        evidence = made(n_queries, seed, depth=20, skill=(2.0, 0.5, 0.0)[seed % 3], found=(0.9, 0.5)[seed % 2])
        if seed % 5 == 0:
            evidence = Evidence(
                re_scored(evidence.candidates, dict.fromkeys(evidence.candidates, (0.0,) * 20)), evidence.qrels
            )
        matrices = Matrices.of(evidence.candidates, evidence.qrels, 20)
        found = (
            check_direction(matrices, 20),
            check_alignment(matrices, 20),
            check_labels(matrices, subject_of((25, 200, 100_000)[seed % 3], n_queries), 20),
        )
        assert [control.message for control in found if control.status == "failed"] == []


@pytest.mark.parametrize(("n_queries", "cutoff"), [(1, 1), (1, 5), (4, 5), (20, 1)])
def test_random_scores_never_miss_their_expectation(n_queries: int, cutoff: int) -> None:
    for seed in range(100):
        evidence = made(n_queries, seed, depth=20, found=0.5)
        matrices = Matrices.of(evidence.candidates, evidence.qrels, 20)
        assert check_random(evidence, matrices, 20, cutoff, seed).status == "passed"


def test_reversed_scores_of_few_queries_are_still_told() -> None:
    """Twelve queries whose only positive scores lowest of 20: z = -sqrt(12) * 0.5 / sqrt(21 / (12 * 19)) = -5.7."""
    documents = [f"d{number}" for number in range(20)]
    candidates = {f"q{n}": listed(documents, [float(place) for place in range(20)]) for n in range(12)}
    matrices = Matrices.of(candidates, {key: {"d0": 1} for key in candidates}, 20)
    found = check_direction(matrices, 20)
    assert found.status == "failed"
    assert "found 0 % over 12 queries (z -5.7, perfect +5.7)" in found.message
