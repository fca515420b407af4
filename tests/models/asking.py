"""What the tests of models behind a server share: how these are asked, and what a refusal shows."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import EvalkitError, ModelError
from evalkit.models.remote.embedder import HttpEmbedder
from evalkit.models.remote.endpoint import Endpoint
from evalkit.models.remote.reranker import CountingHttpReranker, HttpReranker
from evalkit.models.weights import FolderWeights
from tests.models.embeddings_server import EmbeddingsServer

VARIABLE = "TEST_EMBEDDER_KEY"
KEY = "k3y-of-the-server"
TEXT = "a text that nobody else may read"
QUESTION = {"model": "m", "input": [TEXT]}


def endpoint(url: str, timeout_s: int = 20, allow_remote: bool = False, offline: bool = False) -> Endpoint:
    return Endpoint("embedder", url, VARIABLE, timeout_s, allow_remote, offline)


def ask(asked: Endpoint | EmbeddingsServer) -> bytes | None:
    return (asked if isinstance(asked, Endpoint) else endpoint(asked.url)).post("/embeddings", QUESTION, 1)


def refusal_of(asked: Endpoint | EmbeddingsServer, kind: type[EvalkitError] = ModelError) -> str:
    """The message, after a look at everything that a log could show of the error."""
    with pytest.raises(kind) as caught:
        ask(asked)
    assert TEXT not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def service(url: str) -> dict[str, Any]:
    """The settings that every model behind a server has."""
    return {
        "url": url,
        "model": "m",
        "revision": "r1",
        "batch": 2,
        "concurrency": 1,
        "key_variable": VARIABLE,
        "timeout_s": 20,
        "allow_remote": False,
        "offline": False,
    }


def embedder(url: str = "http://127.0.0.1:8080/v1", **changes: Any) -> HttpEmbedder:
    options: dict[str, Any] = {"dialect": "openai", "query_fields": None, "document_fields": None}
    options |= {"query_prompt": "", "document_prompt": "", "normalize": False}
    return HttpEmbedder(**{**service(url), **options, **changes})


def reranker(url: str = "http://127.0.0.1:8080/v1", **changes: Any) -> HttpReranker:
    options: dict[str, Any] = {"dialect": "rerank", "fields": None, "price": None}
    return HttpReranker(**{**service(url), **options, **changes})


def counting(folder: Path, **changes: Any) -> CountingHttpReranker:
    """With the tokenizer of a folder."""
    options: dict[str, Any] = {"dialect": "rerank", "fields": None, "price": None, "max_length": 128}
    options |= {"tokenizer": FolderWeights(folder)}
    return CountingHttpReranker(**{**service("http://127.0.0.1:8080/v1"), **options, **changes})
