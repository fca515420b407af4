"""The flow: dataset -> candidates -> raw scores -> runs -> metrics -> verdict.

Everything after the raw scores (:func:`assess`) is a pure function of candidates, qrels and config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from evalkit.analysis.comparison import compare
from evalkit.analysis.derive import derive, rank_perfectly, systems_of
from evalkit.analysis.expectation import check_sweep, judge
from evalkit.analysis.metrics import judged_share, mean, measure
from evalkit.provenance import capture
from evalkit.result import Comparison, EvalResult, Expectation, Verdict
from evalkit.stages import Log, Plan, key_of, rerank, retrieve
from evalkit.types import Candidates, Fingerprint, Metric, PerQuery, Qrels, Run, System


@dataclass(frozen=True, slots=True)
class Assessment:
    """What follows from candidates and qrels alone."""

    systems: tuple[System, ...]
    runs: tuple[Run, ...]
    per_query: Mapping[str, Mapping[Metric, PerQuery]]
    metrics: Mapping[str, Mapping[Metric, float]]
    judged: Mapping[str, float]
    comparisons: tuple[Comparison, ...]
    verdict: Verdict


def evaluate(plan: Plan) -> EvalResult:
    """Run the whole flow once.

    Raises:
        EvalkitError: Bad configuration, bad data, an unusable model or store.
    """
    check_sweep(plan.top_ks, plan.metrics, plan.expectation)
    log = Log()
    with log.phase("load"):
        dataset = plan.source.load()
    check_sweep(plan.top_ks, plan.metrics, plan.expectation, len(dataset.documents) - int(plan.exclude_self))
    fingerprints = {"embedder": plan.embedder.fingerprint, "reranker": plan.reranker.fingerprint}
    provenance = capture(fingerprints, plan.config)
    with closing(plan.cache), closing(plan.store):
        retrieved = retrieve(plan, dataset, log)
        candidates, scoring = rerank(plan, dataset, retrieved, log)
    with log.phase("measure"):
        assessment = assess(candidates, dataset.qrels, plan.top_ks, plan.metrics, plan.expectation)
    return EvalResult(
        run_id=_run_id(provenance.created, dataset.digest, fingerprints, plan.config),
        status="ok",
        dataset=dataset,
        systems=assessment.systems,
        candidates=candidates,
        runs=assessment.runs,
        per_query=assessment.per_query,
        metrics=assessment.metrics,
        judged=assessment.judged,
        comparisons=assessment.comparisons,
        verdict=assessment.verdict,
        scoring=scoring,
        timings=log.timings,
        computed=log.computed,
        provenance=provenance,
    )


def assess(
    candidates: Candidates, qrels: Qrels, top_ks: Sequence[int], metrics: Sequence[Metric], expectation: Expectation
) -> Assessment:
    """Derive the runs, measure, compare and judge: pure, and needs no model."""
    systems = systems_of(top_ks)
    runs = tuple(derive(candidates, system) for system in systems)
    per_query = {run.name: measure(run, qrels, metrics) for run in runs}
    comparisons = []
    for system in systems:
        if system.top_k is None:
            continue
        perfect = {
            query_id: rank_perfectly(found, system.top_k, qrels.get(query_id, {}))
            for query_id, found in candidates.items()
        }
        oracle = measure(Run(f"oracle@{system.top_k}", perfect), qrels, metrics)
        comparisons += [
            compare(metric, system, per_query["dense"][metric], per_query[system.name][metric], oracle[metric])
            for metric in metrics
        ]
    decisive = next(
        found for found in comparisons if found.metric == expectation.metric and found.top_k == expectation.top_k
    )
    return Assessment(
        systems=systems,
        runs=runs,
        per_query=per_query,
        metrics={name: {metric: mean(found) for metric, found in values.items()} for name, values in per_query.items()},
        judged={run.name: judged_share(run, qrels) for run in runs},
        comparisons=tuple(comparisons),
        verdict=judge(decisive, expectation),
    )


def _run_id(created: str, digest: str, fingerprints: Mapping[str, Fingerprint], config: Mapping[str, Any]) -> str:
    stamp = created.partition("+")[0].replace("-", "").replace(":", "").replace("T", "-")
    return f"{stamp}-{key_of(digest, fingerprints, config).hex()[:6]}"
