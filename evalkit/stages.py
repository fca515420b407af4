"""What both stages share: the plan of an evaluation, the log of its work, and values that are computed once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

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
from evalkit.record import LatencyBudget, LongDocuments
from evalkit.result import Design


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one evaluation needs, ready to use but not yet opened.

    Attributes:
        embedder: Makes stage 1; or the run that another system returned.
        reranker: Makes stage 2; or the scores that another system gave.
        design: What is asked.
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
    embedder: Embedder | FoundRun
    reranker: Reranker | FoundScores
    store: VectorStore
    cache: Cache
    executor: Executor
    design: Design
    family: FamilyRule = field(default_factory=FamilyRule)
    sequential: bool = False
    exclude_self: bool = False
    long: LongDocuments = field(default_factory=LongDocuments)
    latency: LatencyBudget = field(default_factory=LatencyBudget)
    notes: Notes | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()


@dataclass(slots=True)
class Log:
    """Seconds per phase and models' work, as they come about."""

    timings: dict[str, float] = field(default_factory=dict)
    computed: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - started


def remembered(
    plan: Plan, items: Mapping[bytes, Any], compute: Callable[[Sequence[bytes]], Numbers], label: str
) -> tuple[dict[bytes, Numbers], int]:
    """The value of each item, and how many had to be computed."""
    chunks = in_chunks(plan, list(items), compute, label)
    values = next(chunks)
    known = len(values)
    for fresh in chunks:
        values.update(fresh)
    return values, len(values) - known


def in_chunks(
    plan: Plan, keys: Sequence[bytes], compute: Callable[[Sequence[bytes]], Numbers], label: str
) -> Generator[dict[bytes, Numbers]]:
    """First what the cache knows of these keys; then, chunk by chunk, what was computed and is remembered by then."""
    known = plan.cache.get(keys)
    missing = [key for key in keys if key not in known]
    yield known
    for chunk, rows in plan.executor.map(compute, missing, label):
        check_rows(rows, len(chunk), label)
        fresh = dict(zip(chunk, rows, strict=True))
        plan.cache.put(fresh.items())
        yield fresh


def check_rows(rows: Numbers, expected: int, label: str) -> None:
    """Refuse what a model returned, before anything of it is remembered."""
    if len(rows) != expected:
        raise ModelError(f"asked for {expected} {label}, the model returned {len(rows)} results")
    if not np.isfinite(rows).all():
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
