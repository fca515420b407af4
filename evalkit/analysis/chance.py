"""Controls that hold recall against chance: that of a random reranker, and that of stage 1.

Queries are taken as independent here, though translations are not: the thresholds are far enough out for that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.derive import derive
from evalkit.analysis.matrices import Floats, Matrices
from evalkit.analysis.metrics import EPSILON, measure
from evalkit.findings import Control
from evalkit.result import Evidence, Subject
from evalkit.types import Candidate, Metric, System

FAR = 5.0
"""|z| beyond which chance is no explanation: once in 1.7 million."""

SKEWED = 1e-4
"""A sum of few or uneven draws is not normal: Bernstein's bound on its probability has to be below this as well."""

DRAWS = 500
"""Random rankings in all: with fewer queries each is drawn again, so that the normal approximation holds."""

FIXED = 100
"""Queries, at most, of which no random ranking changes the recall, and that must therefore agree exactly."""

BETTER = 3.0
"""z from which something is better than chance: once in 740."""

POOR = 0.3
"""How far from chance to perfection a poor but working stage 1 gets: published zero-shot retrieval lies above 0.5."""

NOWHERE = 0.2
"""Share of queries without any positive in the pool that is worth a word."""

DANGLING = 0.1
"""Share of positives outside the corpus that is worth a word."""


def hypergeometric(drawn: Floats, marked: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the marked among ``drawn`` of ``total`` without replacement; 0 where there is nothing."""
    share = marked / np.maximum(total, 1)
    rest = np.where(total > 1, (total - drawn) / np.maximum(total - 1, 1), 0.0)
    return drawn * share, drawn * share * (1 - share) * rest


def check_random(evidence: Evidence, matrices: Matrices, top_k: int, cutoff: int, seed: int) -> Control:
    """Random scores land on the recall that candidates(K) give by the hypergeometric distribution."""
    total = np.minimum(matrices.counts, top_k).astype(np.float64)
    found, variance = hypergeometric(np.minimum(cutoff, total), matrices.found(top_k), total)
    if top_k <= cutoff:
        found, variance = matrices.found(cutoff), np.zeros(len(total))
    expected, variance = found / matrices.positives, variance / matrices.positives**2

    rng = np.random.default_rng([seed, 3])
    free, fixed = (rng.permutation(np.flatnonzero(rows)) for rows in (variance > 0, variance == 0))
    rows = np.concatenate([np.resize(free, DRAWS if len(free) else 0), fixed[:FIXED]]).astype(np.intp)
    names = {str(draw): matrices.query_ids[row] for draw, row in enumerate(rows)}
    shuffled = {}
    for (draw, query_id), scores in zip(names.items(), rng.random((len(rows), top_k)).tolist(), strict=True):
        shuffled[draw] = with_scores(evidence.candidates.get(query_id, ()), scores)
    metric = Metric("recall", cutoff)
    run = derive(shuffled, System("reranked", top_k))
    values = measure(run, {draw: evidence.qrels[query_id] for draw, query_id in names.items()}, [metric])[metric]

    difference = np.array(list(values.values())) - expected[rows]
    wrong = int(np.count_nonzero(np.abs(difference[variance[rows] == 0]) > EPSILON))
    drawn = variance[rows] > 0
    n_drawn, spread = int(drawn.sum()), float(variance[rows].sum())
    distance = float(difference[drawn].sum())
    z = distance / math.sqrt(spread) if spread else 0.0
    step = float(np.max(np.minimum(cutoff, matrices.found(top_k)) / matrices.positives))
    bound = 2 * math.exp(-(distance**2) / 2 / (spread + step * abs(distance) / 3)) if distance and spread else 1.0
    failed = wrong > 0 or (abs(z) > FAR and bound < SKEWED)
    told = drawn if n_drawn else ~drawn
    hoped = float(expected[rows][told].mean()) if len(rows) else 0.0
    got = hoped + (float(difference[told].mean()) if len(rows) else 0.0)
    return Control(
        "random",
        "failed" if failed else "passed",
        f"expected random scores at top-k {top_k} to give {metric} {hoped:.4f} within {FAR:g} standard errors; found "
        f"{got:.4f} over {len(rows)} rankings (z {z:+.1f}), and {wrong} that chance cannot change but that differ",
    )


def with_scores(found: Sequence[Candidate], scores: Sequence[float]) -> tuple[Candidate, ...]:
    """The candidates with other rerank scores, as far as these reach."""
    scored = zip(found, scores, strict=False)
    return (
        *(Candidate(old.doc_id, old.stage1_rank, old.stage1_score, score) for old, score in scored),
        *found[len(scores) :],
    )


def check_labels(matrices: Matrices, subject: Subject, top_k: int) -> Control:
    """Stage 1 finds positives more often than documents drawn at random would, and not only near the top or nowhere."""
    outside = Counter(query_id for query_id, _ in subject.dangling)
    reachable = matrices.positives - np.array([outside[query_id] for query_id in matrices.query_ids])
    n_positives, n_outside = int(matrices.positives.sum()), int(outside.total())
    if not (reachable > 0).any():
        return Control(
            "labels",
            "failed",
            f"expected positives in the corpus of {subject.n_documents} documents; found none of {n_positives}: do the "
            "qrels belong to another corpus or another chunking?",
        )
    rows = (reachable > 0) & (matrices.counts > 0)
    if not rows.any():
        return Control("labels", "skipped", "expected candidates for the queries with positives; found none")
    found = _against_random_documents(matrices, reachable, rows, subject.n_documents, top_k)
    if found.status != "passed":
        return found
    if n_outside >= DANGLING * n_positives:
        why = f"expected positives inside the corpus; found {n_outside} of {n_positives} outside: are the qrels those "
        return Control("labels", "warned", f"{why}of this corpus and chunking?")
    return _nowhere(matrices, rows, subject.n_documents, top_k) or found


def _against_random_documents(
    matrices: Matrices, reachable: Floats, rows: NDArray[np.bool_], n_documents: int, top_k: int
) -> Control:
    """The share of queries with a positive in the pool, against drawing as many documents from the corpus.

    Failed only where it is neither above chance nor compatible with a poor stage 1, as few queries tell nothing.
    """
    # Where chance finds nearly everything, nothing can be told from it: a tenth of the corpus at most.
    depth = max(1, min(top_k, n_documents // 10))
    missed = np.ones(int(rows.sum()))
    for draw in range(depth):
        left = np.clip(1 - reachable[rows] / (n_documents - draw), 0, 1)
        missed *= np.where(draw < matrices.counts[rows], left, 1.0)
    by_chance, if_poor = 1 - missed, 1 - (1 - POOR) * missed
    hit = float((matrices.found(depth)[rows] > 0).mean())
    chance, chance_error = _mean_and_error(by_chance)
    poor, poor_error = _mean_and_error(if_poor)
    facts = (
        f"expected a positive in the first {depth} for clearly more than the {100 * chance:.1f} % of {len(missed)} "
        f"queries that documents drawn at random would reach; found {100 * hit:.1f} %"
    )
    if hit >= chance + BETTER * chance_error and chance_error > 0:
        return Control("labels", "passed", facts)
    if hit < poor - BETTER * poor_error:
        why = (
            "stage 1 is no better than chance: do the qrels belong to another corpus or another chunking, and does "
            "stage 1 read this language?"
        )
        return Control("labels", "failed", f"{why} {facts}")
    if poor - BETTER * poor_error <= chance:
        return Control("labels", "skipped", f"too few queries or documents to tell from chance: {facts}")
    return Control("labels", "warned", f"stage 1 is hardly better than chance: {facts}")


def _mean_and_error(rates: Floats) -> tuple[float, float]:
    """Mean of independent 0/1 draws with these rates, and its standard error."""
    return float(rates.mean()), math.sqrt(float((rates * (1 - rates)).sum())) / len(rates)


def _nowhere(matrices: Matrices, asked: NDArray[np.bool_], n_documents: int, top_k: int) -> Control | None:
    """A warning where first positives end long before the list does, and yet many queries have none at all.

    Each doubling of the list finds at most about as many more as the last one did, as long as they are to be found.
    """
    full = asked & (matrices.counts >= top_k)
    nowhere = int(np.count_nonzero(matrices.found(top_k)[full] == 0))
    late = int(np.count_nonzero(matrices.found(top_k // 2)[full] == 0)) - nowhere
    doublings = max(0.0, math.log2(n_documents / top_k)) + 1
    if nowhere < NOWHERE * full.sum() or nowhere <= 1.5 * doublings * (late + 2 * math.sqrt(late) + 3):
        return None
    return Control(
        "labels",
        "warned",
        f"positives are near the top or nowhere: of {full.sum()} queries expected few without a positive in {top_k} "
        f"candidates, as only {late} have their first one in the second half; found {nowhere}: is every document "
        "indexed, and do the qrels belong to this chunking?",
    )
