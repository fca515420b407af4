"""Vectors on disk in this process: qdrant-edge, Qdrant's own Rust engine."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import UUID

from evalkit import checks
from evalkit.errors import StoreError
from evalkit.ports import Hit, Vectors
from evalkit.stores.base import DOC_ID, ExactStore, plain

if TYPE_CHECKING:
    from qdrant_edge import EdgeShard

_BATCH = 1024


class EdgeStore(ExactStore):
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

    def _connect(self, name: str) -> _EdgeCollection:
        return _EdgeCollection(self._path / name)


class _EdgeCollection:
    """One shard in one folder, locked while it is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dimension: int | None = None
        self._shard: EdgeShard | None = None
        self._lock = _locked(folder)
        try:
            if folder.exists():
                self._load()
        except BaseException:
            self.close()
            raise

    @property
    def dimension(self) -> int | None:
        return self._dimension

    def create(self, dimension: int) -> None:
        from qdrant_edge import Distance, EdgeConfig, EdgeShard, EdgeVectorParams

        unborn = self._folder.with_suffix(".new")
        with _translated(self._folder):
            shutil.rmtree(unborn, ignore_errors=True)
            config = EdgeConfig(vectors=EdgeVectorParams(size=dimension, distance=Distance.Dot))
            EdgeShard.create(str(unborn), config).close()
            if self._folder.exists():
                # A kill between creation and the first batch left it, without a document.
                shutil.rmtree(self._folder)
            # Renamed once complete: a kill leaves no half collection under its name.
            unborn.rename(self._folder)
            self._shard = EdgeShard.load(str(self._folder))
        self._dimension = dimension

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

    def upsert(self, points: Sequence[UUID], doc_ids: Sequence[str], vectors: Vectors) -> None:
        from qdrant_edge import Point, UpdateOperation

        batch = [
            Point(point, vector, {DOC_ID: doc_id})
            for point, doc_id, vector in zip(points, doc_ids, vectors.tolist(), strict=True)
        ]
        with self._engine() as shard:
            shard.update(UpdateOperation.upsert_points(batch))
            # The write-ahead log outlives a killed process; only a flush outlives a power failure.
            shard.flush()

    def nearest(self, vectors: Vectors, limit: int) -> list[list[Hit]]:
        from qdrant_edge import Query, QueryBatchRequest, QueryRequest, SearchParams

        exact = SearchParams(exact=True)
        requests = [
            QueryRequest(limit=limit, query=Query.Nearest(vector), with_payload=[DOC_ID], params=exact)
            for vector in vectors.tolist()
        ]
        with self._engine() as shard:
            answers = shard.query_batch(QueryBatchRequest(requests))
        return [[_hit(self._folder, point.payload, point.score) for point in answer] for answer in answers]

    def vectors(self, points: Sequence[UUID]) -> dict[UUID, list[float]]:
        with self._engine() as shard:
            records = shard.retrieve(list(points), with_payload=False, with_vector=True)
            return {UUID(str(record.id)): plain(record.vector) for record in records}

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
                self._shard, self._dimension = shard, len(records[0].vector or ())
            else:
                shard.close()

    @contextmanager
    def _engine(self) -> Iterator[EdgeShard]:
        """The shard, its errors translated."""
        if self._shard is None:
            raise StoreError(f"{self._folder}: no vectors were added yet")
        with _translated(self._folder):
            yield self._shard


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


def _locked(folder: Path) -> IO[str]:
    """Take the folder's lock, which the system releases when the process ends, however it ends.

    Args:
        folder: Folder of a collection.

    Returns:
        The lock file, beside the folder; closing it releases the lock. The file stays: removing it
        would let two processes each lock a file of that name.

    Raises:
        StoreError: Another process holds the lock, or the file cannot be written.
    """
    path = folder.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); choose another vector_store.path") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read() or "unknown"
        file.close()
        raise StoreError(
            f"{folder}: process {holder} is using it; wait for that process, or choose another vector_store.path"
        ) from None
    except OSError as error:
        file.close()
        raise StoreError(
            f"{path}: cannot be locked ({error.strerror}); choose a vector_store.path on a local disk"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
