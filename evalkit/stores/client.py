"""A Qdrant collection as qdrant-client shows it, the same in process and on a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from evalkit.errors import StoreError
from evalkit.ports import Hit, Vectors
from evalkit.stores.base import DOC_ID, plain

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from qdrant_client.models import CollectionInfo, SearchParams

Guard: TypeAlias = Callable[[str], AbstractContextManager[None]]
"""What each call of the client runs in; its argument says what is being done."""


class ClientCollection:
    """One collection behind a ``QdrantClient``.

    Args:
        client: The client; closed with the collection.
        name: Full name of the collection.
        params: Search parameters; None where the engine knows no others than exact.
        guard: What each call runs in: it speaks for the engine when something goes wrong.

    Raises:
        StoreError: The engine failed, or the collection was not made for inner products.
    """

    def __init__(self, client: QdrantClient, name: str, params: SearchParams | None, guard: Guard) -> None:
        self._client = client
        self._name = name
        self._params = params
        self._guard = guard
        with guard("opening"):
            exists = client.collection_exists(name)
            self._dimension = _dimension(name, client.get_collection(name)) if exists else None

    @property
    def dimension(self) -> int | None:
        return self._dimension

    def create(self, dimension: int) -> None:
        from qdrant_client import models

        with self._guard("creating"):
            self._client.create_collection(
                self._name,
                vectors_config=models.VectorParams(size=dimension, distance=models.Distance.DOT),
                # Exact search never reads the graph (m=0: none), whose building costs minutes of CPU.
                hnsw_config=models.HnswConfigDiff(m=0),
            )
        self._dimension = dimension

    def count(self) -> int:
        if self._dimension is None:
            return 0
        with self._guard("counting"):
            return self._client.count(self._name, exact=True).count

    def held(self, points: Sequence[UUID]) -> set[UUID]:
        with self._guard("looking up documents"):
            records = self._client.retrieve(
                self._name, ids=[str(point) for point in points], with_payload=False, with_vectors=False
            )
        return {UUID(str(record.id)) for record in records}

    def upsert(self, points: Sequence[UUID], doc_ids: Sequence[str], vectors: Vectors) -> None:
        from qdrant_client import models

        batch = models.Batch(
            ids=[str(point) for point in points],
            vectors=vectors.tolist(),
            payloads=[{DOC_ID: doc_id} for doc_id in doc_ids],
        )
        with self._guard("uploading"):
            result = self._client.upsert(self._name, points=batch, wait=True)
        if result.status != models.UpdateStatus.COMPLETED:
            raise StoreError(
                f"Qdrant took documents for collection {self._name!r}, but has not stored them yet "
                f"({result.status}); run again, and only the missing ones are sent"
            )

    def nearest(self, vectors: Vectors, limit: int) -> list[list[Hit]]:
        from qdrant_client import models

        requests = [
            models.QueryRequest(query=vector, limit=limit, with_payload=[DOC_ID], params=self._params)
            for vector in vectors.tolist()
        ]
        with self._guard("searching"):
            answers = self._client.query_batch_points(self._name, requests=requests)
        return [[_hit(self._name, point.payload, point.score) for point in answer.points] for answer in answers]

    def vectors(self, points: Sequence[UUID]) -> dict[UUID, list[float]]:
        with self._guard("reading vectors of"):
            records = self._client.retrieve(
                self._name, ids=[str(point) for point in points], with_payload=False, with_vectors=True
            )
        return {UUID(str(record.id)): plain(record.vector) for record in records}

    def close(self) -> None:
        self._client.close()


def _dimension(name: str, info: CollectionInfo) -> int:
    from qdrant_client import models

    vectors = info.config.params.vectors
    if not isinstance(vectors, models.VectorParams) or vectors.distance != models.Distance.DOT:
        found = vectors.distance.value if isinstance(vectors, models.VectorParams) else "named vectors"
        raise StoreError(
            f"Qdrant's collection {name!r} holds {found}, but evalkit compares one unnamed vector per "
            "document by inner product (Dot); it is not evalkit's: set another vector_store.prefix"
        )
    return vectors.size


def _hit(name: str, payload: dict[str, object] | None, score: float) -> Hit:
    doc_id = (payload or {}).get(DOC_ID)
    if not isinstance(doc_id, str):
        raise StoreError(
            f"Qdrant's collection {name!r} holds a point without {DOC_ID!r} in its payload; it is not "
            "evalkit's: set another vector_store.prefix"
        )
    return doc_id, score
