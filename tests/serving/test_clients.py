"""Clients that others wrote, against the service on loopback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import cohere
import httpx
import pytest
from langchain_core.documents import Document

from evalkit.composition import compose_config
from evalkit.config import build_reranker
from evalkit.ports import Reranker
from tests.serving.conftest import DOCUMENTS, QUESTION
from tests.serving.running import Running, running

KEY = "a-key"
BEST = [1, 3]
"""The two documents that answer the question."""


@pytest.fixture(scope="module")
def served(int8: Reranker) -> Iterator[Running]:
    with running(int8, keys=(KEY,), model_names=["rerank-v3.5"]) as service:
        yield service


@pytest.fixture(scope="module")
def in_process(int8: Reranker) -> list[float]:
    """Logits of the same pairs, without a service."""
    logits: list[float] = int8.score([(QUESTION, document) for document in DOCUMENTS]).tolist()
    return logits


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """What the SDK sends with; left to itself it does not close its connections."""
    with httpx.Client() as client:
        yield client


def order(logits: list[float]) -> list[int]:
    return sorted(range(len(logits)), key=lambda place: -logits[place])


def test_cohere_v2(served: Running, in_process: list[float], http: httpx.Client) -> None:
    client = cohere.ClientV2(KEY, base_url=served.url, httpx_client=http)
    answer = client.rerank(model="rerank-v3.5", query=QUESTION, documents=DOCUMENTS, top_n=2)
    assert [result.index for result in answer.results] == order(in_process)[:2]
    assert {result.index for result in answer.results} == set(BEST)
    assert 1 > answer.results[0].relevance_score > answer.results[1].relevance_score > 0
    assert answer.id
    assert answer.meta is not None
    assert answer.meta.api_version is not None
    assert answer.meta.api_version.version == "2"


def test_cohere_v1_with_objects(served: Running, in_process: list[float], http: httpx.Client) -> None:
    client = cohere.Client(KEY, base_url=served.url, httpx_client=http)
    documents = [{"text": text, "number": str(number)} for number, text in enumerate(DOCUMENTS)]
    answer = client.rerank(query=QUESTION, documents=documents, return_documents=True)
    assert [result.index for result in answer.results] == order(in_process)
    assert [result.document and result.document.text for result in answer.results] == [
        DOCUMENTS[place] for place in order(in_process)
    ]


def test_cohere_v1_with_rank_fields(served: Running, in_process: list[float], http: httpx.Client) -> None:
    client = cohere.Client(KEY, base_url=served.url, httpx_client=http)
    documents = [{"body": text, "text": "nothing of interest"} for text in DOCUMENTS]
    answer = client.rerank(query=QUESTION, documents=documents, rank_fields=["body"], model="reranker_en")
    assert [result.index for result in answer.results] == order(in_process)


def test_cohere_hears_the_reason_of_a_refusal(served: Running, http: httpx.Client) -> None:
    stranger = cohere.ClientV2("another", base_url=served.url, httpx_client=http)
    with pytest.raises(cohere.UnauthorizedError) as unauthorised:
        stranger.rerank(model="rerank-v3.5", query="q", documents=["a"])
    assert unauthorised.value.body["type"] == "unauthorized"
    client = cohere.ClientV2(KEY, base_url=served.url, httpx_client=http)
    with pytest.raises(cohere.NotFoundError) as unknown:
        client.rerank(model="rerank-v9", query="q", documents=["a"])
    assert "reranker_en" in unknown.value.body["message"]


def test_langchain(served: Running, in_process: list[float]) -> None:
    from langchain_cohere import CohereRerank

    compressor = CohereRerank(cohere_api_key=KEY, base_url=served.url, model="rerank-v3.5", top_n=3)
    found = compressor.compress_documents([Document(text) for text in DOCUMENTS], QUESTION)
    compressor.client._client_wrapper.httpx_client.httpx_client.close()
    assert [document.page_content for document in found] == [DOCUMENTS[place] for place in order(in_process)[:3]]
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == sorted(scores, reverse=True)


def test_curl(served: Running, in_process: list[float]) -> None:
    """With the fields that Jina's clients send."""
    body = {"model": "reranker_en", "query": QUESTION, "documents": DOCUMENTS, "top_n": 3, "return_documents": True}
    command = ["curl", "-sS", "--fail-with-body", f"{served.url}/v1/rerank"]
    command += ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json", "-d", json.dumps(body)]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert [result["index"] for result in answer["results"]] == order(in_process)[:3]
    assert [result["document"]["text"] for result in answer["results"]] == [
        DOCUMENTS[place] for place in order(in_process)[:3]
    ]
    assert answer["usage"]["total_tokens"] > 40


def test_raw_scores_are_those_of_the_model_in_process(served: Running, in_process: list[float]) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"query": QUESTION, "documents": DOCUMENTS, "raw_scores": True}
    answer = served.http.post("/v1/rerank", json=body, headers=headers).json()
    assert {result["index"]: result["relevance_score"] for result in answer["results"]} == dict(enumerate(in_process))


def test_the_harness_gets_from_the_service_what_it_gets_in_process(
    served: Running, int8: Reranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_RERANKER_API_KEY", KEY)
    where = ["reranker=http", f"reranker.url={served.url}/v1", "reranker.model=reranker_en", "reranker.revision=v1"]
    pairs = [(question, document) for question in (QUESTION, "What is VAT?", QUESTION) for document in DOCUMENTS]
    assert build_reranker(compose_config(where)).score(pairs).tolist() == int8.score(pairs).tolist()
