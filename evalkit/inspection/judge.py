"""From facts to findings: what a run would refuse, what makes its numbers worse, and what is good to know."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from evalkit.analysis.power import planned_effect, planned_half_width, units_planned
from evalkit.data.selection import Selection
from evalkit.findings import Expectation
from evalkit.inspection.facts import Facts, Lengths
from evalkit.inspection.outcome import Finding, Inspection, Level, Power, number, some
from evalkit.inspection.refusals import refusals
from evalkit.types import Metric

_GRAVITY: tuple[Level, ...] = ("error", "warning", "note")

NOTABLE_SHARE = 0.05
"""From this share of long positives on, a model's limit is a warning."""


def judge(name: str, facts: Facts, selection: Selection, expectation: Expectation) -> Inspection:
    """Say what the facts mean.

    Args:
        name: The data set's.
        facts: What was counted.
        selection: Which queries and documents take part, and whether judgments may point at nothing.
        expectation: The metric and the gain that a run is held to.
    """
    units = facts.families.units
    power = Power(units, 100 * planned_half_width(units), 100 * planned_effect(units)) if units else None
    found = chain(
        refusals(facts, selection),
        _coverage(facts, expectation.metric),
        _texts(facts),
        _leaks(facts),
        _languages(facts, selection),
        _families(facts),
        _few(facts, power, expectation),
        *map(_long, facts.lengths),
    )
    # Sorting keeps the order within a level.
    return Inspection(name, facts, power, tuple(sorted(found, key=lambda finding: _GRAVITY.index(finding.level))))


def _coverage(facts: Facts, metric: Metric) -> Iterator[Finding]:
    coverage, sizes = facts.coverage, facts.sizes
    yield from some(
        "warning",
        "unjudged-queries",
        "queries without a judgment",
        coverage.unjudged,
        sizes.selected,
        "judge them, or know that they are not evaluated",
    )
    yield from some(
        "warning",
        "queries-without-positives",
        "queries without a document of grade 1 or more",
        coverage.without_positives,
        sizes.selected,
        "judge what answers them, or know that they are not evaluated",
    )
    if metric.name == "recall" and metric.cutoff is not None:
        yield from number(
            "note",
            "capped-recall",
            f"queries with more than {metric.cutoff} positives",
            coverage.above(metric.cutoff),
            sizes.evaluated,
            f"their {metric} stays below 1 whatever the ranking; the best possible mean is "
            f"{coverage.best_recall(metric.cutoff):.3f}",
        )
    yield from number(
        "note",
        "repeated-judgments",
        "rows that repeat an earlier judgment",
        coverage.repeated,
        None,
        "they are counted once",
    )
    yield from number(
        "note",
        "negative-grades",
        "judgments below 0",
        sum(count for grade, count in sizes.judgments.items() if grade < 0),
        sum(sizes.judgments.values()),
        "they count as not relevant",
    )


def _texts(facts: Facts) -> Iterator[Finding]:
    texts, sizes = facts.texts, facts.sizes
    positives = f"; {texts.empty_positives} positives are among them" if texts.empty_positives else ""
    yield from some(
        "warning",
        "empty-documents",
        f"documents with neither title nor text{positives}",
        texts.empty,
        sizes.documents,
        "fill or remove them: models see an empty string",
    )
    yield from some(
        "warning",
        "unjudged-twins",
        "positives with an identical document that is not judged",
        texts.twins,
        facts.coverage.n_positives,
        "judge the twins alike or remove them: finding one of them counts as a miss",
    )
    yield from some(
        "note",
        "identical-documents",
        "documents that repeat an earlier one but for white space and case",
        texts.identical,
        sizes.documents,
        "remove repetitions, or judge them alike",
    )
    yield from some(
        "warning",
        "contradictory-questions",
        "queries that ask what an earlier one asks and are judged otherwise",
        texts.contradictory,
        sizes.selected,
        "one ranking cannot satisfy both: judge them alike, or remove one",
    )
    yield from some(
        "note",
        "identical-questions",
        "queries that ask what an earlier one asks",
        texts.same_questions,
        sizes.selected,
        "remove repetitions, or name their family: they are no independent evidence",
    )


def _leaks(facts: Facts) -> Iterator[Finding]:
    yield from some(
        "warning",
        "named-answers",
        "positives whose id stands in the query",
        facts.leaks.named,
        None,
        "ask as somebody would who does not know the document, unless your users do know its id",
    )
    yield from some(
        "warning",
        "copied-questions",
        "positives that contain the query word for word",
        facts.leaks.copied,
        None,
        "ask in words of your own: a copied sentence is found by any system",
    )


def _languages(facts: Facts, selection: Selection) -> Iterator[Finding]:
    spoken, sizes = facts.languages, facts.sizes
    level: Level = "warning" if spoken.documents or spoken.queries else "note"
    for part, count, total in (
        ("documents", spoken.documents_without, sizes.documents),
        ("queries", spoken.queries_without, sizes.selected),
    ):
        tag_or_pattern = f"{{{part}: de}}, or a pattern that finds it in the id: {{{part}: '^([a-z]{{2}})-'}}"
        # A tag leaves none without, so what is set and left some is a pattern.
        is_set = selection.lang.get(part) is not None
        yield from number(
            "warning" if is_set else level,
            f"{part}-without-language",
            f"{part} that declare no language",
            count,
            total,
            f"the pattern dataset.lang.{part} finds a language in none of these {count} ids; correct it, or set "
            f"dataset.lang={tag_or_pattern}"
            if is_set
            else f"set dataset.lang={tag_or_pattern}",
        )


def _families(facts: Facts) -> Iterator[Finding]:
    families = facts.families
    if families.unmatched:
        yield Finding(
            "warning",
            "no-family",
            f"queries in which {families.unmatched} finds a family",
            0,
            facts.sizes.evaluated,
            "correct it, or set it to null: without families every query counts for itself",
        )
    yield from some(
        "warning",
        "likely-translations",
        "queries without a family that share all positives with an earlier one in another language",
        families.suspected,
        facts.sizes.evaluated,
        "if they are translations, name their family in the metadata, or set statistics.family_pattern",
    )


def _few(facts: Facts, power: Power | None, expectation: Expectation) -> Iterator[Finding]:
    least = expectation.min_points
    if power and power.detectable_points > least > 0:
        kind = "families" if facts.families.families else "queries"
        yield Finding(
            "warning",
            "too-few-queries",
            f"{kind}, too few to see a gain of {least:g} points",
            power.units,
            None,
            f"about {units_planned(least / 100)} {kind} find such a gain four times out of five",
        )


def _long(model: Lengths) -> Iterator[Finding]:
    if model.unknown is not None:
        what = f"models whose tokens were not counted: the {model.role}"
        yield Finding("note", "unknown-lengths", what, 1, None, "nothing is estimated", (model.unknown,))
        return
    if not model.long_pairs and not model.long_documents:
        return
    stage = 1 if model.role == "embedder" else 2
    yield Finding(
        "warning" if model.long_pairs > NOTABLE_SHARE * model.pairs else "note",
        f"long-for-{model.role}",
        f"positives of more than the {model.role}'s {model.max_length} tokens, as {model.long_documents} of "
        f"{model.documents} documents are",
        model.long_pairs,
        model.pairs,
        f"they are read as long_documents.stage{stage} says; split them into passages, or raise "
        f"{model.role}.max_length where the model reads more",
    )
