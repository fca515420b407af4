"""Read the built files of one part: what a user of the data set gets, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PARTS = {"en": ("en",), "four": ("de", "fr", "it", "en")}
"""Part -> its languages."""
HEADER = "query-id\tcorpus-id\tscore"


class UnreadableError(Exception):
    """A built file is missing, or a line of it is not what the format says."""


@dataclass(frozen=True, slots=True)
class Row:
    """A passage or a question.

    Attributes:
        id: Its id.
        title: Its title; empty for a question.
        text: Its text.
        metadata: What its line says of it: lang, kind, client and year, or family.
    """

    id: str
    title: str
    text: str
    metadata: dict[str, Any]

    @property
    def lang(self) -> str:
        """The language tag, empty where there is none."""
        return str(self.metadata.get("lang", ""))

    @property
    def prefix(self) -> str:
        """What stands before the first hyphen of the id."""
        return self.id.partition("-")[0]

    @property
    def key(self) -> str:
        """The id without its language."""
        return self.id.partition("-")[2]


@dataclass(frozen=True, slots=True)
class Part:
    """The built files of one part.

    Attributes:
        name: ``en`` or ``four``.
        languages: The languages that it has to hold.
        passages, questions: Its rows, in the order of the files.
        judgments: (question id, passage id, grade), in the order of the file.
    """

    name: str
    languages: tuple[str, ...]
    passages: list[Row]
    questions: list[Row]
    judgments: list[tuple[str, str, int]]

    def judged(self) -> Iterator[tuple[Row, Row, int]]:
        """Every judgment of a question and a passage that exist."""
        passages = {row.id: row for row in self.passages}
        questions = {row.id: row for row in self.questions}
        for question, passage, grade in self.judgments:
            if question in questions and passage in passages:
                yield questions[question], passages[passage], grade

    def answers(self) -> dict[str, list[Row]]:
        """Question id -> the passages with grade 1 or 2; every question has an entry."""
        found: dict[str, list[Row]] = {row.id: [] for row in self.questions}
        for question, passage, grade in self.judged():
            if grade > 0:
                found[question.id].append(passage)
        return found


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        shown: What holds where there is no fault, with the numbers it was held against.
        faults: A line for each fault: ids and places, never text.
    """

    shown: str
    faults: list[str]


def read(folder: Path, name: str) -> Part:
    """Read one part.

    Args:
        folder: The folder of the data set.
        name: The part.

    Returns:
        What its three files hold.

    Raises:
        UnreadableError: A file is missing, or a line is not what the format says.
    """
    corpus, queries = (list(_rows(folder / name / file)) for file in ("corpus.jsonl", "queries.jsonl"))
    return Part(name, PARTS[name], corpus, queries, list(_judgments(folder / name / "qrels" / "test.tsv")))


def words(text: str) -> list[str]:
    """The words and numbers of a text, without case and punctuation."""
    return re.findall(r"\w+", text.casefold())


def percent(count: int, total: int) -> str:
    """A share, to the nearest percent."""
    return f"{100 * count / max(1, total):.0f} %"


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path} cannot be read ({error}); run build.py") from error
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        yield f"{path}, line {number}", line


def _rows(path: Path) -> Iterator[Row]:
    for where, line in _lines(path):
        try:
            match json.loads(line):
                case {"_id": str(name), "text": str(text), "metadata": dict(metadata), **rest}:
                    yield Row(name, str(rest.get("title", "")), text, metadata)
                case _:
                    raise UnreadableError(f"{where}: expected an object with _id, text and metadata; run build.py")
        except json.JSONDecodeError as error:
            raise UnreadableError(f"{where}: not JSON ({error}); run build.py") from error


def _judgments(path: Path) -> Iterator[tuple[str, str, int]]:
    for number, (where, line) in enumerate(_lines(path)):
        match line.split("\t"):
            case [question, passage, "0" | "1" | "2" as grade] if number:
                yield question, passage, int(grade)
            case _ if number or line != HEADER:
                raise UnreadableError(f"{where}: expected query-id, corpus-id and a grade of 0 to 2; run build.py")
