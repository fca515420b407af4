"""Two results held against each other: pairs, intervals, tests and what differs, by hand and by SciPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evalkit.analysis.between import contrast
from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.units import Units
from evalkit.contrast import Change, Contrast
from evalkit.errors import DataError
from evalkit.record import Sequential
from evalkit.result import EvalResult, Evidence
from evalkit.types import Metric
from tests.analysis.evidence import RECALL, design_of, listed
from tests.results import METRICS, evidence_of, provenance_of, result_of

HIT = Metric("hit_rate", 1)
DOCUMENTS = [f"d{number}" for number in range(8)]


def result(dense: str, reranked: str, names: str = "abcdefghijklmnop", **parts: Any) -> EvalResult:
    """One query per sign: whether dense, and the reranker, put the only relevant document first."""
    candidates, qrels = {}, {}
    for name, first, second in zip(names, dense, reranked, strict=False):
        # The relevant document stands first or second in stage 1, and gets the highest or the lowest score.
        order = DOCUMENTS if first == "1" else [DOCUMENTS[1], DOCUMENTS[0], *DOCUMENTS[2:]]
        scores = [float(len(DOCUMENTS) - place) for place in range(len(DOCUMENTS))]
        scores[order.index("d0")] = 99.0 if second == "1" else -99.0
        candidates[f"q-{name}"] = listed(order, scores)
        qrels[f"q-{name}"] = {"d0": 1}
    design = design_of(top_k=8, top_ks=(8,), metric=HIT, metrics=(HIT,), resamples=1000)
    families = parts.pop("families", {})
    return result_of(Evidence(candidates, qrels, families), design, **parts)


def change(found: Contrast, system: str, gains: bool = False) -> Change:
    return next(one for one in (found.gains if gains else found.values) if one.system == system)


def test_means_points_and_wins_by_hand() -> None:
    """Dense: 2 of 8, then 4 of 8. Reranked: 4 of 8, then 7 of 8. Gain: 2 of 8, then 3 of 8."""
    found = contrast(result("11000000", "11110000"), result("11110000", "01111111"))
    dense = change(found, "dense")
    assert (dense.first_mean, dense.second_mean, dense.delta_points) == (0.25, 0.5, 25)
    assert (dense.wins, dense.ties, dense.losses) == (2, 6, 0)
    reranked = change(found, "rerank@8")
    assert (reranked.first_mean, reranked.second_mean, reranked.delta_points) == (0.5, 0.875, 37.5)
    assert (reranked.wins, reranked.ties, reranked.losses) == (4, 3, 1)
    gain = change(found, "rerank@8", gains=True)
    assert (gain.first_mean, gain.second_mean, gain.delta_points) == (0.25, 0.375, 12.5)
    # Gains per query before: 0 0 1 1 0 0 0 0, after: -1 0 0 0 1 1 1 1.
    assert (gain.wins, gain.ties, gain.losses) == (4, 1, 3)
    assert [one.system for one in found.gains] == ["rerank@8"]


def exact_p(differences: np.ndarray[Any, Any]) -> float:
    return float(
        stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
        ).pvalue
    )


def test_p_is_that_of_scipys_exact_permutation_test_and_holm_by_hand() -> None:
    first, second = result("1100000000", "1111000000"), result("1111000000", "0111111111")
    found = contrast(first, second)
    dense = exact_p(np.array([0, 0, 1, 1, 0, 0, 0, 0, 0, 0]))
    reranked = exact_p(np.array([-1, 0, 0, 0, 1, 1, 1, 1, 1, 1]))
    gain = exact_p(np.array([-1, 0, -1, -1, 1, 1, 1, 1, 1, 1]))
    values = [change(found, "dense"), change(found, "rerank@8")]
    assert [one.p_value for one in values] == pytest.approx([dense, reranked])
    assert reranked < dense
    assert [one.p_adjusted for one in values] == pytest.approx([dense, 2 * reranked])
    alone = change(found, "rerank@8", gains=True)
    assert (alone.p_value, alone.p_adjusted) == pytest.approx((gain, gain))


def test_one_sided_interval_is_clopper_pearson_where_few_queries_change() -> None:
    """Three wins of ten and no loss: the exact bounds on 0/1 data are those of the beta distribution."""
    found = change(contrast(result("0" * 10, "0" * 10), result("1110000000", "0" * 10)), "dense")
    assert found.ci_high == pytest.approx(100 * stats.beta.ppf(0.975, 4, 7), abs=2.5)
    assert found.ci_low is not None
    assert -30 < found.ci_low < 0, "three changes cannot exclude 0"


def test_a_gain_can_change_by_two_so_its_interval_is_twice_that_of_half_of_it() -> None:
    first, second = result("1111111111", "0000011111"), result("0000011111", "1111111111")
    found = change(contrast(first, second), "rerank@8", gains=True)
    differences = np.array([2.0] * 5 + [0.0] * 5)
    units = Units.of([f"q-{name}" for name in "abcdefghij"], {})
    half = paired_intervals(differences[:, np.newaxis] / 2, units, 1000, 0)
    assert found.delta_points == 100
    assert (found.ci_low, found.ci_high) == pytest.approx((200 * half.low[0], 200 * half.high[0]))
    assert found.ci_high is not None
    assert found.ci_high > 100


def test_only_queries_with_the_same_judgments_are_paired() -> None:
    first, second = result("1100", "1111", "abcd"), result("0011", "1111", "bcde")
    qrels = {**second.evidence.qrels, "q-d": {"d0": 1, "d1": 1}}
    found = contrast(first, replace(second, evidence=replace(second.evidence, qrels=qrels)))
    assert (found.n_queries, found.only_first, found.only_second, found.judged_otherwise) == (2, 1, 1, 1)
    # b and c: 1 0 before, 0 0 after.
    assert change(found, "dense").delta_points == -50


def test_results_without_a_common_query_are_refused() -> None:
    with pytest.raises(DataError, match="first result evaluated 2 and the second 3, none of them in both") as caught:
        contrast(result("11", "11", "ab"), result("111", "111", "cde"))
    assert "judged otherwise" not in str(caught.value)


def test_queries_that_are_judged_otherwise_are_not_common() -> None:
    first, second = result("11", "11", "ab"), result("11", "11", "ab")
    qrels = {query_id: {"d0": 2} for query_id in second.evidence.qrels}
    with pytest.raises(DataError, match="2 are in both, but judged otherwise"):
        contrast(first, replace(second, evidence=replace(second.evidence, qrels=qrels)))


def test_results_without_a_common_metric_are_refused() -> None:
    first = result("11", "11", "ab")
    with pytest.raises(DataError, match=r"first result has hit_rate@1, the second recall@5.* metrics.names"):
        contrast(first, replace(first, design=replace(first.design, metrics=(RECALL,))))


def test_systems_and_metrics_that_both_have_are_compared() -> None:
    design = design_of(top_k=10, top_ks=(6, 10), metrics=METRICS, resamples=100)
    other = replace(design, top_ks=(7, 10), metrics=(RECALL,))
    found = contrast(result_of(design=design), result_of(design=other))
    assert [(one.system, one.metric) for one in found.values] == [("dense", RECALL), ("rerank@10", RECALL)]
    assert [(one.system, one.metric) for one in found.gains] == [("rerank@10", RECALL)]


@pytest.mark.parametrize(
    ("first", "second", "n_units"),
    [
        ({}, {}, 4),
        ({"q-a": "x", "q-b": "x"}, {}, 3),
        ({}, {"q-a": "x", "q-b": "x"}, 3),
        ({"q-a": "x", "q-b": "x"}, {"q-b": "x", "q-c": "x"}, 2),
        ({"q-a": "x", "q-b": "x", "q-c": "y", "q-d": "y"}, {"q-a": "u", "q-d": "u"}, 1),
        ({"q-a": "x"}, {"q-b": "x"}, 4),
    ],
    ids=str,
)
def test_queries_belong_together_if_either_result_says_so(
    first: dict[str, str], second: dict[str, str], n_units: int
) -> None:
    found = contrast(result("1100", "1111", families=first), result("1100", "1111", families=second))
    assert found.n_units == n_units
    assert found.n_queries == 4


def test_families_widen_the_interval() -> None:
    pairs = {f"q-{name}": str(place // 2) for place, name in enumerate("abcdefghijklmnop")}
    before, after = "0" * 16, "1" * 8 + "0" * 8
    alone = change(contrast(result(before, before), result(after, before)), "dense")
    together = change(contrast(result(before, before), result(after, before, families=pairs)), "dense")
    assert alone.delta_points == together.delta_points == 50
    assert alone.p_value == pytest.approx(2 / 2**8)
    assert together.p_value == pytest.approx(2 / 2**4)
    assert alone.ci_low is not None
    assert together.ci_low is not None
    assert together.ci_low < alone.ci_low


def test_no_interval_holds_for_a_run_that_stopped_early() -> None:
    first, second = result("1100", "1111"), result("0011", "1111")
    ended = Sequential("above", 1.0, 2.0, 4, 32, 8, 64, 0)
    for one, other in ((first, replace(second, sequential=ended)), (replace(first, sequential=ended), second)):
        found = contrast(one, other)
        assert found.stopped
        for row in (*found.values, *found.gains):
            assert row.ci_low is row.ci_high is row.p_value is row.p_adjusted is None
        assert change(found, "dense").delta_points == 0


def test_nothing_differs_between_a_result_and_itself_but_its_date() -> None:
    first = result_of()
    second = replace(first, run_id="later", provenance=replace(first.provenance, created="2027-01-01T00:00:00+00:00"))
    found = contrast(first, second)
    assert found.differences == ()
    assert {one.delta_points for one in (*found.values, *found.gains)} == {0}
    assert {one.p_value for one in (*found.values, *found.gains)} == {1}


def test_everything_that_differs_is_named_with_both_values() -> None:
    first = result_of(provenance=provenance_of())
    second = result_of(
        evidence_of(skill=0.0),
        replace(first.design, resamples=300, top_ks=(10,), expectation=replace(first.design.expectation, min_points=3)),
        provenance=provenance_of(reranker={"quantised": True, "weights": "w@1"}),
    )
    second = replace(
        second,
        dataset=replace(second.dataset, digest="9" * 64),
        provenance=replace(
            second.provenance,
            versions={**second.provenance.versions, "numpy": "9.9"},
            machine={**second.provenance.machine, "cores": 99},
            config={"retrieval": {"exclude_self": True}, "long_documents": {"stage1": "cut", "stage2": "windows"}},
        ),
    )
    assert {one.name: (one.first, one.second) for one in contrast(first, second).differences} == {
        "dataset.digest": ("1" * 64, "9" * 64),
        "design.top_ks": ([6, 10], [10]),
        "design.resamples": (200, 300),
        "expectation.min_points": (12, 3),
        "retrieval.exclude_self": (False, True),
        "long_documents.stage1": (None, "cut"),
        "long_documents.stage2": (None, "windows"),
        "reranker.quantised": (False, True),
        "reranker.weights": (None, "w@1"),
        "versions.numpy": (first.provenance.versions["numpy"], "9.9"),
        "machine.cores": (first.provenance.machine["cores"], 99),
    }
