"""What another use of the same scores would have gained, without scoring another pair.

Every setting is chosen on one half of the units and confirmed on the other, as the best of many settings looks better
than it is on the queries that chose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.comparison import Values, column
from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.matrices import Floats, Matrices, places
from evalkit.analysis.metrics import EPSILON, JUDGED_CUTOFF, measure
from evalkit.analysis.units import Units
from evalkit.findings import WhatIf
from evalkit.result import Design, Evidence
from evalkit.types import DENSE, Run, System

RRF_K = 60
"""Cormack, Clarke & Buettcher (2009), "Reciprocal rank fusion outperforms Condorcet": their value, fixed beforehand."""

WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
"""Of the reranker; 0 is dense, 1 is plain reranking."""

QUANTILES = np.linspace(0, 1, 21)
"""Of the dense margin, from which its threshold is taken."""

KEPT_GAIN = 0.95
"""Share of plain reranking's gain that reranking fewer queries has to keep on the half that chooses."""

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class _Setup:
    """One evaluation, ready to be ranked anew.

    Attributes:
        matrices: Rows in the order of the units' queries.
        dense, plain: Per-query values of dense and of plain reranking, shape (n_queries,).
        choosing, confirming: Rows of the two halves.
    """

    evidence: Evidence
    design: Design
    matrices: Matrices
    dense: Floats
    plain: Floats
    choosing: Rows
    confirming: Rows

    @property
    def top_k(self) -> int:
        return self.design.expectation.top_k

    @property
    def outside(self) -> int:
        """The first rank that does not count."""
        return (self.design.expectation.metric.cutoff or JUDGED_CUTOFF) + 1


@dataclass(frozen=True, slots=True, eq=False)
class _Use:
    """One other use of the scores, measured on both halves: per-query values in the order of their rows."""

    name: str
    setting: str
    chosen: Floats
    confirmed: Floats
    saved_pairs: float = 0.0


def what_ifs(evidence: Evidence, design: Design, values: Values, units: Units) -> tuple[WhatIf, ...]:
    """Fusing dense and reranker, by rank and by score, and reranking only where dense is unsure.

    Args:
        evidence: Candidates with both scores, and judgments.
        design: Metric, decision top-k, resamples and seed.
        values: Of ``dense`` and of the decision's system, among others.
        units: What is split into halves and resampled.

    Returns:
        ``rrf``, ``weighted`` and ``margin``; nothing where there are fewer than two units.
    """
    if units.n_units < 2:
        return ()
    metric, top_k = design.expectation.metric, design.expectation.top_k
    choosing, confirming = _halves(units, design.seed)
    qrels = {query_id: evidence.qrels[query_id] for query_id in units.query_ids}
    depth = max(top_k, (metric.cutoff or JUDGED_CUTOFF) + 1)
    setup = _Setup(
        evidence=evidence,
        design=design,
        matrices=Matrices.of(evidence.candidates, qrels, depth),
        dense=column(values[DENSE.name][metric], units),
        plain=column(values[System("reranked", top_k).name][metric], units),
        choosing=choosing,
        confirming=confirming,
    )
    return _report(setup, (_rrf(setup), _weighted(setup), _margin(setup)))


def _halves(units: Units, seed: int) -> tuple[Rows, Rows]:
    """Rows of the queries that choose, and of those that confirm; no unit lies in both."""
    order = np.random.default_rng([seed, 2]).permutation(units.n_units)
    chosen = np.isin(units.index, order[: units.n_units // 2])
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def _rrf(setup: _Setup) -> _Use:
    """Nothing to choose: the constant is the paper's, so both halves only report."""
    rerank = setup.matrices.rerank[:, : setup.top_k]
    by_reranker = np.argsort(places(rerank), axis=1) + 1
    by_stage1 = np.arange(1, rerank.shape[1] + 1)
    fused = np.where(np.isnan(rerank), np.nan, 1 / (RRF_K + by_stage1) + 1 / (RRF_K + by_reranker))
    return _Use(
        name="rrf",
        setting=f"1 / ({RRF_K} + rank) of stage 1 plus that of the reranker",
        chosen=_ranked_by(setup, fused, setup.choosing),
        confirmed=_ranked_by(setup, fused, setup.confirming),
    )


def _weighted(setup: _Setup) -> _Use:
    """Of equally good weights, the one closest to plain reranking is taken."""
    dense = _unit_range(setup.matrices.stage1[:, : setup.top_k])
    rerank = _unit_range(setup.matrices.rerank[:, : setup.top_k])

    def values_of(weight: float, rows: Rows) -> Floats:
        if weight in (0, 1):
            return (setup.plain if weight else setup.dense)[rows]
        return _ranked_by(setup, weight * rerank + (1 - weight) * dense, rows)

    tried = {weight: values_of(weight, setup.choosing) for weight in WEIGHTS}
    highest = max(values.mean() for values in tried.values())
    best = max(weight for weight, values in tried.items() if values.mean() >= highest - EPSILON)
    meaning = {0.0: " (stage 1 alone)", 1.0: " (plain reranking)"}.get(best, "")
    return _Use(
        name="weighted",
        setting=f"weight {best:g} of the reranker{meaning}, both scores scaled to 0..1 per query",
        chosen=tried[best],
        confirmed=values_of(best, setup.confirming),
    )


def _margin(setup: _Setup) -> _Use:
    """The threshold that saves the most pairs and keeps ``KEPT_GAIN`` of plain reranking's gain where it is chosen.

    The margin is the stage-1 score at rank 1 minus that at rank c + 1: what the first hit would have to lose to
    fall out of the top c. That at rank 2 says nothing of this edge: it is small wherever two good hits stand on top.
    """
    counts, scores = setup.matrices.counts, setup.matrices.stage1
    # A shorter list is judged by its last candidate; one of fewer than two has nothing to rerank.
    last = np.maximum(np.minimum(counts, setup.outside) - 1, 0)
    margins = np.where(counts > 1, scores[:, 0] - scores[np.arange(len(scores)), last], np.inf)

    def values_of(threshold: float, rows: Rows) -> Floats:
        return np.where(margins[rows] <= threshold, setup.plain[rows], setup.dense[rows])

    dense, plain = setup.dense[setup.choosing].mean(), setup.plain[setup.choosing].mean()
    needed = dense + KEPT_GAIN * (plain - dense) - EPSILON
    known = margins[setup.choosing][np.isfinite(margins[setup.choosing])]
    quantiles = np.quantile(known, QUANTILES, method="inverted_cdf").tolist() if len(known) else []
    # A higher threshold reranks more queries, so the first that keeps the gain saves the most pairs.
    chosen = next(
        (limit for limit in (-np.inf, *quantiles) if values_of(limit, setup.choosing).mean() >= needed), np.inf
    )
    pairs = np.minimum(counts, setup.top_k)[setup.confirming]
    needs_score = margins[setup.confirming] <= chosen
    where = {-np.inf: "rerank no query", np.inf: "rerank every query"}.get(
        chosen,
        f"rerank where the stage-1 score falls by at most {chosen:.4g} from rank 1 to rank {setup.outside}",
    )
    return _Use(
        name="margin",
        setting=f"{where}: the fewest pairs that kept {100 * KEPT_GAIN:.0f} % of plain reranking's gain when chosen",
        chosen=values_of(chosen, setup.choosing),
        confirmed=values_of(chosen, setup.confirming),
        saved_pairs=float(pairs[~needs_score].sum() / pairs.sum()) if pairs.any() else 0.0,
    )


def _report(setup: _Setup, uses: Sequence[_Use]) -> tuple[WhatIf, ...]:
    """Gains over dense on both halves, with intervals from one set of resamples."""
    units = Units.of([setup.matrices.query_ids[row] for row in setup.confirming], setup.evidence.families)
    dense = setup.dense[setup.confirming]
    differences = np.column_stack([use.confirmed - dense for use in uses])
    intervals = paired_intervals(differences, units, setup.design.resamples, setup.design.seed)
    return tuple(
        WhatIf(
            name=use.name,
            setting=use.setting,
            chosen_points=100 * float((use.chosen - setup.dense[setup.choosing]).mean()),
            confirmed_points=100 * float((use.confirmed - dense).mean()),
            confirmed_ci_low=100 * float(low),
            confirmed_ci_high=100 * float(high),
            plain_points=100 * float((setup.plain[setup.confirming] - dense).mean()),
            saved_pairs=use.saved_pairs,
        )
        for use, low, high in zip(uses, intervals.low, intervals.high, strict=True)
    )


def _ranked_by(setup: _Setup, scores: Floats, rows: Rows) -> Floats:
    """Per-query values where candidates(K) are ranked by these scores, ties by stage-1 rank; shape (len(rows),)."""
    metric = setup.design.expectation.metric
    query_ids = [setup.matrices.query_ids[row] for row in rows]
    rankings = {}
    for query_id, order in zip(query_ids, places(scores[rows]).tolist(), strict=True):
        found = setup.evidence.candidates.get(query_id, ())
        head = [found[place] for place in order if place < len(found)]
        # Ranks beyond the cutoff change nothing and would cost time.
        ranked = (*head, *found[setup.top_k :])[: metric.cutoff]
        rankings[query_id] = tuple(candidate.doc_id for candidate in ranked)
    judged = {query_id: setup.evidence.qrels[query_id] for query_id in query_ids}
    values = measure(Run("what if", rankings), judged, [metric])[metric]
    return np.array([values[query_id] for query_id in query_ids])


def _unit_range(scores: Floats) -> Floats:
    """Each row scaled from 0 (its lowest) to 1 (its highest); a constant row is 0 throughout. NaN stays."""
    filled = ~np.isnan(scores)
    low = np.where(filled, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(filled, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    span = high - low
    return np.asarray((scores - low) / np.where(span > 0, span, 1.0))
