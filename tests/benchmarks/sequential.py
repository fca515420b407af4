"""How soon does a sequential run decide, and how often wrongly? ``python -m tests.benchmarks.sequential``.

Streams of single queries: each query has R relevant documents (1 to 6, equally likely); with the chance ``changed``
its recall moves by j/R, where j - 1 of the other R - 1 documents move along with a chance of 1/4 each, and the
direction is up with the chance that gives the true gain exactly. A cell is left out where even only gains would not
reach it. A verdict is wrong if it excludes the edge on the other side than the true gain of the law that the stream
is drawn from; at the edge itself every verdict is wrong. Saved: the share of the budget's queries, hence pairs, that
were not scored (an undecided stream saves nothing).

The streams are watched after every unit. "Interval" is how often the sequence ever excluded the true gain itself.
"""

from __future__ import annotations

import argparse
import time
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evalkit.analysis.sequence import decide, follow

EDGE = 0.12
BUDGET = 1000
GAINS = (0, 2, 7, 11, 12, 13, 17, 22, 27, 30)
CHANGED = (0.1, 0.2, 0.3, 0.45, 0.6)
FAMILY = 4
LOOK_EVERY = 10
ONES = np.ones(BUDGET, dtype=np.int64)

Floats = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    print(f"{options.streams} streams per line, {BUDGET} queries, edge {100 * EDGE:g} points, alpha 0.05\n")
    print("single queries\ngain  changed    sd   wrong  undecided  saved: median   mean  interval")
    for gain in GAINS:
        for changed in CHANGED:
            found = law(gain / 100, changed)
            if found is not None:
                streams = rng.choice(found[0], p=found[1], size=(options.streams, BUDGET))
                deviation = np.sqrt(found[1] @ found[0] ** 2 - (gain / 100) ** 2)
                print(f"{gain:4}  {changed:7.0%}  {deviation:.2f}  {line(streams, ONES, gain / 100)}")
    families(rng, options.streams)
    fixed_pool(rng, options.streams)
    peeking(rng, options.streams)
    speed(rng)


def law(gain: float, changed: float) -> tuple[Floats, Floats] | None:
    """Values of a query's gain and their chances; None where ``changed`` cannot bring so much."""
    steps: dict[float, float] = {}
    for relevant in range(1, 7):
        for moved in range(1, relevant + 1):
            others = comb(relevant - 1, moved - 1) * 0.25 ** (moved - 1) * 0.75 ** (relevant - moved)
            steps[moved / relevant] = steps.get(moved / relevant, 0) + others / 6
    sizes, chances = np.array(list(steps)), np.array(list(steps.values()))
    up = (gain / (changed * (sizes @ chances)) + 1) / 2
    if not 0 <= up <= 1:
        return None
    return (
        np.concatenate([[0.0], sizes, -sizes]),
        np.concatenate([[1 - changed], changed * up * chances, changed * (1 - up) * chances]),
    )


def line(totals: Floats, sizes: NDArray[np.int64], gain: float) -> str:
    """Wrong, undecided and saved shares of the rows of ``totals``; ``sizes`` of one row or of each."""
    sizes = np.broadcast_to(sizes, totals.shape)
    largest = int(sizes.max())
    wrong = undecided = missed = 0
    saved = []
    for row, of_row in zip(totals, sizes, strict=True):
        after, side = decide(row, of_row, largest, EDGE)
        undecided += side is None
        wrong += side is not None and side != ("above" if gain > EDGE else "below" if gain < EDGE else None)
        saved.append(1 - of_row[:after].sum() / of_row.sum())
        missed += decide(row, of_row, largest, gain)[1] is not None
    share = 100 / len(totals)
    return (
        f"{wrong * share:5.1f}%  {undecided * share:8.1f}%  {100 * np.median(saved):12.0f}%  "
        f"{100 * np.mean(saved):4.0f}%  {missed * share:7.1f}%"
    )


def families(rng: np.random.Generator, n_streams: int) -> None:
    """Translations: a query repeats the gain of its family's first query with a chance of 0.7, else draws its own."""
    print("\nfamilies of four, and of one to four (mean over queries), about as many queries as above")
    print("gain  changed    sd  sizes     wrong  undecided  saved: median   mean  interval")
    for gain, changed in ((2, 0.1), (2, 0.3), (12, 0.3), (22, 0.45)):
        found = law(gain / 100, changed)
        assert found is not None
        deviation = np.sqrt(found[1] @ found[0] ** 2 - (gain / 100) ** 2)
        for name, smallest in (("4", FAMILY), ("1 to 4", 1)):
            n_units = round(BUDGET / ((smallest + FAMILY) / 2))
            own = rng.choice(found[0], p=found[1], size=(n_streams, n_units, FAMILY))
            gains = np.where(rng.random(own.shape) < 0.7, own[..., :1], own)
            sizes = rng.integers(smallest, FAMILY + 1, (n_streams, n_units))
            totals = np.where(np.arange(FAMILY) < sizes[..., None], gains, 0).sum(axis=2)
            print(f"{gain:4}  {changed:7.0%}  {deviation:.2f}  {name:6}  {line(totals, sizes, gain / 100)}")


def fixed_pool(rng: np.random.Generator, n_streams: int) -> None:
    """One pool of queries in random orders, against its own mean: drawn without replacement, as a real run is."""
    found = law(EDGE, 0.3)
    assert found is not None
    decided = 0
    for _ in range(n_streams):
        pool = rng.choice(found[0], p=found[1], size=BUDGET)
        decided += decide(pool, ONES, 1, float(pool.mean()))[1] is not None
    print(f"\nedge = mean of these {BUDGET} queries themselves, 30 % changed: wrong {100 * decided / n_streams:.1f}%")


def peeking(rng: np.random.Generator, n_streams: int) -> None:
    """What a fixed 95 % t interval does when it is watched, at the edge itself."""
    print(f"\nat the edge, watched after every {LOOK_EVERY} queries: share of wrong verdicts")
    print("changed  t interval  sequence")
    looks = np.arange(LOOK_EVERY, BUDGET + 1, LOOK_EVERY)
    for changed in CHANGED[1:]:
        found = law(EDGE, changed)
        if found is None:
            continue
        streams = rng.choice(found[0], p=found[1], size=(n_streams, BUDGET))
        mean = np.cumsum(streams, axis=1)[:, looks - 1] / looks
        variance = (np.cumsum(streams**2, axis=1)[:, looks - 1] - looks * mean**2) / (looks - 1)
        half = stats.t.ppf(0.975, looks - 1) * np.sqrt(np.maximum(variance, 0) / looks)
        # Without any difference so far the interval has no width; it is not counted as a verdict.
        by_t = ((np.abs(mean - EDGE) > half) & (variance > 1e-12)).any(axis=1)
        by_sequence = [decide(row, ONES, 1, EDGE)[0] is not None for row in streams]
        print(f"{changed:7.0%}  {by_t.mean():10.1%}  {np.mean(by_sequence):8.1%}")


def speed(rng: np.random.Generator) -> None:
    """Median time of one call at several lengths of the prefix."""
    found = law(EDGE, 0.3)
    assert found is not None
    print("\nunits  follow   decide   (median of 20 calls)")
    for length in (100, 1000, 2000):
        totals, sizes = rng.choice(found[0], p=found[1], size=length), np.ones(length, dtype=np.int64)
        spent: list[float] = []
        for call in (follow, decide):
            times = []
            for _ in range(20):
                started = time.perf_counter()
                call(totals, sizes, 1, EDGE)
                times.append(time.perf_counter() - started)
            spent.append(1000 * float(np.median(times)))
        print(f"{length:5}  {spent[0]:4.1f} ms  {spent[1]:4.2f} ms")


if __name__ == "__main__":
    main()
