"""Results that are made of hits and misses, so that every mean and gain is known by counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.analysis.assess import assess
from evalkit.findings import Control
from evalkit.record import Sequential
from evalkit.result import EvalResult, Evidence
from evalkit.types import Candidate, Metric
from tests.analysis.evidence import design_of
from tests.results import METRICS, provenance_of, result_of

MRR = Metric("mrr", 5)

DEPTH = 12

Columns = tuple[list[int], list[int]]
"""1 where dense, and where rerank@10, has the positive in its top 5: query by query."""


def hits(*rows: tuple[int, int, int]) -> Columns:
    """Columns from rows (so many queries, hit by dense, hit by rerank@10)."""
    dense = [before for count, before, _ in rows for _ in range(count)]
    return dense, [after for count, _, after in rows for _ in range(count)]


GAINING = hits((45, 1, 1), (20, 0, 1), (5, 1, 0), (30, 0, 0))
"""100 queries: recall@5 of dense is 0.50 and of rerank@10 0.65, a gain of 15 points."""


def result_by(
    columns: Columns = GAINING,
    attributes: Mapping[str, Sequence[str]] | None = None,
    families: Mapping[str, str] | None = None,
    run_id: str = "20260102-030405-abcdef",
    **models: Mapping[str, Any],
) -> EvalResult:
    """A valid result at the decision top-k 10, of a sweep over 6 and 10.

    Each query has one positive, on rank 1 or 8 of stage 1, and first or last of the ten that are reranked: dense and
    rerank@10 hit or miss as the columns say, and rerank@6 hits where both do.

    Args:
        columns: Hits of dense and of rerank@10.
        run_id: Its name.
        attributes: Name -> value of each query.
        families: query id, ``q0`` and so on, -> family.
        models: What is changed of the fingerprints of ``embedder`` and ``reranker``.
    """
    named = attributes or {}
    candidates, qrels, told = {}, {}, {}
    for place, (before, after) in enumerate(zip(*columns, strict=True)):
        query, answer = f"q{place}", 1 if before else 8
        candidates[query] = tuple(
            Candidate(f"{query}-answer", rank, 1 - rank / 20, 9.0 if after else -9.0, 100)
            if rank == answer
            else Candidate(f"{query}-{rank}", rank, 1 - rank / 20, -rank / 10, 100)
            for rank in range(1, DEPTH + 1)
        )
        qrels[query] = {f"{query}-answer": 1}
        told[query] = {name: (values[place],) for name, values in named.items()}
    evidence = Evidence(candidates, qrels, families or {}, told)
    design = design_of(10, (6, 10), metrics=(*METRICS, MRR), slices=tuple(named))
    return result_of(evidence, design, run_id, provenance=provenance_of(**models))


def stopped(result: EvalResult) -> EvalResult:
    """The same as if the run had ended early, once it was decided that the gain is above 12 points."""
    ended = Sequential("above", 13.0, 40.0, len(result.evidence.qrels), 1000, 200, 2000, 0)
    found = assess(result.evidence, result.design, result.dataset, result.scoring, (), ended)
    return replace(result, assessment=found, sequential=ended)


def invalid(result: EvalResult) -> EvalResult:
    """The same with a self-check that failed."""
    controls = (Control("labels", "failed", "no better than chance"),)
    return replace(result, assessment=replace(result.assessment, controls=controls))
