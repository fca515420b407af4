"""Self-checks that need the store and the reranker at hand: does stage 1 hold every document, do scores repeat?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalkit.findings import Control
from evalkit.ports import Pair, Reranker, VectorStore
from evalkit.stage_one import SINGLE_PRECISION
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


def check_store(store: VectorStore, doc_ids: Sequence[str], seed: int) -> tuple[Control, Control]:
    """Whether the store holds every document, and finds documents by their own vectors.

    Args:
        store: Open and filled.
        doc_ids: Of its documents, or of the windows of long ones.
        seed: Of the sample.
    """
    missing = len(store.missing(doc_ids))
    complete = Control(
        "store_complete",
        "failed" if missing else "passed",
        f"expected the vector store to hold {len(doc_ids)} documents; found {missing} missing",
    )
    if missing:
        return complete, Control("store_finds", "skipped", "expected a complete store to search in")
    places = np.random.default_rng([seed, 6]).permutation(len(doc_ids))[:SAMPLE]
    sample = [doc_ids[place] for place in sorted(places)]
    vectors = store.vectors(sample)
    own = (vectors.astype(np.float64) ** 2).sum(axis=1)
    limit = min(SAMPLE, len(doc_ids))
    lost = 0
    for doc_id, score, hits in zip(sample, own.tolist(), store.search(vectors, limit), strict=True):
        last = min((found for _, found in hits), default=-np.inf)
        # Where vectors are not normalised, others may score higher than the document itself.
        beaten = len(hits) >= limit and score <= last + SINGLE_PRECISION * max(1.0, abs(last))
        lost += doc_id not in {found for found, _ in hits} and not beaten
    return complete, Control(
        "store_finds",
        "failed" if lost else "passed",
        f"expected each of {len(sample)} sampled documents among the nearest to its own vector; found {lost} that the "
        "search does not return",
    )


def check_replay(reranker: Reranker, candidates: Candidates, dataset: Dataset, seed: int) -> Control:
    """Score some pairs again, in other company: a score belongs to its pair, whatever else is in the batch.

    Args:
        reranker: Loaded.
        candidates: With their scores.
        dataset: Its texts.
        seed: Of the sample.
    """
    generator = np.random.default_rng([seed, 7])
    questions = {query.id: query.text for query in dataset.queries}
    contents = {document.id: document.content for document in dataset.documents}
    pairs: list[Pair] = []
    before: list[float] = []
    for query_id in generator.permutation(list(candidates))[:SAMPLE]:
        # Of a pair that is too long, the best window was kept, which is another text.
        scored = [
            (one.doc_id, one.rerank_score)
            for one in candidates[query_id]
            if one.rerank_score is not None and (one.tokens or 0) <= reranker.max_length
        ]
        if not scored:
            continue
        doc_id, score = scored[generator.integers(len(scored))]
        pairs.append((questions[query_id], contents[doc_id]))
        before.append(score)
    if not pairs:
        return Control("replay", "skipped", "expected pairs that the reranker reads whole; found none in the sample")
    everything = [one.rerank_score for found in candidates.values() for one in found if one.rerank_score is not None]
    allowed = max(SCATTER * float(np.std(everything)), ROUNDING * max(1.0, float(np.abs(everything).max())))
    moved = float(np.abs(np.asarray(reranker.score(pairs)) - before).max())
    return Control(
        "replay",
        "passed" if moved <= allowed else "failed",
        f"expected {len(pairs)} pairs scored again, in other batches, to keep their scores to {allowed:.2g}; found one "
        f"that moved by {moved:.2g}",
    )
