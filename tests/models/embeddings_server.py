"""Embedders on loopback, each with its documented protocol; fields that this does not name are refused.

``openai`` lists vectors in an order of its own, which their indices tell. A text's vector is (its characters, how many
of them are ``a``, 1).
"""

from __future__ import annotations

import ssl
from typing import Any, Literal, TypeAlias

from tests.models.model_server import Answer, ModelServer, Request

Protocol: TypeAlias = Literal["openai", "tei", "cohere", "voyage"]

_PATHS = {"openai": "/v1/embeddings", "tei": "/embed", "cohere": "/v2/embed", "voyage": "/v1/embeddings"}
_BASES = {"openai": "/v1", "tei": "", "cohere": "/v2", "voyage": "/v1"}
_TEXTS = {"openai": "input", "tei": "inputs", "cohere": "texts", "voyage": "input"}
_KNOWN = {
    "tei": {"inputs", "normalize", "truncate", "truncation_direction", "prompt_name", "dimensions"},
    "cohere": {"model", "texts", "input_type", "embedding_types", "output_dimension", "truncate"},
    "voyage": {"model", "input", "input_type", "truncation", "output_dimension", "output_dtype", "encoding_format"},
}
_INPUT_TYPES = {"cohere": ("search_query", "search_document"), "voyage": ("query", "document")}


def vector(text: str) -> list[float]:
    return [float(len(text)), float(text.count("a")), 1.0]


def embeddings(vectors: list[Any]) -> Answer:
    """OpenAI's answer with these vectors."""
    data = [{"object": "embedding", "index": index, "embedding": found} for index, found in enumerate(vectors)]
    return Answer(200, {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}})


class EmbeddingsServer(ModelServer):
    """An embedder's server.

    Args:
        api_key, host, tls: see :class:`ModelServer`.
        largest_batch: Texts above which a request is too large.
        protocol: What it speaks.
    """

    def __init__(
        self,
        api_key: str | None = None,
        largest_batch: int = 2048,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        protocol: Protocol = "openai",
    ) -> None:
        super().__init__(_BASES[protocol], api_key, host, tls)
        self.largest_batch = largest_batch
        self._protocol: Protocol = protocol

    @property
    def batches(self) -> list[list[str]]:
        return [request.body[_TEXTS[self._protocol]] for request in self.requests]

    def answer(self, request: Request) -> Answer:
        refused = self._refused(request)
        if refused is not None:
            return Answer(refused)
        texts = request.body[_TEXTS[self._protocol]]
        vectors = [vector(text) for text in texts]
        match self._protocol:
            case "tei":
                return Answer(200, vectors)
            case "cohere":
                meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 1}}
                return Answer(200, {"id": "1", "embeddings": {"float": vectors}, "texts": texts, "meta": meta})
        right = embeddings(vectors)
        return Answer(200, {**right.body, "data": right.body["data"][::-1]})

    def _refused(self, request: Request) -> int | None:
        protocol, body = self._protocol, request.body
        texts = body.get(_TEXTS[protocol])
        if request.path != _PATHS[protocol] or (protocol != "tei" and not isinstance(body.get("model"), str)):
            return 404
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            return 400
        typed = body.get("input_type") in _INPUT_TYPES.get(protocol, [body.get("input_type")])
        floats = protocol != "cohere" or body.get("embedding_types") == ["float"]
        if set(body) - _KNOWN.get(protocol, set(body)) or not typed or not floats:
            return 422
        return 413 if len(texts) > self.largest_batch else None
