"""From evidence and design to everything that is found: pure, and needs no model."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.analysis.advice import advise
from evalkit.analysis.attribution import attribute, fates, knee, out_of_reach
from evalkit.analysis.comparison import compare
from evalkit.analysis.controls import controls, require_candidates
from evalkit.analysis.derive import derive, rank_perfectly, systems_of, unmeasured
from evalkit.analysis.examples import examples
from evalkit.analysis.expectation import judge
from evalkit.analysis.languages import languages
from evalkit.analysis.lengths import lengths
from evalkit.analysis.metrics import JUDGED_CUTOFF, judged_share, mean, measure
from evalkit.analysis.slices import slices
from evalkit.analysis.units import Units
from evalkit.analysis.what_ifs import what_ifs
from evalkit.findings import Control
from evalkit.record import Scoring, Sequential
from evalkit.result import Assessment, Design, Evidence, Subject
from evalkit.types import DENSE, Metric, Run, System


def assess(
    evidence: Evidence,
    design: Design,
    subject: Subject,
    scoring: Scoring,
    observed: Sequence[Control] = (),
    sequential: Sequential | None = None,
) -> Assessment:
    """Derive the runs, measure, compare, explain, check and judge.

    Args:
        evidence: Candidates with both scores, judgments, families and attributes.
        design: What is asked of them.
        subject: The data set in numbers.
        scoring: How stage 2 came about.
        observed: Controls that needed the models or the store at hand, as they were found then.
        sequential: How the run was stopped, if it was: then only its own interval is valid.

    Raises:
        ControlError: The candidates are incomplete or repeat a document, so that there is nothing to rank.
    """
    require_candidates(evidence, max(design.top_ks), subject.unanswered)
    systems = systems_of(design.top_ks)
    runs = {system.name: derive(evidence.candidates, system) for system in systems}
    values = {name: measure(run, evidence.qrels, design.metrics) for name, run in runs.items()}
    perfect = {system.name: _oracle(evidence, system) for system in systems if system.top_k is not None}
    oracles = {name: measure(run, evidence.qrels, design.metrics) for name, run in perfect.items()}
    units = Units.of(list(evidence.qrels), evidence.families)
    comparisons = compare(systems, values, oracles, design, units, stopped=sequential is not None)
    judged = {name: judged_share(run, evidence.qrels) for name, run in runs.items()}

    expectation = design.expectation
    decided = System("reranked", expectation.top_k).name
    rankings = (runs[DENSE.name], runs[decided], perfect[decided])
    cutoff = expectation.metric.cutoff or JUDGED_CUTOFF
    all_fates = [fates(evidence.candidates, evidence.qrels, top_k, cutoff) for top_k in sorted(design.top_ks)]
    attribution = tuple(attribute(found, Metric("recall", cutoff)) for found in all_fates)
    checks = (*observed, *controls(evidence, design, subject, scoring, runs, values, oracles))
    failed = [check for check in checks if check.status == "failed"]
    decision = next(
        found for found in comparisons if (found.metric, found.top_k) == (expectation.metric, expectation.top_k)
    )
    verdict = judge(decision, expectation, sequential, failed)
    by_language = None if sequential else languages(evidence, design, rankings)
    lost = out_of_reach(all_fates[-1], evidence.candidates)
    return Assessment(
        systems=systems,
        runs=tuple(runs.values()),
        per_query=values,
        metrics={
            name: {metric: mean(found) for metric, found in by_metric.items()} for name, by_metric in values.items()
        },
        judged=judged,
        comparisons=tuple(comparisons),
        verdict=advise(verdict, comparisons, attribution, checks, scoring, judged, by_language, lost),
        fates=tuple(fate for found in all_fates for fate in found),
        attribution=attribution,
        knee=knee(values, design, units),
        slices=() if sequential else slices(evidence, design, rankings, values, oracles),
        languages=by_language,
        lengths=() if sequential else lengths(evidence, design, scoring, rankings),
        controls=checks,
        examples=examples(evidence, expectation, runs, values),
        what_ifs=()
        if sequential or unmeasured(evidence.candidates, scoring)
        else what_ifs(evidence, design, values, units),
    )


def _oracle(evidence: Evidence, system: System) -> Run:
    """The perfect ranking of the candidates that a reranked system saw."""
    top_k = system.top_k or 0
    return Run(
        f"oracle@{top_k}",
        {
            query_id: rank_perfectly(found, top_k, evidence.qrels.get(query_id, {}))
            for query_id, found in evidence.candidates.items()
        },
    )
