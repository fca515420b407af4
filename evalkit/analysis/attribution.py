"""Where the gain comes from: what became of every positive, and where a larger top-k stops to pay."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from evalkit.analysis.comparison import Values, column
from evalkit.analysis.derive import rank
from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.metrics import EPSILON, mean
from evalkit.analysis.units import Units
from evalkit.findings import Attribution, Fate, Knee
from evalkit.result import Design
from evalkit.types import DENSE, Candidate, Candidates, Metric, Qrels, System

WORTHWHILE = 0.9
"""Share of the best gain that a smaller top-k has to keep."""


def fates(candidates: Candidates, qrels: Qrels, top_k: int, cutoff: int) -> tuple[Fate, ...]:
    """What became of each query's positives between dense and ``rerank@top_k``.

    Of R positives, the top c = ``cutoff`` has room for min(c, R), and a perfect reranker would fill
    min(c, P) places with the P positives among candidates(K); where K <= c it cannot move any, and what dense
    has there is all. The difference is what stage 1 missed.

    Args:
        candidates: Stage-1 candidates with rerank scores.
        qrels: Judgments; positives that stage 1 never returned, or that the corpus lacks, count in R.
        top_k: K, the candidates that are reranked.
        cutoff: c, the ranks that count.

    Returns:
        One per query of ``qrels`` with a positive, in their order.
    """
    return tuple(
        _fate(query_id, candidates.get(query_id, ()), positives, top_k, cutoff)
        for query_id, grades in qrels.items()
        if (positives := {doc_id for doc_id, grade in grades.items() if grade >= 1})
    )


def _fate(query_id: str, found: Sequence[Candidate], positives: set[str], top_k: int, cutoff: int) -> Fate:
    before = positives.intersection(rank(found, DENSE.top_k)[:cutoff])
    after = positives.intersection(rank(found, top_k)[:cutoff])
    among = positives.intersection(candidate.doc_id for candidate in found[:top_k])
    reach = min(cutoff, len(among)) if top_k > cutoff else len(before)
    neither = len(among - before - after)
    seen = len(before | after)
    missed_by_stage1 = min(cutoff, len(positives)) - reach
    missed_by_reranker = neither - min(neither, max(0, len(among) - cutoff))
    return Fate(
        query_id=query_id,
        top_k=top_k,
        kept=len(before & after),
        promoted=len(after - before),
        demoted=len(before - after),
        missed_by_reranker=missed_by_reranker,
        missed_by_stage1=missed_by_stage1,
        capped=len(positives) - seen - missed_by_reranker - missed_by_stage1,
    )


def out_of_reach(found: Sequence[Fate], candidates: Candidates) -> float:
    """What stage 1 misses at any top-k, as its list had ended before this one, in points of recall.

    Args:
        found: The fates of every query at one top-k.
        candidates: Stage-1 candidates, at least that many where there are as many.
    """
    ended = [fate for fate in found if len(candidates.get(fate.query_id, ())) < fate.top_k]
    return 100 * math.fsum(fate.missed_by_stage1 / fate.positives for fate in ended) / len(found)


def attribute(found: Sequence[Fate], metric: Metric) -> Attribution:
    """The mean share of each fate, in points of recall.

    Args:
        found: The fates of every query at one top-k.
        metric: Recall at the cutoff that the fates speak of.
    """

    def points(count: Callable[[Fate], int]) -> float:
        return 100 * math.fsum(count(fate) / fate.positives for fate in found) / len(found)

    return Attribution(
        metric=metric,
        top_k=found[0].top_k,
        kept_points=points(lambda fate: fate.kept),
        promoted_points=points(lambda fate: fate.promoted),
        demoted_points=points(lambda fate: fate.demoted),
        missed_by_reranker_points=points(lambda fate: fate.missed_by_reranker),
        missed_by_stage1_points=points(lambda fate: fate.missed_by_stage1),
        capped_points=points(lambda fate: fate.capped),
        delta_points=points(lambda fate: fate.promoted - fate.demoted),
    )


def knee(values: Values, design: Design, units: Units) -> Knee:
    """The smallest top-k that is as good as the best, on the expectation's metric.

    Args:
        values: Of every system of the sweep, ``dense`` among them.
        design: The sweep, the metric, resamples and seed.
        units: What is resampled.
    """
    metric = design.expectation.metric
    top_ks = sorted(design.top_ks)
    gains = _gains(values, metric, top_ks)
    # Of equal gains the smallest top-k is the best one.
    best = next(top_k for top_k in top_ks if gains[top_k] >= max(gains.values()) - EPSILON)
    columns = {top_k: column(values[System("reranked", top_k).name][metric], units) for top_k in top_ks}
    shortfalls = np.column_stack([columns[best] - columns[top_k] for top_k in top_ks])
    intervals = paired_intervals(shortfalls, units, design.resamples, design.seed)
    as_good = (intervals.low <= 0) & (intervals.high >= 0)
    enough = [top_k for top_k in top_ks if gains[top_k] >= WORTHWHILE * gains[best] - EPSILON]
    return Knee(
        metric=metric,
        best_top_k=best,
        within_noise=top_ks[int(np.argmax(as_good))],
        ninety_percent=enough[0] if gains[best] > EPSILON else None,
    )


def _gains(values: Values, metric: Metric, top_ks: Sequence[int]) -> Mapping[int, float]:
    dense = mean(values[DENSE.name][metric])
    return {top_k: mean(values[System("reranked", top_k).name][metric]) - dense for top_k in top_ks}
