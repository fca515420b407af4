"""TREC run files as rankings, ordered here as trec_eval orders them."""

from __future__ import annotations

from pathlib import Path

from evalkit.data.trec import read_scores
from evalkit.types import Run


def read_run(path: Path) -> Run:
    """The run of a file, named like it: by score, and by document id on ties, both falling."""
    return Run(
        path.stem,
        {
            query_id: tuple(sorted(found, key=lambda doc_id: (found[doc_id], doc_id), reverse=True))
            for query_id, found in read_scores(path).items()
        },
    )
