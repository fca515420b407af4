"""What the tests of an embedder's server share: how it is asked, and what a refusal shows."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from evalkit.errors import EvalkitError, ModelError
from evalkit.models.endpoint import Endpoint
from evalkit.models.http import HttpEmbedder
from tests.models.embeddings_server import EmbeddingsServer

VARIABLE = "TEST_EMBEDDER_KEY"
KEY = "k3y-of-the-server"
TEXT = "a text that nobody else may read"
QUESTION = {"model": "m", "input": [TEXT]}


def endpoint(url: str, timeout_s: int = 20, allow_remote: bool = False) -> Endpoint:
    return Endpoint(url, VARIABLE, timeout_s, allow_remote)


def ask(asked: Endpoint | EmbeddingsServer) -> bytes | None:
    return (asked if isinstance(asked, Endpoint) else endpoint(asked.url)).post("/embeddings", QUESTION)


def refusal_of(asked: Endpoint | EmbeddingsServer, kind: type[EvalkitError] = ModelError) -> str:
    """The message, after a look at everything that a log could show of the error."""
    with pytest.raises(kind) as caught:
        ask(asked)
    assert TEXT not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def embedder(url: str = "http://127.0.0.1:8080/v1", **changes: Any) -> HttpEmbedder:
    options: dict[str, Any] = {"model": "m", "revision": "r1", "query_fields": None, "document_fields": None}
    options |= {"query_prompt": "", "document_prompt": "", "normalize": False, "batch": 2, "timeout_s": 20}
    return HttpEmbedder(url, **{**options, "allow_remote": False, **changes})
