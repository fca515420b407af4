"""What the pipeline asks of the outside world. A plug-in is one class that has these methods.

Sorting, cutting and ties live in the core: a plug-in returns vectors, scores and hits, nothing ranked.
Constructors open nothing; a model loads and a server is called at first use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalkit.result import EvalResult
from evalkit.sparse import SparseVector
from evalkit.types import Dataset, Fingerprint

Vectors: TypeAlias = NDArray[np.float32]
"""Shape (n, dimension)."""

Numbers: TypeAlias = NDArray[np.floating[Any]]
"""A one-dimensional float array; the cache returns it with the precision that was put in."""

Pair: TypeAlias = tuple[str, str]
"""(query text, document text)."""

Hit: TypeAlias = tuple[str, float]
"""(document id, inner product)."""

Held = TypeVar("Held", Vectors, list[SparseVector])
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class DatasetSource(Protocol):
    """Where a corpus, queries and qrels come from."""

    def load(self) -> Dataset:
        """Read and validate everything.

        Raises:
            DataError: A file is missing or breaks its format.
        """
        ...


class Embedder(Protocol):
    """Texts to vectors that are compared by inner product."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the vectors; reading it loads no model."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row per text, in order."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One row per text, in order; prompts may differ from those of documents."""
        ...

    def windows(self, texts: Sequence[str], overlap: int) -> list[list[str]]:
        """Each document in windows that are read whole and overlap by so many tokens; one where it fits."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """What an embedder offers besides where its tokenizer is at hand: how long documents are for it."""

    @property
    def max_length(self) -> int:
        """Tokens of a document, special tokens included, beyond which it is cut."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of each document before truncation, prompt and special tokens included, shape (n,)."""
        ...


class Reranker(Protocol):
    """Pairs to raw scores, each pair on its own (pointwise)."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the scores; reading it loads no model."""
        ...

    @property
    def device(self) -> str:
        """What it runs on, such as ``cpu`` or ``cuda:0``; reading it loads no model."""
        ...

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Raw logits, shape (n,), in the order of ``pairs``; the device has finished when it returns."""
        ...


@runtime_checkable
class CountsPairTokens(Protocol):
    """What a reranker offers besides where its tokenizer is at hand: how long pairs are for it, and windows."""

    @property
    def max_length(self) -> int:
        """Tokens of a pair, special tokens included, beyond which the document is cut."""
        ...

    def count_tokens(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Tokens of each pair before truncation, special tokens included, shape (n,)."""
        ...

    def windows(self, pairs: Sequence[Pair], overlap: int) -> list[list[str]]:
        """Each pair's document in windows that are read whole beside the query and overlap by so many tokens.

        One, the document itself, where that fits or the query alone is too long.
        """
        ...


@runtime_checkable
class AskedByQuery(Protocol):
    """What a reranker offers besides that is asked for one query and its documents at a time, perhaps for money."""

    @property
    def currency(self) -> str | None:
        """Of its price, such as ``USD``; None where none is known."""
        ...

    @property
    def billed(self) -> float | None:
        """Requests or tokens, as the price says, that its answers have billed since it was made; None if not known."""
        ...

    def cost(self, billed: float) -> float | None:
        """Of so many; None where no price is known."""
        ...


@runtime_checkable
class FoundRun(Protocol):
    """Stage 1 of a system that ran elsewhere: what it returned."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes what was returned."""
        ...

    def read(self) -> Mapping[str, Sequence[Hit]]:
        """Query id -> hits, in any order."""
        ...


@runtime_checkable
class FoundScores(Protocol):
    """Stage 2 of a system that ran elsewhere: the scores it gave."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the scores."""
        ...

    @property
    def missing(self) -> Literal["error", "last"]:
        """What a candidate without a score means: an incomplete file, or a place behind all that have one."""
        ...

    def scores(self) -> Mapping[str, Mapping[str, float]]:
        """Query id -> document id -> score, more is better."""
        ...


class Store(Protocol[Held]):
    """Remembers documents' vectors of one kind and finds the nearest ones, exactly."""

    @property
    def persistent(self) -> bool:
        """Whether vectors outlive the process; if not, the cache remembers them."""
        ...

    @property
    def description(self) -> str:
        """The engine and where it runs, in a few words and without secrets."""
        ...

    @property
    def in_process(self) -> bool:
        """Whether the engine runs in this process: its latency is then not that of a server."""
        ...

    def open(self, collection: str) -> None:
        """Open or create a collection; its name stands for the corpus and the embedder."""
        ...

    def missing(self, doc_ids: Sequence[str]) -> list[str]:
        """Those of ``doc_ids`` that the collection does not hold yet, in order."""
        ...

    def add(self, doc_ids: Sequence[str], vectors: Held) -> None:
        """Store one vector per document, durably if the store is persistent."""
        ...

    def search(self, vectors: Held, limit: int) -> list[list[Hit]]:
        """For each query vector the ``limit`` documents of largest inner product, in any order.

        Of sparse vectors, those only that share a term with it. Scores may be off by rounding: the core computes them
        again from :meth:`vectors`.
        """
        ...

    def vectors(self, doc_ids: Sequence[str]) -> Held:
        """The stored vectors, one row per document, in order."""
        ...

    def close(self) -> None:
        """Let go of files, locks and connections."""
        ...


SparseStore: TypeAlias = Store[list[SparseVector]]


class VectorStore(Store[Vectors], Protocol):
    """A store of dense vectors, and the way to one of sparse vectors on the same engine."""

    def sparse(self) -> SparseStore:
        """A store of sparse vectors, with collections of its own; nothing is opened yet.

        Raises:
            ConfigError: The engine has none.
        """
        ...


class Cache(Protocol):
    """Remembers arrays of numbers by content key, across runs and crashes."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Numbers]:
        """The values of those keys that are known."""
        ...

    def put(self, values: Iterable[tuple[bytes, Numbers]]) -> None:
        """Remember the values, all or none, durably."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Notes(Protocol):
    """Remembers small facts by content key, such as a measurement, across runs and crashes."""

    def get(self, key: bytes) -> Mapping[str, Any] | None:
        """The note of that key; None where there is none.

        Raises:
            StoreError: It cannot be read, or something else stands in its place.
        """
        ...

    def put(self, key: bytes, note: Mapping[str, Any]) -> None:
        """Remember a note of JSON values in place of the former one, whole or not at all.

        Raises:
            StoreError: It cannot be written.
        """
        ...


class Executor(Protocol):
    """Runs batches of work, here or elsewhere."""

    def map(
        self,
        function: Callable[[Sequence[Item]], Outcome],
        items: Sequence[Item],
        label: str,
        unit: Callable[[Item], object] | None = None,
    ) -> Iterator[tuple[Sequence[Item], Outcome]]:
        """Cut ``items`` into chunks and yield each chunk with its outcome, as soon as it is there.

        Neighbours of which ``unit`` says the same stay together where they fit into a chunk.
        """
        ...


class Sink(Protocol):
    """Takes one finished result somewhere."""

    @property
    def publishes(self) -> bool:
        """False: adds files to the result folder while it is written. True: acts once it is complete."""
        ...

    def write(self, result: EvalResult, folder: Path) -> None:
        """Write into the result folder, or send the finished folder on."""
        ...
