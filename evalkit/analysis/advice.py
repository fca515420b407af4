"""What to do next, from the evidence: why the gain is missing, most useful first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.analysis.metrics import EPSILON
from evalkit.findings import Attribution, Comparison, Control, Verdict
from evalkit.parts import Languages
from evalkit.record import Scoring

TRUNCATED = 0.05
"""Share of cut pairs from which truncation is worth a look; those that were read in windows lost nothing."""

UNJUDGED_POINTS = 5.0
"""Fall of Judged@5, in points, from which labels may be missing rather than the gain."""

HALF = 0.5
"""A reranker that captures less than this share of the headroom leaves more than it takes; where more than this share
of what stage 1 misses is out of reach, a larger top-k is no way out."""

NAMED = 4
"""Rows of the language table that a line names; a table of many languages has hundreds."""


def advise(
    verdict: Verdict,
    comparisons: Sequence[Comparison],
    attribution: Sequence[Attribution],
    checks: Sequence[Control],
    scoring: Scoring,
    judged: Mapping[str, float],
    languages: Languages | None,
    out_of_reach: float,
) -> Verdict:
    """The verdict with advice that follows from the evidence.

    Args:
        verdict: The expectation, judged.
        comparisons: Every metric and top-k.
        attribution: What became of the positives, per top-k.
        checks: The controls; one of them tells whether the reranker beats chance.
        scoring: Pairs that were cut.
        judged: system -> Judged@5.
        languages: The language table; None where there is none.
        out_of_reach: Points that stage 1 misses although its lists end before the largest top-k.
    """
    expected = verdict.expectation
    rows = [row for row in comparisons if row.metric == expected.metric]
    decision = next(row for row in rows if row.top_k == expected.top_k)
    fate = next(found for found in attribution if found.top_k == expected.top_k)
    advice: list[str] = []
    if verdict.status == "invalid":
        advice.append("Mend what failed, then run again; no number of this result should be quoted.")
    elif verdict.status == "below":
        advice += _room(decision, rows, fate, expected.min_points, out_of_reach)
        advice += _reranker(decision, fate, checks, scoring, expected.min_points)
        advice += [] if languages is None else [*_lost(languages), *_own_language(languages)]
        advice += _labels(judged, decision)
    elif verdict.status == "above":
        advice.append(
            f"More than promised. Stage 1 starts at {decision.baseline_mean:.3f}: if that is less than you expect of "
            "it, check it (of an embedding model, prompts and normalisation) before crediting the reranker."
        )
    if verdict.queries_needed is not None:
        advice.append(
            f"About {verdict.queries_needed} queries like these would settle the verdict; there are "
            f"{decision.n_queries}."
        )
    return replace(verdict, advice=tuple(advice))


def _room(
    decision: Comparison, rows: Sequence[Comparison], fate: Attribution, wanted: float, out_of_reach: float
) -> list[str]:
    """Whether the promised gain fits between stage 1 and the oracle, and what stage 1 has to do with it."""
    headroom = decision.headroom_points
    if headroom >= wanted:
        return []
    found = [
        f"{wanted:+g} points cannot be reached at top-k {decision.top_k}: the headroom is {headroom:.1f} points, which "
        "is what a perfect reranker of these candidates would gain."
    ]
    ceiling = headroom + fate.missed_by_stage1_points
    if decision.metric == fate.metric and ceiling < wanted:
        return [
            *found,
            f"Stage 1 is already strong: it leaves {ceiling:.1f} points to any reranker at any top-k; expect "
            "no more, or judge the order within the top by ndcg@10.",
        ]
    wider = [row for row in rows if row.headroom_points >= wanted]
    if wider:
        best = min(wider, key=lambda row: row.top_k)
        return [*found, f"Raise the decision top-k: at {best.top_k} the headroom is {best.headroom_points:.1f} points."]
    last = max(rows, key=lambda row: row.top_k)
    starved = (
        f"Stage 1 starves the reranker: {fate.missed_by_stage1_points:.1f} points lie beyond its first "
        f"{decision.top_k} documents."
    )
    if out_of_reach > 0:
        starved += (
            f" {out_of_reach:.1f} of them no larger top-k would bring, as it finds fewer than {last.top_k} documents "
            "for these queries."
        )
    if out_of_reach > HALF * fate.missed_by_stage1_points:
        return [
            *found,
            f"{starved} Search otherwise (retrieval=hybrid adds an embedder to words), or let a run made elsewhere "
            "hold more.",
        ]
    return [
        *found,
        f"{starved} Raise top-k beyond {last.top_k}; if the headroom of {last.headroom_points:.1f} points there hardly "
        "grows, check stage 1 (language, chunking; of an embedding model also prompts).",
    ]


def _reranker(
    decision: Comparison, fate: Attribution, checks: Sequence[Control], scoring: Scoring, wanted: float
) -> list[str]:
    """What the reranker left of the headroom, and likely causes."""
    found = [check.message for check in checks if check.name == "direction" and check.status == "warned"]
    captured = decision.captured
    if captured is not None and (captured < HALF or decision.headroom_points >= wanted):
        share = f"{100 * captured:.0f} %" if captured > 0 else "nothing"
        found.append(
            f"The reranker captured {share} of the headroom of {decision.headroom_points:.1f} points: "
            f"it promoted {fate.promoted_points:.1f}, demoted {fate.demoted_points:.1f} that stage 1 had found, and "
            f"left {fate.missed_by_reranker_points:.1f} among the candidates. Look at the queries that lost; check "
            "whether it was trained for this language and domain."
        )
    if scoring.truncated and not scoring.windows and scoring.truncated / scoring.pairs >= TRUNCATED:
        found.append(
            f"{100 * scoring.truncated / scoring.pairs:.0f} % of the pairs are longer than the reranker's "
            f"{scoring.max_length} tokens and were cut: read them in windows (long_documents.stage2=windows), raise "
            "reranker.max_length if the model reads more, or split the documents."
        )
    return found


def _lost(languages: Languages) -> list[str]:
    """The rows of the language table that are worse off for certain: what askers see, the pooled ranking, first."""
    lost = [row for row in languages.gains if row.certain and row.ci_high < 0 and not row.note]
    if not lost:
        return []
    worst = sorted(lost, key=lambda row: (row.document_lang is not None, row.delta_points))
    named = [
        f"{row.query_lang} -> {row.document_lang or 'all documents'} ({row.delta_points:+.1f} points)" for row in worst
    ]
    return [
        f"Reranking loses for certain in {_first(named)}, language of the query -> of the documents: the "
        "reranker may not have been trained for these languages. Take one that was, or keep the order of stage 1 "
        "there."
    ]


def _own_language(languages: Languages) -> list[str]:
    """In which languages reranking puts documents on top for their language: more of them for certain, and too many.

    The row over all queries is left out: in it a rise in one language and a fall in another cancel.
    """
    drawn = [
        row
        for row in languages.bias
        if row.query_lang is not None and row.ci_low > 0 and row.reranked_share > row.relevant_share + EPSILON
    ]
    if not drawn:
        return []
    named = [
        f"{row.query_lang} from {100 * row.dense_share:.0f} % to {100 * row.reranked_share:.0f} % (of the relevant "
        f"ones {100 * row.relevant_share:.0f} %)"
        for row in sorted(drawn, key=lambda row: -row.delta_points)
    ]
    return [
        "Reranking prefers documents in the asker's own language: their share of the top "
        f"{drawn[0].cutoff} rose for queries in {_first(named)}. The reranker may not have been trained on pairs "
        "across these languages."
    ]


def _first(named: Sequence[str]) -> str:
    more = [f"and {len(named) - NAMED} more"] if len(named) > NAMED else []
    return ", ".join([*named[:NAMED], *more])


def _labels(judged: Mapping[str, float], decision: Comparison) -> list[str]:
    fall = 100 * (judged["dense"] - judged[decision.candidate])
    if fall < UNJUDGED_POINTS:
        return []
    return [
        f"Judged@5 fell from {100 * judged['dense']:.0f} % to {100 * judged[decision.candidate]:.0f} %: the reranker "
        "surfaced documents that nobody judged. Judge them before believing that the gain is missing."
    ]
