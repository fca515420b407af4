"""From rows with a question and its answers to queries, documents and judgments with ids that stay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from evalkit.data.columns import Keys, Values, attributes, text_cell, values_of
from evalkit.data.files import fault
from evalkit.data.judgments import Judgments, collect
from evalkit.data.rows import Part, Row
from evalkit.errors import DataError
from evalkit.types import Document, Query


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column plays which role; None where there is none.

    Attributes:
        question: The question; an empty cell makes the row's answers distractors.
        answer: The answer, or a list of them; None where documents stand in a table of their own.
        question_id: Its id; made from the question where there is none.
        answer_id: Id of the answer, or a list of them; made from title and answer where there is none.
        title: Title of the answer.
        grade: How relevant the answer is; 1 where there is no such column.
        question_metadata: What else is said about the question.
        answer_metadata: What else is said about the answer.
    """

    question: str
    answer: str | None
    question_id: str | None = None
    answer_id: str | None = None
    title: str | None = None
    grade: str | None = None
    question_metadata: Keys = field(default_factory=dict)
    answer_metadata: Keys = field(default_factory=dict)

    def needed(self) -> set[str]:
        """The columns that must be there."""
        named = (self.question, self.answer, self.question_id, self.answer_id, self.title, self.grade)
        metadata = {*self.question_metadata.values(), *self.answer_metadata.values()}
        return {name for name in named if name is not None} | metadata


@dataclass(slots=True)
class _Noted:
    """One question or answer, and everything that the rows say about it."""

    number: int
    text: str
    title: str
    metadata: Values


class Pairs:
    """What all rows of a table say together.

    Args:
        part: The rows.
        columns: What their columns mean.

    Raises:
        DataError: A row is unfit, or says something else than an earlier one about the same id.
    """

    def __init__(self, part: Part, columns: Columns) -> None:
        self._part = part
        self._columns = columns
        self._questions: dict[str, _Noted] = {}
        self._answers: dict[str, _Noted] = {}
        self._judged: list[tuple[int, str, str, str]] = []
        number = 0
        for number, row in part.rows:
            try:
                self._judged += [(number, *judged) for judged in self._take(number, row)]
            except DataError as error:
                raise fault(str(error), part.path, number, part.unit) from error
        if not number:
            raise DataError("the file is empty; expected a header and a row for each question", part.path)

    def documents(self) -> Iterator[Document]:
        """The answers, one for each id."""
        for key, noted in self._answers.items():
            yield Document(key, noted.text, noted.title, attributes(noted.metadata))

    def queries(self) -> Iterator[Query]:
        """The questions, one for each id."""
        for key, noted in self._questions.items():
            yield Query(key, noted.text, attributes(noted.metadata))

    def judgments(self) -> Judgments:
        """One for each question and answer that share a row."""
        return collect(self._judged, self._part.path, self._part.unit)

    def _take(self, number: int, row: Row) -> list[tuple[str, str, str]]:
        """Note the question and the answers of one row; returns (question id, answer id, grade) of each pair."""
        columns = self._columns
        question, given = (_cell(row, name) for name in (columns.question, columns.question_id))
        answers = list(self._answers_of(number, row))
        if question is None:
            if given is not None:
                raise DataError(f"an id in {columns.question_id!r}, but no question; fill the cell or delete the id")
            if not answers:
                raise DataError("neither a question nor an answer; fill the cells or delete the row")
            return []
        key = given or _made("q", question)
        self._note(self._questions, key, _Noted(number, question, "", values_of(row, columns.question_metadata)))
        return [(key, answer, _grade(grade)) for answer, grade in answers]

    def _answers_of(self, number: int, row: Row) -> Iterator[tuple[str, Any]]:
        """(id, cell of the grade) of each answer in the row."""
        columns = self._columns
        for value in _spread(row, (columns.answer, columns.answer_id, columns.title, columns.grade)):
            text, given, title = (_cell(value, name) for name in (columns.answer, columns.answer_id, columns.title))
            grade = value[columns.grade] if columns.grade else 1
            if columns.answer is None:
                if given is not None:
                    yield given, grade
            elif text is not None:
                key = given or _made("d", f"{title or ''}\0{text}")
                noted = _Noted(number, text, title or "", values_of(row, columns.answer_metadata))
                self._note(self._answers, key, noted)
                yield key, grade
            elif given is not None:
                raise DataError(f"an id in {columns.answer_id!r}, but no answer; fill the cell or delete the id")

    def _note(self, known: dict[str, _Noted], key: str, new: _Noted) -> None:
        old = known.setdefault(key, new)
        if (old.text, old.title) != (new.text, new.title):
            what = f"id {key!r} stands for another text here than in {self._part.unit} {old.number}"
            raise DataError(f"{what}; every text needs an id of its own")
        for name, values in new.metadata.items():
            old.metadata.setdefault(name, {}).update(values)


def _spread(row: Row, names: Iterable[str | None]) -> Iterator[Row]:
    """One row for each item of the lists in these columns; what is no list stands in each of them."""
    cells = {name: row[name] for name in names if name is not None}
    lengths = {name: len(value) for name, value in cells.items() if isinstance(value, list)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} in {name!r}" for name, length in lengths.items())
        raise DataError(f"lists of different lengths: {found}; expected one item for each answer")
    for place in range(next(iter(lengths.values()), 1)):
        yield {name: value[place] if name in lengths else value for name, value in cells.items()}


def _cell(row: Row, name: str | None) -> str | None:
    return None if name is None else text_cell(row[name], repr(name))


def _grade(value: Any) -> str:
    found = text_cell(value, "grade")
    if found is None:
        raise DataError("no grade; expected a whole number such as 0, 1, 2")
    return found


def _made(kind: str, text: str) -> str:
    """An id from the content: the same wherever the row stands."""
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
