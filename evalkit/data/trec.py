"""TREC run files, read and ordered as trec_eval does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evalkit.data.files import lines
from evalkit.errors import DataError
from evalkit.types import Run


def read_run(path: Path, name: str | None = None) -> Run:
    """Read a run, and order it as trec_eval does: by score, and by document id on ties, both descending.

    Args:
        path: The file; see :func:`read_scores`.
        name: Name of the run; None takes that of the file.

    Raises:
        DataError: The file breaks its format.
    """
    return Run(
        name or path.stem,
        {
            query_id: tuple(sorted(found, key=lambda doc_id: (found[doc_id], doc_id), reverse=True))
            for query_id, found in read_scores(path).items()
        },
    )


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Read ``query Q0 document rank score tag``, whatever follows the tag; or ``query document score``.

    Columns are separated by tabs (ids may then hold spaces) or, in a line without tabs, by white space. The rank column
    means nothing; like trec_eval, scores have single precision. A first row of three columns whose last holds no digit
    is the header.

    Returns:
        query id -> document id -> score.

    Raises:
        DataError: A line has another form, a score is not a finite number, a document appears twice for a query, or
            there is no line at all.
    """
    scores: dict[str, dict[str, float]] = {}
    width = 0
    for number, line in lines(path):
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
        if not width:
            width = 3 if len(fields) == 3 else 6
            if width == 3 and not any(character.isdigit() for character in fields[-1]):
                continue
        if len(fields) < width or (width == 3 and len(fields) > width):
            expected = "3: query document score" if width == 3 else "6: query Q0 document rank score tag"
            raise DataError(f"{len(fields)} fields; expected {expected}", path, number)
        query_id, doc_id, text = fields if width == 3 else (fields[0], fields[2], fields[4])
        score = _single(text)
        if not np.isfinite(score):
            raise DataError(f"score {text!r} is not a finite number", path, number)
        found = scores.setdefault(query_id, {})
        if doc_id in found:
            raise DataError(f"document {doc_id!r} appears twice for query {query_id!r}; keep one", path, number)
        found[doc_id] = float(score)
    if not scores:
        raise DataError("no line in this run; expected: query Q0 document rank score tag", path)
    return scores


def _single(text: str) -> np.float32:
    try:
        with np.errstate(over="ignore"):
            return np.float32(text)
    except ValueError:
        return np.float32(np.nan)
