"""What every vector store does the same way: point ids, batches, shapes and complete answers."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol, cast
from uuid import UUID

import numpy as np

from evalkit.errors import ModelError, StoreError
from evalkit.ports import Hit, Vectors

DOC_ID = "doc_id"
"""Payload key of the document id: Qdrant's own point ids are integers or UUIDs."""

_IDS_PER_CALL = 1024
_NAME = re.compile(r"[a-z0-9_-]+")


def point_id(doc_id: str) -> UUID:
    """The point that stands for a document: the first 128 bits of its id's SHA-256."""
    return UUID(bytes=hashlib.sha256(doc_id.encode()).digest()[:16])


def plain(vector: object) -> list[float]:
    """The numbers of one unnamed vector; of anything else that an engine returns none, which fits no dimension."""
    # Its first item speaks for all: engines return lists of floats or, for multivectors, of lists.
    numbers = isinstance(vector, list) and not isinstance(next(iter(vector), None), list)
    return cast("list[float]", vector) if numbers else []


class Collection(Protocol):
    """One opened collection of one engine; it exists in the engine from ``create`` on."""

    @property
    def dimension(self) -> int | None:
        """Numbers per vector, or None before ``create``."""
        ...

    def create(self, dimension: int) -> None:
        """Create it, for inner products of vectors of that dimension."""
        ...

    def count(self) -> int:
        """Documents held; 0 before ``create``."""
        ...

    def held(self, points: Sequence[UUID]) -> set[UUID]:
        """Those of ``points`` that it holds."""
        ...

    def upsert(self, points: Sequence[UUID], doc_ids: Sequence[str], vectors: Vectors) -> None:
        """Store one batch; once it returns, the batch is there."""
        ...

    def nearest(self, vectors: Vectors, limit: int) -> list[list[Hit]]:
        """The exact nearest documents of one batch of queries."""
        ...

    def vectors(self, points: Sequence[UUID]) -> Mapping[UUID, Sequence[float]]:
        """The stored vectors of those of ``points`` that it holds."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class ExactStore(ABC):
    """A vector store whose search is exact and complete, on any engine.

    Args:
        batch_size: Documents per upload and queries per search call.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._name = ""
        self._collection: Collection | None = None

    @abstractmethod
    def _connect(self, name: str) -> Collection:
        """Open the engine's collection, whether it exists yet or not."""

    def open(self, collection: str) -> None:
        """Open a collection, and close the one that was open.

        Args:
            collection: Its name, of the characters ``a-z0-9_-``.

        Raises:
            StoreError: The engine cannot be reached or opened, or holds something else under that name.
        """
        if not _NAME.fullmatch(collection):
            raise StoreError(f"{collection!r} cannot name a collection; use the characters a-z 0-9 _ - only")
        self.close()
        self._collection = self._connect(collection)
        self._name = collection

    def missing(self, doc_ids: Sequence[str]) -> list[str]:
        """Those of ``doc_ids`` that the collection does not hold yet, in order.

        Args:
            doc_ids: Document ids.

        Returns:
            The ids whose vectors are still to be added; after an interrupted ``add``, the rest.

        Raises:
            StoreError: No collection is open, or the engine failed.
        """
        collection = self._opened()
        if collection.dimension is None:
            return list(doc_ids)
        points = [point_id(doc_id) for doc_id in doc_ids]
        held: set[UUID] = set()
        for start in range(0, len(points), _IDS_PER_CALL):
            held |= collection.held(points[start : start + _IDS_PER_CALL])
        return [doc_id for doc_id, point in zip(doc_ids, points, strict=True) if point not in held]

    def add(self, doc_ids: Sequence[str], vectors: Vectors) -> None:
        """Store one vector per document; documents that are there are replaced.

        Args:
            doc_ids: Document ids.
            vectors: Shape (len(doc_ids), dimension); the first ones set the collection's dimension.

        Raises:
            ModelError: A vector holds a number that is not finite.
            StoreError: No collection is open, the dimension differs, or the engine failed. What was
                stored up to then stays: ``missing`` names the rest.
        """
        if len(doc_ids) != len(vectors):
            raise ValueError(f"{len(doc_ids)} document ids, but {len(vectors)} vectors")
        collection = self._opened()
        if not len(doc_ids):
            return
        if not np.isfinite(vectors).all():
            raise ModelError("a vector holds NaN or infinity; half precision can overflow: try dtype float32")
        if collection.dimension is None:
            collection.create(vectors.shape[1])
        self._check_dimension(collection, vectors)
        for start in range(0, len(doc_ids), self._batch_size):
            batch = slice(start, start + self._batch_size)
            ids = doc_ids[batch]
            collection.upsert([point_id(doc_id) for doc_id in ids], ids, vectors[batch])

    def search(self, vectors: Vectors, limit: int) -> list[list[Hit]]:
        """For each query the documents of largest inner product, found by comparing with all of them.

        Args:
            vectors: Query vectors, shape (n, dimension).
            limit: Documents per query, at least 1.

        Returns:
            n lists of exactly min(limit, documents held) hits, in any order.

        Raises:
            StoreError: No collection is open, it is empty, the dimension differs, the engine failed or
                answered incompletely.
        """
        collection = self._opened()
        count = collection.count()
        if count == 0:
            raise StoreError(f"collection {self._name!r} is empty; add documents before searching it")
        self._check_dimension(collection, vectors)
        expected = min(limit, count)
        found: list[list[Hit]] = []
        for start in range(0, len(vectors), self._batch_size):
            found += collection.nearest(vectors[start : start + self._batch_size], expected)
        if len(found) != len(vectors) or any(len(hits) != expected for hits in found):
            # A cluster with an unreachable shard answers with fewer hits and no error.
            raise StoreError(
                f"collection {self._name!r} holds {count} documents, but a search for {expected} returned "
                "fewer; check that all of its shards are active and that nothing else changes it meanwhile"
            )
        return found

    def vectors(self, doc_ids: Sequence[str]) -> Vectors:
        """The stored vectors, one row per document, in the order of ``doc_ids``.

        Args:
            doc_ids: Document ids; one that is repeated gets a row each time.

        Returns:
            Shape (len(doc_ids), dimension), equal to what was added to the bit.

        Raises:
            StoreError: No collection is open, nothing was added yet, a document is not there, the engine
                failed or answered with something else.
        """
        collection = self._opened()
        dimension = collection.dimension
        if dimension is None:
            raise StoreError(f"collection {self._name!r} is empty; add documents before reading their vectors")
        wanted = [point_id(doc_id) for doc_id in doc_ids]
        row = {point: index for index, point in enumerate(dict.fromkeys(wanted))}
        points, rows, found = list(row), np.empty((len(row), dimension), np.float32), 0
        for start in range(0, len(points), _IDS_PER_CALL):
            for point, vector in collection.vectors(points[start : start + _IDS_PER_CALL]).items():
                if point not in row or len(vector) != dimension:
                    raise StoreError(
                        f"collection {self._name!r} returned a vector that was not asked for, or not of dimension "
                        f"{dimension}; it is damaged or not evalkit's: use another collection, or delete this one"
                    )
                rows[row[point]] = vector
                found += 1
        if found != len(points):
            raise StoreError(
                f"collection {self._name!r} lacks {len(points) - found} of {len(points)} documents whose vectors "
                "are wanted; check that nothing else changes it meanwhile, then run again: they are added then"
            )
        return rows[[row[point] for point in wanted]]

    def close(self) -> None:
        """Let go of files, locks and connections; ``open`` works again afterwards."""
        collection, self._collection = self._collection, None
        if collection is not None:
            collection.close()

    def _opened(self) -> Collection:
        if self._collection is None:
            raise StoreError("no collection is open; call open(collection) first")
        return self._collection

    def _check_dimension(self, collection: Collection, vectors: Vectors) -> None:
        if vectors.shape[1] != collection.dimension:
            raise StoreError(
                f"collection {self._name!r} holds vectors of dimension {collection.dimension}, these have "
                f"{vectors.shape[1]}; another embedder filled it: use another collection, or delete this one"
            )
