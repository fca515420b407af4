"""The tables behind the verdict, rounded: where the gain comes from, for whom, what else the scores would give."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.result import EvalResult
from evalkit.sinks import languages
from evalkit.sinks.latency_lines import cost, latency_head, milliseconds
from evalkit.sinks.table import DASH, header, interval, p_value, rows, slice_name


@dataclass(frozen=True, slots=True)
class Table:
    """Titles and rows of one table, with the sentence that says how to read it."""

    name: str
    note: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(result: EvalResult) -> list[Table]:
    """Those that have something to say."""
    drawn = [
        attribution(result), slices(result), language_gains(result), own_language(result), lengths(result),
        what_ifs(result), controls(result),
    ]  # fmt: skip
    return [table for table in drawn if table.rows]


def sweep(result: EvalResult) -> Table:
    """Every system, as the terminal shows it."""
    return Table("Sweep", "", tuple(header(result)), tuple(map(tuple, rows(result))))


def attribution(result: EvalResult) -> Table:
    """What became of the relevant documents, per top-k."""
    found = result.assessment.attribution
    cutoff = found[0].metric.cutoff
    return Table(
        "Where the relevant documents are",
        f"Points of {found[0].metric}, 100 in all; promoted - demoted is the gain. Kept: among the first {cutoff} "
        "before and after; promoted: only after; demoted: only before; left by the reranker: among its candidates, but "
        f"in neither; missed by stage 1: never among them; capped: without a place, as more than {cutoff} are "
        "relevant.",
        ("system", "kept", "promoted", "demoted", "gain", "left by the reranker", "missed by stage 1", "capped"),
        tuple(
            (
                f"rerank@{row.top_k}",
                f"{row.kept_points:.1f}",
                f"{row.promoted_points:.1f}",
                f"{row.demoted_points:.1f}",
                f"{row.delta_points:+.1f}",
                f"{row.missed_by_reranker_points:.1f}",
                f"{row.missed_by_stage1_points:.1f}",
                f"{row.capped_points:.1f}",
            )
            for row in found
        ),
    )


def slices(result: EvalResult) -> Table:
    """The gain for groups of queries, and of documents."""
    expected = result.assessment.verdict.expectation
    alone = "; a slice of documents ranks these alone" if _any_of_documents(result) else ""
    return Table(
        "For whom",
        f"Gain of {expected.metric} at top-k {expected.top_k} by what queries and documents say of themselves{alone}; "
        "p is Holm-adjusted over all rows.",
        ("slice", "queries", result.stage_one.label, "points", "95 % interval", "p", "headroom", "note"),
        tuple(
            (
                slice_name(row),
                str(row.n_queries),
                f"{row.baseline_mean:.3f}",
                f"{row.delta_points:+.1f}",
                interval(row.ci_low, row.ci_high),
                p_value(row.p_adjusted),
                f"{row.headroom_points:.1f}",
                row.note,
            )
            for row in result.assessment.slices
        ),
    )


def _any_of_documents(result: EvalResult) -> bool:
    return any(one.of == "document" for one in result.assessment.slices)


def language_gains(result: EvalResult) -> Table:
    """The matrix of gains, two rows per language of the queries; without rows where there is none."""
    found = result.assessment.languages
    if found is None:
        return Table("By language", "", (), ())
    matrix = languages.Matrix.of(found)
    note = " ".join(f"{line[0].upper()}{line[1:]}." for line in languages.how_to_read(result, matrix))
    rows = tuple(map(tuple, languages.rows(matrix)))
    return Table("By language", note, tuple(languages.titles(matrix)), rows)


def language_cells(result: EvalResult) -> Table:
    """Every number of the matrix, one row per cell."""
    found = result.assessment.languages
    return Table(
        "Every cell",
        "p is Holm-adjusted over all rows; candidates is how many of the documents are among those that were reranked, "
        "on average.",
        (
            "cell", "queries", "families", result.stage_one.label, "reranked", "points", "95 % interval", "p",
            "headroom", "candidates", "note",
        ),
        tuple(
            (
                languages.cell_name(gain),
                str(gain.n_queries),
                str(gain.n_units) if result.evidence.unit == "family" else "",
                f"{gain.baseline_mean:.3f}",
                f"{gain.candidate_mean:.3f}",
                f"{gain.delta_points:+.1f}",
                interval(gain.ci_low, gain.ci_high),
                p_value(gain.p_adjusted),
                f"{gain.headroom_points:.1f}",
                f"{gain.candidates:.1f}",
                gain.note,
            )
            for gain in (found.gains if found is not None else ())
        ),
    )  # fmt: skip


def own_language(result: EvalResult) -> Table:
    """How much of the top is in the asker's own language; without rows where that was not looked at."""
    found = result.assessment.languages
    bias = found.bias if found is not None else ()
    cutoff = f"the first {bias[0].cutoff}" if bias else "the top"
    return Table(
        "Own language",
        f"Share of {cutoff} documents of the pooled ranking that is in the language of the query, before and after "
        "reranking, in points with a 95 % interval; beside it the share of the relevant documents.",
        ("queries", "number", "relevant", result.stage_one.label, "reranked", "points", "95 % interval"),
        tuple(
            (
                languages.asker(row),
                str(row.n_queries),
                languages.share(row.relevant_share),
                languages.share(row.dense_share),
                languages.share(row.reranked_share),
                f"{row.delta_points:+.1f}",
                interval(row.ci_low, row.ci_high),
            )
            for row in bias
        ),
    )


def lengths(result: EvalResult) -> Table:
    """The gain on relevant candidates that the reranker reads whole, and on longer ones."""
    scoring, found = result.scoring, result.assessment.lengths
    treated = f"read in {scoring.windows} windows, of which the best one counts" if scoring.windows else "cut"
    return Table(
        "Long documents",
        f"Pairs beyond the reranker's {scoring.max_length} tokens were {treated}. Recall with the relevant candidates "
        "of one length as R; the last column is what they add to the gain over all queries.",
        (
            "length",
            "pairs",
            "relevant",
            result.stage_one.label,
            "reranked",
            "points",
            "95 % interval",
            "p",
            "of the gain",
        ),
        tuple(
            (
                row.length,
                f"{row.pairs}",
                f"{row.positives}",
                f"{row.baseline_mean:.3f}",
                f"{row.candidate_mean:.3f}",
                f"{row.delta_points:+.1f}",
                interval(row.ci_low, row.ci_high),
                p_value(row.p_adjusted),
                f"{row.contribution_points:+.1f}",
            )
            for row in found
        ),
    )


def what_ifs(result: EvalResult) -> Table:
    """Other uses of the same scores."""
    return Table(
        "What if",
        "The same scores used otherwise: chosen on one half of the queries, confirmed on the other. Plain is plain "
        "reranking on that other half; saved is the share of its pairs that need no score.",
        ("use", "chosen", "points there", "points confirmed", "95 % interval", "plain", "saved"),
        tuple(
            (
                row.name,
                row.setting,
                f"{row.chosen_points:+.1f}",
                f"{row.confirmed_points:+.1f}",
                interval(row.confirmed_ci_low, row.confirmed_ci_high),
                f"{row.plain_points:+.1f}",
                f"{100 * row.saved_pairs:.0f} %" if row.saved_pairs else DASH,
            )
            for row in result.assessment.what_ifs
        ),
    )


def latency(result: EvalResult) -> Table:
    """What each top-k costs; without rows where nothing was measured."""
    found = result.latency
    paid = found is not None and any(one.cost_per_1000_queries is not None for one in found.stage2)
    titles = (
        *("system", "points", "p50", "p95", "pairs/s", "tokens per pair", "points per 100 ms"),
        *(["per 1,000 queries"] if paid else []),
    )
    if found is None:
        return Table(
            "Latency",
            "Not measured. A run times both stages where it has pairs to score, as the models are loaded then; later "
            "runs show what it found. To time them now, run again with a new folder as cache_dir, which computes "
            "everything anew.",
            titles,
            (),
        )
    gains, decision = result.points_per_100_ms, result.assessment.verdict.expectation.metric
    head = latency_head(found)
    return Table(
        "Latency",
        f"{head[0].upper()}{head[1:]}. Stage 1: p50 {milliseconds(found.stage1_p50_ms)}, p95 "
        f"{milliseconds(found.stage1_p95_ms)}. Stage 2, all pairs of one query in one call:",
        titles,
        tuple(
            (
                f"rerank@{one.top_k}",
                f"{result.assessment.comparison(decision, one.top_k).delta_points:+.1f}",
                milliseconds(one.p50_ms),
                milliseconds(one.p95_ms),
                f"{one.pairs_per_second:.0f}",
                DASH if one.tokens_per_pair is None else f"{one.tokens_per_pair:.0f}",
                DASH if (gain := gains[one.top_k]) is None else f"{gain:+.2f}",
                *([cost(one)] if paid else []),
            )
            for one in found.stage2
        ),
    )


def checks(result: EvalResult) -> Table:
    """All self-checks."""
    rows = tuple((control.name, control.status, control.message) for control in result.assessment.controls)
    return Table("Self-checks", "A failed one makes the result invalid.", ("check", "status", "message"), rows)


def controls(result: EvalResult) -> Table:
    """The self-checks that did not pass, or could not be made."""
    found = result.assessment.controls
    passed = [control.name for control in found if control.status == "passed"]
    return Table(
        "Self-checks",
        f"{len(passed)} of {len(found)} passed: {', '.join(passed)}.",
        ("check", "status", "message"),
        tuple((control.name, control.status, control.message) for control in found if control.status != "passed"),
    )
