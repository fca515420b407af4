"""The result in one table and a few lines: what the terminal and ``report.md`` show. The one place that rounds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evalkit.result import EvalResult
from evalkit.types import Fingerprint, Metric

DASH = "–"

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")


def header(result: EvalResult) -> list[str]:
    """Column titles: the expectation's metric first, nDCG@10 beside it where it was computed."""
    columns = ["system"]
    for metric in _shown(result):
        columns += [str(metric), "points", "relative"]
    return [*columns, "oracle", "headroom", "captured", "W/T/L", "judged@5"]


def rows(result: EvalResult) -> list[list[str]]:
    """One row per system, rounded; room and wins are those of the expectation's metric."""
    table = []
    decision = result.assessment.verdict.expectation.metric
    for system in result.assessment.systems:
        row = [system.name]
        for metric in _shown(result):
            row.append(f"{result.assessment.metrics[system.name][metric]:.3f}")
            if system.top_k is None:
                row += [DASH, DASH]
            else:
                found = result.assessment.comparison(metric, system.top_k)
                row += [f"{found.delta_points:+.1f}", percent(found.relative_percent)]
        if system.top_k is None:
            row += [DASH] * 4
        else:
            found = result.assessment.comparison(decision, system.top_k)
            row += [
                f"{found.oracle:.3f}",
                f"{found.headroom_points:.1f}",
                DASH if found.captured is None else f"{100 * found.captured:.0f} %",
                f"{found.wins}/{found.ties}/{found.losses}",
            ]
        table.append([*row, f"{100 * result.assessment.judged[system.name]:.0f} %"])
    return table


def verdict_line(result: EvalResult) -> str:
    """The flag and its reason."""
    verdict = result.assessment.verdict
    return f"{verdict.status.upper()}: {verdict.reason}"


def subject_line(result: EvalResult) -> str:
    """What was evaluated."""
    dataset = result.dataset
    languages = f", languages {', '.join(dataset.languages)}" if dataset.languages else ""
    return (
        f"{dataset.name}: {dataset.n_queries} queries, {dataset.n_documents} documents{languages}; "
        f"digest {dataset.digest[:12]}"
    )


def model_lines(result: EvalResult) -> list[str]:
    """Which models, in one line each."""
    return [f"{role}: {model_name(values)}" for role, values in result.provenance.fingerprints.items()]


def model_name(fingerprint: Fingerprint) -> str:
    """Backend and weights in a few words: a hub name with its commit, or a digest, shortened."""
    weights = _DIGEST.sub(r"\1", str(fingerprint.get("weights") or fingerprint.get("model") or "unnamed"))
    return f"{weights} ({fingerprint.get('backend', 'unknown')}{', int8' if fingerprint.get('quantised') else ''})"


def notes(result: EvalResult) -> list[str]:
    """What a careful reader should know: one sentence each."""
    dataset, scoring = result.dataset, result.scoring
    found = list(dataset.warnings)
    if dataset.dangling:
        found.append(f"{len(dataset.dangling)} relevant documents are not in the corpus; they count as never found")
    decision = result.assessment.verdict.expectation.metric
    idle = [
        system.name for system in result.assessment.systems if system.top_k and system.top_k <= (decision.cutoff or 0)
    ]
    if idle:
        found.append(f"{', '.join(idle)} cannot change {decision}: its top {decision.cutoff} keeps the same documents")
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
            f"{scoring.max_length} tokens and were cut"
        )
    if scoring.ties:
        found.append(f"{scoring.ties} candidates tie with another one of their query; stage-1 order decided")
    return found


def work_line(result: EvalResult) -> str:
    """What was computed and how long it took."""
    computed, total = result.computed, sum(result.timings.values())
    return (
        f"computed {computed['documents']} document vectors, {computed['queries']} query vectors and "
        f"{computed['pairs']} of {result.scoring.pairs} pair scores in {total:.1f} s"
    )


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


def _shown(result: EvalResult) -> list[Metric]:
    decision, second = result.assessment.verdict.expectation.metric, Metric("ndcg", 10)
    computed = result.assessment.metrics["dense"]
    return [decision, second] if second in computed and second != decision else [decision]
