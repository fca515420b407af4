"""A data set with nothing wrong with it, and looks at data sets that are checked against what loading does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.grouping import FamilyRule
from evalkit.errors import DataError
from evalkit.findings import Expectation
from evalkit.inspection.inspect import inspect
from evalkit.inspection.outcome import Finding, Inspection
from evalkit.inspection.survey import Measure
from evalkit.types import Metric
from tests.conftest import BeirWriter, beir

ANY = Expectation(Metric("recall", 5), 50, 0, None)
"""Any number of queries is enough for it."""

DE = {"lang": "de"}
DOCUMENTS = {
    "d1": "Der Lohn im Mai.",
    "d2": "Die Miete in Bern.",
    "d3": "Die Steuer in Thun.",
    "d4": "Der Bus nach Chur.",
}
QUERIES = {"q1": "Was verdient man?", "q2": "Was kostet es?"}
JUDGMENTS = [("q1", "d1", 1), ("q1", "d3", 0), ("q2", "d2", 2)]
ALL_GERMAN = dict.fromkeys((*DOCUMENTS, *QUERIES), DE)


def sound(write_beir: BeirWriter) -> Path:
    """Two queries, four documents, three judgments, and nothing wrong with them."""
    return write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata=ALL_GERMAN)


def look(
    folder: Path,
    rule: FamilyRule | None = None,
    expectation: Expectation = ANY,
    measure: Measure | None = None,
    **options: Any,
) -> Inspection:
    """Inspect a folder; loading must refuse it exactly where there is an error."""
    found = inspect(beir(folder, **options), rule or FamilyRule("family"), expectation, measure)
    if found.refused:
        with pytest.raises(DataError):
            beir(folder, **options).load()
    else:
        beir(folder, **options).load()
    return found


def names(found: Inspection) -> list[tuple[str, str]]:
    return [(finding.level, finding.name) for finding in found.findings]


def only(found: Inspection, name: str) -> Finding:
    (finding,) = [finding for finding in found.findings if finding.name == name]
    return finding


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.writelines(f"{line}\n" for line in lines)
