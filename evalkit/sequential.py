"""Stage 2 query by query in a seeded random order, until it is decided on which side of the edge the gain lies."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from contextlib import closing

import numpy as np

from evalkit.analysis.derive import derive
from evalkit.analysis.metrics import measure
from evalkit.analysis.sequence import decide, follow
from evalkit.analysis.units import Units
from evalkit.ports import Numbers, Reranker
from evalkit.record import Scoring, Sequential
from evalkit.result import Design
from evalkit.stage_two import Pairs, best_windows, limit_of
from evalkit.stages import Log, Plan, in_chunks
from evalkit.types import DENSE, Candidates, Dataset, Qrels, System


def rerank_until_decided(
    plan: Plan, reranker: Reranker, dataset: Dataset, retrieved: Candidates, families: Mapping[str, str], log: Log
) -> tuple[Candidates, Scoring, Sequential]:
    """Score the decision top-k of one unit after the other; a unit is a query, or a family of them.

    The executor's chunks are scored whole, so that up to one chunk beyond what was needed is spent; it is remembered.

    Args:
        plan: Its only top-k is the expectation's.
        reranker: Scores the pairs.
        dataset: Queries, documents, judgments.
        retrieved: Candidates of every query.
        families: query id -> family.
        log: Where time and work are noted.

    Returns:
        The candidates of the spent queries in the order of the data set, how stage 2 came about for them, and how the
        sequence ended.
    """
    design = plan.design
    edge = design.expectation.min_points / 100
    units = Units.of(list(dataset.qrels), families)
    members: list[list[str]] = [[] for _ in range(units.n_units)]
    for query_id, unit in zip(units.query_ids, units.index, strict=True):
        members[unit].append(query_id)
    order = np.random.default_rng([design.seed, 5]).permutation(units.n_units)
    sizes, max_size = units.sizes[order], int(units.sizes.max())
    totals = np.zeros(units.n_units)
    with log.phase("rerank"):
        pairs = Pairs.of(plan, reranker, dataset, retrieved)
        queue = pairs.of_queries(query_id for unit in order for query_id in members[unit])
        best: dict[bytes, Numbers] = {}
        windows: set[bytes] = set()
        computed = 0
        work = in_chunks(plan, list(queue.texts), queue.scorer(reranker), "pairs", queue.unit(reranker))
        with closing(work) as chunks:
            rows = next(chunks)
            remembered = set(rows)
            for n_units, unit in enumerate(order, start=1):
                some = pairs.of_queries(members[unit])
                while not some.texts.keys() <= rows.keys():
                    rows.update(next(chunks))
                long = best_windows(plan, reranker, some, rows)
                best.update(long.rows)
                windows |= long.windows
                computed += long.computed
                candidates, _ = some.outcome(retrieved, ChainMap(best, rows), limit_of(reranker))
                totals[n_units - 1] = _gain(candidates, dataset.qrels, design)
                if decide(totals[:n_units], sizes[:n_units], max_size, edge)[1] is not None:
                    break
        log.computed["pairs"] = len(rows.keys() - remembered) + computed
    progress = follow(totals[:n_units], sizes[:n_units], max_size, edge)
    spent = {query_id for unit in order[:n_units] for query_id in members[unit]}
    seen = pairs.of_queries(query_id for query_id in units.query_ids if query_id in spent)
    candidates, scoring = seen.outcome(retrieved, ChainMap(best, rows), limit_of(reranker), len(windows))
    return (
        candidates,
        scoring,
        Sequential(
            side=progress.side,
            ci_low=100 * progress.low,
            ci_high=100 * progress.high,
            spent_queries=len(spent),
            spent_pairs=len(seen.texts.keys() | (rows.keys() - remembered)),
            total_queries=units.n_queries,
            total_pairs=len(pairs.texts),
            seed=design.seed,
        ),
    )


def _gain(candidates: Candidates, qrels: Qrels, design: Design) -> float:
    """The sum, over these queries, of (reranked - dense) on the expectation's metric."""
    metric = design.expectation.metric
    judged = {query_id: qrels[query_id] for query_id in candidates}
    before, after = (
        measure(derive(candidates, system), judged, [metric])[metric]
        for system in (DENSE, System("reranked", design.expectation.top_k))
    )
    return sum(after[query_id] - before[query_id] for query_id in judged)
