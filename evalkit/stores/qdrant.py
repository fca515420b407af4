"""Vectors in Qdrant: qdrant-client's in-process engine, or a server or cluster by URL."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from evalkit.checks import text, whole_number
from evalkit.errors import ConfigError, StoreError
from evalkit.ports import SparseStore, Vectors
from evalkit.sparse import SparseVector
from evalkit.stores.client import ClientCollection, DenseClientCollection, SparseClientCollection
from evalkit.stores.dense import ExactDenseStore
from evalkit.stores.sparse import ExactSparseStore

_LOG = logging.getLogger("evalkit.stores")

_LOCAL_MODE_LIMIT, _LOCAL_MODE_SPARSE_LIMIT = 20_000, 2_000
_LOCAL_MODE_BATCH = 256

_URL = re.compile(r"(https?)://(\[[0-9a-fA-F:.]+\]|[^/:\s]+)(:\d{1,5})?(/\S*)?")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

Kind = TypeVar("Kind", bound=ClientCollection[Any])


class MemoryStore(ExactDenseStore):
    """Vectors in this process, gone when their collection is closed."""

    persistent = False
    description = "qdrant-client in process"
    in_process = True

    def __init__(self) -> None:
        super().__init__(_LOCAL_MODE_BATCH)
        self._warned = False

    def add(self, doc_ids: Sequence[str], vectors: Vectors) -> None:
        """Store one vector per document; see ``ExactStore.add``."""
        super().add(doc_ids, vectors)
        self._warned = self._warned or _point_out(self._opened().count(), _LOCAL_MODE_LIMIT, "20 to 40")

    def sparse(self) -> SparseStore:
        """Sparse vectors in this process."""
        return _SparseMemoryStore(self)

    def _connect(self, name: str) -> DenseClientCollection:
        from qdrant_client import QdrantClient

        return DenseClientCollection(QdrantClient(":memory:"), name, params=None, guard=_local)


class _SparseMemoryStore(ExactSparseStore):
    """Sparse vectors in this process, which Python compares term by term."""

    def __init__(self, engine: MemoryStore) -> None:
        super().__init__(engine, self._new, _LOCAL_MODE_BATCH)
        self._warned = False

    def add(self, doc_ids: Sequence[str], vectors: list[SparseVector]) -> None:
        """Store one vector per document; see ``ExactStore.add``."""
        super().add(doc_ids, vectors)
        # Measured: 375 ms a query in 5,183 abstracts of 122 words, against 0.3 ms with edge.
        count, limit = self._opened().count(), _LOCAL_MODE_SPARSE_LIMIT
        self._warned = self._warned or _point_out(count, limit, "about 1,000")

    @staticmethod
    def _new(name: str) -> SparseClientCollection:
        from qdrant_client import QdrantClient

        return SparseClientCollection(QdrantClient(":memory:"), name, params=None, guard=_local)


class ServerStore(ExactDenseStore):
    """Vectors in a Qdrant server or cluster, over its REST interface.

    Args:
        url: Address, such as ``http://localhost:6333``; without credentials.
        api_key_env: Environment variable that holds the key; it may be unset where none is needed.
        timeout_s: Longest wait for one answer, in seconds.
        batch_size: Documents per upload and queries per search call.
        prefix: Put before collection names, so that evalkit's stand apart from others.

    Raises:
        ConfigError: The URL is no address of a server, or carries credentials; or an argument is of the wrong kind.
    """

    persistent = True
    in_process = False

    def __init__(self, url: str, api_key_env: str, timeout_s: int, batch_size: int, prefix: str) -> None:
        super().__init__(batch_size)
        text("vector_store.url", url)
        text("vector_store.api_key_env", api_key_env)
        whole_number("vector_store.timeout_s", timeout_s, 1)
        whole_number("vector_store.batch_size", batch_size, 1)
        text("vector_store.prefix", prefix)
        if set("@?#") & set(url):
            # Not repeated in the message: it would end up in logs.
            raise ConfigError(
                "vector_store.url carries credentials or parameters; write scheme, host and port only, "
                f"and put the key into the environment variable {api_key_env}"
            )
        parts = _URL.fullmatch(url)
        if parts is None:
            raise ConfigError(f"vector_store.url is {url!r}; expected an address like http://localhost:6333")
        self._url = url
        self._host = f"{parts[1]}://{parts[2]}{parts[3] or ''}"
        self._encrypted = parts[1] == "https"
        self._local = parts[2] in _LOOPBACK
        self._api_key_env = api_key_env
        self._timeout_s = timeout_s
        self._prefix = prefix

    @property
    def description(self) -> str:
        """The server by scheme, host and port: a path behind them may name more than readers should know."""
        return f"Qdrant server at {self._host}"

    def sparse(self) -> SparseStore:
        """Sparse vectors on the same server."""
        return ExactSparseStore(self, lambda name: self._collection_of(SparseClientCollection, name), self._batch_size)

    def _connect(self, name: str) -> DenseClientCollection:
        return self._collection_of(DenseClientCollection, name)

    def _collection_of(self, kind: type[Kind], name: str) -> Kind:
        from qdrant_client import QdrantClient
        from qdrant_client.models import SearchParams

        api_key = os.environ.get(self._api_key_env) or None
        if api_key and not self._encrypted and not self._local:
            _LOG.warning("the key in %s crosses the network in the clear; use https", self._api_key_env)
        with warnings.catch_warnings():
            # Said above, where it matters; the client says it for a loopback address as well.
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
            client = QdrantClient(
                url=self._url,
                api_key=api_key,
                timeout=self._timeout_s,
                # The check runs in a thread that outlives a failed connection, and only warns.
                check_compatibility=False,
                # A proxy from the environment cannot reach this machine's loopback address.
                trust_env=not self._local,
            )
        try:
            return kind(client, self._prefix + name, SearchParams(exact=True), self._remote)
        except BaseException:
            client.close()
            raise

    @contextmanager
    def _remote(self, action: str) -> Iterator[None]:
        """Turn the client's errors into StoreErrors without its texts: they quote what the server sent."""
        import httpx
        from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        place = f"Qdrant at {self._url}, {action} a collection"
        try:
            yield
        except UnexpectedResponse as error:
            raise StoreError(f"{place}: {self._refusal(error.status_code)}") from None
        except ResourceExhaustedResponse as error:
            raise StoreError(
                f"{place}: status 429, too many requests; run again after {error.retry_after_s} s, and only "
                "the missing documents are sent"
            ) from None
        except ResponseHandlingException as error:
            if isinstance(error.source, httpx.TimeoutException):
                found = f"no answer within {self._timeout_s} s; raise vector_store.timeout_s"
            elif isinstance(error.source, httpx.TransportError):
                found = (
                    f"cannot be reached ({error.source}); start it (docker run -p 6333:6333 qdrant/qdrant), "
                    "correct vector_store.url, or do without a server: vector_store=memory or edge"
                )
            else:
                found = "the answer is not Qdrant's; check which server listens at vector_store.url"
            raise StoreError(f"{place}: {found}") from None

    def _refusal(self, status: int | None) -> str:
        if status not in (401, 403):
            return f"it answered with status {status}; its own log says why"
        if os.environ.get(self._api_key_env):
            return f"the key in {self._api_key_env} was refused (status {status}); set one that may write"
        return f"it wants a key (status {status}); put it into the environment variable {self._api_key_env}"


def _point_out(count: int, limit: int, faster: str) -> bool:
    """Say that so many documents want another engine, if they do; whether it was said."""
    if count > limit:
        _LOG.warning(
            "%d documents are many for vector_store=memory, which scans them in Python; "
            "vector_store=edge is exact as well, and %s times faster",
            count,
            faster,
        )
    return count > limit


@contextmanager
def _local(_action: str) -> Iterator[None]:
    """Keep the client's warning about size apart: ``MemoryStore.add`` says what helps here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Local mode is not recommended")
        yield
