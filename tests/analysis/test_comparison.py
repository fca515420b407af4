"""Deltas, room, counts and certainty, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from scipy import stats

from evalkit.analysis.comparison import compare
from evalkit.analysis.derive import systems_of
from evalkit.analysis.units import Units
from evalkit.findings import Comparison
from evalkit.types import Metric, PerQuery
from tests.analysis.evidence import RECALL, design_of

QUERIES = [f"q{number:02}" for number in range(20)]


def compared(
    dense: PerQuery,
    reranked: Mapping[int, PerQuery],
    oracle: PerQuery | None = None,
    families: Mapping[str, str] | None = None,
    stopped: bool = False,
    resamples: int = 400,
) -> list[Comparison]:
    """Recall of dense and of ``rerank@K`` for each K, of which the largest is the decision top-k."""
    top_ks = list(reranked)
    values = {"dense": {RECALL: dense}} | {f"rerank@{top_k}": {RECALL: found} for top_k, found in reranked.items()}
    perfect = {f"rerank@{top_k}": {RECALL: oracle or dict.fromkeys(dense, 1.0)} for top_k in top_ks}
    design = design_of(max(top_ks), top_ks, metrics=(RECALL,), resamples=resamples)
    return compare(systems_of(top_ks), values, perfect, design, Units.of(list(dense), families or {}), stopped)


def one(dense: PerQuery, reranked: PerQuery, oracle: PerQuery | None = None) -> Comparison:
    (found,) = compared(dense, {50: reranked}, oracle)
    return found


def risen(count: int) -> dict[str, float]:
    """Of 20 queries the first ones rise from 0 to 1."""
    return {key: float(place < count) for place, key in enumerate(QUERIES)}


NOTHING = risen(0)


def test_points_percent_headroom_and_captured() -> None:
    """Dense 0.5, reranked 0.625, oracle 0.75: +12.5 points, +25 %, headroom 25, half of it captured."""
    found = one(
        dense={"a": 1.0, "b": 0.0, "c": 0.5, "d": 0.5},
        reranked={"a": 0.5, "b": 1.0, "c": 0.5, "d": 0.5},
        oracle={"a": 1.0, "b": 1.0, "c": 0.5, "d": 0.5},
    )
    assert (found.baseline_mean, found.candidate_mean, found.oracle) == (0.5, 0.625, 0.75)
    assert found.delta_points == pytest.approx(12.5)
    assert found.relative_percent == pytest.approx(25.0)
    assert found.headroom_points == pytest.approx(25.0)
    assert found.captured == pytest.approx(0.5)
    assert (found.wins, found.ties, found.losses, found.n_queries, found.n_units) == (1, 2, 1, 4, 4)
    assert (found.baseline, found.candidate, found.top_k) == ("dense", "rerank@50", 50)


def test_certainty_by_hand() -> None:
    """Differences -1/2, 1, 0, 0, mean 1/8. Flipped signs give sums of 1/2 or 3/2 in size, none smaller: p is 1.

    Two that differ have four sign patterns, so p cannot get under 2/4. Squares around the mean are 1.1875, times 4/3
    1.5833, and a pseudo-unit each way 1.95996**2 = 3.8415: 2.80159 x sqrt(5.4248) / 4 = 1.6313, more than there is.
    """
    found = one({"a": 1.0, "b": 0.0, "c": 0.5, "d": 0.5}, {"a": 0.5, "b": 1.0, "c": 0.5, "d": 0.5})
    assert (found.p_value, found.p_adjusted, found.attainable_p) == (1.0, 1.0, 0.5)
    assert found.detectable_points == 100


def test_the_interval_of_a_few_changes_is_in_points_and_exact() -> None:
    """3 of 20 rise: the upper end is Clopper and Pearson's; labels that differ so rarely cannot rule out a loss."""
    (found,) = compared(NOTHING, {50: risen(3)}, resamples=20_000)
    assert found.ci_high == pytest.approx(100 * stats.beta.ppf(0.975, 4, 17), abs=1)
    assert found.ci_low is not None
    assert found.ci_low < 0 < found.delta_points
    assert found.half_width_points == pytest.approx((found.ci_high - found.ci_low) / 2)
    assert found.interval_method is not None
    assert found.interval_method.startswith("Gaffke bound")


def test_holm_spares_the_decision_top_k_and_nothing_else() -> None:
    """8, 10 and 6 of 20 rise, so p = 2/2**8, 2/2**10 and 2/2**6. Of the first two the smaller is doubled."""
    found = compared(NOTHING, {10: risen(8), 20: risen(10), 50: risen(6)}, resamples=2000)
    assert [row.p_value for row in found] == pytest.approx([2 / 2**8, 2 / 2**10, 2 / 2**6])
    assert [row.p_adjusted for row in found] == pytest.approx([2 / 2**8, 4 / 2**10, 2 / 2**6])


def test_each_metric_is_a_family_of_its_own() -> None:
    other = Metric("mrr")
    after = {"rerank@10": risen(8), "rerank@20": risen(10), "rerank@50": risen(6)}
    values = {"dense": dict.fromkeys((RECALL, other), NOTHING)} | {
        name: dict.fromkeys((RECALL, other), found) for name, found in after.items()
    }
    design = replace(design_of(50, (10, 20, 50), resamples=2000), metrics=(RECALL, other))
    found = compare(systems_of(design.top_ks), values, values, design, Units.of(QUERIES, {}))
    for metric in (RECALL, other):
        adjusted = [row.p_adjusted for row in found if row.metric == metric]
        assert adjusted == pytest.approx([2 / 2**8, 4 / 2**10, 2 / 2**6])


def test_a_family_keeps_one_sign() -> None:
    """20 queries in 5 families all rise: 5 signs can be flipped, and p is 2/2**5 rather than 2/2**20."""
    families = {key: f"family {place // 4}" for place, key in enumerate(QUERIES)}
    (found,) = compared(NOTHING, {50: risen(20)}, families=families)
    assert (found.n_queries, found.n_units, found.p_value) == (20, 5, pytest.approx(2 / 2**5))


def test_after_an_early_stop_nothing_is_claimed_but_the_estimate() -> None:
    found = compared(NOTHING, {10: risen(8), 50: risen(6)}, stopped=True)
    assert [row.delta_points for row in found] == pytest.approx([40.0, 30.0])
    for row in found:
        claims = (row.ci_low, row.ci_high, row.interval_method, row.half_width_points)
        assert {*claims, row.p_value, row.p_adjusted, row.attainable_p, row.detectable_points} == {None}


def test_what_cannot_be_divided_is_absent() -> None:
    found = one({"a": 0.0}, {"a": 0.0}, {"a": 0.0})
    assert found.relative_percent is None
    assert found.captured is None
    assert found.delta_points == 0.0


def test_noise_of_floating_point_is_a_tie() -> None:
    found = one({"a": 0.1 + 0.2}, {"a": 0.3})
    assert (found.wins, found.ties, found.losses) == (0, 1, 0)


def test_values_are_paired_by_query_not_by_position() -> None:
    found = one({"a": 1.0, "b": 0.0}, {"b": 0.0, "a": 1.0})
    assert (found.wins, found.ties, found.losses) == (0, 2, 0)


def test_top_ks_that_cannot_change_the_metric_cost_the_others_nothing() -> None:
    """Recall@5 needs more than five candidates: the gain of 3 and of 5 is 0, and Holm leaves them out."""
    found = compared(NOTHING, {3: risen(0), 5: risen(0), 10: risen(8), 20: risen(10), 50: risen(6)}, resamples=2000)
    idle = found[:2]
    assert [(row.ci_low, row.ci_high, row.p_value, row.detectable_points) for row in idle] == [(0, 0, 1, None)] * 2
    assert {row.interval_method for row in idle} == {"none needed: so few candidates cannot change the metric"}
    assert [row.p_adjusted for row in found[2:]] == pytest.approx([2 / 2**8, 2 * 2 / 2**10, 2 / 2**6])
