"""Stop when it is decided: an anytime-valid confidence sequence on the paired gain, by betting.

Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86 (2024): whoever bets
against a mean that is true cannot expect to win, so a gambler who has multiplied their money by 1/alpha has
disproved it, whenever one looks (Ville's inequality). A fixed 95 % interval that is looked at again and again is
wrong far more often.

The stream consists of units in a seeded random order: queries, or families of translated queries, which differ
in size. Unit i brings ``total_i``, the sum over its queries of (reranked - dense), and ``size_i``. The estimand is
the mean over queries of the population that the units were drawn from, m = E[total] / E[size], a ratio. Under a
candidate m the pay-off

    p_i(m) = (total_i - m size_i) / ((1 + m) max_size)    >= -1

has the mean 0, so the capital of a fixed stake u in (0, 1), prod_i (1 + u p_i), is a positive martingale, and so is
any average over stakes that is settled beforehand. That average (``STAKES``, ``WEIGHTS``) is the strategy: it has
no variance to learn, so that a stream that begins with nothing but ties cannot mislead it. Bets that the gain lies
below m are the same bets on the stream of opposite sign. Each direction has half of alpha.

``p_i`` falls as m rises, hence so does the capital: the means that are excluded from below end at one point,
the lower end of the interval, and the verdict on an edge is the capital at exactly that edge.

What a unit could bring at most (no gain above 1 - dense) is known before it is scored, but must not widen its bet:
``p_i`` has the mean 0 over units, not among units of one dense recall, and a stake that follows the unit would lose
the guarantee. For the same reason a stake may use ``max_size``, never ``size_i``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ConfigError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Side = Literal["above", "below"]

STAKES: Floats = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
"""Shares of the largest bet that can never lose everything."""

WEIGHTS: Floats = np.array([1.0, 2.0, 3.0, 3.0, 4.0]) / 13
"""Starting capital per stake, chosen on simulated streams before any real one was seen: on sparse gains the average
decides sooner than one stake that follows the running variance (predictable plug-in, aGRAPA), more than five stakes
gain nothing, and families need the large ones."""

RESOLUTION = 1e-6
"""Ends of the interval are found up to this fraction (0.0001 points), rounded outwards."""

ROUNDING = 1e-9
"""By how much a total, a sum of fractions in floating point, may exceed its size."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a prefix of the stream says about the gain; once decided, a longer prefix says the same.

    Attributes:
        decided_after: Number of units after which the sequence first excluded the edge; None while it does not.
        side: Where the gain lies relative to the edge; None while undecided.
        low: Lower end of the interval, a fraction in [-1, 1].
        high: Upper end. Means strictly between the ends have not been excluded by any unit up to ``decided_after``, or
            up to the end of the prefix while undecided (running intersection), so the edge lies strictly between
            exactly while undecided.
    """

    decided_after: int | None
    side: Side | None
    low: float
    high: float


def follow(totals: Floats, sizes: Counts, max_size: int, edge: float, alpha: float = 0.05) -> Progress:
    """Watch the gain of a growing prefix of the stream until it is clear of an edge.

    With probability 1 - alpha, and at whatever moment one looks, the true gain lies between ``low`` and ``high``, and
    the side is right. An estimate at the moment of stopping is biased away from the edge. Valid for units that are
    drawn at random from the population spoken of; pure, and prefix-stable.

    Args:
        totals: Per unit, the sum over its queries of (reranked - dense), in [-size, size]; shape (n units,).
        sizes: Per unit, its number of queries, in 1 to ``max_size``; shape (n units,).
        max_size: Size of the largest unit of the whole stream, known before it begins. Bets shrink by size / max_size,
            so one very large family slows the decision.
        edge: The gain in question, a fraction (0.12 is 12 points), strictly between -1 and 1.
        alpha: Largest probability of ever being wrong, both directions together.

    Raises:
        ConfigError: The edge is not strictly between -1 and 1.
        ValueError: Totals, sizes or alpha are impossible.
    """
    decided_after, side = decide(totals, sizes, max_size, edge, alpha)
    totals, sizes = totals[:decided_after], sizes[:decided_after]
    low = _highest_excluded(totals, sizes, max_size, edge, alpha, side == "above")
    high = -_highest_excluded(-totals, sizes, max_size, -edge, alpha, side == "below")
    # Both directions may exclude the same means within the last step; those then are the interval.
    return Progress(decided_after, side, min(low, high), max(low, high))


def decide(
    totals: Floats, sizes: Counts, max_size: int, edge: float, alpha: float = 0.05
) -> tuple[int | None, Side | None]:
    """The verdict alone, without the interval: ``decided_after`` and ``side`` of :func:`follow`, same arguments."""
    _check(totals, sizes, max_size, edge, alpha)
    line = _line(alpha)
    above = log_capital(totals, sizes, max_size, edge) >= line
    below = log_capital(-totals, sizes, max_size, -edge) >= line
    hits = np.flatnonzero(above | below)
    if not hits.size:
        return None, None
    # Never both at once: one wins only where the pay-offs add up to more than 0, the other to less.
    return int(hits[0]) + 1, "above" if above[hits[0]] else "below"


def log_capital(totals: Floats, sizes: Counts, max_size: int, mean: float) -> Floats:
    """Capital of betting from 1 that the gain lies above ``mean``, natural logarithm after every unit.

    Of the opposite bet: ``log_capital(-totals, sizes, max_size, -mean)``.

    Args:
        totals: As in :func:`follow`.
        sizes: As in :func:`follow`.
        max_size: As in :func:`follow`.
        mean: The candidate mean, a fraction strictly between -1 and 1.

    Returns:
        Shape (n units,).
    """
    payoffs = (totals - mean * sizes) / ((1 + mean) * max_size)
    capital = np.cumsum(np.log1p(STAKES[:, None] * payoffs), axis=1) + np.log(WEIGHTS)[:, None]
    most = capital.max(axis=0)
    total: Floats = most + np.log(np.exp(capital - most).sum(axis=0))
    return total


def _highest_excluded(
    totals: Floats, sizes: Counts, max_size: int, edge: float, alpha: float, edge_is_excluded: bool
) -> float:
    """The highest mean that is too low to be true, by bisection from the verdict on the edge; -1 if there is none."""
    excluded, possible = (edge, 1.0) if edge_is_excluded else (-1.0, edge)
    while possible - excluded > RESOLUTION:
        middle = (excluded + possible) / 2
        if log_capital(totals, sizes, max_size, middle).max(initial=0.0) >= _line(alpha):
            excluded = middle
        else:
            possible = middle
    return excluded


def _line(alpha: float) -> float:
    return math.log(2 / alpha)


def _check(totals: Floats, sizes: Counts, max_size: int, edge: float, alpha: float) -> None:
    if not -1 < edge < 1:
        raise ConfigError(
            f"the edge to decide is {100 * edge:g} points; a sequential run needs an edge strictly between -100 and 100"
        )
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; expected a probability strictly between 0 and 1")
    if totals.ndim != 1 or totals.shape != sizes.shape:
        raise ValueError(f"totals have the shape {totals.shape} and sizes {sizes.shape}; expected one of each per unit")
    if not ((sizes >= 1) & (sizes <= max_size)).all():
        raise ValueError(f"sizes must lie in 1 to max_size {max_size}; found {sizes.min()} to {sizes.max()}")
    if not (np.abs(totals) <= sizes + ROUNDING).all():
        unit = int(np.argmin(np.abs(totals) <= sizes + ROUNDING))
        raise ValueError(f"the total of unit {unit} is {totals[unit]}; expected -{sizes[unit]} to {sizes[unit]}")
