"""TREC run files, read and ordered as trec_eval does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evalkit.data.files import lines
from evalkit.errors import DataError
from evalkit.types import Run


def read_run(path: Path, name: str | None = None) -> Run:
    """Read ``query Q0 document rank score tag``; whatever follows the tag is ignored.

    The rank column means nothing: like trec_eval, documents are ordered by score in single
    precision, and by document id on ties, both descending.

    Args:
        path: The file.
        name: Name of the run; None takes the tag of the first line.

    Raises:
        DataError: A line is too short, a score is not a finite number, a document appears twice for
            a query, or there is no line at all.
    """
    scored: dict[str, dict[str, np.float32]] = {}
    tag = name
    for number, line in lines(path):
        fields = line.split()
        if len(fields) < 6:
            raise DataError(f"{len(fields)} fields; expected 6: query Q0 document rank score tag", path, number)
        query_id, _, doc_id, _, text, tag_here = fields[:6]
        try:
            score = np.float32(text)
        except ValueError:
            score = np.float32(np.nan)
        if not np.isfinite(score):
            raise DataError(f"score {text!r} is not a finite number", path, number)
        documents = scored.setdefault(query_id, {})
        if doc_id in documents:
            raise DataError(f"document {doc_id!r} appears twice for query {query_id!r}; keep one", path, number)
        documents[doc_id] = score
        tag = tag or tag_here
    if tag is None or not scored:
        raise DataError("no line in this run; expected: query Q0 document rank score tag", path)
    return Run(
        tag,
        {
            query_id: tuple(sorted(documents, key=lambda doc_id: (documents[doc_id], doc_id), reverse=True))
            for query_id, documents in scored.items()
        },
    )
