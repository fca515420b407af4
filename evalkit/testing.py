"""Small models and stores with predictable behaviour, for tests of evalkit and of plug-ins."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.ports import Hit, Numbers, Pair, SparseStore, Vectors
from evalkit.sparse import SparseVector
from evalkit.types import Fingerprint


class WordEmbedder:
    """Bags of words, hashed: texts that share words have a positive inner product.

    Args:
        dimension: Length of the vectors.
        max_length: Words of a text that are read.

    Attributes:
        texts: How many texts were embedded so far.
    """

    def __init__(self, dimension: int = 256, max_length: int = 512) -> None:
        self._dimension = dimension
        self._max_length = max_length
        self.texts = 0

    @property
    def fingerprint(self) -> Fingerprint:
        return {
            "backend": "testing",
            "model": "words",
            "dimension": self._dimension,
            "max_length": self._max_length,
        }

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.texts += len(texts)
        return np.stack([self._vector(text) for text in texts])

    embed_queries = embed_documents

    def windows(self, texts: Sequence[str], overlap: int) -> list[list[str]]:
        return [_in_windows(text, self._max_length, overlap) for text in texts]

    def _vector(self, text: str) -> NDArray[np.float32]:
        vector = np.zeros(self._dimension, dtype=np.float32)
        for word in _words(text)[: self._max_length]:
            vector[_hashed(word) % self._dimension] += 1
        length = np.linalg.norm(vector)
        return (vector / length if length else vector).astype(np.float32)


class WordEncoder:
    """How often a text has each word, under numbers that are hashes: a search by words.

    Attributes:
        texts: How many texts were encoded so far.
    """

    label = "words"

    def __init__(self) -> None:
        self.texts = 0

    @property
    def fingerprint(self) -> Fingerprint:
        return {"backend": "testing", "model": "word counts"}

    def encode_documents(self, texts: Sequence[str]) -> list[SparseVector]:
        self.texts += len(texts)
        counts = [sorted(Counter(map(_hashed, _words(text))).items()) for text in texts]
        return [
            SparseVector(np.array([of for of, _ in found], np.int64), np.array([n for _, n in found], np.float32))
            for found in counts
        ]

    encode_queries = encode_documents


class FunctionReranker:
    """Scores pairs by a function of the two texts; the default is the share of the query's words found.

    Args:
        function: (query text, document text, as far as it is read) -> raw score.
        name: Part of the fingerprint; give another function another name.
        max_length: Words of a pair beyond which the document is cut.

    Attributes:
        pairs: How many pairs were scored so far.
    """

    def __init__(
        self, function: Callable[[str, str], float] | None = None, name: str = "overlap", max_length: int = 512
    ) -> None:
        self._function = function or _overlap
        self._name = name
        self._max_length = max_length
        self.pairs = 0

    @property
    def fingerprint(self) -> Fingerprint:
        return {"backend": "testing", "model": self._name, "max_length": self._max_length}

    @property
    def max_length(self) -> int:
        return self._max_length

    @property
    def device(self) -> str:
        return "cpu"

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        self.pairs += len(pairs)
        return np.array([self._function(query, self._cut(query, document)) for query, document in pairs], dtype=float)

    def count_tokens(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        return np.array([len(query.split()) + len(document.split()) for query, document in pairs], dtype=np.int64)

    def windows(self, pairs: Sequence[Pair], overlap: int) -> list[list[str]]:
        return [_in_windows(document, self._room(query), overlap) for query, document in pairs]

    def _cut(self, query: str, document: str) -> str:
        room = max(0, self._room(query))
        words = document.split()
        return document if len(words) <= room else " ".join(words[:room])

    def _room(self, query: str) -> int:
        return self._max_length - len(query.split())


class ArrayStore:
    """Vectors in a NumPy array, searched by brute force."""

    persistent = False
    description = "NumPy array in process"
    in_process = True

    def __init__(self) -> None:
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def open(self, collection: str) -> None:  # noqa: ARG002 - part of the port
        self._vectors = {}

    def missing(self, doc_ids: Sequence[str]) -> list[str]:
        return [doc_id for doc_id in doc_ids if doc_id not in self._vectors]

    def add(self, doc_ids: Sequence[str], vectors: Vectors) -> None:
        self._vectors.update(zip(doc_ids, vectors, strict=True))

    def search(self, vectors: Vectors, limit: int) -> list[list[Hit]]:
        ids = list(self._vectors)
        scores = vectors @ np.stack(list(self._vectors.values())).T
        return [[(ids[place], float(row[place])) for place in np.argsort(-row)[:limit]] for row in scores]

    def vectors(self, doc_ids: Sequence[str]) -> Vectors:
        return np.stack([self._vectors[doc_id] for doc_id in doc_ids])

    def sparse(self) -> SparseStore:
        return SparseListStore()

    def close(self) -> None:
        self._vectors = {}


class SparseListStore:
    """Sparse vectors in a list, searched by brute force."""

    persistent = False
    description = "list in process"
    in_process = True

    def __init__(self) -> None:
        self._vectors: dict[str, SparseVector] = {}

    def open(self, collection: str) -> None:  # noqa: ARG002 - part of the port
        self._vectors = {}

    def missing(self, doc_ids: Sequence[str]) -> list[str]:
        return [doc_id for doc_id in doc_ids if doc_id not in self._vectors]

    def add(self, doc_ids: Sequence[str], vectors: list[SparseVector]) -> None:
        self._vectors.update(zip(doc_ids, vectors, strict=True))

    def search(self, vectors: list[SparseVector], limit: int) -> list[list[Hit]]:
        return [self._nearest(vector, limit) for vector in vectors]

    def vectors(self, doc_ids: Sequence[str]) -> list[SparseVector]:
        return [self._vectors[doc_id] for doc_id in doc_ids]

    def close(self) -> None:
        self._vectors = {}

    def _nearest(self, query: SparseVector, limit: int) -> list[Hit]:
        hits = [
            (doc_id, vector.dot(query))
            for doc_id, vector in self._vectors.items()
            if np.isin(vector.indices, query.indices).any()
        ]
        return sorted(hits, key=lambda hit: -hit[1])[:limit]


class DictCache:
    """Remembers for as long as the object lives."""

    def __init__(self) -> None:
        self._values: dict[bytes, Numbers] = {}

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Numbers]:
        return {key: self._values[key] for key in keys if key in self._values}

    def put(self, values: Iterable[tuple[bytes, Numbers]]) -> None:
        for key, numbers in values:
            self._values.setdefault(key, numbers)

    def close(self) -> None:
        """Nothing to let go of."""


class DictNotes:
    """Remembers notes for as long as the object lives, in the form that a file would give back."""

    def __init__(self) -> None:
        self._notes: dict[bytes, str] = {}

    def get(self, key: bytes) -> Mapping[str, Any] | None:
        note: Mapping[str, Any] | None = json.loads(self._notes.get(key, "null"))
        return note

    def put(self, key: bytes, note: Mapping[str, Any]) -> None:
        self._notes[key] = json.dumps(note)


def _in_windows(text: str, room: int, overlap: int) -> list[str]:
    """Windows of ``room`` words; the text itself where it fits, or where nothing would."""
    words = text.split()
    if len(words) <= room or room < 1:
        return [text]
    shared = min(overlap, room // 2)
    return [" ".join(words[begin : begin + room]) for begin in range(0, len(words) - shared, room - shared)]


def _words(text: str) -> list[str]:
    return [word.strip(".,;:?!()").casefold() for word in text.split()]


def _hashed(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")


def _overlap(query: str, document: str) -> float:
    asked, found = set(_words(query)), set(_words(document))
    return len(asked & found) / len(asked) if asked else 0.0
