"""An embedder behind an OpenAI-compatible ``/v1/embeddings``: the service that answers in production."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import boolean, text, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.endpoint import Endpoint
from evalkit.models.prompts import Prompts
from evalkit.ports import Vectors
from evalkit.provenance import without_credentials
from evalkit.types import Fingerprint

_LOG = logging.getLogger("evalkit.models")

API_KEY = "EVALKIT_EMBEDDER_API_KEY"
"""The environment variable that holds the server's key, where it asks for one."""

_PATH = "/embeddings"
_OWN_FIELDS = ("model", "input", "encoding_format")
_NO_NUMBERS = "vectors that are not lists of numbers, all of one length"
_LARGEST = float(np.finfo(np.float32).max)


class HttpEmbedder:
    """Texts to vectors through a server; they are sent to it, so it must be one of your own.

    Args:
        url: The server's base, such as ``http://127.0.0.1:8080/v1``; without credentials.
        model: What the server calls the model.
        revision: What identifies its weights: a server does not say, and remembered vectors are only as good as this.
        query_fields: Sent along with queries, such as ``{input_type: query}``.
        document_fields: Sent along with documents.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        normalize: Scale vectors to length 1, so that the inner product is the cosine.
        batch: Texts per request; halved where the server finds that too large.
        timeout_s: Longest wait for an answer, in seconds.
        allow_remote: Also send texts to an address outside of this machine and its private networks.

    Raises:
        ConfigError: The URL is no address, carries credentials or leads elsewhere; or an argument is of the wrong kind.
    """

    def __init__(
        self,
        url: str,
        model: str,
        revision: str,
        query_fields: Mapping[str, Any] | None,
        document_fields: Mapping[str, Any] | None,
        query_prompt: str,
        document_prompt: str,
        normalize: bool,
        batch: int,
        timeout_s: int,
        allow_remote: bool,
    ) -> None:
        for name, value in (("model", model), ("revision", revision)):
            if isinstance(value, int | float) and not isinstance(value, bool):
                raise ConfigError(
                    f"embedder.{name} is of type {type(value).__name__}; expected text. What looks like a number is "
                    f"quoted twice for the shell: embedder.{name}='\"7431069\"'"
                )
            text(f"embedder.{name}", value)
            if not value.strip():
                raise ConfigError(f"embedder.{name} is empty; expected what names the vectors' model for good")
        boolean("embedder.normalize", normalize)
        whole_number("embedder.batch", batch, 1)
        self._endpoint = Endpoint(url, API_KEY, timeout_s, allow_remote)
        self._model = model
        self._revision = revision
        self._query_fields = _checked("query_fields", query_fields)
        self._document_fields = _checked("document_fields", document_fields)
        self._prompts = Prompts("embedder", query_prompt, document_prompt)
        self._normalize = normalize
        self._batch = batch
        self._dimension: int | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the vectors, as far as a client can know it; the address is none of it."""
        return {
            "backend": "http",
            "weights": f"{self._model}@{self._revision}",
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
        rows: list[Vectors] = []
        begin = 0
        while begin < len(texts):
            batch = texts[begin : begin + self._batch]
            answer = self._endpoint.post(_PATH, {**fields, "model": self._model, "input": batch})
            if answer is None:
                self._halve(batch)
            else:
                rows.append(self._vectors(answer, batch))
                begin += len(batch)
        return np.concatenate(rows) if rows else np.empty((0, self._dimension or 0), dtype=np.float32)

    def _halve(self, batch: Sequence[str]) -> None:
        if len(batch) == 1:
            raise ModelError(
                f"{self._endpoint} finds a single text of {len(batch[0])} characters too large (status 413); let it "
                "cut texts (text-embeddings-inference: --auto-truncate), or raise its limit"
            )
        self._batch = len(batch) // 2
        _LOG.warning(
            "%s finds %d texts too many (status 413): going on with embedder.batch=%d",
            self._endpoint,
            len(batch),
            self._batch,
        )

    def _vectors(self, answer: bytes, texts: Sequence[str]) -> Vectors:
        try:
            data = [(entry["index"], entry["embedding"]) for entry in json.loads(answer)["data"]]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise self._unusable("no list of embeddings with their indices; check embedder.url") from None
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
        if rows.shape[1] != (self._dimension or rows.shape[1]):
            raise self._unusable(
                f"vectors of dimension {rows.shape[1]}, and {self._dimension} before: the model changed"
            )
        self._dimension = rows.shape[1]
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
        return ModelError(f"{self._endpoint} returned {found}; expected what OpenAI's /v1/embeddings returns")


def _checked(name: str, fields: object) -> dict[str, Any]:
    """The fields; no message quotes them, because a secret may be among them."""
    found = {} if fields is None else fields
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise ConfigError(f"embedder.{name} is no mapping; expected one such as {{input_type: query}}, or null")
    if taken := sorted(set(found) & set(_OWN_FIELDS)):
        raise ConfigError(f"embedder.{name} sets {', '.join(taken)}, which evalkit sets itself; take it out")
    if without_credentials(found) != found:
        raise ConfigError(
            f"embedder.{name} holds what looks like a secret, and results would show it; take it out and put the key "
            f"into the environment variable {API_KEY}"
        )
    try:
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError):
        raise ConfigError(
            f"embedder.{name} holds a value that JSON has no form for; expected text and numbers"
        ) from None
    return dict(found)
