"""Other uses of the same scores, by hand on queries that are all alike, so that every half says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from evalkit.analysis.units import Units
from evalkit.analysis.what_ifs import what_ifs
from evalkit.findings import WhatIf
from evalkit.result import Evidence
from evalkit.types import Candidate, Metric
from tests.analysis.evidence import design_of, made, measured

TOP = Metric("recall", 1)


def alike(n_queries: int, dense: Sequence[float], rerank: Sequence[float], positive: str) -> Evidence:
    """Queries with documents a, b, c, ... of these stage-1 and rerank scores."""
    found = tuple(
        Candidate("abcdef"[place], place + 1, first, second)
        for place, (first, second) in enumerate(zip(dense, rerank, strict=True))
    )
    names = [f"q{number}" for number in range(n_queries)]
    return Evidence(dict.fromkeys(names, found), {name: {positive: 1} for name in names})


def run(evidence: Evidence, top_k: int = 3, metric: Metric = TOP) -> dict[str, WhatIf]:
    design = design_of(top_k, (top_k,), metric)
    _, values, _ = measured(evidence, design)
    units = Units.of(list(evidence.qrels), evidence.families)
    return {found.name: found for found in what_ifs(evidence, design, values, units)}


def test_reciprocal_ranks_are_summed() -> None:
    """Stage 1: a b c; reranker: c b a. 1/61 + 1/63 = 0.03227 for a and c, 2/62 = 0.03226 for b: a, c, b.

    a and c tie, and a stood first, so c, which plain reranking puts on top, is not there: nothing is gained.
    """
    found = run(alike(8, (0.9, 0.8, 0.7), (1, 2, 3), "c"))["rrf"]
    assert (found.chosen_points, found.confirmed_points, found.plain_points) == (0, 0, 100)
    assert found.saved_pairs == 0
    assert "60" in found.setting


def test_ranks_that_agree_with_the_reranker_move_the_middle_up() -> None:
    """Stage 1: a b c; reranker: b c a. a: 1/61 + 1/63; b: 1/62 + 1/61, the largest: b gains all 100 points."""
    found = run(alike(16, (0.9, 0.8, 0.7), (1, 3, 2), "b"))["rrf"]
    assert (found.chosen_points, found.confirmed_points) == (100, 100)
    assert found.confirmed_ci_low > 0


def test_the_weight_that_helps_is_found() -> None:
    """Scaled to 0..1, dense says a 1, b 0.9, c 0 and the reranker a 0, b 0.8, c 1; the answer is b.

    With weight w: a 1 - w, b 0.9 - 0.1 w, c w. b is on top from w > 1/9 to w < 9/11; of 0.2 to 0.8,
    0.8 is the closest to plain reranking, which finds c and gains nothing.
    """
    found = run(alike(8, (20, 19, 10), (0, 8, 10), "b"))["weighted"]
    assert found.setting.startswith("weight 0.8 of the reranker,")
    assert (found.chosen_points, found.confirmed_points, found.plain_points) == (100, 100, 0)


@pytest.mark.parametrize(
    ("positive", "setting"), [("c", "weight 1 of the reranker (plain reranking)"), ("a", "weight 0.4")]
)
def test_plain_reranking_and_dense_are_among_the_weights(positive: str, setting: str) -> None:
    """Dense a 1, b 0.5, c 0 and reranker a 0, b 0.6, c 1; with weight w: a 1 - w, b 0.5 + 0.1 w, c w.

    a is on top below 5/11, so that 0.4 is the closest to plain reranking; c is, best of all, at 1.
    """
    found = run(alike(8, (3, 2, 1), (0, 6, 10), positive))["weighted"]
    assert found.setting.startswith(setting)


def test_constant_scores_leave_the_order_to_the_other_side() -> None:
    """A constant reranker is 0 throughout: every weight but 1 is dense, and 1 is too, by stage-1 rank."""
    found = run(alike(8, (3, 2, 1), (7, 7, 7), "a"))
    assert [(one.chosen_points, one.confirmed_points) for one in found.values()] == [(0, 0)] * 3


def unsure_and_sure() -> Evidence:
    """Ten queries where dense is unsure (0.9, 0.89) and wrong, ten where it is sure (0.9, 0.1) and right.

    The reranker puts b first everywhere; b is the answer of the unsure ones, a of the sure ones.
    """
    unsure = alike(10, (0.9, 0.89, 0.88), (1, 2, 0), "b")
    sure = alike(10, (0.9, 0.1, 0.0), (2, 1, 0), "a")
    rename = {f"q{number}": f"s{number}" for number in range(10)}
    return Evidence(
        {**unsure.candidates, **{rename[key]: found for key, found in sure.candidates.items()}},
        {**unsure.qrels, **{rename[key]: grades for key, grades in sure.qrels.items()}},
    )


def test_only_unsure_queries_need_the_reranker() -> None:
    """The threshold falls on the margin of the unsure, 0.9 - 0.89 = 0.01; the sure ones' pairs are saved.

    Which queries confirm is drawn: with u unsure ones of 10, the gain is 10 u points and 1 - u / 10 is saved.
    """
    found = run(unsure_and_sure())["margin"]
    assert "falls by at most 0.01 from rank 1 to rank 2" in found.setting
    assert found.confirmed_points == pytest.approx(found.plain_points)
    assert 0 < found.confirmed_points < 100
    assert found.saved_pairs == pytest.approx(1 - found.confirmed_points / 100)
    assert found.chosen_points + found.confirmed_points == pytest.approx(100)


def test_where_reranking_gains_nothing_no_query_needs_it() -> None:
    found = run(alike(8, (3, 2, 1), (1, 2, 3), "a"))["margin"]
    assert found.setting.startswith("rerank no query")
    assert (found.saved_pairs, found.confirmed_points, found.plain_points) == (1, 0, -100)


def test_fewer_than_two_units_have_no_halves() -> None:
    one_family = replace(alike(8, (3, 2, 1), (1, 2, 3), "c"), families=dict.fromkeys([f"q{n}" for n in range(8)], "f"))
    assert run(one_family) == {}
    assert len(run(alike(2, (3, 2, 1), (1, 2, 3), "c"))) == 3


def test_no_family_lies_in_both_halves() -> None:
    """Two families of unequal size, one gains and one does not: each half is all or nothing."""
    gains, stays = alike(9, (3, 2, 1), (1, 2, 3), "c"), alike(3, (3, 2, 1), (1, 2, 3), "b")
    evidence = Evidence(
        {**gains.candidates, **{f"s{key}": found for key, found in stays.candidates.items()}},
        {**gains.qrels, **{f"s{key}": grades for key, grades in stays.qrels.items()}},
        {**dict.fromkeys(gains.qrels, "g"), **{f"s{key}": "s" for key in stays.qrels}},
    )
    assert run(evidence)["margin"].plain_points in (0, 100)


def test_the_same_seed_finds_the_same() -> None:
    """Queries without candidates, or with one, are no reason to stop."""
    evidence = made(40)
    short = dict(evidence.candidates) | {"q0": (), "q1": evidence.candidates["q1"][:1]}
    evidence = replace(evidence, candidates=short)
    for metric in (Metric("ndcg", 10), Metric("mrr")):
        assert run(evidence, 20, metric) == run(evidence, 20, metric)
        assert len(run(evidence, 20, metric)) == 3
