"""Several requests at once: never more than allowed, each answer where it belongs, and an end when one fails."""

from __future__ import annotations

import gc
import signal
import threading
import time
import warnings
from typing import Any

import pytest

from evalkit.errors import ModelError
from tests.models.asking import embedder, reranker
from tests.models.embeddings_server import EmbeddingsServer, vector
from tests.models.model_server import Answer
from tests.models.rerank_server import RerankServer, overlap

TEXTS = [f"text {'a' * n}" for n in range(12)]
PAIRS = [(f"a{n % 3} text", text) for n, text in enumerate(TEXTS)]


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_a_server_never_has_more_requests_than_allowed_and_does_have_as_many(concurrency: int) -> None:
    with RerankServer() as server:
        server.slow_s = 0.05
        scores = reranker(server.url, batch=1, concurrency=concurrency).score(PAIRS)
        assert server.most == concurrency
        assert len(server.connections) == concurrency
        assert scores.tolist() == [overlap(*pair) for pair in PAIRS]


def test_vectors_are_asked_for_in_the_same_way() -> None:
    with EmbeddingsServer() as server:
        server.slow_s = 0.05
        vectors = embedder(server.url, batch=1, concurrency=3).embed_documents(TEXTS)
        assert server.most == 3
        assert vectors.tolist() == [vector(text) for text in TEXTS]


def test_connections_are_kept_from_call_to_call() -> None:
    with RerankServer() as server:
        server.slow_s = 0.02
        model = reranker(server.url, batch=1, concurrency=4)
        for _ in range(3):
            model.score(PAIRS)
        assert len(server.connections) <= 4
        assert len(server.requests) == 36


def test_a_request_too_large_is_halved_whoever_finds_out_first() -> None:
    with RerankServer(largest_batch=2) as server:
        model = reranker(server.url, batch=8, concurrency=3)
        pairs = [("a text", text) for text in TEXTS * 2]
        assert model.score(pairs).tolist() == [overlap(*pair) for pair in pairs]
        assert {len(documents) for _, documents in server.asked} == {8, 4, 2}
        assert sum(len(documents) for _, documents in server.asked if len(documents) == 2) == len(pairs)


@pytest.mark.parametrize("waiting", ["for answers", "for another try"])
def test_one_failure_ends_the_others_at_once(waiting: str) -> None:
    """They would take 10 s, or pauses of half a minute."""
    with RerankServer() as server:
        server.slow_s = 0.1
        how: Any = "silent" if waiting == "for answers" else Answer(503, headers={"Retry-After": "30"})
        server.fail(how, times=3)
        server.fail(Answer(400), times=100, after=3)
        began = time.monotonic()
        with pytest.raises(ModelError, match="status 400"):
            reranker(server.url, batch=1, concurrency=4).score(PAIRS)
        assert time.monotonic() - began < 5
        # One more may have been sent before the failure was seen.
        assert len(server.requests) <= 5
        server.released.set()


def test_after_a_failure_everything_is_asked_again() -> None:
    with RerankServer() as server:
        model = reranker(server.url, batch=1, concurrency=4)
        server.fail(Answer(400), after=2)
        with pytest.raises(ModelError, match="status 400"):
            model.score(PAIRS)
        assert model.score(PAIRS).tolist() == [overlap(*pair) for pair in PAIRS]


def test_a_model_that_goes_away_closes_its_connections() -> None:
    with RerankServer() as server, warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        model = reranker(server.url, batch=1, concurrency=4)
        model.score(PAIRS)
        del model
        gc.collect()
        for _ in range(100):
            if all(connection.fileno() == -1 for connection in server.connections):
                break
            time.sleep(0.05)
        assert [connection.fileno() for connection in server.connections] == [-1] * len(server.connections)


def test_ctrl_c_does_not_wait_for_answers() -> None:
    """They would take 10 s."""
    with RerankServer() as server:
        server.fail("silent", times=100)
        threading.Timer(0.5, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            reranker(server.url, batch=1, concurrency=4).score(PAIRS)
        assert time.monotonic() - began < 5
        server.released.set()
