"""Rankings from candidates and scores, by hand."""

from __future__ import annotations

import random

import pytest

from evalkit.analysis.derive import count_ties, derive, order_hits, rank, rank_perfectly, systems_of
from evalkit.errors import ModelError
from evalkit.types import DENSE, Candidate, System


def candidates(*scores: float | None) -> tuple[Candidate, ...]:
    """Documents a, b, c, ... in stage-1 order, with these rerank scores."""
    return tuple(Candidate("abcdefghij"[place], place + 1, 1 - place / 10, score) for place, score in enumerate(scores))


def test_the_head_is_sorted_by_score_and_the_tail_keeps_its_order() -> None:
    found = candidates(0.1, 0.9, 0.5, 3.0, 2.0)
    assert rank(found, None) == ("a", "b", "c", "d", "e")
    assert rank(found, 3) == ("b", "c", "a", "d", "e")
    assert rank(found, 5) == ("d", "e", "b", "c", "a")


def test_one_candidate_is_dense() -> None:
    found = candidates(0.1, 0.9, 0.5)
    assert rank(found, 1) == rank(found, None)


def test_a_top_k_is_never_a_slice_of_the_longest_reranked_list() -> None:
    """E wins at top-k 5; cutting that list to its first 2 would let it into top-k 2, which never saw it."""
    found = candidates(0.1, 0.2, 0.0, 0.0, 9.0)
    assert rank(found, 5)[:2] == ("e", "b")
    assert rank(found, 2)[:2] == ("b", "a")


def test_every_system_has_the_same_depth_and_the_same_documents() -> None:
    chance = random.Random(1)
    found = candidates(*(chance.random() for _ in range(10)))
    for top_k in range(1, 11):
        assert sorted(rank(found, top_k)) == list("abcdefghij")
        assert sorted(rank(found, top_k)[:top_k]) == list("abcdefghij")[:top_k]


def test_ties_keep_the_stage_1_order() -> None:
    assert rank(candidates(1.0, 1.0, 1.0), 3) == ("a", "b", "c")


def test_raw_logits_rank_where_their_sigmoids_would_tie() -> None:
    """float32 sigmoids of 17 and 40 are both 1."""
    assert rank(candidates(17.0, 40.0), 2) == ("b", "a")


def test_a_missing_score_is_an_error_only_where_it_matters() -> None:
    assert rank(candidates(0.1, 0.2, None), 2) == ("b", "a", "c")
    with pytest.raises(ModelError, match="'c' was never scored"):
        rank(candidates(0.1, 0.2, None), 3)


def test_the_oracle_sorts_by_grade_and_then_by_stage_1() -> None:
    found = candidates(0, 0, 0, 0, 0)
    assert rank_perfectly(found, 4, {"c": 1, "d": 2, "e": 3}) == ("d", "c", "a", "b", "e")


def test_hits_are_ordered_by_score_then_id_and_cut() -> None:
    found = order_hits([("z", 0.5), ("y", 0.5), ("x", 0.4), ("w", 0.9)], depth=3)
    assert [(hit.doc_id, hit.stage1_rank) for hit in found] == [("w", 1), ("y", 2), ("z", 3)]


def test_systems_rise_with_top_k_after_dense() -> None:
    assert [system.name for system in systems_of([50, 10])] == ["dense", "rerank@10", "rerank@50"]


def test_a_run_has_one_ranking_per_query() -> None:
    table = {"q1": candidates(0.1, 0.9), "q2": candidates(0.9, 0.1)}
    assert derive(table, DENSE).rankings == {"q1": ("a", "b"), "q2": ("a", "b")}
    assert derive(table, System("reranked", 2)).rankings == {"q1": ("b", "a"), "q2": ("a", "b")}


def test_ties_are_counted_within_a_query() -> None:
    """Three equal scores are three tied candidates; 1.0001 and 1.0002 are none; unscored ones do not count."""
    assert count_ties({"q1": candidates(1.0, 1.0, 1.0, 2.0, None, None), "q2": candidates(1.0001, 1.0002, 1.0)}) == 3
