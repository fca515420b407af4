"""The result in one table and a few lines: what the terminal and ``report.md`` show. The one place that rounds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from evalkit.parts import SIGNIFICANT, SliceGain
from evalkit.result import EvalResult
from evalkit.sinks.escaping import one_line
from evalkit.types import Fingerprint, Metric, System

DASH = "–"

LEAST_P = 0.001

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")


def header(result: EvalResult) -> list[str]:
    """Column titles: the expectation's metric first, nDCG@10 beside it where it was computed."""
    first, *others = shown_metrics(result)
    columns = ["system", str(first), "points", "95 % interval", "p", "relative"]
    for metric in others:
        columns += [str(metric), "points", "relative"]
    return [*columns, "oracle", "headroom", "captured", "W/T/L", "judged@5"]


def rows(result: EvalResult) -> list[list[str]]:
    """One row per system, rounded; interval, p, room and wins are those of the expectation's metric."""
    table = []
    first, *others = shown_metrics(result)
    found = result.assessment
    for system in found.systems:
        means = found.metrics[system.name]
        judged = f"{100 * found.judged[system.name]:.0f} %"
        if system.top_k is None:
            row = [f"{means[first]:.3f}", *[DASH] * 4]
            for metric in others:
                row += [f"{means[metric]:.3f}", DASH, DASH]
            table.append([shown(result, system), *row, *[DASH] * 4, judged])
            continue
        change = found.comparison(first, system.top_k)
        row = [
            f"{means[first]:.3f}",
            f"{change.delta_points:+.1f}",
            interval(change.ci_low, change.ci_high),
            p_value(change.p_adjusted),
            percent(change.relative_percent),
        ]
        for metric in others:
            other = found.comparison(metric, system.top_k)
            row += [f"{means[metric]:.3f}", f"{other.delta_points:+.1f}", percent(other.relative_percent)]
        table.append(
            [
                system.name,
                *row,
                f"{change.oracle:.3f}",
                f"{change.headroom_points:.1f}",
                DASH if change.captured is None else f"{100 * change.captured:.0f} %",
                f"{change.wins}/{change.ties}/{change.losses}",
                judged,
            ]
        )
    return table


def shown(result: EvalResult, system: System) -> str:
    """What readers call a system: stage 1 by how it retrieves, the others by their names."""
    return result.stage_one.label if system.top_k is None else system.name


def verdict_line(result: EvalResult) -> str:
    """The flag and its reason."""
    verdict = result.assessment.verdict
    return f"{verdict.status.upper()}: {verdict.reason}"


def subject_line(result: EvalResult) -> str:
    """What was evaluated."""
    dataset = result.dataset
    languages = f", languages {', '.join(map(one_line, dataset.languages))}" if dataset.languages else ""
    spent = result.sequential
    evaluated = dataset.n_queries if spent is None else f"{spent.spent_queries} of {spent.total_queries}"
    return (
        f"{one_line(dataset.name)}: {evaluated} queries, {dataset.n_documents} documents{languages}; digest "
        f"{dataset.digest[:12]}"
    )


def model_lines(result: EvalResult) -> list[str]:
    """Which models, in one line each."""
    searched, models = result.stage_one, result.provenance.fingerprints
    method = [] if searched.method == searched.label else [f"stage 1: {searched.method}"]
    return [*method, *(f"{role}: {model_name(values)}" for role, values in models.items())]


def model_name(fingerprint: Fingerprint) -> str:
    """Backend and weights in a few words: a hub name with its commit, or a digest, shortened."""
    weights = shortened(str(fingerprint.get("weights") or fingerprint.get("model") or "unnamed"))
    return f"{weights} ({fingerprint.get('backend', 'unknown')}{', int8' if fingerprint.get('quantised') else ''})"


def shortened(text: str) -> str:
    """The text with its digests and commits cut to 12 signs."""
    return _DIGEST.sub(r"\1", text)


_READ: Mapping[Literal["fits", "longer"], str] = {"fits": "it reads whole", "longer": "are longer"}


def notes(result: EvalResult) -> list[str]:
    """What a careful reader should know: one sentence each."""
    dataset, scoring = result.dataset, result.scoring
    found = list(dataset.warnings)
    if dataset.dangling:
        found.append(
            f"{len(dataset.dangling)} relevant documents are not in the corpus; they count as never found, unless the "
            "given run returned them"
        )
    if dataset.unanswered:
        found.append(
            f"{len(dataset.unanswered)} of {len(result.evidence.qrels)} queries are not answered by stage 1; "
            "they count as 0"
        )
    decision = result.assessment.verdict.expectation.metric
    unmoved = decision.unmoved
    idle = [system.name for system in result.assessment.systems if system.top_k and system.top_k <= unmoved]
    if idle:
        found.append(f"{', '.join(idle)} cannot change {decision}: its first {unmoved} documents stay the same")
    open_ended = [str(metric) for metric in result.assessment.metrics["dense"] if metric.cutoff is None]
    if open_ended:
        depth = max(map(len, result.evidence.candidates.values()))
        found.append(f"{', '.join(open_ended)}: over the {depth} retrieved documents, not the whole corpus")
    if dataset.unjudged:
        found.append(f"{len(dataset.unjudged)} selected queries are unjudged and were not evaluated")
    if dataset.without_positives:
        found.append(
            f"{len(dataset.without_positives)} selected queries lack a relevant document and were not evaluated"
        )
    if scoring.truncated:
        share = 100 * scoring.truncated / scoring.pairs
        found.append(
            f"{scoring.truncated} of {scoring.pairs} pairs ({share:.1f} %) are longer than the reranker's "
            f"{scoring.max_length} tokens and were {f'read in {scoring.windows} windows' if scoring.windows else 'cut'}"
        )
    if result.assessment.lengths:
        told = ", ".join(
            f"{row.delta_points:+.1f} points on the {row.positives} relevant ones that {_READ[row.length]}"
            for row in result.assessment.lengths
        )
        found.append(f"{result.assessment.lengths[0].metric} by length of the candidates: {told}")
    if scoring.ties:
        found.append(f"{scoring.ties} candidates tie with another one of their query; stage-1 order decided")
    return found


def work_line(result: EvalResult) -> str:
    """What was computed and how long it took."""
    computed = result.computed
    total = sum(seconds for phase, seconds in result.timings.items() if phase != "latency")
    pairs = result.scoring.pairs if result.sequential is None else result.sequential.total_pairs
    windows = result.scoring.windows
    scores = f"{pairs + windows} scores of pairs and windows" if windows else f"{pairs} pair scores"
    return (
        f"computed {computed['documents']} document vectors, {computed['queries']} query vectors and "
        f"{computed['pairs']} of {scores} in {total:.1f} s"
    )


def sure_lines(result: EvalResult) -> list[str]:
    """How sure the verdict is, where a larger top-k stops to pay, and how a sequential run ended."""
    knee = result.assessment.knee
    lines = size_lines(result)
    if len(result.design.top_ks) > 1:
        most = "" if knee.ninety_percent is None else f", {knee.ninety_percent} the smallest with 90 % of it"
        lines.append(
            f"depth: {knee.within_noise} is the smallest top-k whose gain is within noise of the best, which is that "
            f"of {knee.best_top_k}{most}"
        )
    return [*lines, *stop_lines(result)]


def size_lines(result: EvalResult) -> list[str]:
    """What so many queries can tell; nothing after an early stop."""
    decision = result.assessment.decision
    if decision.detectable_points is None or decision.attainable_p is None:
        return []
    grouped = f" in {decision.n_units} families" if decision.n_units < decision.n_queries else ""
    unresolvable = (
        f" Unresolvable: no outcome of these labels could reach p = 0.05 (at best {decision.attainable_p:.2g})."
        if decision.attainable_p > SIGNIFICANT
        else ""
    )
    return [
        f"{decision.n_queries} queries{grouped}: a change is known to about {decision.half_width_points:.1f} "
        f"points either way; effects under {decision.detectable_points:.1f} points will usually be missed."
        f"{unresolvable}"
    ]


def stop_lines(result: EvalResult) -> list[str]:
    """How a sequential run ended; nothing for a full one."""
    sequential = result.sequential
    if sequential is None:
        return []
    edge = f"{result.design.expectation.min_points:g} points"
    if sequential.side is None:
        return [
            f"sequential run: all {sequential.total_queries} queries were scored, and on which side of {edge} the gain "
            "lies is not decided; no pair was saved"
        ]
    saved = 100 * (1 - sequential.spent_pairs / sequential.total_pairs)
    return [
        f"stopped early: it was decided that the gain lies {sequential.side} {edge}, after "
        f"{sequential.spent_queries} of {sequential.total_queries} queries and {sequential.spent_pairs} of "
        f"{sequential.total_pairs} pairs ({saved:.0f} % saved); the same command without sweep.sequential=true goes "
        "on from there"
    ]


def control_line(result: EvalResult) -> str:
    """The self-checks in one line, those by name that did not pass."""
    found = result.assessment.controls
    passed = sum(control.status == "passed" for control in found)
    others = [f"{control.name} {control.status}" for control in found if control.status != "passed"]
    return f"{passed} of {len(found)} self-checks passed" + (f"; {', '.join(others)}" if others else "")


def slice_name(found: SliceGain) -> str:
    """Which queries, or which documents, the slice is made of."""
    return f"{'document ' if found.of == 'document' else ''}{found.attribute} = {found.value}"


def interval(low: float | None, high: float | None) -> str:
    """Both ends in points, or a dash after an early stop."""
    return DASH if low is None or high is None else f"{low:+.1f} to {high:+.1f}"


def p_value(value: float | None) -> str:
    """Three decimals; below that, the bound."""
    if value is None:
        return DASH
    return f"{value:.3f}" if value >= LEAST_P else f"< {LEAST_P}"


def percent(value: float | None) -> str:
    """A relative change, or a dash where the baseline is 0."""
    return DASH if value is None else f"{value:+.1f} %"


def aligned(titles: Sequence[str], table: Sequence[Sequence[str]]) -> list[str]:
    """Plain-text lines: first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(titles, *table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (titles, *table)
    ]


def shown_metrics(result: EvalResult) -> list[Metric]:
    """The expectation's metric, and nDCG@10 beside it where it was computed."""
    decision, second = result.assessment.verdict.expectation.metric, Metric("ndcg", 10)
    return [decision, second] if second in result.design.metrics and second != decision else [decision]
