"""An embedder behind an OpenAI-compatible ``/v1/embeddings``: the service that answers in production."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from evalkit.checks import boolean, text, unfit, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.ports import Vectors
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import httpx

API_KEY = "EVALKIT_EMBEDDER_API_KEY"
"""The environment variable that holds the server's key, where it asks for one."""

_SMALLEST_NORM = 1e-12


class HttpEmbedder:
    """Texts to vectors through a server; they are sent to it, so it must be one of your own.

    Args:
        url: The server's base, such as ``http://127.0.0.1:8080/v1``.
        model: What the server calls the model.
        revision: What identifies its weights: a server does not say, and remembered vectors are only as good as this.
        query_fields, document_fields: Sent along with queries or documents, such as ``{input_type: query}``.
        query_prompt, document_prompt: Put before every query or document.
        normalize: Scale vectors to length 1, so that the inner product is the cosine.
        batch: Texts per request.
        timeout_s: Seconds that one request may take.
        allow_remote: Also send texts to an address outside of this machine and its private networks.
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
        for name, value in (("url", url), ("model", model), ("revision", revision)):
            text(f"embedder.{name}", value)
        text("embedder.query_prompt", query_prompt)
        text("embedder.document_prompt", document_prompt)
        boolean("embedder.normalize", normalize)
        boolean("embedder.allow_remote", allow_remote)
        whole_number("embedder.batch", batch, 1)
        whole_number("embedder.timeout_s", timeout_s, 1)
        for name, fields in (("query_fields", query_fields), ("document_fields", document_fields)):
            if fields is not None and not isinstance(fields, Mapping):
                raise unfit(f"embedder.{name}", fields, "names and values, such as {input_type: query}, or null")
        _check_address(url, allow_remote)
        self._url = url.rstrip("/")
        self._model = model
        self._revision = revision
        self._query = (query_prompt, dict(query_fields or {}))
        self._document = (document_prompt, dict(document_fields or {}))
        self._normalize = normalize
        self._batch = batch
        self._timeout_s = timeout_s

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the vectors, as far as a client can know it; the address is none of it."""
        return {
            "backend": "http",
            "weights": f"{self._model} {self._revision}",
            "query": repr(self._query),
            "document": repr(self._document),
            "normalize": self._normalize,
        }

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector per document.

        Returns:
            Shape (n, dimension), in order.

        Raises:
            ModelError: The server cannot be reached, refuses, or does not return a vector for each text.
        """
        return self._embed(texts, *self._document)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector per query.

        Returns:
            Shape (n, dimension), in order.

        Raises:
            ModelError: The server cannot be reached, refuses, or does not return a vector for each text.
        """
        return self._embed(texts, *self._query)

    def windows(self, texts: Sequence[str], overlap: int) -> list[list[str]]:
        """Refused: only the server knows its tokens.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "long_documents.stage1 is windows, but an embedder behind a server does not say where its tokens end; use cut"
        )

    def _embed(self, texts: Sequence[str], prompt: str, fields: Mapping[str, Any]) -> Vectors:
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        chunks = [texts[begin : begin + self._batch] for begin in range(0, len(texts), self._batch)]
        rows = np.concatenate([self._request([prompt + one for one in chunk], fields) for chunk in chunks])
        if self._normalize:
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _SMALLEST_NORM)
        return rows.astype(np.float32, copy=False)

    def _request(self, texts: list[str], fields: Mapping[str, Any]) -> Vectors:
        import httpx

        try:
            answer = self._client.post("embeddings", json={**fields, "model": self._model, "input": texts})
        except httpx.HTTPError as error:
            raise ModelError(
                f"the embedder at {self._url} cannot be reached ({error}); start it, or correct embedder.url"
            ) from error
        if answer.status_code != httpx.codes.OK:
            hint = f"; set {API_KEY}" if answer.status_code in (401, 403) else ""
            raise ModelError(
                f"the embedder at {self._url} answered {answer.status_code} {answer.reason_phrase} to {len(texts)} "
                f"texts{hint}"
            )
        try:
            data = sorted(answer.json()["data"], key=lambda entry: entry["index"])
            rows = np.array([entry["embedding"] for entry in data], dtype=np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"the embedder at {self._url} answered without a list of embeddings; expected an OpenAI-compatible "
                "/v1/embeddings"
            ) from error
        if rows.ndim != 2 or len(rows) != len(texts):
            raise ModelError(
                f"the embedder at {self._url} returned vectors of shape {rows.shape} for {len(texts)} texts"
            )
        return rows

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        key = os.environ.get(API_KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Neither a proxy from the environment nor a redirect may take texts elsewhere.
        return httpx.Client(
            base_url=f"{self._url}/",
            headers=headers,
            timeout=self._timeout_s,
            trust_env=False,
            follow_redirects=False,
        )


def _check_address(url: str, allow_remote: bool) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError("embedder.url is no address; expected one such as http://127.0.0.1:8080/v1")
    if parts.username or parts.password:
        raise ConfigError(f"embedder.url holds a password; take it out and set {API_KEY}")
    if not (allow_remote or _private(host)):
        raise ConfigError(
            f"embedder.url leads to {host}, which is not known to be of this machine or a private network, and every "
            "text would be sent there; set embedder.allow_remote=true if that is meant"
        )


def _private(host: str) -> bool:
    """This machine, an address of a private network, or a name without a dot, as containers have."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal", ".localhost"))
    return address.is_private or address.is_loopback
