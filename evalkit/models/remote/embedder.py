"""An embedder behind a server: the one that answers in production."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import boolean, text, unfit
from evalkit.errors import ConfigError, ModelError
from evalkit.models.prompts import Prompts
from evalkit.models.remote.dialects import EMBED
from evalkit.models.remote.model import Choices, RemoteModel
from evalkit.ports import Vectors
from evalkit.types import Fingerprint

_NO_NUMBERS = "vectors that are not lists of numbers, all of one length"
_LARGEST = float(np.finfo(np.float32).max)


class HttpEmbedder:
    """Texts to vectors through a server; they are sent to it, so it should be one of your own.

    Args:
        dialect: What it speaks: ``openai``, ``tei``, ``cohere`` or ``voyage``.
        query_fields: Sent along with queries, such as ``{input_type: query}``.
        document_fields: Sent along with documents.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        normalize: Scale vectors to length 1, so that the inner product is the cosine.
        service: The settings that every model behind a server has.

    Raises:
        ConfigError: The URL is no address, carries credentials or leads elsewhere; or an argument is of the wrong kind.
    """

    def __init__(
        self,
        dialect: str,
        query_fields: Mapping[str, Any] | None,
        document_fields: Mapping[str, Any] | None,
        query_prompt: str,
        document_prompt: str,
        normalize: bool,
        **service: Unpack[Choices],
    ) -> None:
        text("embedder.dialect", dialect)
        if dialect not in EMBED:
            raise unfit("embedder.dialect", dialect, f"one of {', '.join(EMBED)}")
        boolean("embedder.normalize", normalize)
        self._remote = RemoteModel("embedder", **service)
        self._name = dialect
        self._dialect = EMBED[dialect]
        self._query_fields = self._remote.fields("query_fields", query_fields, self._dialect.taken)
        self._document_fields = self._remote.fields("document_fields", document_fields, self._dialect.taken)
        self._prompts = Prompts("embedder", query_prompt, document_prompt)
        self._normalize = normalize
        self._dimension: int | None = None
        self._lock = Lock()

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the vectors, as far as a client can know it; the address is none of it."""
        return {
            "backend": "http",
            "dialect": self._name,
            "weights": self._remote.weights,
            "query_fields": json.dumps(self._query_fields, sort_keys=True),
            "document_fields": json.dumps(self._document_fields, sort_keys=True),
            **self._prompts.fingerprint,
            "normalize": self._normalize,
        }

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector per document.

        Returns:
            Shape (n, dimension), in order.

        Raises:
            ConfigError: The server stands where texts must not go; nothing was sent.
            ModelError: The server cannot be reached, refuses, or does not return a usable vector for each text.
        """
        return self._embed(self._prompts.documents(texts), self._document_fields)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector per query.

        Returns:
            Shape (n, dimension), in order.

        Raises:
            ConfigError: The server stands where texts must not go; nothing was sent.
            ModelError: The server cannot be reached, refuses, or does not return a usable vector for each text.
        """
        return self._embed(self._prompts.queries(texts), self._query_fields)

    def windows(self, texts: Sequence[str], overlap: int) -> list[list[str]]:  # noqa: ARG002 - part of the port
        """Refused: only the server knows its tokens.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "long_documents.stage1 is windows, but an embedder behind a server does not say where its tokens end; "
            "set long_documents.stage1=cut"
        )

    def _embed(self, texts: Sequence[str], fields: Mapping[str, Any]) -> Vectors:
        rows = self._remote.rows([(fields, texts)], self._ask)
        return np.empty((0, self._dimension or 0), dtype=np.float32) if rows is None else rows

    def _ask(self, fields: Mapping[str, Any], texts: Sequence[str]) -> Vectors | None:
        request = {**fields, **self._dialect.ask(self._remote.model, texts)}
        answer = self._remote.endpoint.post(self._dialect.path, request, len(texts))
        return None if answer is None else self._vectors(answer, texts)

    def _vectors(self, answer: bytes, texts: Sequence[str]) -> Vectors:
        try:
            data = self._dialect.read(json.loads(answer))
        except (ValueError, LookupError, TypeError, RecursionError):
            listed = "embeddings with their indices" if self._dialect.numbered else "embeddings"
            raise self._unusable(f"no list of {listed}; check embedder.url and embedder.dialect") from None
        if len(data) != len(texts):
            raise self._unusable(f"{len(data)} vectors for {len(texts)} texts")
        # A vector that goes with the wrong text would spoil the evaluation without a sign.
        by_index = {index: vector for index, vector in data if type(index) is int}
        if set(by_index) != set(range(len(texts))):
            raise self._unusable(f"vectors that are not numbered 0 to {len(texts) - 1}, each once")
        try:
            # NumPy would make numbers of texts and booleans; null is what some servers write for what is not finite.
            if any({type(number) for number in vector} - {int, float, type(None)} for vector in by_index.values()):
                raise self._unusable(_NO_NUMBERS)
            rows = np.array([by_index[index] for index in range(len(texts))], dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            raise self._unusable(_NO_NUMBERS) from None
        return self._fit(rows, texts)

    def _fit(self, rows: NDArray[np.float64], texts: Sequence[str]) -> Vectors:
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise self._unusable(_NO_NUMBERS)
        with self._lock:
            known = self._dimension = self._dimension or rows.shape[1]
        if rows.shape[1] != known:
            raise self._unusable(f"vectors of dimension {rows.shape[1]}, and {known} before: the model changed")
        # Also false for what is not a number.
        if not (np.abs(rows) <= _LARGEST).all():
            raise self._unusable("numbers that are not finite; half precision can overflow: serve it in float32")
        if self._normalize:
            norms = np.linalg.norm(rows, axis=1, keepdims=True)
            if not norms.all():
                length = len(texts[int(np.argmin(norms))])
                raise self._unusable(f"zeros for a text of {length} characters, which have no direction")
            rows = rows / norms
        return rows.astype(np.float32)

    def _unusable(self, found: str) -> ModelError:
        return self._remote.unusable(found, self._dialect.named)
