"""Scores in files: TREC runs, or three columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evalkit.data.files import lines
from evalkit.errors import DataError


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Read ``query Q0 document rank score tag``, whatever follows the tag; or ``query document score``.

    Columns are separated by tabs (ids may then hold spaces) or, in a line without tabs, by white space. The rank column
    means nothing; like trec_eval, scores have single precision. A first row of three columns whose last holds no digit
    and is no number is the header.

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
            # nan is a number without a digit: a bad score, and no header.
            if width == 3 and _single(fields[-1]) is None and not any(sign.isdigit() for sign in fields[-1]):
                continue
        if len(fields) < width or (width == 3 and len(fields) > width):
            expected = "3: query document score" if width == 3 else "6: query Q0 document rank score tag"
            raise DataError(f"{len(fields)} fields; expected {expected}", path, number)
        query_id, doc_id, text = fields if width == 3 else (fields[0], fields[2], fields[4])
        score = _single(text)
        if score is None or not np.isfinite(score):
            raise DataError(f"the score, field {3 if width == 3 else 5}, is not a finite number", path, number)
        found = scores.setdefault(query_id, {})
        if doc_id in found:
            raise DataError(f"document {doc_id!r} appears twice for query {query_id!r}; keep one", path, number)
        found[doc_id] = float(score)
    if not scores:
        raise DataError("no line in this run; expected: query Q0 document rank score tag", path)
    return scores


def _single(text: str) -> np.float32 | None:
    """In single precision; None for what is no number."""
    try:
        with np.errstate(over="ignore"):
            return np.float32(text)
    except ValueError:
        return None
