"""How large is ``report.html``, and how long does it take to draw? ``make bench BENCH=report``.

Five systems, 1,000 queries of 50 candidates, slices, latency and what-ifs, with a text of 2,000 characters for every
query and document that is shown. The first drawing loads matplotlib and jinja2, the others are warm.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

from evalkit.exhibits import Texts
from evalkit.result import EvalResult
from evalkit.sinks.html import page
from tests.analysis.evidence import design_of, made
from tests.results import LATENCY, METRICS, result_of

TOP_KS = (10, 20, 30, 50)


def subject(queries: int) -> EvalResult:
    evidence = made(queries)
    attributes = {query: {"lang": (("de", "fr", "it", "en")[place % 4],)} for place, query in enumerate(evidence.qrels)}
    design = design_of(50, TOP_KS, metrics=METRICS, slices=("lang",), resamples=1000)
    stage2 = tuple(replace(LATENCY.stage2[0], top_k=top_k, p50_ms=4.0 * top_k, p95_ms=5.0 * top_k) for top_k in TOP_KS)
    result = result_of(replace(evidence, attributes=attributes), design, latency=replace(LATENCY, stage2=stage2))
    examples = result.assessment.examples
    shown = {placed.doc_id for one in examples for placed in (one.gold, one.rival) if placed is not None}
    text = "Lorem ipsum dolor sit amet. " * 72
    texts = Texts({one.query_id: text[:80] for one in examples}, dict.fromkeys(shown, text[:2000]))
    return replace(result, texts=texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    result = subject(options.queries)
    seconds = []
    for _ in range(options.repeat + 1):
        started = time.perf_counter()
        drawn = page(result, include_texts=True)
        seconds.append(time.perf_counter() - started)
    first, *warm = seconds
    print(
        f"{len(result.assessment.systems)} systems x {options.queries} queries, {len(result.assessment.examples)} "
        f"examples: {len(drawn.encode())} bytes with texts, {len(page(result, include_texts=False).encode())} without"
    )
    print(
        f"first {first:.2f} s; warm median {statistics.median(warm):.2f} s (range {min(warm):.2f} to {max(warm):.2f})"
    )


if __name__ == "__main__":
    main()
