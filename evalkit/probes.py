"""Self-checks that need the store and the reranker at hand: does stage 1 hold every document, do scores repeat?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from evalkit.findings import Control
from evalkit.ports import Pair, Reranker
from evalkit.stage_one.retrieval import Arm
from evalkit.stage_one.search import SINGLE_PRECISION
from evalkit.stage_two import as_read
from evalkit.stages import Plan
from evalkit.types import Candidates, Dataset

SAMPLE = 32
"""Documents that are searched for, and pairs that are scored again: a fault of every second one stays unseen in one of
four billion runs."""

SCATTER = 0.05
"""Share of the scores' standard deviation by which a score may move with its batch. Half precision moves by less than
a hundredth of it; the score of another pair, by about 1.4."""
ROUNDING = 1e-4
"""Share of the largest score that a score may move in any case: what single precision makes of equal scores."""


NOT_REPLAYED = Control(
    "replay",
    "skipped",
    "expected a loaded reranker to score pairs again; found every score of this run remembered, or in a file",
)

NO_STORE = tuple(
    Control(name, "skipped", "expected a vector store; found the run of a system that ran elsewhere")
    for name in ("store_complete", "store_finds")
)


def check_store(arms: Sequence[Arm[Any]], seed: int) -> tuple[Control, ...]:
    """Whether each store holds every document, or window of one, and finds it by its own vector.

    Args:
        arms: Their stores are open and filled.
        seed: Of the sample.
    """
    found = [_check_arm(arm, seed) for arm in arms]
    return tuple(
        Control(
            name,
            max((one.status for one in same), key=("passed", "skipped", "failed").index),
            "; ".join(one.message for one in same),
        )
        for name, same in (("store_complete", [one for one, _ in found]), ("store_finds", [one for _, one in found]))
    )


def _check_arm(arm: Arm[Any], seed: int) -> tuple[Control, Control]:
    side, store, ids = arm.side, arm.store, list(arm.points.texts)
    what = f"{'windows' if arm.points.windows else 'documents'}{side.manner}"
    missing = len(store.missing(ids))
    complete = Control(
        "store_complete",
        "failed" if missing else "passed",
        f"expected the vector store to hold {len(ids)} {what}; found {missing} missing",
    )
    if missing:
        return complete, Control("store_finds", "skipped", "expected a complete store to search in")
    places = np.random.default_rng([seed, 6]).permutation(len(ids))[:SAMPLE]
    sample = [ids[place] for place in sorted(places)]
    vectors = store.vectors(sample)
    limit = min(SAMPLE, len(ids))
    lost = 0
    for place, (point, hits) in enumerate(zip(sample, store.search(vectors, limit), strict=True)):
        (score,) = side.products(side.take(vectors, [place]), vectors, place).tolist()
        last = min((found for _, found in hits), default=-np.inf)
        # Where vectors are not normalised, others may score higher than its own.
        beaten = len(hits) >= limit and score <= last + SINGLE_PRECISION * max(1.0, abs(last))
        # A text without any term is found by none, its own included.
        nothing = side.selective and score == 0
        lost += point not in {found for found, _ in hits} and not beaten and not nothing
    return complete, Control(
        "store_finds",
        "failed" if lost else "passed",
        f"expected each of {len(sample)} sampled {what} among the nearest to its own vector; found {lost} that the "
        "search does not return",
    )


def check_replay(plan: Plan, reranker: Reranker, candidates: Candidates, dataset: Dataset) -> Control:
    """Score some pairs again, in other company: a score belongs to its pair, whatever else is in the batch.

    Args:
        plan: Seed of the sample, and how long documents are read.
        reranker: Loaded.
        candidates: With their scores.
        dataset: Its texts.
    """
    generator = np.random.default_rng([plan.design.seed, 7])
    questions = {query.id: query.text for query in dataset.queries}
    contents = {document.id: document.content for document in dataset.documents}
    pairs: list[Pair] = []
    before: list[float] = []
    for query_id in generator.permutation([query_id for query_id, found in candidates.items() if found])[:SAMPLE]:
        scored = [(one.doc_id, one.rerank_score) for one in candidates[query_id] if one.rerank_score is not None]
        doc_id, score = scored[generator.integers(len(scored))]
        pairs.append((questions[query_id], contents[doc_id]))
        before.append(score)
    read = as_read(plan.long, reranker, pairs)
    scores = iter(reranker.score(list(chain.from_iterable(read))).tolist())
    again = [max(islice(scores, len(windows))) for windows in read]
    everything = [one.rerank_score for found in candidates.values() for one in found if one.rerank_score is not None]
    allowed = max(SCATTER * float(np.std(everything)), ROUNDING * max(1.0, float(np.abs(everything).max())))
    moved = float(np.abs(np.subtract(again, before)).max())
    return Control(
        "replay",
        "passed" if moved <= allowed else "failed",
        f"expected {len(pairs)} pairs scored again, in other batches, to keep their scores to {allowed:.2g}; found one "
        f"that moved by {moved:.2g}",
    )
