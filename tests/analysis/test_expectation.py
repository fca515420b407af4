"""The promised gain against the measured one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from evalkit.analysis.expectation import check_sweep, judge
from evalkit.errors import ConfigError
from evalkit.findings import Control, Expectation
from evalkit.record import Sequential
from evalkit.result import Design
from evalkit.types import Metric
from tests.analysis.evidence import RECALL
from tests.analysis.gains import gain_of

EXPECTED = Expectation(RECALL, 50, 12, 18)
OPEN = Expectation(RECALL, 50, 12, None)
CAUTIOUS = Expectation(RECALL, 50, 12, 18, "lower_bound")


@pytest.mark.parametrize(
    ("points", "status"), [(-3.0, "below"), (11.9, "below"), (12.5, "met"), (17.9, "met"), (18.1, "above")]
)
def test_the_flag_follows_the_estimate(points: float, status: str) -> None:
    verdict = judge(gain_of(points), EXPECTED)
    assert (verdict.status, verdict.delta_points) == (status, points)


@pytest.mark.parametrize("points", [12.0, 18.0])
def test_the_edges_belong_to_the_band(points: float) -> None:
    assert judge(gain_of(points), EXPECTED).status == "met"


@pytest.mark.parametrize("n", [50, 100, 200, 250, 300])
def test_a_gain_on_the_edge_is_in_the_band_whatever_floating_point_makes_of_it(n: int) -> None:
    """Exact gains of 12 and 18 points at many baselines: (a + gain) / n - a / n is not gain / n."""
    for gain in (12, 18):
        hits = gain * n // 100
        assert hits * 100 == gain * n
        for before in range(n - hits):
            points = 100 * ((before + hits) / n - before / n)
            assert judge(gain_of(points), EXPECTED).status == "met", (n, gain, before)


# --- decided by the lower bound, or against an open band -------------------------------------------


@pytest.mark.parametrize(
    ("points", "low", "high", "status"),
    [(15, 11, 19, "below"), (15, 12, 18, "met"), (20, 14, 26, "met"), (30, 19, 41, "above"), (9, 5, 13, "below")],
)
def test_a_cautious_expectation_holds_the_lower_bound_against_the_band(
    points: float, low: float, high: float, status: str
) -> None:
    verdict = judge(gain_of(points, low, high), CAUTIOUS)
    assert verdict.status == status
    assert verdict.delta_points == points
    assert "judged by the lower bound" in verdict.reason


def test_the_reason_names_the_lower_bound_only_where_it_decides() -> None:
    assert "lower bound" not in judge(gain_of(15, 11, 19), EXPECTED).reason


@pytest.mark.parametrize(
    ("points", "low", "high", "status", "conclusive"),
    [(95, 90, 99, "met", True), (14, 11, 17, "met", False), (9, 5, 11, "below", True), (9, 5, 13, "below", False)],
)
def test_an_open_band_has_a_lower_edge_only(
    points: float, low: float, high: float, status: str, conclusive: bool
) -> None:
    verdict = judge(gain_of(points, low, high), OPEN)
    assert (verdict.status, verdict.conclusive) == (status, conclusive)
    assert "the expected +12 or more" in verdict.reason


# --- conclusive, or how many queries would make it so ----------------------------------------------


@pytest.mark.parametrize(
    ("points", "low", "high", "status"),
    [(8, 5, 11.9, "below"), (15, 12.1, 17.9, "met"), (25, 18.1, 31, "above")],
)
def test_a_verdict_is_conclusive_where_the_interval_holds_no_edge(
    points: float, low: float, high: float, status: str
) -> None:
    verdict = judge(gain_of(points, low, high), EXPECTED)
    assert (verdict.status, verdict.conclusive, verdict.queries_needed) == (status, True, None)
    assert "not conclusive" not in verdict.reason


@pytest.mark.parametrize(
    ("points", "low", "high", "status", "needed"),
    [
        # 12 is 2 points up, the interval reaches 5 up: (5 / 2)**2 x 100 = 625 would touch it.
        (10, 4, 15, "below", 626),
        # 12 is 2 down and 4 are reached, 18 is 4 up and 6 are reached: 400 and 225.
        (14, 10, 20, "met", 401),
        # 18 is 2 down, 3 are reached: 225.
        (20, 17, 23, "above", 226),
        # A result below the band need not settle on which side of the upper edge it lies: 12 is 1 up, 9 are reached.
        (11, 2, 20, "below", 8101),
    ],
)
def test_an_open_verdict_says_how_many_queries_would_settle_it(
    points: float, low: float, high: float, status: str, needed: int
) -> None:
    verdict = judge(gain_of(points, low, high), EXPECTED)
    assert (verdict.status, verdict.conclusive, verdict.queries_needed) == (status, False, needed)
    assert "not conclusive, the interval holds an edge of the band" in verdict.reason


def test_an_interval_that_touches_an_edge_is_not_conclusive() -> None:
    assert not judge(gain_of(15, 12, 17), EXPECTED).conclusive


def test_no_number_of_queries_settles_an_estimate_on_the_edge() -> None:
    verdict = judge(gain_of(12, 9, 15), EXPECTED)
    assert (verdict.conclusive, verdict.queries_needed) == (False, None)


# --- what the reason says ---------------------------------------------------------------------------


def test_the_reason_gives_means_points_interval_percent_and_band() -> None:
    assert judge(gain_of(6.5, 1.25, 11.0), EXPECTED).reason == (
        "At top-k 50, recall@5 went from 0.500 to 0.565: +6.5 points (95 % interval +1.2 to +11.0, +13.0 % relative), "
        "below the expected +12 to +18."
    )


def test_a_change_that_cannot_be_divided_is_left_out_of_the_reason() -> None:
    assert "relative" not in judge(gain_of(14, relative_percent=None), EXPECTED).reason


def test_after_an_early_stop_the_interval_of_the_sequence_is_judged() -> None:
    """The comparison has none then; the estimate of 30 points lies above the band, the interval does not say so."""
    stopped = Sequential("above", 14.0, 45.0, 40, 2000, 100, 5000, 0)
    found = gain_of(30, ci_low=None, ci_high=None)
    verdict = judge(found, EXPECTED, stopped)
    assert (verdict.ci_low, verdict.ci_high) == (14.0, 45.0)
    assert (verdict.status, verdict.conclusive) == ("above", False)
    assert "(anytime-valid 95 % interval +14.0 to +45.0" in verdict.reason
    assert "An estimate after early stopping is biased" in verdict.reason
    with pytest.raises(ValueError, match="without an interval"):
        judge(found, EXPECTED)


# --- invalid ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [5.0, 15.0, 25.0])
def test_a_failed_control_leaves_no_verdict_but_invalid(points: float) -> None:
    failed = [Control("labels", "failed", "stage 1 is no better than chance"), Control("pool", "failed", "3 others")]
    verdict = judge(gain_of(points, points - 9, points + 9), EXPECTED, failed=failed)
    assert (verdict.status, verdict.conclusive, verdict.queries_needed) == ("invalid", False, None)
    assert "labels: stage 1 is no better than chance" in verdict.reason
    assert "pool: 3 others" in verdict.reason
    assert f"{points:+.1f} points" not in verdict.reason


# --- what cannot be expected, and what cannot be answered ------------------------------------------


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"top_k": 5}, "recall@5 cannot change unless more than 5 candidates are reranked; choose a top_k above 5"),
        ({"min_points": 19}, "expectation.min_points 19 is above max_points 18; swap them"),
        ({"decide_on": "mean"}, "expectation.decide_on is 'mean'; expected estimate or lower_bound"),
        ({"min_points": math.nan, "max_points": None}, "expectation.min_points is nan; expected a finite number"),
        ({"min_points": -math.inf}, "expectation.min_points is -inf"),
        ({"max_points": math.inf}, "expectation.max_points is inf"),
    ],
)
def test_an_expectation_that_makes_no_sense_is_refused(changes: dict[str, Any], what: str) -> None:
    parts = {"metric": RECALL, "top_k": 50, "min_points": 12, "max_points": 18}
    with pytest.raises(ConfigError) as caught:
        Expectation(**{**parts, **changes})
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("top_ks", "metrics", "documents", "what"),
    [
        ((10, 20), (RECALL,), None, "expectation.top_k is 50, which sweep.top_k [10, 20] does not hold"),
        ((50,), (Metric("map"),), None, "expectation.metric is recall@5, which is not computed"),
        ((10, 50), (RECALL,), 40, "the decision top-k 50 is larger than the corpus of 40 documents"),
        ((50, 100), (RECALL,), 60, "top-k 100 is larger than the corpus of 60 documents"),
        ((0, 50), (RECALL,), None, "distinct whole numbers of at least 1"),
        ((50, 50), (RECALL,), None, "distinct whole numbers of at least 1"),
        ((), (RECALL,), None, "distinct whole numbers of at least 1"),
    ],
)
def test_a_sweep_that_cannot_answer_is_refused(
    top_ks: tuple[int, ...], metrics: tuple[Metric, ...], documents: int | None, what: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_sweep(Design(top_ks, metrics, EXPECTED), documents)
    assert what in str(caught.value)


@pytest.mark.parametrize(("documents", "passes"), [(None, True), (51, True), (50, True), (49, False)])
def test_a_sweep_passes_as_long_as_the_corpus_holds_its_largest_top_k(documents: int | None, passes: bool) -> None:
    design = Design((1, 10, 50), (RECALL,), EXPECTED)
    try:
        check_sweep(design, documents)
    except ConfigError:
        assert not passes
    else:
        assert passes


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"resamples": 99}, "statistics.resamples is 99; expected a whole number of at least 100"),
        ({"resamples": 1000.0}, "statistics.resamples is 1000.0"),
        ({"seed": -1}, "statistics.seed is -1; expected a whole number of at least 0"),
    ],
)
def test_a_design_refuses_numbers_that_cannot_be_drawn_with(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Design((50,), (RECALL,), EXPECTED, **changes)
    assert what in str(caught.value)


def test_where_nothing_changed_no_number_of_queries_is_foretold() -> None:
    """One tie says nothing of how widely changes scatter."""
    nothing = replace(gain_of(0), wins=0, losses=0, ci_low=-30.0, ci_high=30.0)
    found = judge(nothing, EXPECTED)
    assert (found.conclusive, found.queries_needed) == (False, None)
    assert judge(replace(nothing, wins=3), EXPECTED).queries_needed is not None
