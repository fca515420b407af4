"""Candidates as arrays: one row per query, one column per stage-1 rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.types import Candidates, Qrels

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Matrices:
    """What the analysis reads of candidates and judgments, as arrays of shape (n_queries, depth).

    Columns beyond a query's list, and scores that are missing, hold NaN; grades there are 0.

    Attributes:
        query_ids: The rows: every query of the qrels, in their order.
        counts: Candidates of each query, at most ``depth``; shape (n_queries,).
        stage1: Stage-1 scores.
        rerank: The reranker's raw scores.
        relevant: 1.0 where the grade is at least 1, else 0.0.
        positives: R of each query, shape (n_queries,); those that stage 1 cannot find included.
    """

    query_ids: tuple[str, ...]
    counts: NDArray[np.intp]
    stage1: Floats
    rerank: Floats
    relevant: Floats
    positives: Floats

    @classmethod
    def of(cls, candidates: Candidates, qrels: Qrels, depth: int) -> Matrices:
        """Read the first ``depth`` candidates of every judged query."""
        n_queries = len(qrels)
        stage1, rerank = np.full((n_queries, depth), np.nan), np.full((n_queries, depth), np.nan)
        relevant = np.zeros((n_queries, depth))
        counts = np.zeros(n_queries, dtype=np.intp)
        for row, (query_id, grades) in enumerate(qrels.items()):
            found = candidates.get(query_id, ())[:depth]
            counts[row] = n_found = len(found)
            stage1[row, :n_found] = [candidate.stage1_score for candidate in found]
            # NumPy reads None as NaN where the type is given.
            rerank[row, :n_found] = np.array([candidate.rerank_score for candidate in found], dtype=np.float64)
            relevant[row, :n_found] = [grades.get(candidate.doc_id, 0) >= 1 for candidate in found]
        positives = np.array([sum(grade >= 1 for grade in grades.values()) for grades in qrels.values()], dtype=float)
        return cls(tuple(qrels), counts, stage1, rerank, relevant, positives)

    @property
    def filled(self) -> NDArray[np.bool_]:
        """True where there is a candidate, shape (n_queries, depth)."""
        return np.asarray(np.arange(self.stage1.shape[1]) < self.counts[:, None])

    def found(self, cutoff: int) -> Floats:
        """Positives among each query's first ``cutoff`` candidates, shape (n_queries,)."""
        return np.asarray(self.relevant[:, :cutoff].sum(axis=1))


def places(scores: Floats) -> NDArray[np.intp]:
    """Columns by falling score, as ``derive.rank`` orders them; ties keep their order and NaN goes last.

    Args:
        scores: Shape (n, depth), columns by stage-1 rank.
    """
    return np.asarray(np.argsort(-scores, axis=1, kind="stable"))


def midranks(scores: Floats) -> Floats:
    """Ranks from 1 by rising score within each row, tied scores sharing their mean rank.

    Args:
        scores: Shape (n, depth); NaN ranks after every number and has no meaning.
    """
    n_rows, depth = scores.shape
    values = np.where(np.isnan(scores), np.inf, scores)
    order = np.argsort(values, axis=1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=1)
    changes = ranked[:, 1:] != ranked[:, :-1]
    edge = np.ones((n_rows, 1), dtype=bool)
    columns = np.arange(depth)
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), columns, 0), axis=1)
    last = np.where(np.hstack([changes, edge]), columns, depth)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty((n_rows, depth))
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    return ranks
