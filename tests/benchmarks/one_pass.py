"""How much does scoring every pair once save over reranking once per top-k? ``make bench``.

Both ways do the same sweep with the embedded models, each in a process of its own and in turn
(A B A B ...). Printed: seconds of the whole process as median and range, and the ratio pair by pair.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import replace

from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.pipeline import evaluate
from evalkit.testing import DictCache

TOP_KS = (10, 20, 30, 50)


def sweep(queries: int, once: bool) -> None:
    """Evaluate all top-k values from one pass, or each from a pass of its own; nothing is remembered between passes."""
    plan = build_plan(compose_config([f"dataset.limit={queries}", f"sweep.top_k={list(TOP_KS)}"]))
    for top_ks in [TOP_KS] if once else [(top_k,) for top_k in TOP_KS]:
        expectation = replace(plan.design.expectation, top_k=max(top_ks))
        design = replace(plan.design, top_ks=top_ks, expectation=expectation)
        result = evaluate(replace(plan, design=design, cache=DictCache()))
        print({run.name: len(run.rankings) for run in result.assessment.runs}, result.computed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--worker", choices=["once", "each"])
    options = parser.parse_args()
    if options.worker:
        sweep(options.queries, options.worker == "once")
        return
    seconds: dict[str, list[float]] = {"once": [], "each": []}
    for _ in range(options.repeat):
        for way, measured in seconds.items():
            started = time.perf_counter()
            worker = [sys.executable, "-m", __spec__.name, "--worker", way, "--queries", str(options.queries)]
            subprocess.run(worker, check=True, stdout=subprocess.DEVNULL)
            measured.append(time.perf_counter() - started)
    for way, measured in seconds.items():
        print(f"{way:5} {summary(measured, ' s')}")
    ratios = [each / once for once, each in zip(*seconds.values(), strict=True)]
    print(f"each / once: {summary(ratios, ' x')}")


def summary(values: list[float], unit: str) -> str:
    return f"median {statistics.median(values):.2f}{unit} (range {min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
