"""What a run would refuse: one finding each, where loading stops at the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evalkit.data.faults import Kind
from evalkit.data.selection import Selection
from evalkit.inspection.facts import Facts, Part, Refused
from evalkit.inspection.outcome import Finding, Level, number, some

_REFUSED: Mapping[Kind, tuple[str, str, str]] = {
    "unfit": ("unfit-rows", "rows of the {part} that cannot be used", "mend or remove them"),
    "empty": ("empty-queries", "{part} without a text", "give them one, or remove them and their judgments"),
    "repeated": (
        "repeated-ids",
        "rows of the {part} with an id that was there already",
        "give every one an id of its own, or remove repetitions",
    ),
    "contradictory": (
        "contradictory-judgments",
        "rows of the {part} that give a pair another grade than an earlier one",
        "keep one grade for each query and document",
    ),
}
"""Name, what is counted and advice for each kind of row that loading refuses."""


def refusals(facts: Facts, selection: Selection) -> Iterator[Finding]:
    """What ends a run, and next to it what nearly does.

    Args:
        facts: What was counted.
        selection: Which queries and documents take part, and whether judgments may point at nothing.
    """
    yield from _unread(facts)
    yield from map(_refused, facts.refused)
    yield from _pointers(facts, selection)
    yield from _nothing(facts, selection)


def _unread(facts: Facts) -> Iterator[Finding]:
    fruitless = {refused.part for refused in facts.refused}
    told = set[str]()
    for unread in facts.unread:
        # A part without a usable row calls itself empty, which its refused rows explain better; and a source that reads
        # one file for all three parts says the same three times.
        if unread.part not in fruitless and unread.reason not in told:
            told.add(unread.reason)
            what = f"places behind which the {unread.part} cannot be read"
            yield Finding("error", "unreadable", what, 1, None, "mend this first and check again", (unread.reason,))


def _refused(refused: Refused) -> Finding:
    name, what, advice = _REFUSED[refused.kind]
    rows = refused.rows
    return Finding("error", name, what.format(part=refused.part), rows.count, None, advice, rows.examples)


def _pointers(facts: Facts, selection: Selection) -> Iterator[Finding]:
    coverage, broken = facts.coverage, {unread.part for unread in facts.unread}
    level: Level = "error" if selection.on_dangling == "error" else "warning"
    if "documents" not in broken:
        left_out = ", or corpus_filter leaves them out" if selection.corpus_filter else ""
        yield from some(
            level,
            "dangling-positives",
            f"positives that are not in the corpus{left_out}{_perhaps(facts, 'documents')}",
            coverage.dangling,
            coverage.n_positives,
            "mend the ids; with dataset.on_dangling=keep they count as never found",
        )
        yield from number(
            "note",
            "dangling-others",
            "judgments below 1 of documents that are not in the corpus",
            coverage.dangling_others,
            None,
            "they change nothing; remove them or mend the ids",
        )
    if "queries" not in broken:
        yield from some(
            level,
            "unknown-queries",
            f"judged queries that are not among the queries{_perhaps(facts, 'queries')}",
            coverage.unknown_queries,
            None,
            "mend the ids; with dataset.on_dangling=keep they are left out",
        )


def _perhaps(facts: Facts, part: Part) -> str:
    """Rows without a readable id may be what a judgment points at."""
    hidden = any((refused.part, refused.kind) == (part, "unfit") for refused in facts.refused)
    return ", or in rows that cannot be used" if hidden else ""


def _nothing(facts: Facts, selection: Selection) -> Iterator[Finding]:
    if facts.unread:
        return
    sizes = facts.sizes
    if not sizes.documents:
        advice = "check dataset.corpus_filter" if selection.corpus_filter else "the corpus needs at least one"
        yield Finding("error", "no-documents", "documents that take part", 0, None, advice)
    if not sizes.evaluated:
        advice = (
            "check dataset.filters"
            if sizes.queries and not sizes.selected
            else "a query is evaluated where a judgment of at least 1 names a document that answers it"
        )
        yield Finding("error", "no-queries", "queries that can be evaluated", 0, sizes.queries, advice)
