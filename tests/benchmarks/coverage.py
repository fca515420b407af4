"""How often does the 95 % interval hold the true mean, and how wide is it? ``python -m tests.benchmarks.coverage``.

Each query changes independently with the stated chance. A changed query with R relevant documents, R uniform
on 1 to 6, moves by 1/R, or in one case of four with R > 1 by 2/R; it is a win with the stated chance. In families
of four, the family changes with that chance, and each member takes part with chance 0.8. Within a cell, all
simulations share one set of resample weights, which is what makes this quick; the data are fresh in each.

Printed: coverage in percent and, in parentheses, mean width in points, for evalkit, the percentile and the BCa
bootstrap (both over units, as ratio of totals). Then how often ``drop_p_values`` fails where nothing dropped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.significance import drop_p_values
from evalkit.analysis.units import Units

Floats = NDArray[np.float64]

SIZES = (50, 120, 500)
SHARES = (0.02, 0.10, 0.40)
BLOCK = 250


@dataclass(frozen=True)
class World:
    """How queries change.

    Attributes:
        name: What is printed.
        win: Chance that a changed query is a win.
        largest: R is uniform on 1 to this.
        family: Queries of a family.
    """

    name: str
    win: float
    largest: int = 6
    family: int = 1

    def mean(self, share: float) -> float:
        """The true mean difference, by enumerating R: E[step] = mean of 1 for R = 1 and 1.25 / R above."""
        step = float(np.mean([1.0] + [1.25 / total for total in range(2, self.largest + 1)]))
        return share * (2 * self.win - 1) * step * (0.8 if self.family > 1 else 1.0)

    def draw(self, rng: np.random.Generator, n_queries: int, share: float, simulations: int) -> Floats:
        """Differences, shape (n_queries, simulations)."""
        shape = (-(-n_queries // self.family), simulations)
        total = rng.integers(1, self.largest + 1, shape)
        moved = 1 + ((rng.random(shape) < 0.25) & (total > 1))
        sign = np.where(rng.random(shape) < self.win, 1, -1)
        steps = np.where(rng.random(shape) < share, sign * moved / total, 0.0)
        if self.family > 1:
            steps = np.repeat(steps, self.family, axis=0)[:n_queries]
            steps = np.where(rng.random(steps.shape) < 0.8, steps, 0.0)
        return steps

    def units(self, n_queries: int) -> Units:
        ids = [str(row) for row in range(n_queries)]
        families = {name: str(row // self.family) for row, name in enumerate(ids)} if self.family > 1 else {}
        return Units.of(ids, families)


WORLDS = (
    World("wins and losses, mean zero", win=0.5),
    World("three wins to a loss", win=0.75),
    World("wins only, R = 1 (skewed, 0/1)", win=1.0, largest=1),
    World("wins only, R = 1 to 6 (skewed)", win=1.0),
    World("three wins to a loss, families of 4", win=0.75, family=4),
)


def percentile_and_bca(differences: Floats, units: Units, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """Both classic intervals from the same multinomial resamples of units; each shape (2, m)."""
    from scipy.special import ndtr, ndtri

    rng = np.random.default_rng(seed)
    n_units = units.n_units
    weights = rng.multinomial(n_units, [1 / n_units] * n_units, size=resamples).astype(np.float64)
    totals = units.totals(differences)
    means = np.sort(((weights @ totals) / (weights @ units.sizes)[:, None]).T, axis=1)
    observed = differences.mean(axis=0)[:, None]
    left = (totals.sum(axis=0) - totals) / (units.n_queries - units.sizes[:, None])
    jackknife = left.mean(axis=0) - left
    cubes, squares = (jackknife**3).sum(axis=0), (jackknife**2).sum(axis=0)
    acceleration = np.divide(cubes, 6 * squares**1.5, out=np.zeros_like(cubes), where=squares > 0)
    below = ((means < observed - 1e-12).mean(axis=1) + (means <= observed + 1e-12).mean(axis=1)) / 2
    bias = ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples))

    def at(quantiles: Floats) -> Floats:
        places = np.clip(np.rint(quantiles * (resamples - 1)), 0, resamples - 1).astype(int)
        return np.asarray(means[np.arange(len(means)), places])

    normal = ndtri(np.array([0.025, 0.975]))
    shifted = [bias + (bias + z) / (1 - acceleration * (bias + z)) for z in normal]
    same = np.ones(len(means))
    return np.array([at(0.025 * same), at(0.975 * same)]), np.array([at(ndtr(z)) for z in shifted])


def cell(world: World, n_queries: int, share: float, simulations: int, resamples: int) -> Iterator[tuple[float, float]]:
    """Coverage in percent and mean width in points of evalkit's interval, the percentile and the BCa interval."""
    rng = np.random.default_rng([n_queries, round(100 * share), WORLDS.index(world)])
    units, mean = world.units(n_queries), world.mean(share)
    found: list[list[Floats]] = [[], [], []]
    for start in range(0, simulations, BLOCK):
        differences = world.draw(rng, n_queries, share, min(BLOCK, simulations - start))
        ours = paired_intervals(differences, units, resamples)
        classic = percentile_and_bca(differences, units, resamples, seed=1)
        for method, ends in zip(found, (np.array([ours.low, ours.high]), *classic), strict=True):
            method.append(ends)
    for ends in found:
        low, high = np.concatenate(ends, axis=1)
        yield 100 * float(np.mean((low <= mean + 1e-9) & (mean <= high + 1e-9))), 100 * float(np.mean(high - low))


def false_drops(n_queries: int, share: float, win: float, simulations: int, resamples: int) -> float:
    """Percent of simulations in which a column of two correlated ones has p < 0.05 although no mean dropped.

    The second column repeats three quarters of the first's changes and has a quarter of its own.
    """
    rng = np.random.default_rng([n_queries, round(100 * share), round(100 * win)])
    world = World("", win)
    units, failed = world.units(n_queries), 0
    for _ in range(simulations):
        first, other = world.draw(rng, n_queries, share, 2).T
        second = np.where(rng.random(n_queries) < 0.75, first, other)
        failed += bool((drop_p_values(np.column_stack([first, second]), units, resamples) < 0.05).any())
    return 100 * failed / simulations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2_000)
    parser.add_argument("--resamples", type=int, default=10_000)
    options = parser.parse_args()
    worst = 100.0
    for world in WORLDS:
        print(
            f"\n{world.name}\n{'n':>5} {'changed':>8} {'true mean':>10} {'evalkit':>15} {'percentile':>15} {'BCa':>15}"
        )
        for n_queries in SIZES:
            for share in SHARES:
                rows = list(cell(world, n_queries, share, options.simulations, options.resamples))
                worst = min(worst, rows[0][0])
                texts = "".join(f" {coverage:6.1f} ({width:5.2f})" for coverage, width in rows)
                print(f"{n_queries:5} {100 * share:6.0f} % {100 * world.mean(share):+10.2f}{texts}", flush=True)
    print(f"\nlowest coverage of evalkit's interval: {worst:.1f} %")
    print("\nfalse failures of drop_p_values at one-sided 0.05, two correlated columns, no change, % (+-0.5 by chance)")
    for n_queries in SIZES:
        rates = [false_drops(n_queries, share, 0.5, options.simulations, 1_000) for share in SHARES]
        print(f"{n_queries:5} " + "".join(f"  {100 * s:.0f} %: {r:.1f}" for s, r in zip(SHARES, rates, strict=True)))


if __name__ == "__main__":
    main()
