"""What every store does the same way, whatever its vectors: point ids, batches and complete answers."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from evalkit.errors import StoreError
from evalkit.ports import Held, Hit, Vectors
from evalkit.sparse import SparseVector

DOC_ID = "doc_id"
"""Payload key of the document id: Qdrant's own point ids are integers or UUIDs."""

_IDS_PER_CALL = 1024
_NAME = re.compile(r"[a-z0-9_-]+")


def point_id(doc_id: str) -> UUID:
    """The point that stands for a document: the first 128 bits of its id's SHA-256."""
    return UUID(bytes=hashlib.sha256(doc_id.encode()).digest()[:16])


Taken_contra = TypeVar("Taken_contra", Vectors, list[SparseVector], contravariant=True)


class Collection(Protocol[Taken_contra]):
    """One opened collection of one engine; it exists in the engine from ``create`` on."""

    @property
    def exists(self) -> bool:
        """Whether it does."""
        ...

    def create(self, vectors: Taken_contra) -> None:
        """Create it, for inner products of vectors such as these."""
        ...

    def count(self) -> int:
        """Documents held; 0 before ``create``."""
        ...

    def held(self, points: Sequence[UUID]) -> set[UUID]:
        """Those of ``points`` that it holds."""
        ...

    def upsert(self, points: Sequence[UUID], doc_ids: Sequence[str], vectors: Taken_contra) -> None:
        """Store one batch; once it returns, the batch is there."""
        ...

    def nearest(self, vectors: Taken_contra, limit: int) -> list[list[Hit]]:
        """The exact nearest documents of one batch of queries."""
        ...

    def vectors(self, points: Sequence[UUID]) -> Mapping[UUID, Any]:
        """The stored vectors of those of ``points`` that it holds, as the engine returns them."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


Opened = TypeVar("Opened", bound=Collection[Any])


class ExactStore(ABC, Generic[Held, Opened]):
    """A store whose search is exact and complete, on any engine.

    Args:
        batch_size: Documents per upload and queries per search call.
    """

    _finds_all: bool
    """Whether a search returns as many documents as it is asked for, as far as there are any."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._name = ""
        self._collection: Opened | None = None

    @abstractmethod
    def _connect(self, name: str) -> Opened:
        """Open the engine's collection, whether it exists yet or not."""

    @abstractmethod
    def _check(self, collection: Opened, vectors: Held) -> None:
        """Refuse vectors that the collection cannot hold, or compare with."""

    @abstractmethod
    def _read(self, collection: Opened, vector: Any) -> Any:
        """One stored vector as the engine returned it; None where it is none of this collection's."""

    @abstractmethod
    def _kind(self, collection: Opened) -> str:
        """What such a vector is, in words."""

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
        if not collection.exists:
            return list(doc_ids)
        points = [point_id(doc_id) for doc_id in doc_ids]
        held: set[UUID] = set()
        for start in range(0, len(points), _IDS_PER_CALL):
            held |= collection.held(points[start : start + _IDS_PER_CALL])
        return [doc_id for doc_id, point in zip(doc_ids, points, strict=True) if point not in held]

    def add(self, doc_ids: Sequence[str], vectors: Held) -> None:
        """Store one vector per document; documents that are there are replaced.

        Args:
            doc_ids: Document ids.
            vectors: One per document; the first ones decide what the collection can hold.

        Raises:
            ModelError: A vector holds a number that is not finite.
            StoreError: No collection is open, it holds other vectors, or the engine failed. What was
                stored up to then stays: ``missing`` names the rest.
        """
        if len(doc_ids) != len(vectors):
            raise ValueError(f"{len(doc_ids)} document ids, but {len(vectors)} vectors")
        collection = self._opened()
        if not len(doc_ids):
            return
        if not collection.exists:
            collection.create(vectors)
        self._check(collection, vectors)
        for start in range(0, len(doc_ids), self._batch_size):
            batch = slice(start, start + self._batch_size)
            ids = doc_ids[batch]
            collection.upsert([point_id(doc_id) for doc_id in ids], ids, vectors[batch])

    def search(self, vectors: Held, limit: int) -> list[list[Hit]]:
        """For each query the documents of largest inner product, found by comparing with all that could have one.

        Args:
            vectors: Of the queries.
            limit: Documents per query, at least 1.

        Returns:
            One list of hits per query, in any order: of dense vectors exactly min(limit, documents held), of sparse
            ones at most as many, as those that share no term are none.

        Raises:
            StoreError: No collection is open, it is empty, it holds other vectors, the engine failed or
                answered incompletely.
        """
        collection = self._opened()
        count = collection.count()
        if count == 0:
            raise StoreError(f"collection {self._name!r} is empty; add documents before searching it")
        self._check(collection, vectors)
        expected = min(limit, count)
        found: list[list[Hit]] = []
        for start in range(0, len(vectors), self._batch_size):
            found += collection.nearest(vectors[start : start + self._batch_size], expected)
        least = expected if self._finds_all else 0
        if len(found) != len(vectors) or not all(least <= len(hits) <= expected for hits in found):
            # A cluster with an unreachable shard answers with fewer hits and no error.
            raise StoreError(
                f"collection {self._name!r} holds {count} documents, but a search for {expected} returned "
                "fewer; check that all of its shards are active and that nothing else changes it meanwhile"
            )
        return found

    def _stored(self, doc_ids: Sequence[str]) -> list[Any]:
        """The stored vectors, one per document, in the order of ``doc_ids``.

        Args:
            doc_ids: Document ids; one that is repeated gets its vector each time.

        Raises:
            StoreError: No collection is open, nothing was added yet, a document is not there, the engine
                failed or answered with something else.
        """
        collection = self._opened()
        if not collection.exists:
            raise StoreError(f"collection {self._name!r} is empty; add documents before reading their vectors")
        wanted = [point_id(doc_id) for doc_id in doc_ids]
        found: dict[UUID, Any] = dict.fromkeys(wanted)
        points, count = list(found), 0
        for start in range(0, len(points), _IDS_PER_CALL):
            for point, vector in collection.vectors(points[start : start + _IDS_PER_CALL]).items():
                read = self._read(collection, vector)
                if point not in found or read is None:
                    raise StoreError(
                        f"collection {self._name!r} returned a vector that was not asked for, or not "
                        f"{self._kind(collection)}; it is damaged or not evalkit's: use another collection, or delete "
                        "this one"
                    )
                found[point] = read
                count += 1
        if count != len(points):
            raise StoreError(
                f"collection {self._name!r} lacks {len(points) - count} of {len(points)} documents whose vectors "
                "are wanted; check that nothing else changes it meanwhile, then run again: they are added then"
            )
        return [found[point] for point in wanted]

    def close(self) -> None:
        """Let go of files, locks and connections; ``open`` works again afterwards."""
        collection, self._collection = self._collection, None
        if collection is not None:
            collection.close()

    def _opened(self) -> Opened:
        if self._collection is None:
            raise StoreError("no collection is open; call open(collection) first")
        return self._collection
