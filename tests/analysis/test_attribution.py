"""What became of every positive: by hand, against ranx on random runs, and on real data."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.analysis.attribution import attribute, fates, knee, out_of_reach
from evalkit.analysis.derive import derive
from evalkit.analysis.metrics import mean, measure
from evalkit.analysis.units import Units
from evalkit.findings import Attribution
from evalkit.types import DENSE, Candidates, Metric, Qrels, System
from tests.analysis.evidence import DATA_SETS, RECALL, design_of, listed, real

SIX = ("a", "b", "c", "d", "e", "f")


@pytest.mark.parametrize(
    ("scores", "positives", "top_k", "cutoff", "expected"),
    [
        # Dense a b, reranked c d: c rises, b falls; f and z have no place, as b and c could fill both.
        ((1, 0, 3, 2, 9, 9), "bcfz", 4, 2, (0, 1, 1, 0, 0, 2)),
        # Dense and reranked a b: c could have been placed, e was never among the three.
        ((3, 2, 1, 9, 9, 9), "ce", 3, 2, (0, 0, 0, 1, 1, 0)),
        # One candidate cannot move: dense keeps b, z had the other place.
        ((3, 2, 1, 9, 9, 9), "bz", 1, 2, (1, 0, 0, 0, 1, 0)),
        # K = c: whatever the scores say, the same two documents are on top.
        ((1, 2, 9, 9, 9, 9), "ac", 2, 2, (1, 0, 0, 0, 1, 0)),
        # One place for three positives: b takes it from a, c never had a chance.
        ((1, 2, 0, 9, 9, 9), "abc", 3, 1, (0, 1, 1, 0, 0, 1)),
        # Two places, three positives among the candidates, both lost to d and e: one was missed, one had no room.
        ((1, 1, 1, 3, 2, 0), "bcf", 6, 2, (0, 0, 1, 1, 0, 1)),
        # A list of six that is shorter than K and than c: all positives in it are kept.
        ((1, 2, 3, 4, 5, 6), "afz", 50, 10, (2, 0, 0, 0, 1, 0)),
    ],
)
def test_every_positive_has_one_fate(
    scores: tuple[float, ...], positives: str, top_k: int, cutoff: int, expected: tuple[int, ...]
) -> None:
    """(kept, promoted, demoted, missed by the reranker, missed by stage 1, capped), worked beside each case."""
    (fate,) = fates({"q": listed(SIX, scores)}, {"q": dict.fromkeys(positives, 1)}, top_k, cutoff)
    assert astuple(fate)[2:] == expected
    assert fate.positives == len(positives)


def test_a_query_without_candidates_was_missed_by_stage_1() -> None:
    """Three positives, two places: two missed, one without a place. A grade of 0 or -1 is no positive."""
    (fate,) = fates({}, {"q": {"a": 1, "b": 2, "c": 1, "d": 0, "e": -1}}, 50, 2)
    assert astuple(fate) == ("q", 50, 0, 0, 0, 0, 2, 1)


def test_what_stage_1_misses_is_out_of_reach_where_its_list_has_ended() -> None:
    """Lists of six, six and none, and each query misses "z", one of its two positives, the last one both.

    At top-k 6 the first two lists are full, so 2/2 of one query of three; at 7 they are not: 1/2 + 1/2 + 2/2.
    """
    candidates = {"p": listed(SIX, [0.0] * 6), "q": listed(SIX, [0.0] * 6), "r": ()}
    judged = {query: {"a": 1, "z": 1} for query in "pqr"}
    lost = [out_of_reach(fates(candidates, judged, top_k, 5), candidates) for top_k in (6, 7)]
    assert lost == pytest.approx([100 / 3, 200 / 3])


def test_points_are_means_over_queries_of_shares_of_r() -> None:
    """q1: the first case above, of R = 4: promoted 1/4, demoted 1/4, capped 2/4. q2: promoted 1/1.

    Means: promoted (25 + 100) / 2 = 62.5, demoted 12.5, capped 25; the gain is 62.5 - 12.5 = 50.
    """
    candidates = {"q1": listed(SIX, (1, 0, 3, 2, 9, 9)), "q2": listed(SIX, (1, 0, 3, 2, 9, 9))}
    found = attribute(fates(candidates, {"q1": dict.fromkeys("bcfz", 1), "q2": {"d": 1}}, 4, 2), Metric("recall", 2))
    assert astuple(found)[1:] == (4, 0, 62.5, 12.5, 0, 0, 25, 50)
    assert found.metric == Metric("recall", 2)


@st.composite
def evidence(draw: st.DrawFn) -> tuple[Candidates, Qrels]:
    """Up to four queries, lists of up to ten documents, tied scores, negative grades, positives outside the list."""
    candidates, qrels = {}, {}
    for query in range(draw(st.integers(1, 4))):
        documents = draw(st.permutations([f"d{number}" for number in range(12)]))[: draw(st.integers(0, 10))]
        scores = draw(st.lists(st.integers(0, 4).map(float), min_size=len(documents), max_size=len(documents)))
        judged = draw(st.sets(st.integers(0, 14), min_size=1, max_size=9))
        grades = {f"d{number}": draw(st.integers(-1, 2)) for number in judged}
        qrels[f"q{query}"] = {**grades, "d0": 1}
        candidates[f"q{query}"] = listed(documents, scores)
    return candidates, qrels


@settings(deadline=None, max_examples=60)
@given(evidence())
def test_fates_sum_to_r_and_to_the_gain_for_every_top_k_and_cutoff(made: tuple[Candidates, Qrels]) -> None:
    """R is counted from the judgments and the gain measured by ranx."""
    candidates, qrels = made
    for cutoff in (1, 2, 3, 5, 10, 12):
        dense = measure(derive(candidates, DENSE), qrels, [Metric("recall", cutoff)])[Metric("recall", cutoff)]
        for top_k in (1, 2, 3, 5, 7, 10, 20):
            shares = checked(candidates, qrels, top_k, cutoff, dense)
            assert sum(astuple(shares)[2:8]) == pytest.approx(100, abs=1e-10)


def checked(candidates: Candidates, qrels: Qrels, top_k: int, cutoff: int, dense: dict[str, float]) -> Attribution:
    """The attribution, its fates and its gain held against the judgments and ranx."""
    metric = Metric("recall", cutoff)
    reranked = measure(derive(candidates, System("reranked", top_k)), qrels, [metric])[metric]
    found = fates(candidates, qrels, top_k, cutoff)
    assert [fate.query_id for fate in found] == list(dense)
    for fate in found:
        assert min(astuple(fate)[2:]) >= 0
        n_positives = sum(grade >= 1 for grade in qrels[fate.query_id].values())
        assert fate.positives == n_positives
        assert (fate.kept + fate.promoted) / n_positives == pytest.approx(reranked[fate.query_id], abs=1e-12)
        assert (fate.kept + fate.demoted) / n_positives == pytest.approx(dense[fate.query_id], abs=1e-12)
    shares = attribute(found, metric)
    assert shares.delta_points == pytest.approx(100 * (mean(reranked) - mean(dense)), abs=1e-10)
    assert shares.promoted_points - shares.demoted_points == pytest.approx(shares.delta_points, abs=1e-10)
    return shares


@pytest.mark.parametrize("name", DATA_SETS)
def test_fates_sum_to_the_gain_on_real_data(shared_data: Path, name: str) -> None:
    made = real(shared_data / name)
    for cutoff in (5, 10):
        metric = Metric("recall", cutoff)
        dense = measure(derive(made.candidates, DENSE), made.qrels, [metric])[metric]
        for top_k in (1, 5, 10, 50):
            shares = checked(made.candidates, made.qrels, top_k, cutoff, dense)
            assert sum(astuple(shares)[2:8]) == pytest.approx(100, abs=1e-10)


def test_the_knee_is_the_smallest_top_k_that_is_as_good_as_the_best() -> None:
    """Of 40 queries dense answers none, top-k 5 none, 10 answers 18, 30 answers 20, and 50 the same 20.

    30 is the smallest of the best; 18 is 90 % of 20; two queries that differ cannot tell 10 from 30, twenty can
    tell 5 from it.
    """
    answered = {"dense": 0, "rerank@5": 0, "rerank@10": 18, "rerank@30": 20, "rerank@50": 20}
    values = {name: {RECALL: {f"q{i}": float(i < count) for i in range(40)}} for name, count in answered.items()}
    found = knee(values, design_of(top_ks=(50, 5, 30, 10)), Units.of([f"q{i}" for i in range(40)], {}))
    assert (found.best_top_k, found.within_noise, found.ninety_percent) == (30, 10, 10)


def test_without_a_gain_no_top_k_has_ninety_percent_of_it() -> None:
    """Reranking 10 candidates loses 30 of 40 queries, reranking 50 all."""
    answered = {"dense": 40, "rerank@10": 10, "rerank@50": 0}
    values = {name: {RECALL: {f"q{i}": float(i < count) for i in range(40)}} for name, count in answered.items()}
    found = knee(values, design_of(), Units.of([f"q{i}" for i in range(40)], {}))
    assert (found.best_top_k, found.within_noise, found.ninety_percent) == (10, 10, None)
