"""Vectors on disk in this process: qdrant-edge, Qdrant's own Rust engine."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic
from uuid import UUID

from evalkit import checks
from evalkit.errors import StoreError
from evalkit.ports import Held, Hit, SparseStore, Vectors
from evalkit.sparse import SparseVector
from evalkit.stores.base import DOC_ID
from evalkit.stores.dense import ExactDenseStore
from evalkit.stores.lock import locked
from evalkit.stores.sparse import TERMS, ExactSparseStore

if TYPE_CHECKING:
    from qdrant_edge import EdgeConfig, EdgeShard

_BATCH = 1024


class EdgeStore(ExactDenseStore):
    """Vectors in a folder, searched exactly by Qdrant's engine; one process at a time.

    Args:
        path: Folder of the collections; each has its own folder and lock file there.

    Raises:
        ConfigError: The path is no path.
    """

    persistent = True
    description = "qdrant-edge in process"
    in_process = True

    def __init__(self, path: str | Path) -> None:
        super().__init__(_BATCH)
        self._path = checks.path("vector_store.path", path)

    def sparse(self) -> SparseStore:
        """Sparse vectors in folders beside those of dense ones."""
        return ExactSparseStore(self, lambda name: _SparseEdgeCollection(self._path / name), _BATCH)

    def _connect(self, name: str) -> _DenseEdgeCollection:
        return _DenseEdgeCollection(self._path / name)


class _EdgeCollection(ABC, Generic[Held]):
    """One shard in one folder, locked while it is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shard: EdgeShard | None = None
        self._lock = locked(folder)
        try:
            if folder.exists():
                self._load()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _adopt(self, vector: Any) -> None:
        """Take over a folder that holds such vectors; refuse one with others."""

    @abstractmethod
    def _schema(self, vectors: Held) -> EdgeConfig:
        """What a folder for such vectors is made of."""

    @abstractmethod
    def _vectors(self, vectors: Held) -> list[Any]:
        """Vectors of documents as the engine takes them."""

    @abstractmethod
    def _queries(self, vectors: Held) -> list[Any]:
        """Queries likewise."""

    @abstractmethod
    def _stored(self, vector: Any) -> Any:
        """Of a record, the vector that is searched; None where it has none."""

    @property
    def exists(self) -> bool:
        return self._shard is not None

    def create(self, vectors: Held) -> None:
        from qdrant_edge import EdgeShard

        unborn = self._folder.with_suffix(".new")
        with _translated(self._folder):
            shutil.rmtree(unborn, ignore_errors=True)
            EdgeShard.create(str(unborn), self._schema(vectors)).close()
            if self._folder.exists():
                # A kill between creation and the first batch left it, without a document.
                shutil.rmtree(self._folder)
            # Renamed once complete: a kill leaves no half collection under its name.
            unborn.rename(self._folder)
            self._shard = EdgeShard.load(str(self._folder))

    def count(self) -> int:
        from qdrant_edge import CountRequest

        if self._shard is None:
            return 0
        with self._engine() as shard:
            return shard.count(CountRequest(exact=True))

    def held(self, points: Sequence[UUID]) -> set[UUID]:
        with self._engine() as shard:
            records = shard.retrieve(list(points), with_payload=False, with_vector=False)
        return {UUID(str(record.id)) for record in records}

    def upsert(self, points: Sequence[UUID], doc_ids: Sequence[str], vectors: Held) -> None:
        from qdrant_edge import Point, UpdateOperation

        batch = [
            Point(point, vector, {DOC_ID: doc_id})
            for point, doc_id, vector in zip(points, doc_ids, self._vectors(vectors), strict=True)
        ]
        with self._engine() as shard:
            shard.update(UpdateOperation.upsert_points(batch))
            # The write-ahead log outlives a killed process; only a flush outlives a power failure.
            shard.flush()

    def nearest(self, vectors: Held, limit: int) -> list[list[Hit]]:
        from qdrant_edge import QueryBatchRequest, QueryRequest, SearchParams

        exact = SearchParams(exact=True)
        requests = [
            QueryRequest(limit=limit, query=query, with_payload=[DOC_ID], params=exact)
            for query in self._queries(vectors)
        ]
        with self._engine() as shard:
            answers = shard.query_batch(QueryBatchRequest(requests))
        return [[_hit(self._folder, point.payload, point.score) for point in answer] for answer in answers]

    def vectors(self, points: Sequence[UUID]) -> dict[UUID, Any]:
        with self._engine() as shard:
            records = shard.retrieve(list(points), with_payload=False, with_vector=True)
            return {UUID(str(record.id)): self._stored(record.vector) for record in records}

    def close(self) -> None:
        shard, self._shard = self._shard, None
        try:
            if shard is not None:
                with _translated(self._folder):
                    shard.close()
        finally:
            self._lock.close()

    def _load(self) -> None:
        """Open the folder; a collection without documents counts as not created yet."""
        from qdrant_edge import EdgeShard, ScrollRequest

        with _translated(self._folder):
            shard = EdgeShard.load(str(self._folder))
            records, _ = shard.scroll(ScrollRequest(limit=1, with_vector=True))
            if records:
                self._shard = shard
            else:
                shard.close()
        if records:
            self._adopt(records[0].vector)

    @contextmanager
    def _engine(self) -> Iterator[EdgeShard]:
        """The shard, its errors translated."""
        if self._shard is None:
            raise StoreError(f"{self._folder}: no vectors were added yet")
        with _translated(self._folder):
            yield self._shard


class _DenseEdgeCollection(_EdgeCollection[Vectors]):
    """One unnamed vector per document, all of one dimension."""

    dimension: int | None = None

    def create(self, vectors: Vectors) -> None:
        super().create(vectors)
        self.dimension = vectors.shape[1]

    def _adopt(self, vector: Any) -> None:
        if not isinstance(vector, list):
            raise _damaged(self._folder, "a point without a dense vector")
        self.dimension = len(vector)

    def _schema(self, vectors: Vectors) -> EdgeConfig:
        from qdrant_edge import Distance, EdgeConfig, EdgeVectorParams

        return EdgeConfig(vectors=EdgeVectorParams(size=vectors.shape[1], distance=Distance.Dot))

    def _vectors(self, vectors: Vectors) -> list[Any]:
        plain: list[Any] = vectors.tolist()
        return plain

    def _queries(self, vectors: Vectors) -> list[Any]:
        from qdrant_edge import Query

        return [Query.Nearest(vector) for vector in vectors.tolist()]

    def _stored(self, vector: Any) -> Any:
        return vector


class _SparseEdgeCollection(_EdgeCollection[list[SparseVector]]):
    """One named sparse vector per document."""

    def _adopt(self, vector: Any) -> None:
        if self._stored(vector) is None:
            raise _damaged(self._folder, f"a point without the sparse vector {TERMS!r}")

    def _schema(self, vectors: list[SparseVector]) -> EdgeConfig:  # noqa: ARG002 - any fit
        from qdrant_edge import EdgeConfig, EdgeSparseVectorParams

        return EdgeConfig(sparse_vectors={TERMS: EdgeSparseVectorParams()})

    def _vectors(self, vectors: list[SparseVector]) -> list[Any]:
        from qdrant_edge import SparseVector as EdgeVector

        return [{TERMS: EdgeVector(vector.indices.tolist(), vector.values.tolist())} for vector in vectors]

    def _queries(self, vectors: list[SparseVector]) -> list[Any]:
        from qdrant_edge import Query

        return [Query.Nearest(vector[TERMS], using=TERMS) for vector in self._vectors(vectors)]

    def _stored(self, vector: Any) -> Any:
        return vector.get(TERMS) if isinstance(vector, dict) else None


def _hit(folder: Path, payload: dict[str, object] | None, score: float) -> Hit:
    doc_id = (payload or {}).get(DOC_ID)
    if not isinstance(doc_id, str):
        raise _damaged(folder, f"a point without {DOC_ID!r}")
    return doc_id, score


def _damaged(folder: Path, found: object) -> StoreError:
    return StoreError(
        f"{folder}: the vectors cannot be read or written ({found}); if space and permissions are in order, "
        "the folder is damaged: delete it, and its documents are embedded again"
    )


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # The engine raises bare Exceptions, and a Rust panic is a BaseException of a hidden type.
        engine = type(error) is Exception or type(error).__name__ == "PanicException"
        if not engine and not isinstance(error, OSError):
            raise
        raise _damaged(folder, error) from error
