"""From candidates and raw scores to rankings: the only place that sorts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from evalkit.errors import ModelError
from evalkit.record import Scoring
from evalkit.types import DENSE, Candidate, Candidates, Run, System


def order_hits(hits: Iterable[tuple[str, float]], depth: int) -> tuple[Candidate, ...]:
    """Rank the hits of a search: score descending, then document id ascending; keep ``depth``."""
    ranked = sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:depth]
    return tuple(Candidate(doc_id, rank, score) for rank, (doc_id, score) in enumerate(ranked, start=1))


def fuse(rankings: Iterable[Sequence[Candidate]], k: int) -> dict[str, float]:
    """Reciprocal rank fusion: each document's sum of 1 / (k + rank) over the rankings that hold it.

    Cormack, Clarke & Buettcher (2009), "Reciprocal rank fusion outperforms Condorcet". Ranks count from 1.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for one in ranking:
            scores[one.doc_id] = scores.get(one.doc_id, 0.0) + 1 / (k + one.stage1_rank)
    return scores


def order_run(hits: Iterable[tuple[str, float]]) -> tuple[Candidate, ...]:
    """Rank a TREC run as trec_eval does: score descending, then document id descending."""
    ranked = sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)
    return tuple(Candidate(doc_id, rank, score) for rank, (doc_id, score) in enumerate(ranked, start=1))


def rank(candidates: Sequence[Candidate], top_k: int | None) -> tuple[str, ...]:
    """The ranking of one system for one query.

    Args:
        candidates: All stage-1 candidates, by stage-1 rank.
        top_k: None for dense; otherwise candidates(top_k) are sorted by (rerank score descending,
            stage-1 rank ascending, document id ascending) and followed by the remaining stage-1 order.

    Raises:
        ModelError: A candidate that takes part has no rerank score.
    """
    head = sorted(candidates[:top_k], key=_by_score) if top_k is not None else candidates
    tail = candidates[top_k:] if top_k is not None else ()
    return tuple(candidate.doc_id for candidate in (*head, *tail))


def rank_perfectly(candidates: Sequence[Candidate], top_k: int, grades: Mapping[str, int]) -> tuple[str, ...]:
    """The oracle's ranking: candidates(top_k) by grade, followed by the remaining stage-1 order."""
    head = sorted(candidates[:top_k], key=lambda candidate: (-grades.get(candidate.doc_id, 0), candidate.stage1_rank))
    return tuple(candidate.doc_id for candidate in (*head, *candidates[top_k:]))


def systems_of(top_ks: Iterable[int]) -> tuple[System, ...]:
    """``dense`` first, then ``rerank@K`` by rising K."""
    return (DENSE, *(System("reranked", top_k) for top_k in sorted(top_ks)))


def derive(candidates: Candidates, system: System) -> Run:
    """The run of one system, over all queries."""
    return Run(system.name, {query_id: rank(found, system.top_k) for query_id, found in candidates.items()})


def count_ties(candidates: Candidates) -> int:
    """Candidates whose rerank score equals that of another candidate of the same query."""
    total = 0
    for found in candidates.values():
        sizes = Counter(candidate.rerank_score for candidate in found if candidate.rerank_score is not None)
        total += sum(size for size in sizes.values() if size > 1)
    return total


def unmeasured(candidates: Candidates, scoring: Scoring) -> int:
    """Candidates whose score was made up to put them last, as the system's file lacks theirs; see reranker.missing."""
    if scoring.max_length is not None or scoring.truncated is None:
        # Of a model, candidates of one text are one pair: fewer pairs than scores is no sign there.
        return 0
    scored = sum(one.rerank_score is not None for found in candidates.values() for one in found)
    return max(0, scored - scoring.pairs)


def _by_score(candidate: Candidate) -> tuple[float, int, str]:
    if candidate.rerank_score is None:
        raise ModelError(f"document {candidate.doc_id!r} was never scored by the reranker; run stage 2 first")
    return -candidate.rerank_score, candidate.stage1_rank, candidate.doc_id
