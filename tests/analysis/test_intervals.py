"""Intervals against exact binomial bounds, SciPy's bootstrap, and the truth in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from evalkit.analysis.intervals import BOOTSTRAP, EXACT, paired_intervals
from evalkit.analysis.units import Units
from tests.benchmarks.coverage import WORLDS, World

Floats = NDArray[np.float64]


def alone(n_queries: int) -> Units:
    return Units.of([str(row) for row in range(n_queries)], {})


def steps(n_queries: int, *changed: float) -> Floats:
    """One column: the changed queries first, then ties."""
    return np.array([*changed, *[0.0] * (n_queries - len(changed))])[:, None]


def test_the_estimate_is_the_mean_over_queries_not_over_units() -> None:
    """Family of three +1 and a lone 0: mean over queries 3/4, over units 1/2."""
    units = Units.of(["a", "b", "c", "d"], dict.fromkeys("abc", "f"))
    found = paired_intervals(np.array([[1.0], [1.0], [1.0], [0.0]]), units)
    assert found.estimate[0] == 0.75
    assert found.low[0] < 0.75 < found.high[0]
    assert (found.n_queries, found.n_units, found.differing.tolist()) == (4, 2, [1])


@pytest.mark.parametrize("n_queries", [10, 50, 500])
def test_where_nothing_differs_the_width_is_that_of_the_rule_of_three(n_queries: int) -> None:
    """Clopper-Pearson at 0 of n, two-sided: 1 - 0.025**(1/n), about 3.7 / n, for gains and for losses."""
    expected = 1 - 0.025 ** (1 / n_queries)
    found = paired_intervals(steps(n_queries), alone(n_queries))
    assert found.estimate[0] == 0.0
    assert found.high[0] == pytest.approx(expected, rel=0.06)
    assert found.low[0] == -found.high[0]
    assert found.method == (EXACT,)


@pytest.mark.parametrize("wins", [1, 3, 5])
def test_few_wins_reach_as_high_as_the_exact_binomial_bound(wins: int) -> None:
    """Full steps are 0/1 data, for which Gaffke's upper bound is Clopper-Pearson's, here from SciPy."""
    found = paired_intervals(steps(50, *[1.0] * wins), alone(50))
    exact = stats.binomtest(wins, 50).proportion_ci(0.95, method="exact")
    assert found.method == (EXACT,)
    assert found.high[0] == pytest.approx(exact.high, rel=0.04)


def test_many_differences_take_the_mid_way_between_the_exact_bounds() -> None:
    """40 wins and 20 losses of full steps: share of wins in Beta quantiles with half a pseudo-unit, from SciPy."""
    found = paired_intervals(steps(60, *[1.0] * 40, *[-1.0] * 20), alone(60))
    low, high = stats.beta.ppf(0.025, 40, 20.5), stats.beta.ppf(0.975, 40.5, 20)
    assert found.method == (BOOTSTRAP,)
    assert found.low[0] == pytest.approx(2 * low - 1, abs=0.01)
    assert found.high[0] == pytest.approx(2 * high - 1, abs=0.01)


def test_among_many_spread_differences_it_agrees_with_scipy() -> None:
    """800 differences: the pseudo-unit adds at most 1/800 at each end to SciPy's percentile bootstrap."""
    values = np.random.default_rng(5).uniform(-0.8, 1.0, 800)
    expected = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1))
    found = paired_intervals(values[:, None], alone(800))
    assert found.low[0] == pytest.approx(expected.confidence_interval.low, abs=0.003)
    assert found.high[0] == pytest.approx(expected.confidence_interval.high, abs=0.003)


@pytest.mark.parametrize("changed", [[1.0] * 5, [-1.0] * 5, [0.2] * 5, [1.0, 0.1, 0.1], [0.5]])
def test_what_no_test_could_find_significant_no_interval_excludes(changed: list[float]) -> None:
    """Five units at most: the least p of a sign-flip test is 0.0625."""
    found = paired_intervals(steps(500, *changed), alone(500))
    assert found.low[0] < 0 < found.high[0]


def test_queries_repeated_as_a_family_add_nothing() -> None:
    """Four identical translations of each question: to the bit the interval of the questions alone."""
    values = np.random.default_rng(2).choice([-0.5, 0.0, 0.25, 1.0], 30)
    ids = [str(row) for row in range(120)]
    families = {name: str(row // 4) for row, name in enumerate(ids)}
    once = paired_intervals(values[:, None], alone(30))
    repeated = paired_intervals(np.repeat(values, 4)[:, None], Units.of(ids, families))
    assert (repeated.low[0], repeated.high[0]) == (once.low[0], once.high[0])
    lone = paired_intervals(np.repeat(values, 4)[:, None], alone(120))
    assert lone.high[0] - lone.low[0] < 0.65 * (once.high[0] - once.low[0])


def test_the_same_to_the_bit_on_any_number_of_threads() -> None:
    values = np.random.default_rng(3).choice([-1.0, -1 / 3, 0.0, 0.1, 2 / 3], (700, 6))
    ends = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found = paired_intervals(values, alone(700), seed=7)
        ends.append(np.concatenate([found.low, found.high]).tobytes())
    assert ends[0] == ends[1]


def test_a_column_does_not_depend_on_its_neighbours() -> None:
    values = np.random.default_rng(4).choice([-0.5, 0.0, 1.0], (40, 3))
    together, single = (paired_intervals(columns, alone(40)) for columns in (values, values[:, [1]]))
    assert (together.low[1], together.high[1]) == (single.low[0], single.high[0])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.fractions(-1, 1, max_denominator=6).map(float), min_size=1, max_size=60), st.integers(1, 5))
def test_an_interval_holds_its_estimate_has_width_and_mirrors(values: list[float], family: int) -> None:
    """A loss is a mirrored win; all ends lie in [-1, 1]."""
    ids = [str(row) for row in range(len(values))]
    units = Units.of(ids, {name: str(row // family) for row, name in enumerate(ids)})
    found = paired_intervals(np.array(values)[:, None], units, resamples=400)
    mirrored = paired_intervals(-np.array(values)[:, None], units, resamples=400)
    assert -1 <= found.low[0] <= found.estimate[0] <= found.high[0] <= 1
    assert found.high[0] > found.low[0]
    assert (mirrored.low[0], mirrored.high[0]) == (-found.high[0], -found.low[0])


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 39"):
        paired_intervals(steps(5), alone(5), resamples=38)


def coverage(differences: Floats, units: Units, mean: float) -> float:
    found = paired_intervals(differences, units, resamples=2_000)
    return float(np.mean((found.low <= mean) & (mean <= found.high)))


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
@pytest.mark.parametrize(("n_queries", "share"), [(50, 0.02), (50, 0.1), (50, 0.4), (120, 0.1)])
def test_the_interval_holds_the_true_mean(world: World, n_queries: int, share: float) -> None:
    """400 simulations of what reranking does; the full table is ``python -m tests.benchmarks.coverage``."""
    differences = world.draw(np.random.default_rng(11), n_queries, share, 400)
    assert coverage(differences, world.units(n_queries), world.mean(share)) >= 0.93


def test_the_interval_holds_the_true_mean_where_losses_are_rare_and_large() -> None:
    """Five wins of 0.2 to one loss of 1: mean zero, and the percentile bootstrap holds it in 85 % only."""
    rng = np.random.default_rng(12)
    shape = (120, 600)
    differences = np.where(rng.random(shape) < 0.1, np.where(rng.random(shape) < 1 / 6, -1.0, 0.2), 0.0)
    assert coverage(differences, alone(120), 0.0) >= 0.93


def test_the_interval_holds_the_true_mean_of_families_of_any_size() -> None:
    """60 families of 1, 2 or 7 queries that change together, wins and losses of 1 and 1/2: mean zero."""
    rng = np.random.default_rng(13)
    sizes = [1, 2, 7] * 20
    ids = [str(row) for row in range(sum(sizes))]
    units = Units.of(ids, dict(zip(ids, map(str, np.repeat(np.arange(60), sizes)), strict=True)))
    changes = np.where(rng.random((60, 600)) < 0.3, rng.choice([-1.0, -0.5, 0.5, 1.0], (60, 600)), 0.0)
    assert coverage(np.repeat(changes, sizes, axis=0), units, 0.0) >= 0.93
