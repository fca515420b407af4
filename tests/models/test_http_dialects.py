"""Embedders behind a server, in each dialect: what is asked, and which answers are taken."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from evalkit.errors import ConfigError, ModelError
from tests.models.asking import KEY, VARIABLE, embedder
from tests.models.embeddings_server import EmbeddingsServer, Protocol, vector
from tests.models.model_server import Answer

pytestmark = pytest.mark.usefixtures("pauses")

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
FIELDS: dict[Protocol, tuple[dict[str, Any], dict[str, Any]]] = {
    "openai": ({}, {}),
    "tei": ({"normalize": False, "truncate": True}, {"normalize": False}),
    "cohere": ({"input_type": "search_query"}, {"input_type": "search_document"}),
    "voyage": ({"input_type": "query"}, {"input_type": "document"}),
}
TEXTS = ["banana", "fig", "papaya"]


def asking(server: EmbeddingsServer, protocol: Protocol, **changes: Any) -> Any:
    query_fields, document_fields = FIELDS[protocol]
    fields = {"query_fields": query_fields, "document_fields": document_fields}
    return embedder(server.url, dialect=protocol, **{**fields, **changes})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_vectors_come_in_the_order_of_the_texts(protocol: Protocol) -> None:
    with EmbeddingsServer(protocol=protocol) as server:
        model = asking(server, protocol)
        assert model.embed_documents(TEXTS).tolist() == [vector(text) for text in TEXTS]
        assert model.embed_queries(TEXTS[:1]).tolist() == [vector(TEXTS[0])]
        assert server.batches == [TEXTS[:2], TEXTS[2:], TEXTS[:1]]


@pytest.mark.parametrize(
    ("protocol", "query", "document"),
    [
        ("openai", {"model": "m", "input": ["fig"]}, {"model": "m", "input": ["fig"]}),
        (
            "tei",
            {"inputs": ["fig"], "normalize": False, "truncate": True},
            {"inputs": ["fig"], "normalize": False},
        ),
        (
            "cohere",
            {"model": "m", "texts": ["fig"], "input_type": "search_query", "embedding_types": ["float"]},
            {"model": "m", "texts": ["fig"], "input_type": "search_document", "embedding_types": ["float"]},
        ),
        (
            "voyage",
            {"model": "m", "input": ["fig"], "input_type": "query"},
            {"model": "m", "input": ["fig"], "input_type": "document"},
        ),
    ],
)
def test_the_request_is_the_protocols(protocol: Protocol, query: dict[str, Any], document: dict[str, Any]) -> None:
    with EmbeddingsServer(protocol=protocol) as server:
        model = asking(server, protocol)
        model.embed_queries(["fig"])
        model.embed_documents(["fig"])
        assert [request.body for request in server.requests] == [query, document]


BODIES: dict[Protocol, Any] = {
    "openai": lambda vectors: {"data": [{"index": n, "embedding": one} for n, one in enumerate(vectors)]},
    "tei": lambda vectors: vectors,
    "cohere": lambda vectors: {"embeddings": {"float": vectors}},
    "voyage": lambda vectors: {"data": [{"index": n, "embedding": one} for n, one in enumerate(vectors)]},
}
NAMED = {
    "openai": "OpenAI's /v1/embeddings",
    "tei": "text-embeddings-inference's /embed",
    "cohere": "Cohere's /v2/embed",
    "voyage": "Voyage's /v1/embeddings",
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("vectors", "what"),
    [
        ([[1.0, 2.0]], "1 vectors for 2 texts"),
        ([[1.0, 2.0]] * 3, "3 vectors for 2 texts"),
        ([[1.0, 2.0], [1.0]], "vectors that are not lists of numbers, all of one length"),
        ([[1.0, 2.0], ["1", "2"]], "vectors that are not lists of numbers, all of one length"),
        ([[1.0, 2.0], [1.0, None]], "numbers that are not finite"),
        ([[1.0, 2.0], [1.0, float("nan")]], "numbers that are not finite"),
        ([1.0, 2.0], "vectors that are not lists of numbers, all of one length"),
    ],
)
def test_an_answer_that_cannot_be_right_is_refused(protocol: Protocol, vectors: Any, what: str) -> None:
    with EmbeddingsServer(protocol=protocol) as server:
        server.fail(Answer(200, BODIES[protocol](vectors)))
        with pytest.raises(ModelError) as caught:
            asking(server, protocol).embed_queries(TEXTS[:2])
    assert str(caught.value).startswith(f"the embedder at {server.url} returned {what}")
    assert str(caught.value).endswith(f"; expected what {NAMED[protocol]} returns")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("body", [{}, {"embeddings": "x"}, {"data": 5}, "x", None, {"embeddings": {"float": {}}}])
def test_an_answer_of_another_form_is_told_with_the_settings_to_look_at(protocol: Protocol, body: Any) -> None:
    with EmbeddingsServer(protocol=protocol) as server:
        server.fail(Answer(200, b"null" if body is None else body))
        with pytest.raises(ModelError, match=r"no list of embeddings.*; check embedder\.url and embedder\.dialect"):
            asking(server, protocol).embed_queries(TEXTS[:2])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_key_and_a_second_try_are_the_same_for_all(protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    with EmbeddingsServer(api_key=KEY, protocol=protocol, largest_batch=1) as server:
        server.fail(Answer(500))
        assert asking(server, protocol).embed_documents(TEXTS).tolist() == [vector(text) for text in TEXTS]
        assert [len(batch) for batch in server.batches] == [2, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("protocol", "taken"),
    [
        ("openai", ["encoding_format", "input", "model"]),
        ("tei", ["inputs"]),
        ("cohere", ["embedding_types", "model", "texts"]),
        ("voyage", ["encoding_format", "input", "model", "output_dtype"]),
    ],
)
def test_fields_that_evalkit_sets_itself_are_refused(protocol: Protocol, taken: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        embedder(dialect=protocol, query_fields=dict.fromkeys(taken, "x"))
    assert str(caught.value) == (
        f"embedder.query_fields sets {', '.join(taken)}, which evalkit sets itself; take it out"
    )
