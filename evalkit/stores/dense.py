"""Dense vectors: all of one dimension, and every document has a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError, StoreError
from evalkit.ports import Vectors
from evalkit.stores.base import Collection, ExactStore


class DenseCollection(Collection[Vectors], Protocol):
    """A collection of vectors of one dimension."""

    @property
    def dimension(self) -> int | None:
        """Numbers per vector, or None before ``create``."""
        ...


class ExactDenseStore(ExactStore[Vectors, DenseCollection]):
    """A vector store on any engine; ``vectors`` are of shape (n, dimension)."""

    _finds_all = True

    def add(self, doc_ids: Sequence[str], vectors: Vectors) -> None:
        """Store one vector per document; see ``ExactStore.add``."""
        if not np.isfinite(vectors).all():
            raise ModelError("a vector holds NaN or infinity; half precision can overflow: try dtype float32")
        super().add(doc_ids, vectors)

    def vectors(self, doc_ids: Sequence[str]) -> Vectors:
        """The stored vectors, shape (len(doc_ids), dimension), equal to what was added to the bit."""
        rows = self._stored(doc_ids)
        return np.stack(rows) if rows else np.empty((0, self._opened().dimension or 0), np.float32)

    def _check(self, collection: DenseCollection, vectors: Vectors) -> None:
        if vectors.shape[1] != collection.dimension:
            raise StoreError(
                f"collection {self._name!r} holds vectors of dimension {collection.dimension}, these have "
                f"{vectors.shape[1]}; another embedder filled it: use another collection, or delete this one"
            )

    def _read(self, collection: DenseCollection, vector: Any) -> NDArray[np.float32] | None:
        # Its first item speaks for all: engines return lists of floats or, for multivectors, of lists.
        numbers = isinstance(vector, list) and len(vector) == collection.dimension and not isinstance(vector[0], list)
        return np.array(vector, np.float32) if numbers else None

    def _kind(self, collection: DenseCollection) -> str:
        return f"of dimension {collection.dimension}"
