"""What a system that ran elsewhere returned: runs and scores in files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from evalkit.checks import path as checked_path
from evalkit.checks import unfit
from evalkit.data.files import named_file
from evalkit.data.trec import read_scores
from evalkit.ports import Hit
from evalkit.types import Fingerprint

_RUN, _SCORES = "retrieval.run.path", "reranker.path"


class RunFile:
    """Stage 1 of another system: a TREC run, ``query Q0 document rank score tag``.

    Args:
        path: The file, also gzipped.
    """

    def __init__(self, path: str) -> None:
        self._path = checked_path(_RUN, path)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """The file's digest."""
        return _fingerprint("run file", named_file(_RUN, self._path))

    def read(self) -> Mapping[str, Sequence[Hit]]:
        """Query id -> hits; the rank column means nothing, as in trec_eval.

        Raises:
            DataError: The file is missing or breaks its format.
        """
        return {query_id: list(found.items()) for query_id, found in read_scores(named_file(_RUN, self._path)).items()}


class ScoreFile:
    """Stage 2 of another system: a TREC run, or rows of ``query document score``.

    Args:
        path: The file, also gzipped.
        missing: ``error`` wants a score for every candidate; ``last`` takes a candidate without one for a document that
            the system ranked behind all that it returned.
    """

    def __init__(self, path: str, missing: Literal["error", "last"]) -> None:
        self._path = checked_path(_SCORES, path)
        if missing not in ("error", "last"):
            raise unfit("reranker.missing", missing, "error or last")
        self._missing: Literal["error", "last"] = missing

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """The file's digest, and what a missing score means."""
        return {**_fingerprint("score file", named_file(_SCORES, self._path)), "missing": self._missing}

    @property
    def missing(self) -> Literal["error", "last"]:
        """What a candidate without a score means."""
        return self._missing

    def scores(self) -> Mapping[str, Mapping[str, float]]:
        """Query id -> document id -> score.

        Raises:
            DataError: The file is missing or breaks its format.
        """
        return read_scores(named_file(_SCORES, self._path))


def _fingerprint(backend: str, path: Path) -> Fingerprint:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"backend": backend, "weights": f"{path.name} sha256:{digest}"}
