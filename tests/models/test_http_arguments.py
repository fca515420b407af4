"""An embedder behind /v1/embeddings: what its fingerprint names, and which arguments cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.models.http import API_KEY
from tests.models.asking import embedder


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "n"},
        {"revision": "r2"},
        {"query_fields": {"input_type": "query"}},
        {"document_fields": {"input_type": "query"}},
        {"query_prompt": "query: "},
        {"document_prompt": "query: "},
        {"normalize": True},
    ],
    ids=lambda changes: str(*changes),
)
def test_what_changes_vectors_changes_the_fingerprint(changes: dict[str, Any]) -> None:
    assert embedder(**changes).fingerprint != embedder().fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://localhost:9090"},
        {"batch": 7},
        {"timeout_s": 7},
        {"allow_remote": True},
        {"query_fields": {}},
    ],
    ids=lambda changes: str(*changes),
)
def test_what_leaves_vectors_alone_leaves_the_fingerprint_alone(changes: dict[str, Any]) -> None:
    assert embedder(**changes).fingerprint == embedder().fingerprint


def test_the_order_of_fields_does_not_matter() -> None:
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert embedder(query_fields=one).fingerprint == embedder(query_fields=other).fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "embedder.model is null; expected text"),
        ({"model": " "}, "embedder.model is empty; expected what names the vectors' model for good"),
        ({"model": True}, "embedder.model is of type bool; expected text"),
        (
            {"revision": 7431069},
            "embedder.revision is of type int; expected text. What looks like a number is quoted twice for the shell: "
            "embedder.revision='\"7431069\"'",
        ),
        (
            {"model": 1.5},
            "embedder.model is of type float; expected text. What looks like a number is quoted twice for the shell: "
            "embedder.model='\"7431069\"'",
        ),
        ({"revision": ""}, "embedder.revision is empty; expected what names the vectors' model for good"),
        ({"query_prompt": None}, "embedder.query_prompt is null; expected text"),
        ({"document_prompt": 5}, "embedder.document_prompt is of type int; expected text"),
        ({"normalize": "no"}, "embedder.normalize is 'no'; expected true or false"),
        ({"batch": 0}, "embedder.batch is 0; expected a whole number of at least 1"),
        ({"timeout_s": 0.5}, "embedder.timeout_s is 0.5; expected a whole number of at least 1"),
        ({"allow_remote": "no"}, "embedder.allow_remote is 'no'; expected true or false"),
        (
            {"query_fields": ["input_type"]},
            "embedder.query_fields is no mapping; expected one such as {input_type: query}, or null",
        ),
        (
            {"document_fields": {1: "x"}},
            "embedder.document_fields is no mapping; expected one such as {input_type: query}, or null",
        ),
        (
            {"document_fields": {"model": "x", "encoding_format": "base64"}},
            "embedder.document_fields sets encoding_format, model, which evalkit sets itself; take it out",
        ),
        (
            {"query_fields": {"scale": float("nan")}},
            "embedder.query_fields holds a value that JSON has no form for; expected text and numbers",
        ),
        (
            {"query_fields": {"user": {"api_key": "pa55word"}}},
            "embedder.query_fields holds what looks like a secret, and results would show it; take it out and put the "
            f"key into the environment variable {API_KEY}",
        ),
    ],
)
def test_an_argument_that_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        embedder(**changes)
    assert str(caught.value) == message
