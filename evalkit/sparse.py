"""Sparse vectors, and what makes them: the ports of lexical retrieval, beside those of ``evalkit.ports``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError
from evalkit.types import Fingerprint


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """The terms of one text and what each weighs; one without any term matches nothing.

    Attributes:
        indices: Distinct, ascending, each from 0 to 2**32 - 1, shape (n,).
        values: Their weights, finite, shape (n,).
    """

    indices: NDArray[np.int64]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        indices, values = self.indices, self.values
        fit = (
            indices.dtype == np.int64 and values.dtype == np.float32 and indices.shape == values.shape == (len(values),)
        )
        if not fit:
            raise ValueError(f"{indices.dtype} {indices.shape} indices with {values.dtype} {values.shape} values")
        if len(indices) and (indices[0] < 0 or indices[-1] >= 1 << 32 or (np.diff(indices) < 1).any()):
            raise ValueError("indices of a sparse vector must be distinct, ascending and of 32 bits")
        if not np.isfinite(values).all():
            raise ModelError("a weight is NaN or infinite; half precision can overflow: try dtype float32")

    def dot(self, other: SparseVector) -> float:
        """The inner product, in double precision: equal vectors have equal ones, to the bit."""
        places = np.searchsorted(self.indices, other.indices)
        places[places == len(self.indices)] = 0
        shared = np.flatnonzero(self.indices[places] == other.indices) if len(self.indices) else places[:0]
        return float((self.values[places[shared]].astype(np.float64) * other.values[shared].astype(np.float64)).sum())

    def packed(self) -> NDArray[np.float64]:
        """Indices, then values, in one array that :meth:`unpacked` reads to the bit.

        Terms that weigh 0 are left out: engines differ on whether sharing one of them is a match.
        """
        weighed = self.values != 0
        return np.concatenate([self.indices[weighed], self.values[weighed]]).astype(np.float64)

    @classmethod
    def unpacked(cls, numbers: NDArray[np.floating[Any]]) -> SparseVector:
        """The vector of which :meth:`packed` made these numbers, without the terms that weigh 0."""
        count = len(numbers) // 2
        return cls(numbers[:count].astype(np.int64), numbers[count:].astype(np.float32))


class SparseEncoder(Protocol):
    """Texts to sparse vectors that are compared by inner product."""

    @property
    def label(self) -> str:
        """What tables call a search by it, in a word or two, such as ``bm25``."""
        ...

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the vectors; reading it loads no model."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> list[SparseVector]:
        """One vector per text, in order."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> list[SparseVector]:
        """One vector per text, in order; queries may be weighted otherwise than documents."""
        ...


@runtime_checkable
class CorpusEncoder(Protocol):
    """A sparse encoder whose weights depend on the whole corpus, as those of BM25 do.

    Its vectors are cheap, and no cache remembers them: it would not know of which corpus they are.
    """

    @property
    def label(self) -> str:
        """As that of a :class:`SparseEncoder`."""
        ...

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything but the corpus that changes the vectors."""
        ...

    def fitted(self, texts: Sequence[str]) -> SparseEncoder:
        """The encoder for the corpus of these documents; this one stays as it is."""
        ...
