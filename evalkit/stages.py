"""What both stages share: the plan of an evaluation, the log of its work, and values that are computed once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from evalkit.analysis.grouping import FamilyRule
from evalkit.errors import ModelError
from evalkit.ports import (
    Cache,
    DatasetSource,
    Embedder,
    Executor,
    FoundRun,
    FoundScores,
    Notes,
    Numbers,
    Reranker,
    VectorStore,
)
from evalkit.record import Fusion, LatencyBudget, LongDocuments
from evalkit.result import Design
from evalkit.sparse import CorpusEncoder, SparseEncoder
from evalkit.types import Fingerprint

Rows: TypeAlias = Sequence[Numbers] | Numbers
"""One array, or number, per item: what the cache remembers of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one evaluation needs, ready to use but not yet opened.

    Attributes:
        embedder: Makes stage 1, or one half of it; or the run that another system returned; None where words alone
            are searched.
        reranker: Makes stage 2; or the scores that another system gave.
        design: What is asked.
        sparse: Makes stage 1 without an embedder, or the other half of it beside one.
        fusion: How both halves become one.
        family: How queries name their family.
        sequential: Stop as soon as the expectation's lower edge is decided.
        exclude_self: Leave out the document whose id equals the query's id.
        long: What becomes of documents that are longer than a model reads.
        latency: What the latency probe may spend; by default it is off.
        notes: Where its measurements are remembered; None forgets them.
        config: The resolved configuration, for the record.
        command: The words that started the run, for the record.
    """

    source: DatasetSource
    embedder: Embedder | FoundRun | None
    reranker: Reranker | FoundScores
    store: VectorStore
    cache: Cache
    executor: Executor
    design: Design
    sparse: SparseEncoder | CorpusEncoder | None = None
    fusion: Fusion | None = None
    family: FamilyRule = field(default_factory=FamilyRule)
    sequential: bool = False
    exclude_self: bool = False
    long: LongDocuments = field(default_factory=LongDocuments)
    latency: LatencyBudget = field(default_factory=LatencyBudget)
    notes: Notes | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()

    @property
    def fingerprints(self) -> dict[str, Fingerprint]:
        """Role -> what identifies the numbers of the model, or file, that has it."""
        roles = {"embedder": self.embedder, "sparse": self.sparse, "reranker": self.reranker}
        return {role: part.fingerprint for role, part in roles.items() if part is not None}


@dataclass(slots=True)
class Log:
    """Seconds per phase and models' work, as they come about."""

    timings: dict[str, float] = field(default_factory=dict)
    computed: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - started

    def count(self, name: str, number: int) -> None:
        """Add to the work of that name."""
        self.computed[name] = self.computed.get(name, 0) + number


def remembered(
    plan: Plan,
    items: Mapping[bytes, Any],
    compute: Callable[[Sequence[bytes]], Rows],
    label: str,
    unit: Callable[[bytes], object] | None = None,
) -> tuple[dict[bytes, Numbers], int]:
    """The value of each item, and how many had to be computed; ``unit`` as in :func:`in_chunks`."""
    chunks = in_chunks(plan, list(items), compute, label, unit)
    values = next(chunks)
    known = len(values)
    for fresh in chunks:
        values.update(fresh)
    return values, len(values) - known


def in_chunks(
    plan: Plan,
    keys: Sequence[bytes],
    compute: Callable[[Sequence[bytes]], Rows],
    label: str,
    unit: Callable[[bytes], object] | None = None,
) -> Generator[dict[bytes, Numbers]]:
    """First what the cache knows of these keys; then, chunk by chunk, what was computed and is remembered by then.

    Neighbours of which ``unit`` says the same share a chunk where they can.
    """
    known = plan.cache.get(keys)
    missing = [key for key in keys if key not in known]
    yield known
    for chunk, rows in plan.executor.map(compute, missing, label, unit):
        check_rows(rows, len(chunk), label)
        fresh = dict(zip(chunk, rows, strict=True))
        plan.cache.put(fresh.items())
        yield fresh


def check_rows(rows: Rows, expected: int, label: str) -> None:
    """Refuse what a model returned, before anything of it is remembered."""
    if len(rows) != expected:
        raise ModelError(f"asked for {expected} {label}, the model returned {len(rows)} results")
    if not all(np.isfinite(row).all() for row in rows):
        raise ModelError(
            f"the model returned a value that is not finite for {label}; nothing of it was kept. Half precision "
            "can overflow: try dtype float32"
        )


def key_of(*parts: str | bytes | Mapping[str, Any]) -> bytes:
    """SHA-256 over parts, each preceded by its length, so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        text = json.dumps(part, sort_keys=True, default=str) if isinstance(part, Mapping) else part
        raw = text if isinstance(text, bytes) else text.encode()
        total.update(len(raw).to_bytes(8, "big"))
        total.update(raw)
    return total.digest()
