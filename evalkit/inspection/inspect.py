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


def inspect(source: Source, rule: FamilyRule, expectation: Expectation, measure: Measure | None = None) -> Inspection:
    """Look at a source as a run with the same settings would take it.

    Args:
        source: Its documents are passed over once and not kept.
        rule: How queries name their family.
        expectation: The gain that a run is held to: what the number of queries is judged by.
        measure: What counts tokens; None counts none.

    Raises:
        ConfigError: The source cannot be read with these settings.
    """
    check_name(source.name)
    unread: list[Unread] = []
    judgments, queries = Judgments(None, {}, {}), list[Query]()
    with collected() as judged, _noted("judgments", unread):
        judgments = source.judgments()
    with collected() as asked, _noted("queries", unread):
        queries.extend(source.queries())
    with collected() as written:
        facts = survey(
            _documents(source, unread), queries, judgments, source.selection, rule, measure, passed_over=asked.entries
        )
    refused = (*_refused("documents", written), *_refused("queries", asked), *_refused("judgments", judged))
    return judge(source.name, replace(facts, refused=refused, unread=tuple(unread)), source.selection, expectation)


@contextmanager
def _noted(part: Part, unread: list[Unread]) -> Iterator[None]:
    """Note what ends the reading of a part."""
    try:
        yield
    except DataError as error:
        unread.append(Unread(part, briefly(error)))


def _documents(source: Source, unread: list[Unread]) -> Iterator[Document]:
    with _noted("documents", unread):
        yield from source.documents()


def _refused(part: Part, faults: Faults) -> Iterable[Refused]:
    return (Refused(part, kind, Some(count, tuple(faults.messages[kind]))) for kind, count in faults.counts.items())
