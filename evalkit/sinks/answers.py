"""What the page answers to each of its questions, in sentences for somebody who meets the words for the first time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.findings import Status
from evalkit.parts import SliceGain
from evalkit.result import EvalResult
from evalkit.sinks import table
from evalkit.sinks.latency_lines import milliseconds
from evalkit.types import Metric

FLAGS: Mapping[Status, str] = {
    "met": "As expected",
    "below": "Below the expectation",
    "above": "Above the expectation",
    "invalid": "Invalid",
}

_MEANINGS = {
    "recall": "the share of a query's relevant documents that stand among {first}",
    "precision": "the share of {first} that is relevant",
    "f1": "the harmonic mean of precision and recall over {first}",
    "hit_rate": "1 where a relevant document stands among {first}, else 0",
    "r-precision": "the share of relevant ones among as many documents as are relevant",
    "mrr": "1 / the rank of the first relevant document among {first}, and 0 where there is none",
    "map": "the precision at the rank of every relevant document among {first}, averaged",
    "ndcg": "how close {first} come to the best possible order: 1 is the best, and low ranks count less",
    "ndcg_burges": "how close {first} come to the best possible order, with high grades counting much more",
    "rbp": "the share of relevant documents that a reader sees who stops after any of them with a fixed chance",
}

_NAMED = 6


def headline(result: EvalResult) -> str:
    """The verdict's numbers; none of a result that is invalid."""
    verdict = result.assessment.verdict
    expected = verdict.expectation
    if verdict.status == "invalid":
        return "a self-check failed, so no number of this result can be relied on"
    told = f"{verdict.delta_points:+.1f} points of {expected.metric} at top-k {expected.top_k}"
    if expected.decide_on == "lower_bound":
        told += f", judged by its lower bound of {verdict.ci_low:+.1f}"
    if verdict.ci_low > 0:
        told = f"a gain of {told}"
    else:
        told = f"{'a loss' if verdict.ci_high < 0 else 'no certain gain'}, {told}"
    return f"{told}; {expected.band} were expected" + ("" if verdict.conclusive else ", and the verdict is open")


def words(result: EvalResult) -> str:
    """The words of the headline."""
    expected = result.assessment.verdict.expectation
    return (
        f"{expected.metric} is {meaning(expected.metric)}; the mean over the evaluated queries is shown. A point is a "
        f"hundredth of it. Stage 1 is the search alone ({result.stage_one.method}); top-k is how many of its first "
        "documents are reranked; the headroom is what a perfect reranker of them would gain."
    )


def meaning(metric: Metric) -> str:
    """What a metric measures."""
    first = "all retrieved documents" if metric.cutoff is None else f"the first {metric.cutoff} documents"
    return _MEANINGS[metric.name.partition(".")[0]].format(first=first)


def sure(result: EvalResult) -> list[str]:
    """How far the verdict can be trusted."""
    verdict, decision = result.assessment.verdict, result.assessment.decision
    band = verdict.expectation.band
    lines = []
    if verdict.status == "invalid":
        return [
            "Not at all: a self-check failed. What follows only helps to find out why; quote no number of it.",
            f"{table.control_line(result)}.",
        ]
    lines.append(
        f"The true gain lies between {verdict.ci_low:+.1f} and {verdict.ci_high:+.1f} points with a certainty of 95 %"
        + ("." if result.sequential is None else ", whenever such a run stops.")
    )
    place = {"below": "below", "met": "within", "above": "above"}[verdict.status]
    lines.append(
        f"All of that lies {place} the expected {band}, so the verdict is settled."
        if verdict.conclusive
        else f"Part of that lies beyond an edge of the expected {band}, so the verdict is open."
    )
    if decision.p_value is not None:
        shown = table.p_value(decision.p_value)
        equal = "" if shown.startswith("<") else "= "
        lines.append(
            f"If reranking did nothing, the probability of so large a change would be p {equal}{shown}; "
            f"{decision.wins} queries won, {decision.ties} stayed as they were, {decision.losses} lost."
        )
    lines += table.size_lines(result)
    lines += [f"{line[0].upper()}{line[1:]}." for line in table.stop_lines(result)]
    return [*lines, f"{table.control_line(result)}."]


def depth(result: EvalResult) -> str:
    """Where a larger top-k stops to pay."""
    knee, expected = result.assessment.knee, result.assessment.verdict.expectation
    declared = f"The verdict speaks of top-k {expected.top_k}, which was declared before the run."
    top_ks = sorted(result.design.top_ks)
    if len(top_ks) == 1:
        return f"Only top-k {expected.top_k} was measured."
    if knee.ninety_percent is None:
        return f"No {expected.metric} is gained at any of the top-k {', '.join(map(str, top_ks))}. {declared}"
    best = result.assessment.comparison(expected.metric, knee.best_top_k).delta_points
    noise = (
        f"top-k {knee.within_noise} is the smallest that cannot be told from it"
        if knee.within_noise < knee.best_top_k
        else "every smaller top-k gains clearly less"
        if knee.best_top_k > top_ks[0]
        else "a larger top-k brings no more"
    )
    most = f", and {knee.ninety_percent} the smallest with 90 % of it" if knee.ninety_percent < knee.best_top_k else ""
    largest = f"The gain of {expected.metric} is largest at top-k {knee.best_top_k} ({best:+.1f} points)"
    return f"{largest}; {noise}{most}. {declared}"


def why(result: EvalResult) -> str:
    """Where the gain comes from, and where the rest of it is."""
    expected, decision = result.assessment.verdict.expectation, result.assessment.decision
    row = next(found for found in result.assessment.attribution if found.top_k == expected.top_k)
    share = decision.captured
    captured = "nothing" if share is None or share <= 0 else f"{100 * share:.0f} %"
    rest = "" if share is None else f"; this one captured {captured} of that"
    return (
        f"Reranking {row.top_k} candidates brought {row.promoted_points:.1f} points of {row.metric} into the first "
        f"{row.metric.cutoff} and pushed {row.demoted_points:.1f} out of them. {row.missed_by_reranker_points:.1f} lay "
        f"among the candidates, and the reranker left them there; {row.missed_by_stage1_points:.1f} were out of its "
        f"reach, as stage 1 had not found them. A perfect reranker of the same candidates would gain "
        f"{decision.headroom_points:.1f} points of {expected.metric}{rest}."
    )


def whom(result: EvalResult) -> str:
    """Which groups of queries or documents are better or worse off for certain, or why there are none."""
    found = result.assessment.slices
    if result.assessment.status == "invalid":
        return "Nothing can be said of groups while a self-check fails."
    if found:
        told = [one for one in found if one.certain and not one.note]
        worse = [one for one in told if one.ci_high < 0]
        better = [one for one in told if one.ci_low > 0]
        rest = [one for one in found if one not in worse and one not in better]
        return (
            f"Worse off for certain: {_names(worse)}. Better off for certain: {_names(better)}. Not certain either "
            f"way: {_names(rest)}."
        )
    if result.sequential is not None:
        return "A sequential run is about all queries together; one without sweep.sequential=true also splits them."
    design = result.design
    asked = [
        *(f"{key} of queries" for key in design.slices),
        *(f"{key} of documents" for key in design.document_slices),
    ]
    return (
        f"The metadata holds nothing to split by (looked for: {', '.join(asked) or 'nothing'}); name its keys in "
        "statistics.slices and statistics.document_slices."
    )


def latency(result: EvalResult) -> str:
    """What the decision's gain costs; nothing where that was not measured."""
    found, expected = result.latency, result.assessment.verdict.expectation
    one = next((one for one in found.stage2 if one.top_k == expected.top_k), None) if found is not None else None
    if found is None or one is None:
        return ""
    gain = result.points_per_100_ms[one.top_k]
    return (
        f"At top-k {one.top_k}, reranking takes {milliseconds(one.p50_ms)} per query at the median (p50) and "
        f"{milliseconds(one.p95_ms)} at the 95th percentile (p95); stage 1 takes "
        f"{milliseconds(found.stage1_p50_ms)} and {milliseconds(found.stage1_p95_ms)}."
        + ("" if gain is None else f" That is {gain:+.2f} points per 100 ms.")
    )


def queries(result: EvalResult) -> str:
    """How many queries changed."""
    decision = result.assessment.decision
    return (
        f"Of {decision.n_queries} queries, {decision.wins} won, {decision.losses} lost and {decision.ties} kept their "
        f"{decision.metric} at top-k {decision.top_k}."
    )


def _names(slices: Sequence[SliceGain]) -> str:
    named = [f"{table.slice_name(one)} ({one.delta_points:+.1f})" for one in slices[:_NAMED]]
    more = [f"and {len(slices) - _NAMED} more"] if len(slices) > _NAMED else []
    return ", ".join([*named, *more]) or "none"
