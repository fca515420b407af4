"""Controls that hold rerank scores against the labels: are they the right way round, and do they fit their pairs?

A reranker that is useless is no fault; one whose scores were turned round or moved is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.chance import BETTER, FAR
from evalkit.analysis.matrices import Floats, Matrices, midranks
from evalkit.findings import Control

TELLING = 10.0
"""z of a perfect ranking from which an ordinary one would pass BETTER; about 35 queries with one positive."""

REVERSED = 0.4
"""Share of (positive, other) pairs in the right order, below which scores are reversed rather than useless: a useful
model turned round lies at 0.1 to 0.35, while a model that does not read the language lies close to 0.5."""

MOVED = 0.05
"""Rise of that share, when scores are moved by one pair, that is worth a word."""

USEFUL = 0.6
"""That share after moving, so that reversed scores do not pass for moved ones."""

EDGE = 0.05
"""How far, as a share of the list, the scores at its edge lie on the wrong side of the middle if they were moved."""


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """How scores order positives against the other candidates of their query: Mann & Whitney's U, tied pairs half.

    Attributes:
        ranks: Midranks from 1 by rising score, shape (n_queries, top_k).
        pairs: (positive, other) pairs of each query, shape (n_queries,).
        wins: U, the pairs in the right order.
        variance: Of U if positives were drawn at random, ties as observed.
        usable: Queries that can tell: positives, others, and scores that differ.
    """

    ranks: Floats
    pairs: Floats
    wins: Floats
    variance: Floats
    usable: NDArray[np.bool_]

    @classmethod
    def of(cls, matrices: Matrices, scores: Floats) -> _Order:
        """Scores of the first candidates, shape (n_queries, top_k); NaN beyond the list."""
        top_k = scores.shape[1]
        relevant, ranks = matrices.relevant[:, :top_k], midranks(scores)
        total = np.minimum(matrices.counts, top_k).astype(np.float64)
        found = relevant.sum(axis=1)
        pairs = found * (total - found)
        wins = (ranks * relevant).sum(axis=1) - found * (found + 1) / 2
        spread = np.where(matrices.filled[:, :top_k], (ranks - (total[:, np.newaxis] + 1) / 2) ** 2, 0.0).sum(axis=1)
        variance = pairs * spread / np.maximum(total * (total - 1), 1)
        return cls(ranks, pairs, wins, variance, variance > 0)

    @property
    def shares(self) -> Floats:
        """Share of pairs in the right order, shape (n_queries,); 0.5 is chance."""
        return np.asarray(self.wins / np.maximum(self.pairs, 1))


def check_direction(matrices: Matrices, top_k: int) -> Control:
    """Positives score higher than the other candidates of their query: van Elteren's stratified rank test (1960)."""
    order = _Order.of(matrices, matrices.rerank[:, :top_k])
    if not order.usable.any():
        return Control(
            "direction",
            "skipped",
            f"expected queries with relevant and other candidates in the first {top_k}, and scores that differ; "
            "found none",
        )
    weight = 1 / (np.minimum(matrices.counts, top_k)[order.usable] + 1)
    spread = math.sqrt(float((weight**2 * order.variance[order.usable]).sum()))
    z = float((weight * (order.wins - order.pairs / 2)[order.usable]).sum()) / spread
    perfect = float((weight * order.pairs[order.usable] / 2).sum()) / spread
    share = float(order.shares[order.usable].mean())
    facts = (
        f"relevant above other candidates in more than half of their pairs; found {100 * share:.0f} % over "
        f"{order.usable.sum()} queries (z {z:+.1f}, perfect {perfect:+.1f})"
    )
    if z < -FAR and share < REVERSED:
        why = "ranks worse than chance: are the scores distances, sorted ascending?"
        return Control("direction", "failed", f"{why} Expected {facts}")
    if z >= BETTER:
        return Control("direction", "passed", f"expected {facts}")
    if perfect < TELLING:
        return Control("direction", "skipped", f"too few queries to tell from chance: expected {facts}")
    why = (
        "The reranker orders candidates not clearly better than chance: scores may be shifted against their pairs, or "
        "the model does not read this language"
    )
    return Control("direction", "warned", f"{why}; expected {facts}")


def check_alignment(matrices: Matrices, top_k: int) -> Control:
    """Scores fit their own pairs better than those of the neighbouring pair, in the order of queries and ranks.

    Labels alone could mislead: where each positive is followed by its translation, which the model reads better,
    the neighbour's scores fit better too. Scores that were moved also show at the edge: the first candidates carry
    the last scores of the query before, or the last candidates the first of the query after.
    """
    filled = matrices.filled[:, :top_k]
    given = matrices.rerank[:, :top_k]
    order = _Order.of(matrices, given)
    best, edge, direction = order, 0.0, ""
    for step, name in ((-1, "back"), (1, "forward")):
        moved = np.full(given.shape, np.nan)
        moved[filled] = np.roll(given[filled], step)
        other = _Order.of(matrices, moved)
        both = order.usable & other.usable
        rise = (other.shares - order.shares)[both]
        telling = len(rise) > 1 and _z(rise) > FAR and rise.mean() > MOVED and other.shares[both].mean() > USEFUL
        if telling and other.shares[both].mean() > best.shares[best.usable].mean():
            best, edge, direction = other, _edge(order.ranks, np.minimum(matrices.counts, top_k), step), name
    if not direction:
        return Control(
            "alignment",
            "passed",
            "expected scores to fit their own pairs; found no better fit to the pair before or after",
        )
    before, after = (100 * float(found.shares[found.usable].mean()) for found in (order, best))
    facts = f"expected relevant candidates to score highest as paired; found {before:.0f} % of pairs in order, and "
    facts += f"{after:.0f} % with every score moved {direction} by one pair"
    if edge > FAR:
        return Control("alignment", "failed", f"scores are shifted by one against their pairs: {facts}")
    return Control("alignment", "warned", f"scores may be shifted by one against their pairs: {facts}")


def _z(values: Floats) -> float:
    """The mean in standard errors."""
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) / error if error else math.copysign(math.inf, values.mean())


def _edge(ranks: Floats, counts: NDArray[np.intp], step: int) -> float:
    """Size of the break, as z, at the edge of lists whose scores were all moved by one; 0 where there is none.

    Args:
        ranks: Midranks of the scores as given.
        counts: Candidates of each query.
        step: -1 where each pair seems to carry the score of the pair before, +1 for the pair after.
    """
    rows = np.flatnonzero(counts > 2)
    if len(rows) < 2:
        return 0.0
    last = counts[rows] - 1
    outer, inner = (np.zeros(len(rows), dtype=np.intp), 1) if step < 0 else (last, last - 1)
    at_edge = ranks[rows, outer] / (counts[rows] + 1)
    jump = step * (at_edge - ranks[rows, inner] / (counts[rows] + 1))
    return _z(jump) if step * (at_edge.mean() - 0.5) > EDGE else 0.0
