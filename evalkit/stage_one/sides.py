"""The two kinds of search, behind one shape: what a model makes of texts, and how their inner products are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from evalkit.ports import Embedder, Held, Numbers, Vectors
from evalkit.sparse import SparseEncoder, SparseVector
from evalkit.stages import Rows, key_of


class Side(ABC, Generic[Held]):
    """One kind of vectors.

    Attributes:
        key: Stands for the model, and begins the content key of every vector.
        manner: How documents are held, as messages say it behind the word.
        selective: Whether a search finds those documents alone that share a term with the query.
    """

    key: bytes
    manner: str = ""
    selective: bool = False

    @abstractmethod
    def documents(self, texts: Sequence[str]) -> Rows:
        """One row per text, as the cache remembers it."""

    @abstractmethod
    def queries(self, texts: Sequence[str]) -> Rows:
        """Likewise of queries."""

    @abstractmethod
    def held(self, rows: Sequence[Numbers]) -> Held:
        """Rows as a store takes them."""

    @abstractmethod
    def take(self, vectors: Held, places: Sequence[int]) -> Held:
        """Some of the vectors, in that order."""

    @abstractmethod
    def products(self, vectors: Held, queries: Held, place: int) -> NDArray[np.float64]:
        """Inner products of the vectors with the query at that place, in double precision.

        Equal vectors get equal products, to the bit.
        """


class DenseSide(Side[Vectors]):
    """Vectors of an embedder."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.key = key_of(embedder.fingerprint, "vector")

    def documents(self, texts: Sequence[str]) -> Rows:
        return self._embedder.embed_documents(texts)

    def queries(self, texts: Sequence[str]) -> Rows:
        return self._embedder.embed_queries(texts)

    def held(self, rows: Sequence[Numbers]) -> Vectors:
        return np.stack(rows).astype(np.float32)

    def take(self, vectors: Vectors, places: Sequence[int]) -> Vectors:
        return vectors[list(places)]

    def products(self, vectors: Vectors, queries: Vectors, place: int) -> NDArray[np.float64]:
        # Not a matrix product: its rounding depends on a row's place in the matrix.
        products: NDArray[np.float64] = (vectors.astype(np.float64) * queries[place].astype(np.float64)).sum(axis=1)
        return products


class SparseSide(Side[list[SparseVector]]):
    """Vectors of a sparse encoder."""

    manner = " as sparse vectors"
    selective = True

    def __init__(self, encoder: SparseEncoder) -> None:
        self._encoder = encoder
        self.key = key_of(encoder.fingerprint, "sparse vector")

    def documents(self, texts: Sequence[str]) -> Rows:
        return [vector.packed() for vector in self._encoder.encode_documents(texts)]

    def queries(self, texts: Sequence[str]) -> Rows:
        return [vector.packed() for vector in self._encoder.encode_queries(texts)]

    def held(self, rows: Sequence[Numbers]) -> list[SparseVector]:
        return [SparseVector.unpacked(row) for row in rows]

    def take(self, vectors: list[SparseVector], places: Sequence[int]) -> list[SparseVector]:
        return [vectors[place] for place in places]

    def products(self, vectors: list[SparseVector], queries: list[SparseVector], place: int) -> NDArray[np.float64]:
        return np.array([vector.dot(queries[place]) for vector in vectors], dtype=np.float64)
