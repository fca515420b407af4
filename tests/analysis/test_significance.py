"""Sign-flip tests against SciPy, brute force in exact fractions, and hand counts."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from evalkit.analysis.significance import attainable_p, drop_p_values, gain_p_values, holm
from evalkit.analysis.units import Units

Floats = NDArray[np.float64]


def alone(n_queries: int) -> Units:
    return Units.of([str(row) for row in range(n_queries)], {})


def column(*values: float) -> Floats:
    return np.array(values)[:, None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.0, 1.0, 1.0), 2 / 8),  # only all signs as observed, and all flipped
        ((1.0, 1.0, -1.0), 1.0),  # every pattern reaches |1|
        ((1.0, 0.5, 0.0, -0.25), 4 / 8),  # |1 + .5 + .25| and |1 + .5 - .25| with both signs; the tie takes no part
        ((0.0, 0.0), 1.0),
        ((0.25,), 1.0),
    ],
)
def test_few_differing_queries_are_enumerated(values: tuple[float, ...], expected: float) -> None:
    assert gain_p_values(column(*values), alone(len(values)))[0] == expected


def test_enumeration_gives_the_p_of_scipy() -> None:
    """Twelve pairs: SciPy enumerates all 2**12 swaps too."""
    rng = np.random.default_rng(1)
    before, after = rng.choice([0, 0.25, 0.5, 1], 12), rng.choice([0.125, 0.6, 0.75], 12)
    expected = stats.permutation_test(
        (after, before), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True
    )
    assert gain_p_values((after - before)[:, None], alone(12))[0] == pytest.approx(expected.pvalue, abs=1e-12)


def test_drawn_signs_come_close_to_the_exact_p() -> None:
    """16 pairs, too many for 10,000 resamples; SciPy enumerates 65,536. Four standard errors of p = 0.05 are 0.009."""
    values = np.random.default_rng(0).normal(0.2, 0.25, 16).clip(-1, 1)
    expected = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=100_000, vectorized=True
    ).pvalue
    assert 0.005 < expected < 0.1
    assert gain_p_values(values[:, None], alone(16))[0] == pytest.approx(
        expected, abs=4 * (expected * (1 - expected) / 10_000) ** 0.5
    )


sixths = st.fractions(-1, 1, max_denominator=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(sixths, min_size=1, max_size=8))
def test_ties_are_exact_whatever_the_fractions(values: list[Fraction]) -> None:
    """1/3 + 1/3 ties with 2/3, which floating point would not always say; brute force in exact fractions."""
    differing = [value for value in values if value]
    sums = [
        abs(sum(s * v for s, v in zip(signs, differing, strict=True)))
        for signs in product((1, -1), repeat=len(differing))
    ]
    expected = Fraction(sum(found >= abs(sum(differing)) for found in sums), len(sums))
    assert gain_p_values(column(*map(float, values)), alone(len(values)))[0] == float(expected)


def test_a_family_keeps_one_sign() -> None:
    """Eight wins: alone 2 / 2**8; as two families of four translations 2 / 2**2."""
    ids = list("abcdefgh")
    families = dict(zip(ids, "11112222", strict=True))
    values = np.full((8, 1), 0.5)
    assert gain_p_values(values, alone(8))[0] == 2 / 256
    assert gain_p_values(values, Units.of(ids, families))[0] == 0.5
    assert attainable_p(values, Units.of(ids, families))[0] == 0.5


@pytest.mark.parametrize(
    ("differing", "resamples", "expected"),
    [
        (0, 10_000, 1.0),
        (1, 10_000, 1.0),
        (5, 10_000, 0.0625),
        (6, 10_000, 0.03125),
        (13, 10_000, 2 / 8192),
        (14, 10_000, 2 / 16384),
        (15, 10_000, 1 / 10_001),
        (40, 999, 1 / 1000),
    ],
)
def test_the_smallest_p_that_the_labels_allow(differing: int, resamples: int, expected: float) -> None:
    values = column(*[-0.5] * differing, *[0.0] * 10)
    assert attainable_p(values, alone(len(values)), resamples)[0] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(sixths.map(float), min_size=1, max_size=30))
def test_a_p_is_a_chance_and_never_below_the_attainable(values: list[float]) -> None:
    units = alone(len(values))
    p = gain_p_values(column(*values), units, resamples=200)[0]
    assert 1 / 201 <= p <= 1
    assert drop_p_values(column(*values), units, resamples=200)[0] <= 1
    if 2 ** np.count_nonzero(values) <= 200:
        assert p >= attainable_p(column(*values), units, resamples=200)[0]
    assert gain_p_values(column(*[-value for value in values]), units, resamples=200)[0] == p


def test_the_same_to_the_bit_on_any_number_of_threads_and_in_any_company() -> None:
    values = np.random.default_rng(3).choice([-1.0, -1 / 3, 0.0, 0.1, 0.7], (600, 5))
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            both = np.concatenate([gain_p_values(values, alone(600)), drop_p_values(values, alone(600))])
        found.append(both.tobytes())
    assert found[0] == found[1]
    assert gain_p_values(values[:, [2]], alone(600))[0] == gain_p_values(values, alone(600))[2]


def test_another_seed_draws_other_signs() -> None:
    values = np.random.default_rng(3).normal(0.05, 0.2, (60, 1)).clip(-1, 1)
    assert gain_p_values(values, alone(60), seed=1)[0] != gain_p_values(values, alone(60), seed=2)[0]


def test_a_drop_of_one_column_is_the_one_sided_test_of_scipy() -> None:
    values = np.random.default_rng(6).choice([-1.0, -0.5, 0.25, 0.5], 11, p=[0.4, 0.3, 0.2, 0.1])
    expected = stats.permutation_test((values,), np.mean, permutation_type="samples", alternative="less").pvalue
    assert drop_p_values(values[:, None], alone(11))[0] == pytest.approx(expected, abs=1e-12)


def test_drops_by_hand() -> None:
    """Five losses: one pattern of 32 is as low. Five gains: all are. Nothing differs: 1."""
    assert drop_p_values(np.full((5, 1), -0.5), alone(5))[0] == 1 / 32
    assert drop_p_values(np.full((5, 1), 0.5), alone(5))[0] == 1.0
    assert drop_p_values(np.zeros((5, 2)), alone(5)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("n_queries", [8, 60])
def test_columns_that_agree_cost_no_more_than_one(n_queries: int) -> None:
    """Twins, a column of half the size, and one without a change, enumerated and drawn."""
    rng = np.random.default_rng(8)
    values = rng.choice([-1.0, -0.5, 0.25, 0.5], n_queries, p=[0.3, 0.3, 0.2, 0.2])
    single = drop_p_values(values[:, None], alone(n_queries))[0]
    together = drop_p_values(np.column_stack([values, values, values / 2, 0 * values]), alone(n_queries))
    assert together.tolist() == [single, single, single, 1.0]


def test_step_down_max_t_by_brute_force() -> None:
    """Three columns, seven queries: every pattern of signs, every step of Westfall and Young, spelt out."""
    values = np.random.default_rng(9).choice([-1.0, -0.5, -0.25, 0.5], (7, 3), p=[0.3, 0.3, 0.2, 0.2])
    norm = [sum(value**2 for value in column) ** 0.5 for column in values.T]
    patterns = list(product((1, -1), repeat=7))

    def t(signs: tuple[int, ...], j: int) -> float:
        return float(-sum(s * value for s, value in zip(signs, values[:, j], strict=True)) / norm[j])

    observed = [t((1,) * 7, j) for j in range(3)]
    order = sorted(range(3), key=lambda j: -observed[j])
    expected, highest = [0.0] * 3, 0.0
    for step, j in enumerate(order):
        reached = sum(max(t(signs, other) for other in order[step:]) >= observed[j] - 1e-9 for signs in patterns)
        highest = max(highest, reached / len(patterns))
        expected[j] = highest
    assert drop_p_values(values, alone(7)).tolist() == pytest.approx(expected, abs=1e-12)


def test_false_alarms_stay_under_the_level() -> None:
    """600 simulations of two correlated columns without a drop: 5 % plus three standard errors is 7.7 %."""
    rng = np.random.default_rng(10)
    failed = 0
    for _ in range(600):
        first, second = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], (2, 60))
        second = np.where(rng.random(60) < 0.7, first, second)
        failed += bool((drop_p_values(np.column_stack([first, second]), alone(60), 500) < 0.05).any())
    assert failed / 600 <= 0.077


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.03, 0.04 times 3, 2, 1 is 0.03, 0.06, 0.04; the last may not fall below the second."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, found in zip(p_values, adjusted, strict=True):
        assert raw <= found <= min(1.0, raw * len(p_values))
    in_order = [adjusted[place] for place in sorted(range(len(p_values)), key=p_values.__getitem__)]
    assert in_order == sorted(in_order)


def test_no_resamples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        gain_p_values(column(1.0), alone(1), resamples=0)
