"""The queries that won and lost most by reranking: what to read first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.analysis.comparison import Values
from evalkit.analysis.metrics import EPSILON
from evalkit.exhibits import Example, Placed
from evalkit.findings import Expectation
from evalkit.result import Evidence
from evalkit.types import DENSE, Metric, PerQuery, Run, System

MOST = 10
"""Queries that are shown of each kind."""


def examples(
    evidence: Evidence, expectation: Expectation, runs: Mapping[str, Run], values: Values
) -> tuple[Example, ...]:
    """The queries that won and lost most on the expectation's metric at its top-k, winners first.

    Of equal changes, the order of the data set decides. A query that did not change is no example.

    Args:
        evidence: Candidates and judgments.
        expectation: The metric and the top-k.
        runs: By system.
        values: By system, metric and query.
    """
    name = System("reranked", expectation.top_k).name
    before, after = (_complete(values, system, expectation.metric, evidence) for system in (DENSE.name, name))
    dense, reranked = runs[DENSE.name], runs[name]
    found = [
        _example(query_id, before[query_id], after[query_id], evidence, dense, reranked)
        for query_id in evidence.qrels
        if abs(after[query_id] - before[query_id]) > EPSILON
    ]
    winners = sorted((one for one in found if one.change > 0), key=lambda one: -one.change)
    losers = sorted((one for one in found if one.change < 0), key=lambda one: one.change)
    return (*winners[:MOST], *losers[:MOST])


def _complete(values: Values, system: str, metric: Metric, evidence: Evidence) -> PerQuery:
    """One system's values; 0 for a query that a stored table has lost, which is for verification to tell."""
    known = values.get(system, {}).get(metric, {})
    return {query_id: known.get(query_id, 0.0) for query_id in evidence.qrels}


def _example(query_id: str, before: float, after: float, evidence: Evidence, dense: Run, reranked: Run) -> Example:
    first, second = dense.rankings[query_id], reranked.rankings[query_id]
    grades = evidence.qrels[query_id]
    relevant = [doc_id for doc_id, grade in grades.items() if grade >= 1]
    # The relevant document that moved furthest is the one to look at; the rival is what stands where it should.
    gold = max(relevant, key=lambda doc_id: abs(_place(first, doc_id) - _place(second, doc_id)))
    winning = after > before
    rivals = [doc_id for doc_id in (first if winning else second) if grades.get(doc_id, 0) < 1]
    return Example(
        query_id=query_id,
        dense_value=before,
        reranked_value=after,
        gold=_placed(gold, first, second),
        rival=_placed(rivals[0], first, second) if rivals else None,
    )


def _place(ranking: Sequence[str], doc_id: str) -> int:
    """Rank from 1; one behind the last where it is not ranked."""
    return ranking.index(doc_id) + 1 if doc_id in ranking else len(ranking) + 1


def _placed(doc_id: str, first: Sequence[str], second: Sequence[str]) -> Placed:
    found = doc_id in first
    return Placed(doc_id, _place(first, doc_id) if found else None, _place(second, doc_id) if found else None)
