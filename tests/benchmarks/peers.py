"""Our statistics beside ``retrieval-eval-gate``'s on the same values: ``python -m tests.benchmarks.peers [FILE]``.

FILE is the per_query.parquet of a result folder; families are read from the queries.parquet beside it. Without FILE, a
seeded example is used: 100 queries of which many, four, or none change, and 200 queries in families of four. Intervals
and effects are in points. The peer knows no families and judges every query for itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.power import detectable_effect, queries_needed
from evalkit.analysis.significance import attainable_p, gain_p_values
from evalkit.analysis.units import Units

Floats = NDArray[np.float64]

LINE = 0.12
"""The lower edge of the expected band: the line that the needed queries are asked for."""


def example() -> Iterator[tuple[str, Floats, Units]]:
    """Name, differences (n_queries, 1) and units of each seeded case."""
    rng = np.random.default_rng(3)
    alone = Units.of([str(row) for row in range(100)], {})
    relevant = rng.integers(1, 7, 100)
    many = np.where(rng.random(100) < 0.4, np.where(rng.random(100) < 0.8, 1, -1) / relevant, 0.0)
    yield "40 of 100 change by 1/R", many[:, None], alone
    yield "12 of 100 win by 1", np.where(np.arange(100) < 12, 1.0, 0.0)[:, None], alone
    yield "4 of 100 win by 1/2", np.where(np.arange(100) < 4, 0.5, 0.0)[:, None], alone
    yield "0 of 100 change", np.zeros((100, 1)), alone
    ids = [str(row) for row in range(200)]
    four = Units.of(ids, {name: str(row // 4) for row, name in enumerate(ids)})
    together = np.where(rng.random(50) < 0.4, np.where(rng.random(50) < 0.8, 1, -1) / rng.integers(1, 7, 50), 0.0)
    yield "50 families of 4", np.repeat(together, 4)[:, None], four


def from_file(path: Path) -> Iterator[tuple[str, Floats, Units]]:
    """Every reranked system and metric of a result folder against dense."""
    import pandas as pd

    values = pd.read_parquet(path).pivot_table(index="query_id", columns=["metric", "system"], values="value")
    beside = path.with_name("queries.parquet")
    families: dict[str, str] = {}
    if beside.exists():
        rows = pd.read_parquet(beside).dropna(subset=["family"])
        families = dict(zip(rows["query_id"].astype(str), rows["family"].astype(str), strict=True))
    units = Units.of([str(name) for name in values.index], families)
    for metric, system in values.columns:
        if system != "dense":
            difference = (values[metric, system] - values[metric, "dense"]).to_numpy(np.float64)
            yield f"{metric} {system}", difference[:, None], units


def row(low: float, high: float, p: float, floor: float, effect: float, needed: int | None) -> str:
    text = "-" if needed is None else f"{needed:,}"
    return f"[{100 * low:+6.2f}, {100 * high:+6.2f}] {p:8.4f} {floor:9.5f} {100 * effect:7.2f} {text:>9}"


def ours(differences: Floats, units: Units) -> str:
    found = paired_intervals(differences, units)
    low, high, estimate = (float(ends[0]) for ends in (found.low, found.high, found.estimate))
    return row(
        low,
        high,
        float(gain_p_values(differences, units)[0]),
        float(attainable_p(differences, units)[0]),
        float(detectable_effect(differences, units)[0]),
        queries_needed(estimate, low, high, [LINE], units.n_queries),
    )


def theirs(stats: Any, difference: list[float]) -> str:
    nothing = [0.0] * len(difference)
    low, high = stats.bootstrap_ci(difference)
    test = stats.paired_permutation_test(difference, nothing)
    distance = abs(stats.mean(difference) - LINE)
    design = stats.design_analysis(difference, nothing, target_effect=distance)
    return row(low, high, test.p_value, test.min_attainable_p, design.min_detectable_effect, design.queries_for_target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("per_query", nargs="?", type=Path)
    options = parser.parse_args()
    try:
        from rag_eval_gate import stats
    except ImportError:
        raise SystemExit("the peer is not installed; pip install retrieval-eval-gate==0.2.1") from None
    print(f"{'':34} {'95 % interval':>16} {'p':>8} {'least p':>9} {'80 %':>7} {'needed':>9}   (line at {LINE:.0%})")
    seconds = [0.0, 0.0]
    for name, differences, units in from_file(options.per_query) if options.per_query else example():
        started = time.perf_counter()
        mine = ours(differences, units)
        between = time.perf_counter()
        peer = theirs(stats, differences[:, 0].tolist())
        seconds = [seconds[0] + between - started, seconds[1] + time.perf_counter() - between]
        print(f"{name:25} evalkit  {mine}\n{'':25} peer     {peer}")
    print(f"\nseconds: evalkit {seconds[0]:.2f}, peer {seconds[1]:.2f}")


if __name__ == "__main__":
    main()
