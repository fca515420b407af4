"""What ``evalkit data check`` prints: the numbers first, then what to mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from evalkit.analysis.power import TYPICAL_SPREAD
from evalkit.inspection.facts import Facts, Lengths, Spoken, shown
from evalkit.inspection.outcome import Finding, Inspection, Power
from evalkit.sinks.escaping import one_line
from evalkit.sinks.table import DASH, aligned

_WIDTH = 13
_LANGUAGES_SHOWN = 8
_GRADES_SHOWN = 6


def lines(found: Inspection) -> list[str]:
    """The whole output, line by line."""
    return [
        *_numbers(found),
        "",
        *(line for finding in found.findings for line in _finding(finding)),
        _outcome(found),
    ]


def _numbers(found: Inspection) -> Iterator[str]:
    facts = found.facts
    sizes = facts.sizes
    selected = f", {sizes.selected} selected" if sizes.selected < sizes.queries else ""
    yield f"{shown(found.name)}: {sizes.documents} documents, {sizes.queries} queries{selected}"
    yield ""
    yield _line("judgments", _grades(sizes.judgments))
    yield from (_line(*entry) for entry in _coverage(facts))
    for number, model in enumerate(facts.lengths):
        yield _line("lengths" if number == 0 else "", _length(model, facts))
    yield from _languages(facts.languages)
    yield _line("families", _families(facts))
    yield from map(_line, ("power", ""), _power(found.power, facts))


def _line(name: str, text: str) -> str:
    return f"{name:<{_WIDTH}}{text}".rstrip()


def _grades(judgments: Mapping[int, int]) -> str:
    listed = [f"{count} of grade {grade}" for grade, count in judgments.items()]
    more = [f"{len(listed) - _GRADES_SHOWN} more grades"] if len(listed) > _GRADES_SHOWN else []
    return ", ".join(listed[:_GRADES_SHOWN] + more) or "none"


def _coverage(facts: Facts) -> Iterator[tuple[str, str]]:
    sizes, coverage, texts = facts.sizes, facts.coverage, facts.texts
    yield (
        "queries",
        f"{sizes.evaluated} evaluated; {coverage.unjudged.count} without a judgment, "
        f"{coverage.without_positives.count} without a positive",
    )
    spread = sorted(Counter(coverage.positives).elements())
    if spread:
        yield (
            "positives",
            f"{coverage.n_positives}, {coverage.n_positives / len(spread):.1f} per query (median "
            f"{spread[len(spread) // 2]}, most {spread[-1]}); {coverage.dangling.count} not in the corpus",
        )
    yield "documents", f"{_share(coverage.never_judged, sizes.documents)} never judged; {texts.empty.count} empty"
    yield (
        "repetitions",
        f"{texts.identical.count} documents, {texts.same_questions.count} queries; {texts.twins.count} positives have "
        "a twin that is not judged",
    )


def _length(model: Lengths, facts: Facts) -> str:
    if model.unknown is not None:
        return f"{model.role}: not counted"
    documents = "sampled documents" if model.documents < facts.sizes.documents else "documents"
    found = facts.coverage.n_positives - facts.coverage.dangling.count
    positives = "sampled positives" if model.pairs < found else "positives"
    return (
        f"{model.role}, {model.max_length} tokens: {_share(model.long_documents, model.documents)} {documents} and "
        f"{_share(model.long_pairs, model.pairs)} {positives} are longer"
    )


def _languages(spoken: Spoken) -> Iterator[str]:
    yield _line("languages", f"documents: {_spoken(spoken.documents, spoken.documents_without)}")
    yield _line("", f"queries: {_spoken(spoken.queries, spoken.queries_without)}")
    asked, told = (
        sorted({getattr(cell, side) for cell in spoken.cells}, key=lambda lang: (lang is None, lang or ""))
        for side in ("query_lang", "document_lang")
    )
    if len(asked) * len(told) > 1 and max(len(asked), len(told)) <= _LANGUAGES_SHOWN:
        counts = {(cell.query_lang, cell.document_lang): cell.positives for cell in spoken.cells}
        table = aligned(
            ["positives of", *(_lang(lang, "documents in") for lang in told)],
            [[_lang(lang, "queries in"), *(str(counts.get((lang, other), 0)) for other in told)] for lang in asked],
        )
        yield from (_line("", row) for row in table)


def _spoken(counts: Mapping[str, int], without: int) -> str:
    listed = [f"{shown(lang)} {count}" for lang, count in counts.items()]
    more = [f"{len(listed) - _LANGUAGES_SHOWN} more"] if len(listed) > _LANGUAGES_SHOWN else []
    undeclared = [f"none declared {without}"] if without else []
    return ", ".join(listed[:_LANGUAGES_SHOWN] + more + undeclared) or DASH


def _lang(lang: str | None, before: str) -> str:
    return f"{before} {DASH if lang is None else shown(lang)}"


def _families(facts: Facts) -> str:
    families = facts.families
    if not families.families:
        return "none named"
    return f"{families.families}, named by {families.members} queries; the largest has {families.largest}"


def _power(power: Power | None, facts: Facts) -> list[str]:
    if power is None:
        return ["no query can be evaluated"]
    alone = facts.sizes.evaluated - facts.families.members
    units = f"{power.units} questions"
    if power.units < facts.sizes.evaluated:
        units = f"{power.units} families{' and single questions' if alone else ''} of {facts.sizes.evaluated} questions"
    return [
        f"{units}: a gain is known to about {_points(power.half_width_points)} points either way; effects under "
        f"{_points(power.detectable_points)} points will usually be missed",
        f"(where the gains of single questions have a standard deviation of {100 * TYPICAL_SPREAD:g} points, which is "
        "usual)",
    ]


def _points(value: float) -> str:
    """Two figures."""
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _share(count: int, total: int) -> str:
    return f"{count} of {total} ({100 * count / total:.1f} %)" if total else "0 of 0"


def _finding(finding: Finding) -> Iterator[str]:
    of = "" if finding.total is None else f" of {finding.total}"
    yield f"{finding.level:<9}{finding.what}: {finding.count}{of}"
    if finding.examples:
        more = f", and {finding.count - len(finding.examples)} more" if finding.count > len(finding.examples) else ""
        yield f"{'':<9}{one_line(', '.join(finding.examples))}{more}"
    yield f"{'':<9}{finding.advice}"
    yield ""


def _outcome(found: Inspection) -> str:
    counts = Counter(finding.level for finding in found.findings)
    said = f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes"
    return f"REFUSED  {said}: a run would refuse this data set" if found.refused else f"USABLE  {said}"
