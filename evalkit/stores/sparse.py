"""Sparse vectors: a search returns the documents that share a term with the query, and no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from evalkit.sparse import SparseVector
from evalkit.stores.base import Collection, ExactStore

TERMS = "terms"
"""Qdrant's name of the vector: it has no unnamed sparse ones."""


class Engine(Protocol):
    """What a sparse store takes over from the dense one on the same engine."""

    @property
    def persistent(self) -> bool: ...

    @property
    def description(self) -> str: ...

    @property
    def in_process(self) -> bool: ...


class ExactSparseStore(ExactStore[list[SparseVector], Collection[list[SparseVector]]]):
    """A store of sparse vectors on the engine of a dense one.

    How many documents share a term is not known beforehand, so that a search cannot tell that a cluster answered
    incompletely; the sample of the self-check ``store_finds`` alone can.

    Args:
        engine: Says where vectors are.
        connect: Opens a collection of it by name.
        batch_size: Documents per upload and queries per search call.
    """

    _finds_all = False

    def __init__(
        self, engine: Engine, connect: Callable[[str], Collection[list[SparseVector]]], batch_size: int
    ) -> None:
        super().__init__(batch_size)
        self._engine = engine
        self._open = connect

    @property
    def persistent(self) -> bool:
        return self._engine.persistent

    @property
    def description(self) -> str:
        return self._engine.description

    @property
    def in_process(self) -> bool:
        return self._engine.in_process

    def vectors(self, doc_ids: Sequence[str]) -> list[SparseVector]:
        """The stored vectors, one per document, equal to what was added to the bit."""
        return self._stored(doc_ids)

    def _connect(self, name: str) -> Collection[list[SparseVector]]:
        return self._open(name)

    def _check(self, collection: Collection[list[SparseVector]], vectors: list[SparseVector]) -> None:
        """Any sparse vector fits into any collection of them."""

    def _read(self, collection: Collection[list[SparseVector]], vector: Any) -> SparseVector | None:  # noqa: ARG002
        try:
            return SparseVector(np.array(vector.indices, np.int64), np.array(vector.values, np.float32))
        except (AttributeError, TypeError, ValueError):
            return None

    def _kind(self, collection: Collection[list[SparseVector]]) -> str:  # noqa: ARG002
        return "a sparse one"
