"""What these labels can resolve, and how many would settle what they cannot.

The standard error counts z**2 / 2 more units that gain a full step and as many that lose one (the score interval's
pseudo-observations, Agresti & Coull 1998; for paired differences Agresti & Min 2005), and half as many where more than
FEW units differ, as the interval does. Where nothing differs, its 95 % half-width is thus 3.8 / n_units, beside
the exact bound's 3.7 / n_units, and never 0; among many differing units it hardly shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import numpy as np

from evalkit.analysis.intervals import FEW, LEVEL
from evalkit.analysis.metrics import EPSILON
from evalkit.analysis.units import GRAIN, Floats, Units, count_differing, exact_totals

POWER = 0.8

_Z_TWO_SIDED = NormalDist().inv_cdf((1 + LEVEL) / 2)
_Z_ONE_SIDED = NormalDist().inv_cdf(LEVEL)
_Z_POWER = NormalDist().inv_cdf(POWER)


def standard_error(differences: Floats, units: Units) -> Floats:
    """The standard error of each column's mean over queries.

    With totals T and sizes S of U units, N queries and mean m, it is
    sqrt(U / (U - 1) x sum((T - m S)**2) + w x z_0.975**2 x s**2) / N, the ratio estimator's (Cochran 1977, 6.3)
    with pseudo-units of the typical size s; w is 1 where at most FEW units differ, else 1/2.

    Args:
        differences: Per-query differences, shape (n_queries, m), fractions in [-1, 1].
        units: What varies together.

    Returns:
        Shape (m,), in fractions, above 0.
    """
    totals = exact_totals(differences, units)
    pseudo = np.where(count_differing(totals) <= FEW, 1.0, 0.5) * (_Z_TWO_SIDED * units.typical_size) ** 2
    totals = totals * GRAIN
    n_queries, n_units = units.n_queries, units.n_units
    residuals = totals - units.sizes[:, None] * (totals.sum(axis=0) / n_queries)
    squares = (residuals**2).sum(axis=0) * (n_units / max(n_units - 1, 1))
    return np.asarray(np.sqrt(squares + pseudo) / n_queries)


TWO_SIDED_FEWEST = 7.906
ONE_SIDED_FEWEST = 6.721
"""Mean of the Poisson distribution that reaches 6, and 5, four times out of five: so many units have to differ before
the sign-flip test can give p < 0.05, two-sided (2 / 2**6) and one-sided (1 / 2**5)."""


def detectable_effect(differences: Floats, units: Units) -> Floats:
    """Smallest true effect that a two-sided 5 % test finds with 80 % power, in fractions, shape (m,).

    It is (z_0.975 + z_0.8) x standard error, and at least what full steps of TWO_SIDED_FEWEST units amount to; 1 at
    most, which nothing exceeds.
    """
    return _detectable(_Z_TWO_SIDED, TWO_SIDED_FEWEST, differences, units)


def detectable_drop(differences: Floats, units: Units, steps: float | Floats = 1.0) -> Floats:
    """Smallest true drop that a one-sided 5 % test finds with 80 % power, in fractions, shape (m,).

    ``steps`` is what one query drops by where its result is lost, a number or one per column.

    It is (z_0.95 + z_0.8) x standard error, and at least what full steps of ONE_SIDED_FEWEST units amount to; 1 at
    most, which nothing exceeds.
    """
    return _detectable(_Z_ONE_SIDED, ONE_SIDED_FEWEST, differences, units, steps)


def _detectable(
    z_level: float, fewest: float, differences: Floats, units: Units, steps: float | Floats = 1.0
) -> Floats:
    least = steps * (fewest * units.typical_size / units.n_queries)
    return np.minimum(np.maximum((z_level + _Z_POWER) * standard_error(differences, units), least), 1.0)


TYPICAL_SPREAD = 0.35
"""Standard deviation of a query's change that is assumed before anything is measured, in fractions."""


def planned_half_width(n_units: int, spread: float = TYPICAL_SPREAD) -> float:
    """Half the width of the 95 % interval to expect of so many units, in fractions: z_0.975 x spread / sqrt(n)."""
    return _Z_TWO_SIDED * spread / math.sqrt(n_units)


def planned_effect(n_units: int, spread: float = TYPICAL_SPREAD) -> float:
    """Smallest effect that so many units find with 80 % power, in fractions: (z_0.975 + z_0.8) x spread / sqrt(n)."""
    return (_Z_TWO_SIDED + _Z_POWER) * spread / math.sqrt(n_units)


def units_planned(effect: float, spread: float = TYPICAL_SPREAD) -> int:
    """How many units find an effect above 0, in fractions, with 80 % power."""
    return math.ceil(((_Z_TWO_SIDED + _Z_POWER) * spread / effect) ** 2)


def queries_needed(estimate: float, low: float, high: float, edges: Iterable[float], n_queries: int) -> int | None:
    """How many queries would move every edge out of the interval, were the estimate to stay.

    An interval narrows with the root of the number of queries, so an edge at distance d, towards which the
    interval reaches by a, needs n x (a / d)**2 of them. The most demanding edge decides: for an estimate
    outside the band that is the nearest one. Queries that come in families are counted as queries, and their
    families are taken to stay as large.

    Args:
        estimate: The mean difference.
        low: Lower end of its interval, in the unit of the estimate.
        high: Upper end, likewise.
        edges: The lines that the verdict hangs on, likewise.
        n_queries: Queries behind the estimate.

    Returns:
        More than ``n_queries`` where the interval holds an edge, at most that where it excludes all of them; None
        where the estimate lies on an edge, or the interval does not reach towards any.
    """
    needed = 0
    for edge in edges:
        distance = abs(edge - estimate)
        if distance <= EPSILON:
            return None
        reach = high - estimate if edge > estimate else estimate - low
        needed = max(needed, math.floor(n_queries * (reach / distance) ** 2) + 1)
    return needed or None
