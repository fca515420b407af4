"""``result.json`` as a plain structure: the names that other programs rely on.

Numbers keep full precision and are never NaN; what is absent is null. Document and query texts are
not part of it.
"""

from __future__ import annotations

from typing import Any

from evalkit.result import Comparison, EvalResult, Verdict

SCHEMA_VERSION = 1


def as_document(result: EvalResult) -> dict[str, Any]:
    """The result as JSON-ready values."""
    dataset, provenance = result.dataset, result.provenance
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": result.run_id,
        "status": result.status,
        "dataset": {
            "name": dataset.name,
            "digest": dataset.digest,
            "corpus_digest": dataset.corpus_digest,
            "n_documents": len(dataset.documents),
            "n_queries": len(dataset.queries),
            "languages": list(dataset.languages),
            "dangling": [list(pair) for pair in dataset.dangling],
            "unjudged": list(dataset.unjudged),
            "without_positives": list(dataset.without_positives),
            "warnings": list(dataset.warnings),
        },
        "systems": [{"name": system.name, "stage": system.stage, "top_k": system.top_k} for system in result.systems],
        "metrics": {
            name: {str(metric): value for metric, value in values.items()} for name, values in result.metrics.items()
        },
        "judged": {name: {"judged@5": share} for name, share in result.judged.items()},
        "comparisons": [_comparison(comparison) for comparison in result.comparisons],
        "expectation": _expectation(result.verdict),
        "scoring": {
            "pairs": result.scoring.pairs,
            "truncated": result.scoring.truncated,
            "max_length": result.scoring.max_length,
            "ties": result.scoring.ties,
        },
        "attribution": None,
        "slices": None,
        "controls": None,
        "latency": None,
        "timings": {
            "seconds": dict(result.timings),
            "computed": dict(result.computed),
        },
        "provenance": {
            "created": provenance.created,
            "versions": dict(provenance.versions),
            "machine": dict(provenance.machine),
            "fingerprints": {role: dict(values) for role, values in provenance.fingerprints.items()},
            "config": dict(provenance.config),
        },
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "metric": str(comparison.metric),
        "baseline": comparison.baseline,
        "candidate": comparison.candidate,
        "top_k": comparison.top_k,
        "baseline_mean": comparison.baseline_mean,
        "candidate_mean": comparison.candidate_mean,
        "delta_points": comparison.delta_points,
        "relative_percent": comparison.relative_percent,
        "ci_low": comparison.ci_low,
        "ci_high": comparison.ci_high,
        "p_value": comparison.p_value,
        "p_adjusted": comparison.p_adjusted,
        "wins": comparison.wins,
        "ties": comparison.ties,
        "losses": comparison.losses,
        "n_queries": comparison.n_queries,
        "oracle": comparison.oracle,
        "headroom_points": comparison.headroom_points,
        "captured": comparison.captured,
    }


def _expectation(verdict: Verdict) -> dict[str, Any]:
    expected = verdict.expectation
    return {
        "metric": str(expected.metric),
        "top_k": expected.top_k,
        "min_points": expected.min_points,
        "max_points": expected.max_points,
        "delta_points": verdict.delta_points,
        "ci_low": verdict.ci_low,
        "ci_high": verdict.ci_high,
        "status": verdict.status,
        "conclusive": verdict.conclusive,
        "reason": verdict.reason,
        "advice": list(verdict.advice),
    }
