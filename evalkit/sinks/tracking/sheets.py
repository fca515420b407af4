"""What MLflow is told of one result: the name, tags, parameters and metrics of the evaluation and of its systems.

Every system has the same metrics under the same names, so that MLflow can compare them; the evaluation repeats those of
the system that was judged. Query and document texts are in none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.findings import Comparison
from evalkit.result import EvalResult
from evalkit.sinks import table
from evalkit.sinks.escaping import escaped
from evalkit.sinks.tracking import languages
from evalkit.types import Metric, System

RESULT_ID = "result_id"
"""The tag by which a result is found again."""

EVALUATION, SYSTEM = "evaluation", "system"

CURVES = "over_top_k"
"""MLflow gathers the charts of metrics with one prefix in a section of that name."""

LONGEST_VALUE = 500
"""Characters of a parameter that every MLflow store keeps."""

PRIVATE = ("reports_dir", "cache_dir", "report", "sinks", "cache", "notes", "hydra")
"""Overrides that say where something is kept, and nothing about the numbers."""

_ALLOWED = re.compile(r"[\w./-]+")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One MLflow run.

    Attributes:
        name: Its name.
        tags: Tag -> text.
        params: Parameter -> text.
        points: (metric, value, step), where the step is a top-k, or 0.
    """

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    points: tuple[tuple[str, float, int], ...]


def metric_name(metric: Metric) -> str:
    """The metric under a name that MLflow allows: ``recall_at_5`` for ``recall@5``."""
    return str(metric).replace("@", "_at_")


def evaluation(result: EvalResult) -> Sheet:
    """The parent: the gain that was judged, why, and everything over top-k."""
    verdict = result.assessment.verdict
    judged = System("reranked", verdict.expectation.top_k)
    # An early stop leaves the verdict an interval of its own.
    interval = {"gain_points_low": verdict.ci_low, "gain_points_high": verdict.ci_high}
    now = {**_numbers(result, judged), **interval, "n_queries": result.assessment.decision.n_queries}
    if result.latency is not None:
        now |= {"stage1_p50_ms": result.latency.stage1_p50_ms, "stage1_p95_ms": result.latency.stage1_p95_ms}
    now |= languages.numbers(result)
    worst = languages.worst(result)
    return Sheet(
        name=_name(result),
        tags={
            **_tags(result, EVALUATION),
            **_judgment(result, verdict.ci_low, verdict.ci_high),
            **({} if worst is None else {"worst_language": worst}),
            "mlflow.note.content": _note(result, worst),
        },
        params=_params(result),
        points=(*_points(now), *_curves(result)),
    )


def _name(result: EvalResult) -> str:
    verdict = result.assessment.verdict
    if verdict.status == "invalid":
        return f"invalid ({result.run_id})"
    low = f", lower bound {verdict.ci_low:+.1f}" if verdict.expectation.decide_on == "lower_bound" else ""
    return f"{verdict.delta_points:+.1f} points{low}, {verdict.status} ({result.run_id})"


def systems(result: EvalResult) -> Iterator[Sheet]:
    """The children, in the order of the sweep."""
    for system in result.assessment.systems:
        tags = {**_tags(result, SYSTEM), "system": table.shown(result, system)}
        change = _change(result, system)
        if change is not None and change == result.assessment.decision:
            verdict = result.assessment.verdict
            tags |= _judgment(result, verdict.ci_low, verdict.ci_high)
        elif change is not None:
            tags["interval"] = table.interval(change.ci_low, change.ci_high)
        yield Sheet(
            name=table.shown(result, system),
            tags=tags,
            params={"top_k": str(system.top_k or 0)},
            points=tuple(_points(_numbers(result, system))),
        )


def _tags(result: EvalResult, kind: str) -> dict[str, str]:
    first = result.provenance.derived_from
    return {
        "kind": kind,
        RESULT_ID: result.run_id,
        "status": result.assessment.status,
        "metric": str(result.assessment.verdict.expectation.metric),
        "dataset": result.dataset.name,
        "dataset_digest": result.dataset.digest,
        "stage_one": result.stage_one.method,
        **_models(result),
        **({} if first is None else {"derived_from": first}),
        "mlflow.source.name": "evalkit",
        "mlflow.source.type": "LOCAL",
    }


def _judgment(result: EvalResult, low: float | None, high: float | None) -> dict[str, str]:
    """Only one top-k was judged, so only its system and the evaluation carry a verdict."""
    verdict = result.assessment.verdict
    return {
        "verdict": verdict.status,
        "conclusive": str(verdict.conclusive).lower(),
        "interval": table.interval(low, high),
    }


def _models(result: EvalResult) -> dict[str, str]:
    """Role -> the model's own name and digest: what is left of its place after the last slash."""
    return {
        role: table.shortened(str(values.get("weights") or values.get("model") or "unnamed")).rpartition("/")[2]
        for role, values in result.provenance.fingerprints.items()
    }


def _params(result: EvalResult) -> dict[str, str]:
    """What evaluations differ in: the models, what was judged, and what the command line changed.

    The whole configuration is in ``result.json``; as parameters it would be dozens of columns that never differ.
    """
    expected = result.assessment.verdict.expectation
    chosen: dict[str, Any] = {
        "dataset": result.dataset.name,
        **_models(result),
        "metric": expected.metric,
        "top_k": expected.top_k,
        "expected": expected.band,
        "decide_on": expected.decide_on,
        "sweep": ",".join(map(str, result.design.top_ks)),
    }
    changed = {name: value for name, value in _overrides(result) if name not in chosen}
    return {name: str(value)[:LONGEST_VALUE] for name, value in {**changed, **chosen}.items()}


def _overrides(result: EvalResult) -> Iterator[tuple[str, str]]:
    for word in result.provenance.command:
        name, sign, value = word.lstrip("+~").partition("=")
        if sign and _ALLOWED.fullmatch(name) and name.partition(".")[0] not in PRIVATE:
            yield name, value


def _note(result: EvalResult, worst: str | None) -> str:
    verdict = result.assessment.verdict
    return "\n".join([
        f"**{verdict.status}**: {verdict.reason}",
        "",
        *(f"- {escaped(advice)}" for advice in verdict.advice),
        "",
        f"{table.subject_line(result)}. {table.control_line(result)}.",
        "",
        *([] if worst is None else [f"Worst by language: {escaped(worst)}.", ""]),
        "Artifacts: `report.html` tells the whole story, `per_query.json` every query. "
        f"Model metrics, `{CURVES}`: each curve over top-k, which is the step; step 0 is stage 1.",
    ])  # fmt: skip


def _change(result: EvalResult, system: System) -> Comparison | None:
    """What the system changed, on the expectation's metric; None for dense."""
    metric = result.assessment.verdict.expectation.metric
    return None if system.top_k is None else result.assessment.comparison(metric, system.top_k)


def _numbers(result: EvalResult, system: System) -> dict[str, float]:
    """Metric -> value, where one is known; the gain first, which MLflow's plots then choose by themselves."""
    found, change = result.assessment, _change(result, system)
    deltas = {one.metric: one.delta_points for one in found.comparisons if one.candidate == system.name}
    numbers: dict[str, float | None] = {"gain_points": 0, "gain_relative_percent": 0, "headroom_points": 0}
    # Where the others have an interval: dense is known to gain nothing over itself.
    if found.decision.ci_low is not None:
        numbers |= {"gain_points_low": 0, "gain_points_high": 0}
    if change is not None:
        numbers |= {
            "gain_points": change.delta_points,
            "gain_points_low": change.ci_low,
            "gain_points_high": change.ci_high,
            "gain_relative_percent": change.relative_percent,
            "headroom_points": change.headroom_points,
            "headroom_captured": change.captured,
            "p_value": change.p_adjusted,
        }
    for metric, value in found.metrics[system.name].items():
        numbers[metric_name(metric)] = value
        numbers[f"{metric_name(metric)}_delta_points"] = deltas.get(metric, 0.0)
    numbers |= {"judged_at_5": found.judged[system.name], "top_k": system.top_k or 0}
    numbers |= _latency(result, system)
    return {name: value for name, value in numbers.items() if value is not None}


def _latency(result: EvalResult, system: System) -> dict[str, float | None]:
    """What reranking takes, in milliseconds; dense takes none."""
    if result.latency is None:
        return {}
    if system.top_k is None:
        return {"rerank_p50_ms": 0.0, "rerank_p95_ms": 0.0}
    for one in result.latency.stage2:
        if one.top_k == system.top_k:
            return {
                "rerank_p50_ms": one.p50_ms,
                "rerank_p95_ms": one.p95_ms,
                "points_per_100_ms": result.points_per_100_ms[one.top_k],
                "rerank_cost_per_1000_queries": one.cost_per_1000_queries,
            }
    return {}


def _curves(result: EvalResult) -> Iterator[tuple[str, float, int]]:
    """Means, gain, headroom and latency with top-k as the step; dense is step 0."""
    shown = {"gain_points", "gain_points_low", "gain_points_high", "headroom_points", "rerank_p50_ms", "rerank_p95_ms"}
    shown |= {metric_name(metric) for metric in result.assessment.metrics["dense"]}
    for system in result.assessment.systems:
        for name, value, _ in _points(_numbers(result, system)):
            if name in shown:
                yield f"{CURVES}/{name}", value, system.top_k or 0


def _points(numbers: Mapping[str, float]) -> Iterator[tuple[str, float, int]]:
    """Rounded, as the UI shows every decimal that it gets: result.json keeps them."""
    for name, value in numbers.items():
        coarse = any(unit in name for unit in ("points", "percent", "_ms"))
        yield name, round(float(value), 2 if coarse else 4), 0
