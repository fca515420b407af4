"""What labels can resolve, by hand, against SciPy, and in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.power import (
    ONE_SIDED_FEWEST,
    TWO_SIDED_FEWEST,
    detectable_drop,
    detectable_effect,
    planned_effect,
    planned_half_width,
    queries_needed,
    standard_error,
    units_planned,
)
from evalkit.analysis.significance import drop_p_values, gain_p_values
from evalkit.analysis.units import Units
from tests.benchmarks.coverage import WORLDS


def alone(n_queries: int) -> Units:
    return Units.of([str(row) for row in range(n_queries)], {})


def test_the_standard_error_by_hand() -> None:
    """1, 0, 0, -1: mean 0, squares 2 x 4/3 = 2.6667, pseudo-units 1.95996**2 = 3.8415; sqrt(6.5081) / 4 = 0.63778."""
    values = np.array([[1.0], [0.0], [0.0], [-1.0]])
    assert standard_error(values, alone(4))[0] == pytest.approx(0.63778, abs=1e-5)


def test_the_detectable_change_by_hand() -> None:
    """24 of 200 differ, twelve each way: 24 x 200/199 = 24.1206, and 1.9207: sqrt(26.0413) / 200 = 0.025515."""
    values = np.array([[1.0]] * 12 + [[-1.0]] * 12 + [[0.0]] * 176)
    assert detectable_effect(values, alone(200))[0] == pytest.approx((1.95996 + 0.84162) * 0.025515, abs=1e-5)
    assert detectable_drop(values, alone(200))[0] == pytest.approx((1.64485 + 0.84162) * 0.025515, abs=1e-5)


def test_nothing_is_detectable_before_enough_units_differ() -> None:
    """A two-sided sign-flip test needs 6, a one-sided one 5; so many differ four times out of five at these means."""
    assert stats.poisson.sf(5, TWO_SIDED_FEWEST) == pytest.approx(0.8, abs=1e-4)
    assert stats.poisson.sf(4, ONE_SIDED_FEWEST) == pytest.approx(0.8, abs=1e-3)
    nothing = np.zeros((300, 1))
    assert detectable_effect(nothing, alone(300))[0] == pytest.approx(7.906 / 300)
    assert detectable_drop(nothing, alone(300))[0] == pytest.approx(6.721 / 300)
    assert detectable_drop(nothing, alone(300), 0.5)[0] == pytest.approx(2.48647 * 1.95996 / 300, rel=1e-4)


def test_no_change_above_100_points_is_spoken_of() -> None:
    assert detectable_effect(np.array([[1.0], [-1.0]]), alone(2))[0] == 1.0


def test_among_more_than_a_few_differences_half_a_pseudo_unit_counts() -> None:
    """Six of eight differ, three each way: 6 x 8/7 = 6.8571, and 3.8415 / 2 = 1.9207; sqrt(8.7779) / 8 = 0.37034."""
    values = np.array([[1.0]] * 3 + [[-1.0]] * 3 + [[0.0]] * 2)
    assert standard_error(values, alone(8))[0] == pytest.approx(0.37034, abs=1e-5)


def test_the_standard_error_of_families_by_hand() -> None:
    """Totals 2 and 0 of sizes 2 and 1, mean 2/3: residuals 2 - 4/3 and -2/3, squares 8/9 x 2/1 = 1.7778.

    Typical size (4 + 1) / 3 = 5/3: 3.8415 x 25/9 = 10.6707. sqrt(12.4485) / 3 = 1.17608.
    """
    units = Units.of(["a", "b", "c"], {"a": "f", "b": "f"})
    assert standard_error(np.array([[1.0], [1.0], [0.0]]), units)[0] == pytest.approx(1.17608, abs=1e-4)


def test_among_many_differences_it_is_the_standard_error_of_scipy() -> None:
    values = np.random.default_rng(1).uniform(-1, 1, 4000)
    assert standard_error(values[:, None], alone(4000))[0] == pytest.approx(stats.sem(values), rel=0.002)


@pytest.mark.parametrize("n_queries", [20, 100, 1000])
def test_where_nothing_differs_it_is_as_unsure_as_the_interval(n_queries: int) -> None:
    """1.96**2 / n beside Clopper-Pearson's 1 - 0.025**(1/n), which is about 3.69 / n."""
    nothing = np.zeros((n_queries, 1))
    half_width = 1.95996 * standard_error(nothing, alone(n_queries))[0]
    assert half_width == pytest.approx(3.8415 / n_queries, rel=1e-4)
    found = paired_intervals(nothing, alone(n_queries))
    assert half_width == pytest.approx((found.high[0] - found.low[0]) / 2, rel=0.2)


def test_what_is_called_detectable_is_found_four_times_in_five() -> None:
    """Two-sided and one-sided, at the effect that a typical sample of the same world names."""
    rng = np.random.default_rng(4)
    world, n_queries = WORLDS[0], 120
    units = world.units(n_queries)
    before = world.draw(rng, n_queries, 0.4, 300)
    gain, drop = (float(np.mean(size(before, units))) for size in (detectable_effect, detectable_drop))
    found = gain_p_values((before + gain).clip(-1, 1), units, 1_000) < 0.05
    assert 0.72 <= found.mean() <= 0.93
    dropped = [drop_p_values((before[:, [j]] - drop).clip(-1, 1), units, 1_000)[0] < 0.05 for j in range(300)]
    assert 0.72 <= np.mean(dropped) <= 0.93


@pytest.mark.parametrize(("n_units", "points"), [(50, 9.7), (100, 6.9), (200, 4.9), (500, 3.1)])
def test_the_half_width_to_expect_by_hand(n_units: int, points: float) -> None:
    """1.96 x 35 / sqrt(n)."""
    assert 100 * planned_half_width(n_units) == pytest.approx(points, abs=0.05)


def test_the_effect_to_expect_by_hand_and_the_units_that_find_it() -> None:
    """2.8016 x 35 / sqrt(80) = 10.96; (2.8016 x 35 / 12)**2 = 66.8; at a spread of 10, (2.8016 x 10 / 5)**2 = 31.4."""
    assert 100 * planned_effect(80) == pytest.approx(10.96, abs=0.005)
    assert units_planned(0.12) == 67
    assert units_planned(0.05, spread=0.1) == 32
    assert planned_effect(67) <= 0.12 < planned_effect(66)


def test_the_effect_to_expect_is_the_one_found_where_gains_spread_so() -> None:
    """Beside the effect that such a sample names, whose pseudo-units weigh little among many."""
    values = np.random.default_rng(2).normal(0, 0.35, 2000).clip(-1, 1)
    spread = float(values.std(ddof=1))
    assert detectable_effect(values[:, None], alone(2000))[0] == pytest.approx(planned_effect(2000, spread), rel=0.01)


def test_queries_needed_by_hand() -> None:
    """+10 points, interval 4 to 15: 12 is 2 away and the interval reaches 5 up, so (5/2)**2 x 100 = 625 touch it."""
    assert queries_needed(10.0, 4.0, 15.0, [12.0, 18.0], 100) == 626


def test_inside_the_band_the_more_demanding_edge_decides() -> None:
    """14 in 12 to 18, interval 10 to 20: (4/2)**2 = 4 times below, (6/4)**2 = 2.25 times above."""
    assert queries_needed(14.0, 10.0, 20.0, [12.0, 18.0], 50) == 201
    assert queries_needed(14.0, 10.0, 20.0, [12.0], 50) == 201


def test_no_number_of_queries_settles_an_estimate_on_the_edge() -> None:
    assert queries_needed(12.0, 8.0, 16.0, [12.0, 18.0], 100) is None
    assert queries_needed(0.2 - 0.02, 0.1, 0.3, [0.18], 100) is None


def test_without_an_edge_there_is_nothing_to_settle() -> None:
    assert queries_needed(1.0, 0.0, 2.0, [], 100) is None


@given(st.floats(-50, 50), st.floats(0.1, 30), st.floats(0.1, 30), st.floats(-60, 60), st.integers(1, 10_000))
def test_more_queries_are_asked_for_exactly_where_the_verdict_is_open(
    estimate: float, below: float, above: float, edge: float, n_queries: int
) -> None:
    low, high = estimate - below, estimate + above
    needed = queries_needed(estimate, low, high, [edge], n_queries)
    if needed is None:
        assert abs(edge - estimate) <= 1e-9
    elif low + 1e-6 < edge < high - 1e-6:
        assert needed > n_queries
    elif edge < low - 1e-6 or edge > high + 1e-6:
        assert needed <= n_queries
