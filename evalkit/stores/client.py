"""Qdrant collections as qdrant-client shows them, the same in process and on a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, TypeAlias
from uuid import UUID

from evalkit.errors import StoreError
from evalkit.ports import Held, Hit, Vectors
from evalkit.sparse import SparseVector
from evalkit.stores.base import DOC_ID
from evalkit.stores.sparse import TERMS

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models

Guard: TypeAlias = Callable[[str], AbstractContextManager[None]]
"""What each call of the client runs in; its argument says what is being done."""


class ClientCollection(ABC, Generic[Held]):
    """One collection behind a ``QdrantClient``.

    Args:
        client: The client; closed with the collection.
        name: Full name of the collection.
        params: Search parameters; None where the engine knows no others than exact.
        guard: What each call runs in: it speaks for the engine when something goes wrong.

    Raises:
        StoreError: The engine failed, or the collection was not made for such vectors.
    """

    _using: str | None = None
    """Name of the vector that is searched."""

    def __init__(self, client: QdrantClient, name: str, params: models.SearchParams | None, guard: Guard) -> None:
        self._client = client
        self._name = name
        self._params = params
        self._guard = guard
        self._exists = False
        with guard("opening"):
            info = client.get_collection(name) if client.collection_exists(name) else None
        if info is not None:
            self._adopt(info.config.params)
            self._exists = True

    @abstractmethod
    def _adopt(self, params: models.CollectionParams) -> None:
        """Take over a collection that is there; refuse one that was not made for such vectors."""

    @abstractmethod
    def _schema(self, vectors: Held) -> dict[str, Any]:
        """Arguments that create a collection for such vectors."""

    @abstractmethod
    def _batch(self, vectors: Held) -> Any:
        """Vectors of documents as the client sends them."""

    @abstractmethod
    def _queries(self, vectors: Held) -> list[Any]:
        """Vectors of queries likewise."""

    @property
    def exists(self) -> bool:
        return self._exists

    def create(self, vectors: Held) -> None:
        with self._guard("creating"):
            self._client.create_collection(self._name, **self._schema(vectors))
        self._exists = True

    def count(self) -> int:
        if not self._exists:
            return 0
        with self._guard("counting"):
            return self._client.count(self._name, exact=True).count

    def held(self, points: Sequence[UUID]) -> set[UUID]:
        with self._guard("looking up documents"):
            records = self._client.retrieve(
                self._name, ids=[str(point) for point in points], with_payload=False, with_vectors=False
            )
        return {UUID(str(record.id)) for record in records}

    def upsert(self, points: Sequence[UUID], doc_ids: Sequence[str], vectors: Held) -> None:
        from qdrant_client import models

        batch = models.Batch(
            ids=[str(point) for point in points],
            vectors=self._batch(vectors),
            payloads=[{DOC_ID: doc_id} for doc_id in doc_ids],
        )
        with self._guard("uploading"):
            result = self._client.upsert(self._name, points=batch, wait=True)
        if result.status != models.UpdateStatus.COMPLETED:
            raise StoreError(
                f"Qdrant took documents for collection {self._name!r}, but has not stored them yet "
                f"({result.status}); run again, and only the missing ones are sent"
            )

    def nearest(self, vectors: Held, limit: int) -> list[list[Hit]]:
        from qdrant_client import models

        requests = [
            models.QueryRequest(
                query=vector, using=self._using, limit=limit, with_payload=[DOC_ID], params=self._params
            )
            for vector in self._queries(vectors)
        ]
        with self._guard("searching"):
            answers = self._client.query_batch_points(self._name, requests=requests)
        return [[_hit(self._name, point.payload, point.score) for point in answer.points] for answer in answers]

    def vectors(self, points: Sequence[UUID]) -> dict[UUID, Any]:
        with self._guard("reading vectors of"):
            records = self._client.retrieve(
                self._name, ids=[str(point) for point in points], with_payload=False, with_vectors=True
            )
        return {UUID(str(record.id)): self._stored(record.vector) for record in records}

    def close(self) -> None:
        self._client.close()

    def _stored(self, vector: Any) -> Any:
        """Of a record, the vector that is searched."""
        return vector


class DenseClientCollection(ClientCollection[Vectors]):
    """One unnamed vector per document, all of one dimension."""

    _size: int | None = None

    @property
    def dimension(self) -> int | None:
        return self._size

    def create(self, vectors: Vectors) -> None:
        super().create(vectors)
        self._size = vectors.shape[1]

    def _adopt(self, params: models.CollectionParams) -> None:
        from qdrant_client import models

        vectors = params.vectors
        if not isinstance(vectors, models.VectorParams) or vectors.distance != models.Distance.DOT:
            found = vectors.distance.value if isinstance(vectors, models.VectorParams) else "named vectors"
            raise StoreError(
                f"Qdrant's collection {self._name!r} holds {found}, but evalkit compares one unnamed vector per "
                "document by inner product (Dot); it is not evalkit's: set another vector_store.prefix"
            )
        self._size = vectors.size

    def _schema(self, vectors: Vectors) -> dict[str, Any]:
        from qdrant_client import models

        return {
            "vectors_config": models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT),
            # Exact search never reads the graph (m=0: none), whose building costs minutes of CPU.
            "hnsw_config": models.HnswConfigDiff(m=0),
        }

    def _batch(self, vectors: Vectors) -> Any:
        return vectors.tolist()

    def _queries(self, vectors: Vectors) -> list[Any]:
        queries: list[Any] = vectors.tolist()
        return queries


class SparseClientCollection(ClientCollection[list[SparseVector]]):
    """One named sparse vector per document, without Qdrant's own weighting by rarity."""

    _using = TERMS

    def _adopt(self, params: models.CollectionParams) -> None:
        terms = (params.sparse_vectors or {}).get(TERMS)
        if terms is None or terms.modifier not in (None, "none"):
            found = "no sparse vectors of that name" if terms is None else f"sparse vectors with {terms.modifier}"
            raise StoreError(
                f"Qdrant's collection {self._name!r} holds {found}, but evalkit compares the sparse vector {TERMS!r} "
                "by its inner product alone; it is not evalkit's: set another vector_store.prefix"
            )

    def _schema(self, vectors: list[SparseVector]) -> dict[str, Any]:  # noqa: ARG002 - any fit
        from qdrant_client import models

        return {"vectors_config": {}, "sparse_vectors_config": {TERMS: models.SparseVectorParams()}}

    def _batch(self, vectors: list[SparseVector]) -> Any:
        return {TERMS: self._queries(vectors)}

    def _queries(self, vectors: list[SparseVector]) -> list[Any]:
        from qdrant_client import models

        return [
            models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist()) for vector in vectors
        ]

    def _stored(self, vector: Any) -> Any:
        return vector.get(TERMS) if isinstance(vector, dict) else None


def _hit(name: str, payload: dict[str, object] | None, score: float) -> Hit:
    doc_id = (payload or {}).get(DOC_ID)
    if not isinstance(doc_id, str):
        raise StoreError(
            f"Qdrant's collection {name!r} holds a point without {DOC_ID!r} in its payload; it is not "
            "evalkit's: set another vector_store.prefix"
        )
    return doc_id, score
