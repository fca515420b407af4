"""The confidence sequence: capital by hand, a naive second implementation, and how often it is wrong.

Hand calculations use the moments of the five stakes under their weights (1, 2, 3, 3, 4)/13:
E u = 7.9/13 = 0.607692, E u^2 = 5.65/13 = 0.434615, E u^3 = 4.375/13 = 0.336538.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.analysis.sequence import Progress, decide, follow, log_capital
from evalkit.errors import ConfigError

STAKES = {0.1: 1, 0.3: 2, 0.5: 3, 0.7: 3, 0.9: 4}


def arrays(units: list[tuple[float, int]]) -> tuple[Any, Any]:
    """(total, size) per unit, as two arrays."""
    return np.array([total for total, _ in units], dtype=float), np.array([size for _, size in units], dtype=np.int64)


def naive_capital(units: list[tuple[float, int]], max_size: int, mean: float, sign: int) -> list[float]:
    """Capital after every unit, one bet at a time: thirteenths, each stake multiplied on its own."""
    purses = {stake: weight / 13 for stake, weight in STAKES.items()}
    history = []
    for total, size in units:
        worst = max_size * (1 + mean if sign > 0 else 1 - mean)
        for stake in purses:
            purses[stake] *= 1 + stake * sign * (total - mean * size) / worst
        history.append(sum(purses.values()))
    return history


def naive_progress(units: list[tuple[float, int]], max_size: int, edge: float, alpha: float) -> tuple[Any, Any]:
    """The verdict, read off the naive capital step by step."""
    steps = zip(naive_capital(units, max_size, edge, 1), naive_capital(units, max_size, edge, -1), strict=True)
    for step, (up, down) in enumerate(steps, start=1):
        if max(up, down) >= 2 / alpha:
            return step, "above" if up > down else "below"
    return None, None


def naive_low(units: list[tuple[float, int]], max_size: int, alpha: float, grid: list[float]) -> float:
    """The highest mean of a grid that some prefix excludes from below; -1 where none does."""
    excluded = [mean for mean in grid if max(naive_capital(units, max_size, mean, 1), default=1.0) >= 2 / alpha]
    return max(excluded, default=-1.0)


unit = st.integers(1, 4).flatmap(
    lambda size: st.tuples(st.integers(-6 * size, 6 * size).map(lambda sixths: sixths / 6), st.just(size))
)
streams = st.lists(unit, max_size=60) | st.tuples(st.lists(unit, min_size=1, max_size=6), st.integers(1, 15)).map(
    lambda drawn: drawn[0] * drawn[1]
)
edges = st.sampled_from([-0.5, -0.1, 0.0, 0.12, 0.6])


def test_three_wins_in_a_row_by_hand() -> None:
    """Edge 0: each win multiplies a stake by 1 + u.

    Capital 1.607692, then 1 + 2(0.607692) + 0.434615 = 2.65, then 1 + 3(0.607692) + 3(0.434615) + 0.336538 = 4.463462.
    At alpha = 0.5 each direction needs 2 / 0.5 = 4, which the third win reaches.
    """
    totals, sizes = np.ones(6), np.ones(6, dtype=np.int64)
    capital = np.exp(log_capital(totals, sizes, 1, 0.0))
    assert capital[:3] == pytest.approx([1.607692, 2.65, 4.463462], abs=1e-6)
    assert decide(totals[:2], sizes[:2], 1, 0.0, alpha=0.5) == (None, None)
    assert decide(totals, sizes, 1, 0.0, alpha=0.5) == (3, "above")


def test_family_units_by_hand() -> None:
    """Edge 0.25, largest family 4.

    A family of four with total 2: z = (2 - 1)/4 = 0.25, over 1.25 a pay-off of 0.2, capital 1 + 0.2(0.607692) =
    1.121538. A family of two with total -1: z = (-1 - 0.5)/4 = -0.375, pay-off -0.3, capital E(1 + 0.2 u)(1 - 0.3 u) =
    1 - 0.1(0.607692) - 0.06(0.434615) = 0.913154. Downward the pay-offs are -0.25/0.75 = -1/3 and 0.375/0.75 = 1/2:
    1 - 0.607692/3 = 0.797436, then 1 + (0.607692 - 0.434615)/6 = 1.028846.
    """
    totals, sizes = arrays([(2.0, 4), (-1.0, 2)])
    assert np.exp(log_capital(totals, sizes, 4, 0.25)) == pytest.approx([1.121538, 0.913154], abs=1e-6)
    assert np.exp(log_capital(-totals, sizes, 4, -0.25)) == pytest.approx([0.797436, 1.028846], abs=1e-6)


def test_interval_after_one_win_by_hand() -> None:
    """A win pays (1 - m)/(1 + m), so the capital is 1 + (7.9/13)(1 - m)/(1 + m).

    It reaches 4 where (1 - m)/(1 + m) = 39/7.9, at m = -31.1/46.9. From above nothing is excluded: a win never pays a
    bet on less.
    """
    found = follow(np.array([1.0]), np.array([1]), 1, 0.0, alpha=0.5)
    assert found.low == pytest.approx(-31.1 / 46.9, abs=2e-6)
    assert (found.high, found.decided_after, found.side) == (1.0, None, None)


def test_nothing_seen_excludes_nothing() -> None:
    assert follow(np.array([]), np.array([], dtype=np.int64), 1, 0.12) == Progress(None, None, -1.0, 1.0)


def test_nothing_but_ties_decides_that_the_gain_is_below_the_edge() -> None:
    """Edge 0.12: each tie multiplies a downward stake by 1 + u 0.12/0.88, and the capital must reach 40."""
    ties = [1]
    while sum(weight / 13 * (1 + stake * 0.12 / 0.88) ** ties[-1] for stake, weight in STAKES.items()) < 40:
        ties.append(ties[-1] + 1)
    found = follow(np.zeros(100), np.ones(100, dtype=np.int64), 1, 0.12)
    assert (found.decided_after, found.side) == (ties[-1], "below")
    assert found.low < 0 < found.high <= 0.12


@given(streams, edges, st.sampled_from([0.05, 0.5]))
@settings(max_examples=100, deadline=None)
def test_verdict_and_interval_agree_with_the_naive_loop(
    units: list[tuple[float, int]], edge: float, alpha: float
) -> None:
    found = follow(*arrays(units), 4, edge, alpha)
    assert (found.decided_after, found.side) == naive_progress(units, 4, edge, alpha)
    seen = units[: found.decided_after]
    grid = [step / 20 for step in range(-19, 20)]
    low = naive_low(seen, 4, alpha, grid)
    high = -naive_low([(-total, size) for total, size in seen], 4, alpha, grid)
    assert low - 2e-6 <= found.low <= low + 0.05 + 2e-6
    assert high - 0.05 - 2e-6 <= found.high <= high + 2e-6


@given(streams, edges, st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_a_longer_prefix_never_changes_what_was_said(units: list[tuple[float, int]], edge: float, cut: int) -> None:
    """Once decided, everything stays; before, the interval only narrows and the verdict never falls into the past."""
    totals, sizes = arrays(units)
    early, late = follow(totals[:cut], sizes[:cut], 4, edge, 0.3), follow(totals, sizes, 4, edge, 0.3)
    if early.decided_after is not None:
        assert late == early
    else:
        assert late.decided_after is None or late.decided_after > cut
        # Bisection starts from another bracket once the edge is excluded, and both are rounded outwards.
        assert early.low - 2e-6 <= late.low
        assert late.high <= early.high + 2e-6


@given(streams, edges)
@settings(max_examples=60, deadline=None)
def test_the_opposite_stream_gives_the_opposite_answer(units: list[tuple[float, int]], edge: float) -> None:
    totals, sizes = arrays(units)
    found, mirrored = follow(totals, sizes, 4, edge, 0.3), follow(-totals, sizes, 4, -edge, 0.3)
    opposite = {"above": "below", "below": "above", None: None}
    assert mirrored == Progress(found.decided_after, opposite[found.side], -found.high, -found.low)  # type: ignore[arg-type]


@given(streams, edges)
@settings(max_examples=60, deadline=None)
def test_the_edge_lies_inside_the_interval_exactly_while_undecided(units: list[tuple[float, int]], edge: float) -> None:
    found = follow(*arrays(units), 4, edge, 0.3)
    assert -1 <= found.low <= found.high <= 1
    assert (found.low < edge < found.high) == (found.side is None)
    if found.side == "above":
        assert found.low >= edge
    if found.side == "below":
        assert found.high <= edge


def test_a_bet_is_fair_under_the_true_mean_even_if_large_families_gain_more() -> None:
    """Units (2, size 4), (0, 1), (-1, 3) with chances p, 0.5, 0.5 - p.

    The mean over queries is 0.12 where
    2 p - (0.5 - p) = 0.12 (4 p + 0.5 + 3 (0.5 - p)), that is p = 0.74/2.88. The mean of the unit means is another:
    p/2 - (0.5 - p)/3 = 0.047. One bet then has the expected capital 1, and less where it is against the truth.
    """
    totals, sizes = arrays([(2.0, 4), (0.0, 1), (-1.0, 3)])
    chances = np.array([0.74 / 2.88, 0.5, 0.5 - 0.74 / 2.88])

    def expected(sign: int, mean: float) -> float:
        bets = [log_capital(sign * totals[[i]], sizes[[i]], 4, sign * mean)[0] for i in range(3)]
        return float(chances @ np.exp(bets))

    assert expected(1, 0.12) == pytest.approx(1)
    assert expected(-1, 0.12) == pytest.approx(1)
    assert expected(1, 0.17) < 1 < expected(1, 0.07)
    assert expected(-1, 0.07) < 1 < expected(-1, 0.17)


@pytest.mark.parametrize("changed", [0.2, 0.3, 0.6])
def test_at_the_edge_itself_at_most_five_percent_of_streams_are_decided(changed: float) -> None:
    """600 streams of 500 queries whose true gain is the edge, watched after every query: any verdict is wrong.

    The limit leaves 2.5 standard errors of 600 draws above 5 %.
    """
    wrong = sum(side is not None for side in verdicts(changed, 0.12, 600, 500))
    assert wrong / 600 <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 600)


def test_ten_points_clear_of_the_edge_the_verdict_is_right_and_early() -> None:
    for gain, side in ((0.02, "below"), (0.22, "above")):
        found = verdicts(0.45, gain, 100, 500)
        assert sum(verdict == side for verdict in found) >= 95


def verdicts(changed: float, gain: float, n_streams: int, n_queries: int) -> list[str | None]:
    """Verdicts on the edge of 12 points over seeded streams of single queries.

    A share changes, by +-1, +-1/2 or +-1/3 with equal chance (11/18 on average), up often enough for the true gain.
    """
    rng = np.random.default_rng([round(100 * changed), round(100 * gain)])
    up = (gain / (changed * 11 / 18) + 1) / 2
    assert up <= 1
    shape = (n_streams, n_queries)
    steps = 1 / rng.integers(1, 4, shape)
    signs = np.where(rng.random(shape) < up, 1, -1)
    totals = np.where(rng.random(shape) < changed, signs * steps, 0.0)
    sizes = np.ones(n_queries, dtype=np.int64)
    return [decide(row, sizes, 1, 0.12)[1] for row in totals]


def test_impossible_arguments_are_named() -> None:
    one, size = np.array([1.0]), np.array([1])
    with pytest.raises(ConfigError, match="edge to decide is 100 points"):
        follow(one, size, 1, 1.0)
    with pytest.raises(ValueError, match=r"alpha is 1\.5"):
        follow(one, size, 1, 0.0, 1.5)
    with pytest.raises(ValueError, match=r"total of unit 1 is nan; expected -1 to 1"):
        follow(np.array([0.0, math.nan]), np.array([1, 1]), 1, 0.0)
    with pytest.raises(ValueError, match=r"total of unit 0 is 1\.5; expected -1 to 1"):
        follow(np.array([1.5]), size, 2, 0.0)
    with pytest.raises(ValueError, match="max_size 1; found 2 to 2"):
        follow(one, np.array([2]), 1, 0.0)
    with pytest.raises(ValueError, match="one of each per unit"):
        follow(one, np.array([1, 1]), 1, 0.0)


def test_a_total_may_miss_its_bound_by_rounding() -> None:
    total = 3 * (1 / 3 + 1 / 3 + 1 / 3 + 1e-11)
    assert follow(np.array([total]), np.array([3]), 3, 0.0).side is None
