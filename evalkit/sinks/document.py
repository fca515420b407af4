"""``result.json`` as a plain structure: the names that other programs rely on.

Numbers keep full precision and are never NaN; what is absent is null. Document and query texts are
not part of it. ``evalkit/result.schema.json`` says what every name means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from evalkit.findings import Comparison, Verdict
from evalkit.result import EvalResult
from evalkit.types import Metric

SCHEMA_VERSION = 1


def as_document(result: EvalResult) -> dict[str, Any]:
    """The result as JSON-ready values."""
    found, design = result.assessment, result.design
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": result.run_id,
        "status": found.status,
        "dataset": plain(result.dataset),
        "design": {
            "top_ks": list(design.top_ks),
            "metrics": plain(design.metrics),
            "slices": list(design.slices),
            "document_slices": list(design.document_slices),
            "resamples": design.resamples,
            "seed": design.seed,
            "unit": result.evidence.unit,
        },
        "stage_one": plain(result.stage_one),
        "systems": [{"name": system.name, "stage": system.stage, "top_k": system.top_k} for system in found.systems],
        "metrics": plain(found.metrics),
        "judged": {name: {"judged@5": share} for name, share in found.judged.items()},
        "comparisons": [_comparison(comparison) for comparison in found.comparisons],
        "expectation": _expectation(found.verdict),
        "scoring": plain(result.scoring),
        "attribution": plain(found.attribution),
        "knee": plain(found.knee),
        "slices": plain(found.slices),
        "languages": plain(found.languages),
        "lengths": plain(found.lengths),
        "controls": plain(found.controls),
        "what_ifs": plain(found.what_ifs),
        "latency": _latency(result),
        "sequential": plain(result.sequential),
        "timings": {
            "seconds": dict(result.timings),
            "computed": dict(result.computed),
        },
        "provenance": plain(result.provenance),
    }


def plain(value: Any) -> Any:
    """Dataclasses and mappings as objects, sequences as arrays, metrics as their text."""
    if isinstance(value, Metric):
        return str(value)
    if is_dataclass(value):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    return value


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {**plain(comparison), "half_width_points": comparison.half_width_points}


def _latency(result: EvalResult) -> dict[str, Any] | None:
    """The probe, with what each top-k gains for its time."""
    if result.latency is None:
        return None
    gains = result.points_per_100_ms
    measured = [{**plain(one), "points_per_100_ms": gains[one.top_k]} for one in result.latency.stage2]
    return {**plain(result.latency), "stage2": measured}


def _expectation(verdict: Verdict) -> dict[str, Any]:
    """The verdict, with what was expected beside it."""
    found = plain(verdict)
    return {**found.pop("expectation"), **found}
