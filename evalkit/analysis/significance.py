"""Could chance alone have done it? Sign-flip tests over units, exact where few of them differ.

Where nothing changed, a unit's difference is as likely to have the other sign. The statistic is the mean over
queries, of which only the sum of unit totals varies. p = (b + 1) / (n + 1), where b of n flips other
than the observed signs reach the observed mean (Phipson & Smyth 2010), so that p is never 0. Sums are exact
(whole grains), and flips that come within the tie epsilon of the observed sum, per query of a differing unit, count as
ties.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalkit.analysis.metrics import EPSILON
from evalkit.analysis.units import GRAIN, Floats, Units, count_differing, exact_totals

UNRESOLVABLE = 0.05
"""Where the attainable p lies above this, no outcome could have been significant."""

_CHUNK = 1 << 19


def gain_p_values(differences: Floats, units: Units, resamples: int = 10_000, seed: int = 0) -> Floats:
    """Two-sided paired sign-flip p of "no gain" per column, not adjusted for their number.

    All sign patterns are enumerated where there are at most ``resamples`` of them, else drawn; the drawn
    ones are the same for all columns and depend on the seed and the number of units alone.

    Args:
        differences: Per-query differences, shape (n_queries, m), fractions in [-1, 1].
        units: What keeps one sign together.
        resamples: Sign patterns that are drawn.
        seed: Seed of the signs.

    Returns:
        Shape (m,), each in (0, 1]; 1 where nothing differs.
    """
    totals = exact_totals(differences, units)
    slack = _slack(totals, units)
    observed = np.abs(totals.sum(axis=0))
    drawn = count_differing(totals) > _most_enumerable(resamples)
    p_values = np.empty(len(observed))
    for column in np.flatnonzero(~drawn):
        sums = _enumerate(totals[:, [column]])
        p_values[column] = np.mean(np.abs(sums) >= observed[column] - slack[column])
    if drawn.any():
        sums = _draw(totals[:, drawn], resamples, seed)
        reached = np.count_nonzero(np.abs(sums) >= observed[drawn] - slack[drawn], axis=0)
        p_values[drawn] = (reached + 1) / (resamples + 1)
    return p_values


def drop_p_values(differences: Floats, units: Units, resamples: int = 10_000, seed: int = 0) -> Floats:
    """One-sided p of "no drop" per column, adjusted for all of them by step-down max-T (Westfall & Young 1993).

    Each column's sum is divided by the root of its sum of squares, which no sign flip changes, so that columns
    of different spread count alike. Correlation is kept by flipping all columns of a unit
    together: two columns that always agree cost no more than one.

    Args:
        differences: Current minus baseline per query, shape (n_queries, m), fractions in [-1, 1].
        units: What keeps one sign together.
        resamples: Sign patterns that are drawn where they cannot all be enumerated.
        seed: Seed of the signs.

    Returns:
        Shape (m,), each in (0, 1]; small where the column dropped, 1 where nothing differs.
    """
    totals = exact_totals(differences, units)
    slack = _slack(totals, units)
    differs = count_differing(totals) > 0
    p_values = np.ones(totals.shape[1])
    if not differs.any():
        return p_values
    totals, slack = totals[:, differs], slack[differs]
    n_differing = int(np.count_nonzero(totals.any(axis=1)))
    norm = np.sqrt((totals**2).sum(axis=0))
    observed = -totals.sum(axis=0) / norm
    enumerable = n_differing <= _most_enumerable(resamples)
    sums = _enumerate(totals)[1:] if enumerable else _draw(totals, resamples, seed)
    flipped = (slack - sums) / norm

    order = np.argsort(-observed, kind="stable")
    highest = np.maximum.accumulate(flipped[:, order[::-1]], axis=1)[:, ::-1]
    reached = np.count_nonzero(highest >= observed[order], axis=0)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate((reached + 1) / (len(sums) + 1))
    p_values[differs] = adjusted
    return p_values


def attainable_p(differences: Floats, units: Units, resamples: int = 10_000) -> Floats:
    """The smallest two-sided p that ``gain_p_values`` could give, were every differing unit a gain.

    With m differing units it is 2 / 2**m (the observed signs and their mirror image), never under
    1 / (resamples + 1) where signs are drawn, and 1 where nothing differs.

    Args:
        differences: Per-query differences, shape (n_queries, m), fractions in [-1, 1].
        units: What keeps one sign together.
        resamples: As given to ``gain_p_values``.

    Returns:
        Shape (m,); above UNRESOLVABLE, these labels cannot answer the question.
    """
    differing = count_differing(exact_totals(differences, units))
    enumerated = np.minimum(1.0, 2.0 ** (1.0 - differing))
    floor = np.where(differing > _most_enumerable(resamples), 1 / (resamples + 1), 0.0)
    return np.asarray(np.maximum(enumerated, floor))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Step-down adjusted p-values (Holm 1979) in the order given: monotone, at most 1."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return tuple(adjusted)


def _most_enumerable(resamples: int) -> int:
    """The largest m with 2**m <= resamples."""
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; at least 1 is needed")
    return resamples.bit_length() - 1


def _slack(totals: Floats, units: Units) -> Floats:
    """How far apart two sums of a column may lie and still tie, in grains; covers the rounding to grains."""
    return np.asarray((units.sizes[:, None] * (totals != 0)).sum(axis=0) * (EPSILON / GRAIN))


def _enumerate(totals: Floats) -> Floats:
    """Sums under every sign pattern of the rows that differ, shape (2**rows, m); the observed signs stand first."""
    sums = np.zeros((1, totals.shape[1]))
    for row in totals[totals.any(axis=1)]:
        sums = np.concatenate([sums + row, sums - row])
    return sums


def _draw(totals: Floats, resamples: int, seed: int) -> Floats:
    """Sums under seeded random signs, shape (resamples, m): one bit per unit, each row from whole bytes."""
    rng = np.random.default_rng([seed, 1])
    n_units = len(totals)
    n_bytes = -(-n_units // 8)
    sums = np.empty((resamples, totals.shape[1]))
    rows = max(1, _CHUNK // n_units)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        packed = np.frombuffer(rng.bytes((stop - start) * n_bytes), dtype=np.uint8).reshape(-1, n_bytes)
        kept = np.unpackbits(packed, axis=1, count=n_units).astype(np.float64)
        sums[start:stop] = kept @ totals
    return np.asarray(2 * sums - totals.sum(axis=0))
