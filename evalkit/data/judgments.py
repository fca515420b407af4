"""Relevance judgments as files hold them: BEIR's three columns or TREC's four, header or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evalkit.data.faults import refuse
from evalkit.data.files import fault, lines
from evalkit.errors import DataError

_GRADE = re.compile(r"[+-]?[0-9]{1,6}(\.0+)?")
_LONGEST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Judgments:
    """All judgments of one data set.

    Attributes:
        path: The file; None where they come from a library.
        grades: query id -> document id -> grade.
        lines: (query id, document id) -> line number, for messages.
        repeated: How many rows said again what an earlier row had said.
    """

    path: Path | None
    grades: dict[str, dict[str, int]]
    lines: dict[tuple[str, str], int]
    repeated: int = 0


def read_judgments(path: Path) -> Judgments:
    """Read qrels: ``query document grade`` or ``query iteration document grade``.

    Columns are separated by tabs (ids may then hold spaces) or, in a file without tabs, by white
    space. A first row whose last column holds no digit is the header.

    Raises:
        DataError: No row at all, a row of another width, a grade that is no whole number, an empty
            id, or two rows that disagree about one pair.
    """
    return collect(_rows(path), path)


def collect(rows: Iterable[tuple[int, str, str, str | int]], path: Path | None, unit: str = "line") -> Judgments:
    """Judgments from rows of (row number, query id, document id, grade).

    Args:
        rows: Numbered as a reader would find them.
        path: The file; None where they come from a library.
        unit: What the numbers count, for messages.

    Raises:
        DataError: No row at all, a grade that is no whole number, an empty id, or two rows that disagree
            about one pair.
    """
    grades: dict[str, dict[str, int]] = {}
    seen: dict[tuple[str, str], int] = {}
    repeated = 0
    for number, query_id, doc_id, given in rows:
        try:
            grade = _grade(str(given), path, number, unit)
            if not query_id or not doc_id:
                raise fault("an id is empty; every judgment names a query and a document", path, number, unit)
        except DataError as error:
            refuse(error)
            continue
        known = grades.setdefault(query_id, {})
        if doc_id in known:
            if known[doc_id] == grade:
                repeated += 1
            else:
                unlike = (
                    f"query {query_id!r} and document {doc_id!r} have grade {grade} here and "
                    f"{known[doc_id]} in {unit} {seen[query_id, doc_id]}; keep one"
                )
                refuse(fault(unlike, path, number, unit), "contradictory")
            continue
        known[doc_id] = grade
        seen[query_id, doc_id] = number
    if not seen:
        raise DataError("no judgment here; expected rows of a query id, a document id and a grade", path)
    return Judgments(path, grades, seen, repeated)


def _rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    width = 0
    for number, line in lines(path):
        row = [cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())]
        if not width:
            width = len(row)
            if width not in (3, 4):
                raise DataError(
                    f"{width} columns; expected 3 (query-id, corpus-id, score) or 4 (TREC qrels)", path, number
                )
            if not any(character.isdigit() for character in row[-1]):
                continue
        if len(row) != width:
            refuse(DataError(f"{len(row)} columns; the rows before have {width}", path, number))
            continue
        yield number, row[0], row[-2], row[-1]


def _grade(text: str, path: Path | None, number: int, unit: str) -> int:
    if not _GRADE.fullmatch(text):
        # Judgments are short; what is longer may be a text that slipped into the wrong column.
        found = repr(text) if len(text) <= _LONGEST_SHOWN else f"a text of {len(text)} characters"
        raise fault(f"the grade is {found}; expected a whole number such as 0, 1, 2", path, number, unit)
    return int(float(text))
