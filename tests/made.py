"""Results that are made up of hits and misses, so that every mean and gain is known by counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.analysis.assess import assess
from evalkit.delivery import deliver
from evalkit.record import Latency, Provenance, Sequential, StageTwoLatency
from evalkit.result import EvalResult, Evidence, Subject
from evalkit.sinks.files import FilesSink
from evalkit.types import Candidate
from tests.analysis.evidence import RECALL, design_of, scoring_of

DEPTH = 12
TOP_KS = (6, 10)


def hits(*runs: tuple[int, int, int]) -> tuple[list[int], list[int]]:
    """Columns for dense and for reranked from rows (how many queries, dense hit, reranked hit)."""
    dense = [before for count, before, _ in runs for _ in range(count)]
    return dense, [after for count, _, after in runs for _ in range(count)]


GAINING = hits((45, 1, 1), (20, 0, 1), (5, 1, 0), (30, 0, 0))
"""100 queries: recall@5 of dense is 0.50, of rerank@10 it is 0.65; 20 wins and 5 losses."""


def result_of(
    dense: Sequence[int],
    reranked: Sequence[int],
    run_id: str = "20260102-030405-abcdef",
    attributes: Mapping[str, Sequence[str]] | None = None,
    families: Mapping[str, str] | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    digest: str = "d" * 64,
    **parts: Any,
) -> EvalResult:
    """A result at top-k 10 whose query n hits, or misses, the top 5 as the two columns say.

    Each query has one positive: on rank 1 or 8 of stage 1, and first or last of the ten that are reranked.
    """
    queries = [f"q{place}" for place in range(len(dense))]
    candidates = {
        query: tuple(
            Candidate(
                f"{query}-answer" if place == (1 if before else 8) else f"{query}-{place}",
                place,
                1 - place / 20,
                (9.0 if after else -9.0) if place == (1 if before else 8) else -place / 10,
            )
            for place in range(1, DEPTH + 1)
        )
        for query, before, after in zip(queries, dense, reranked, strict=True)
    }
    named = attributes or {}
    evidence = Evidence(
        candidates,
        {query: {f"{query}-answer": 1} for query in queries},
        families or {},
        {query: {name: (values[place],) for name, values in named.items()} for place, query in enumerate(queries)},
    )
    design = design_of(10, TOP_KS, slices=tuple(named))
    subject = Subject("made", digest, "c" * 64, "a" * 64, DEPTH * len(queries), len(queries))
    scoring = scoring_of(pairs=DEPTH * len(queries))
    return EvalResult(
        run_id=run_id,
        dataset=subject,
        evidence=evidence,
        design=design,
        assessment=assess(evidence, design, subject, scoring),
        scoring=scoring,
        timings={"measure": 0.5},
        computed={"documents": 0, "queries": 0, "pairs": 0},
        provenance=Provenance(
            created="2026-01-02T03:04:05+00:00",
            versions={},
            machine={},
            fingerprints=models or fingerprints(),
            config={},
        ),
        **parts,
    )


def fingerprints(**reranker: Any) -> dict[str, dict[str, Any]]:
    """Of both models, the reranker's changed."""
    return {
        "embedder": {"backend": "testing", "weights": "words"},
        "reranker": {"backend": "testing", "weights": "overlap", "max_length": 512, **reranker},
    }


def latency_of(stage1_p95_ms: float, stage2_p95_ms: float, top_k: int = 10) -> Latency:
    return Latency(
        measured="2026-01-02T03:00:00+00:00",
        machine="a processor, 2 cores",
        device="cpu",
        n_queries=20,
        stage1_p50_ms=stage1_p95_ms / 2,
        stage1_p95_ms=stage1_p95_ms,
        store="memory",
        in_process=True,
        stage2=(StageTwoLatency(top_k, stage2_p95_ms / 2, stage2_p95_ms, 100.0, 50.0),),
    )


def stopped(result: EvalResult, low: float = 13.0, high: float = 40.0) -> EvalResult:
    """The same result as if it had ended early, decided above 12 points."""
    ended = Sequential("above", low, high, len(result.evidence.qrels), 1000, 200, 2000, 0)
    found = assess(result.evidence, result.design, result.dataset, result.scoring, (), ended)
    return replace(result, assessment=found, sequential=ended)


def with_recall(result: EvalResult, metric: Any = RECALL) -> dict[str, float]:
    """The means of a metric by system."""
    return {name: means[metric] for name, means in result.assessment.metrics.items()}


def stored(result: EvalResult, reports: Path) -> Path:
    """The result in a folder of its own below ``reports``, sealed by a manifest."""
    return deliver(result, {"files": FilesSink()}, reports)
