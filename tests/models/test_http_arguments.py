"""Models behind a server: what their fingerprints name, and which arguments cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError, ModelError
from tests.models.asking import VARIABLE, counting, embedder, reranker


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
        {"dialect": "voyage"},
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
        {"concurrency": 7},
        {"key_variable": "ANOTHER"},
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
        ({"model": " "}, "embedder.model is empty; expected what names the model for good"),
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
        ({"revision": ""}, "embedder.revision is empty; expected what names the model for good"),
        ({"query_prompt": None}, "embedder.query_prompt is null; expected text"),
        ({"document_prompt": 5}, "embedder.document_prompt is of type int; expected text"),
        ({"normalize": "no"}, "embedder.normalize is 'no'; expected true or false"),
        ({"batch": 0}, "embedder.batch is 0; expected a whole number of at least 1"),
        ({"concurrency": 0}, "embedder.concurrency is 0; expected a whole number of at least 1"),
        ({"offline": 1}, "offline is 1; expected true or false"),
        ({"dialect": "grpc"}, "embedder.dialect is 'grpc'; expected one of openai, tei, cohere, voyage"),
        (
            {"key_variable": "sk-the-key-itself"},
            "embedder.key_variable is no name of an environment variable; expected one like API_KEY",
        ),
        ({"dialect": ["openai"]}, "embedder.dialect is of type list; expected text"),
        (
            {"timeout_s": 10**12},
            "embedder.timeout_s is 1000000000000; expected a whole number of seconds, a day (86400) at most",
        ),
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
            f"key into the environment variable {VARIABLE}",
        ),
    ],
)
def test_an_argument_that_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        embedder(**changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "changes", [{"model": "n"}, {"revision": "r2"}, {"dialect": "jina"}, {"fields": {"raw_scores": True}}], ids=str
)
def test_what_changes_scores_changes_the_fingerprint(changes: dict[str, Any]) -> None:
    assert reranker(**changes).fingerprint != reranker().fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://localhost:9090"},
        {"batch": 7},
        {"concurrency": 7},
        {"timeout_s": 7},
        {"key_variable": "ANOTHER"},
        {"allow_remote": True},
        {"offline": True},
        {"fields": {}},
        {"price": {"amount": 1, "currency": "CHF", "per": "1000_requests"}},
    ],
    ids=lambda changes: str(*changes),
)
def test_what_leaves_scores_alone_leaves_the_fingerprint_alone(changes: dict[str, Any]) -> None:
    assert reranker(**changes).fingerprint == reranker().fingerprint


def test_windows_depend_on_tokenizer_and_length(minilm: Path, xlmr_tokenizer: Path) -> None:
    found = [
        counting(minilm).fingerprint,
        counting(minilm, max_length=64).fingerprint,
        counting(xlmr_tokenizer).fingerprint,
        reranker().fingerprint,
    ]
    assert len({str(one) for one in found}) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dialect": "grpc"}, "reranker.dialect is 'grpc'; expected one of rerank, cohere, jina, voyage, mixedbread, "),
        ({"dialect": ["rerank"]}, "reranker.dialect is of type list; expected text"),
        ({"dialect": {"a": "b"}}, "reranker.dialect is of type dict; expected text"),
        ({"dialect": None}, "reranker.dialect is null; expected text"),
        ({"model": ""}, "reranker.model is empty; expected what names the model for good"),
        ({"batch": 0}, "reranker.batch is 0; expected a whole number of at least 1"),
        ({"concurrency": True}, "reranker.concurrency is True; expected a whole number of at least 1"),
        ({"key_variable": None}, "reranker.key_variable is null; expected text"),
        ({"timeout_s": 0}, "reranker.timeout_s is 0; expected a whole number of at least 1"),
        ({"allow_remote": 1}, "reranker.allow_remote is 1; expected true or false"),
        ({"url": "http://8.8.8.8"}, "reranker.url leads to 8.8.8.8: neither this machine nor a private network, and "),
        ({"fields": {"top_n": 3}}, "reranker.fields sets top_n, which evalkit sets itself; take it out"),
        (
            {"fields": {"return_documents": True, "documents": []}},
            "reranker.fields sets documents, return_documents, which evalkit sets itself; take it out",
        ),
        ({"fields": {"token": "pa55word"}}, "reranker.fields holds what looks like a secret, and results would show "),
    ],
)
def test_an_argument_of_a_reranker_that_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        reranker(**changes)
    assert str(caught.value).startswith(message)
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": "/models"}, "reranker.tokenizer is '/models'; expected CarrierWeights, FolderWeights or Hub"),
        ({"max_length": None}, "reranker.max_length is None; expected a whole number of at least 32"),
    ],
)
def test_an_argument_of_a_reranker_that_counts_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        counting(tmp_path, **changes)
    assert str(caught.value).startswith(message)


def test_a_folder_without_a_tokenizer_is_told_at_first_use(tmp_path: Path) -> None:
    model = counting(tmp_path)
    with pytest.raises(ModelError, match=r"no tokenizer can be read from .*tokenizer\.json"):
        model.count_tokens([("a", "b")])


def test_a_length_that_the_model_does_not_read_is_refused(minilm: Path) -> None:
    """Its tokenizer_config.json says 512."""
    with pytest.raises(ConfigError, match=r"reranker\.max_length is 513, but the model reads 512 tokens"):
        counting(minilm, max_length=513).count_tokens([("a", "b")])
