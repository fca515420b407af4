"""TREC run files, written so that any reader restores the order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from evalkit.types import Run

_SPACE_OR_PERCENT = re.compile(r"[\s%]")


def format_run(run: Run) -> Iterator[str]:
    """Yield the lines of a TREC run file.

    The score column falls by 1 from the list's length, so that any reader restores the order. White
    space and percent signs in ids are percent-encoded: the format has no other place for them.
    """
    for query_id, ranking in run.rankings.items():
        for rank, doc_id in enumerate(ranking, start=1):
            yield f"{_encode(query_id)} Q0 {_encode(doc_id)} {rank} {len(ranking) - rank + 1} {_encode(run.name)}\n"


def _encode(identifier: str) -> str:
    return _SPACE_OR_PERCENT.sub(lambda found: quote(found[0]), identifier)
