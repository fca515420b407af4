"""How sure a mean paired difference is: a 95 % interval that never claims certainty.

The bootstrap is Rubin's (1981): each resample weighs every unit by a standard exponential draw. Before
the upper quantile is taken one pseudo-unit is added that gains as much as a metric can (+1), before
the lower quantile one that loses as much (-1): labels cannot rule out what they have not shown yet.

With a full exponential weight on the pseudo-unit this is Gaffke's bound (Gaffke 2005; Learned-Miller &
Thomas 2019, "A new confidence interval for the mean of a bounded random variable"), conjectured to hold its level
at any n. On 0/1 data it is Clopper-Pearson's exact bound, and among equal steps of 1 it excludes 0 where the exact sign
test does: P(Gamma(wins) < Gamma(losses + 1)) = P(Binomial(wins + losses, 1/2) >= wins). It costs width, and is
used where at most FEW units differ: no two-sided sign-flip test of so few reaches 0.05, and with units of one
size neither does the interval exclude 0, as wins d alone leave P(sum(d E) < E0) = prod(1 / (1 + d)) >= 2**-5.

Elsewhere the pseudo-unit weighs half as much (Gamma(1/2), the mid-P compromise of Jeffreys' interval). That
was chosen by measured coverage, see ``tests/benchmarks/coverage.py``: the percentile and BCa bootstraps fall to
53 % where few queries change, a quarter of a pseudo-unit falls to 91 % where losses are rare and large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.units import GRAIN, Floats, Units, count_differing, exact_totals

LEVEL = 0.95
FEW = 5
"""Up to this many differing units, the smallest p of a two-sided sign-flip test is 2 / 2**5 = 0.0625."""

EXACT = "Gaffke bound, exact on 0/1 data"
BOOTSTRAP = "Bayesian bootstrap, half a pseudo-unit"

_CHUNK = 1 << 19  # numbers drawn at a time: 4 MB, which stays in a processor's cache
_FINEST_BITS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Two-sided 95 % intervals of mean differences over queries, in fractions; one entry per column.

    Attributes:
        estimate: Mean difference, shape (m,).
        low: Lower ends, shape (m,).
        high: Upper ends, shape (m,).
        differing: Units whose difference is not a tie, shape (m,).
        method: EXACT or BOOTSTRAP, per column.
        n_queries: Queries behind every mean.
        n_units: Units that were resampled.
    """

    estimate: Floats
    low: Floats
    high: Floats
    differing: NDArray[np.int64]
    method: tuple[str, ...]
    n_queries: int
    n_units: int


def paired_intervals(differences: Floats, units: Units, resamples: int = 10_000, seed: int = 0) -> Intervals:
    """The 95 % interval of each column's mean, by a bootstrap over units.

    The weights depend on the seed and the number and sizes of units alone: a column gets the same
    interval whichever columns stand beside it, on any number of threads.

    Args:
        differences: Per-query differences, shape (n_queries, m), fractions in [-1, 1].
        units: What is drawn together.
        resamples: Bootstrap resamples; at least 39, so that one lies beyond each end.
        seed: Seed of the weights.

    Raises:
        ValueError: A difference lies outside [-1, 1], or resamples are too few.
    """
    place = math.floor((resamples + 1) * (1 - LEVEL) / 2)
    if place < 1:
        raise ValueError(f"resamples is {resamples}; a 95 % interval needs at least 39")
    totals = exact_totals(differences, units)
    differing = count_differing(totals)
    few = differing <= FEW

    rng = np.random.default_rng([seed, 0])
    full, half = rng.standard_exponential(resamples), rng.standard_gamma(0.5, resamples)
    sums, weights = _resample(totals, units, resamples, rng)
    pseudo = np.where(few[:, None], full, half) * units.typical_size
    low = np.partition((sums - pseudo) / (weights + pseudo), place - 1, axis=1)[:, place - 1]
    high = np.partition((sums + pseudo) / (weights + pseudo), resamples - place, axis=1)[:, resamples - place]

    estimate = totals.sum(axis=0) * GRAIN / units.n_queries
    return Intervals(
        estimate=estimate,
        low=np.minimum(low, estimate),
        high=np.maximum(high, estimate),
        differing=differing,
        method=tuple(EXACT if is_few else BOOTSTRAP for is_few in few),
        n_queries=units.n_queries,
        n_units=units.n_units,
    )


def _resample(totals: Floats, units: Units, resamples: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Weighted sums of totals, shape (m, resamples), and of sizes, shape (resamples,).

    Weights are rounded to whole numbers of 2**-bits, as fine as keeps every sum of weight x grains below
    2**53 and so exact; the Bernstein bound of a sum of exponentials says how large it can get.
    """
    sizes = units.sizes.astype(np.float64)
    largest = sizes.sum() + 8 * math.sqrt(float((sizes**2).sum())) + 32 * sizes.max()
    bits = min(_FINEST_BITS, math.floor(53 + math.log2(GRAIN) - math.log2(largest)))
    columns = np.column_stack([totals, sizes])
    products = np.empty((columns.shape[1], resamples))
    rows = max(1, min(resamples, _CHUNK // units.n_units))
    buffer = np.empty((rows, units.n_units))
    for start in range(0, resamples, rows):
        weights = buffer[: min(rows, resamples - start)]
        rng.standard_exponential(out=weights)
        np.rint(np.multiply(weights, 2.0**bits, out=weights), out=weights)
        products[:, start : start + len(weights)] = (weights @ columns).T
    return products[:-1] * (GRAIN * 2.0**-bits), products[-1] * 2.0**-bits
