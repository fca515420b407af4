"""Reads a source with patience: what loading refuses one after the other is collected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from evalkit.analysis.grouping import FamilyRule
from evalkit.data.faults import Faults, briefly, collected
from evalkit.data.judgments import Judgments
from evalkit.data.source import Source
from evalkit.errors import DataError
from evalkit.findings import Expectation
from evalkit.inspection.facts import Part, Refused, Some, Unread
from evalkit.inspection.judge import judge
from evalkit.inspection.outcome import Inspection
from evalkit.inspection.survey import Measure, survey
from evalkit.types import Document, Query, check_name

_PARTS: tuple[Part, ...] = ("documents", "queries", "judgments")


def inspect(source: Source, rule: FamilyRule, expectation: Expectation, measure: Measure | None = None) -> Inspection:
    """Look at a source as a run with the same settings would take it.

    Args:
        source: Its documents are passed over once and not kept.
        rule: How queries name their family.
        expectation: The gain that a run is held to: what the number of queries is judged by.
        measure: What counts tokens; None counts none.

    Raises:
        ConfigError: The source cannot be read with these settings.
        DataError: No part of it can be read, as where a path is misspelt.
    """
    check_name(source.name)
    ends: list[tuple[Part, DataError]] = []
    judgments, queries = Judgments(None, {}, {}), list[Query]()
    with collected() as judged, _noted("judgments", ends):
        judgments = source.judgments()
    with collected() as asked, _noted("queries", ends):
        queries.extend(source.queries())
    with collected() as written:
        facts = survey(
            _documents(source, ends), queries, judgments, source.selection, rule, measure, passed_over=asked.entries
        )
    refused = tuple(
        refused
        for part, faults in zip(_PARTS, (written, asked, judged), strict=True)
        for refused in _refused(part, faults)
    )
    if len(ends) == len(_PARTS) and not (refused or facts.sizes.documents or queries or judgments.grades):
        raise ends[-1][1]
    unread = tuple(Unread(part, briefly(error)) for part, error in ends)
    return judge(source.name, replace(facts, refused=refused, unread=unread), source.selection, expectation)


@contextmanager
def _noted(part: Part, ends: list[tuple[Part, DataError]]) -> Iterator[None]:
    """Note what ends the reading of a part."""
    try:
        yield
    except DataError as error:
        ends.append((part, error))


def _documents(source: Source, ends: list[tuple[Part, DataError]]) -> Iterator[Document]:
    with _noted("documents", ends):
        yield from source.documents()


def _refused(part: Part, faults: Faults) -> Iterable[Refused]:
    return (Refused(part, kind, Some(count, tuple(faults.messages[kind]))) for kind, count in faults.counts.items())
