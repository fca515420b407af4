"""How long does everything after the scores take? ``python -m tests.benchmarks.analysis``.

Five systems, five metrics, 1,000 queries of 50 candidates, 10,000 resamples, in this process and warm: the first
round, which compiles ranx's functions, is shown apart.
"""

from __future__ import annotations

import argparse
import statistics
import time

from evalkit.analysis.assess import assess
from evalkit.analysis.metrics import parse_metrics
from tests.analysis.evidence import design_of, made, scoring_of, subject_of

METRICS = ("recall@5", "ndcg@5", "ndcg@10", "mrr@10", "hit_rate@5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    evidence = made(options.queries)
    design = design_of(top_ks=(10, 20, 30, 50), metrics=parse_metrics(METRICS), resamples=10_000)
    subject = subject_of(1000, options.queries)
    seconds = []
    for _ in range(options.repeat + 1):
        started = time.perf_counter()
        found = assess(evidence, design, subject, scoring_of(50 * options.queries))
        seconds.append(time.perf_counter() - started)
    first, *warm = seconds
    print(
        f"{len(found.systems)} systems x {len(design.metrics)} metrics x {options.queries} queries, {design.resamples} "
        f"resamples, {len(found.controls)} controls, {len(found.what_ifs)} what-ifs"
    )
    print(
        f"first {first:.2f} s; warm median {statistics.median(warm):.2f} s (range {min(warm):.2f} to {max(warm):.2f})"
    )


if __name__ == "__main__":
    main()
