"""Many clients at once: merged passes, a full queue, lost patience, lost clients, poison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.models.flag import FlagReranker
from evalkit.ports import Pair, Reranker
from tests.serving.running import Held, Running, half_a_client, running, until

WORDS = ["records", "kept", "ten", "years", "invoice", "tax", "bread", "salt", "estate", "company", "court", "law"]
CLIENTS = 16


def asked(client: int) -> tuple[str, list[str]]:
    """A query and one to five documents of different lengths."""
    rng = np.random.default_rng(client)
    documents = [" ".join(rng.choice(WORDS, rng.integers(1, 60))) for _ in range(rng.integers(1, 6))]
    return f"how long are records kept, question {client}?", documents


def raw(answer: httpx.Response) -> list[float]:
    found = {result["index"]: result["relevance_score"] for result in answer.json()["results"]}
    return [found[place] for place in range(len(found))]


def at_once(service: Running, requests: Sequence[tuple[str, list[str]]]) -> list[list[float]]:
    def ask(request: tuple[str, list[str]]) -> list[float]:
        return raw(service.rerank(*request, raw_scores=True))

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(ask, requests))


def alone(reranker: Reranker, requests: Sequence[tuple[str, list[str]]]) -> list[list[float]]:
    return [reranker.score([(query, text) for text in documents]).tolist() for query, documents in requests]


def test_everybody_gets_the_scores_of_an_int8_model_to_the_bit(int8: Reranker) -> None:
    requests = [asked(client) for client in range(CLIENTS)]
    expected = alone(int8, requests)
    with running(int8, max_wait_ms=50) as service:
        assert at_once(service, requests) == expected
        assert service.metric("evalkit_batch_pairs_count") < CLIENTS


def test_everybody_gets_the_scores_of_a_float32_model(float32: FlagReranker) -> None:
    requests = [asked(client) for client in range(CLIENTS)]
    expected = alone(float32, requests)
    with running(float32, max_wait_ms=50) as service:
        found = at_once(service, requests)
        assert service.metric("evalkit_batch_pairs_count") < CLIENTS
    assert [np.argsort(scores).tolist() for scores in found] == [np.argsort(scores).tolist() for scores in expected]
    # Logits from -11 to 8: another padding moves them by rounding, as it does in process.
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), rtol=0, atol=2e-5)


def test_without_merging_a_float32_model_gives_what_it_gives_alone_to_the_bit(float32: FlagReranker) -> None:
    requests = [asked(client) for client in range(CLIENTS)]
    with running(float32, micro_batching=False) as service:
        assert at_once(service, requests) == alone(float32, requests)


def queued(service: Running, pool: ThreadPoolExecutor, held: Held, requests: Sequence[list[str]]) -> list[Any]:
    """The first request is being scored, the others wait in their order."""
    held.free.clear()
    sent = []
    for number, documents in enumerate(requests):
        sent.append(pool.submit(service.rerank, "a", documents, raw_scores=True))
        if number == 0:
            assert held.started.wait(10)
        until(lambda number=number: service.metric("evalkit_queue_requests") == number)
    return sent


def test_what_waits_is_scored_in_passes_of_limited_size_in_turn() -> None:
    held = Held()
    with running(held, max_batch_pairs=4) as service, ThreadPoolExecutor(8) as pool:
        sent = queued(service, pool, held, [["0"], ["1", "1"], ["2"], ["3", "3"], ["4"] * 9, ["5"]])
        held.free.set()
        assert [request.result().status_code for request in sent] == [200] * 6
    assert held.passes == [["0"], ["1", "1", "2"], ["3", "3"], ["4"] * 4, ["5"], ["4"] * 4, ["4"]]


def test_merging_can_be_switched_off() -> None:
    held = Held()
    with running(held, micro_batching=False) as service, ThreadPoolExecutor(8) as pool:
        sent = queued(service, pool, held, [["0"], ["1"], ["2"]])
        held.free.set()
        assert [request.result().status_code for request in sent] == [200] * 3
    assert held.passes == [["0"], ["1"], ["2"]]


def test_poison_fails_its_own_request_alone() -> None:
    held = Held()
    with running(held) as service, ThreadPoolExecutor(8) as pool:
        sent = queued(service, pool, held, [["0"], ["a"], ["poison", "a"], ["b a"]])
        held.free.set()
        answers = [request.result() for request in sent]
        assert service.rerank("a", ["a"]).status_code == 200
    assert [answer.status_code for answer in answers] == [200, 200, 500, 200]
    assert [raw(answers[place]) for place in (1, 3)] == [[1.0], [1.0]]
    assert answers[2].json()["type"] == "model_failed"
    assert "ValueError" in answers[2].json()["message"]
    # One pass of all, then each alone.
    assert held.passes[1:5] == [["a", "poison", "a", "b a"], ["a"], ["poison", "a"], ["b a"]]


def test_a_full_queue_is_said_at_once_and_with_a_time() -> None:
    held = Held()
    with running(held, max_documents=3, max_queue_pairs=4) as service, ThreadPoolExecutor(8) as pool:
        sent = queued(service, pool, held, [["0", "0"], ["1", "1"], ["2"]])
        refused = service.rerank("a", ["3", "3"])
        assert (refused.status_code, refused.json()["type"]) == (429, "queue_full")
        assert "3 pairs are waiting, and 2 more would exceed the queue of 4" in refused.json()["message"]
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        fits = pool.submit(service.rerank, "a", ["4"])
        until(lambda: service.metric("evalkit_queue_pairs") == 4)
        held.free.set()
        assert [request.result().status_code for request in (*sent, fits)] == [200] * 4
        assert service.rerank("a", ["3", "3"]).status_code == 200
    assert ["3", "3"] in held.passes


def test_the_time_to_come_again_follows_the_measured_speed() -> None:
    """A warm-up pair takes 0.1 s, so that 499 waiting pairs and one in work are 50 s."""

    class Slow(Held):
        def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
            if pairs[0][0] == "warm-up":
                sleep(0.1)
            return super().score(pairs)

    held = Slow()
    with running(held, max_documents=500, max_queue_pairs=500) as service, ThreadPoolExecutor(4) as pool:
        sent = queued(service, pool, held, [["0"], ["1"] * 499])
        refused = service.rerank("a", ["2"] * 2)
        assert 50 <= int(refused.headers["retry-after"]) <= 60
        held.free.set()
        assert [request.result().status_code for request in sent] == [200, 200]


def test_a_request_whose_time_is_over_leaves_the_queue() -> None:
    held = Held()
    with running(held, timeout_s=1) as service, ThreadPoolExecutor(8) as pool:
        sent = queued(service, pool, held, [["0"], ["1"]])
        answers = [request.result() for request in sent]
        assert service.metric("evalkit_queue_pairs") == 0
        held.free.set()
        assert service.rerank("a", ["2"]).status_code == 200
    assert [(answer.status_code, answer.json()["type"]) for answer in answers] == [(504, "timeout")] * 2
    assert held.passes == [["0"], ["2"]]


def test_a_client_that_hangs_up_leaves_the_queue() -> None:
    held = Held()
    with running(held) as service, ThreadPoolExecutor(8) as pool:
        sent = queued(service, pool, held, [["0"]])
        gone = half_a_client(service, json.dumps({"query": "a", "documents": ["gone"]}))
        until(lambda: service.metric("evalkit_queue_pairs") == 1)
        gone.close()
        until(lambda: service.metric("evalkit_queue_pairs") == 0)
        held.free.set()
        assert sent[0].result().status_code == 200
        assert service.rerank("a", ["2"]).status_code == 200
        assert service.metric('evalkit_requests_total{route="/v1/rerank",status="499"}') == 1
    assert held.passes == [["0"], ["2"]]


def test_a_client_that_hangs_up_within_its_request_is_no_fault() -> None:
    with running(Held()) as service:
        half_a_client(service, '{"query": "a', length=1000).close()
        until(lambda: service.metric('evalkit_requests_total{route="/v1/rerank",status="499"}') == 1)
        assert service.rerank("a", ["2"]).status_code == 200


def test_a_client_that_never_ends_its_request_is_told() -> None:
    with running(Held(), timeout_s=1) as service:
        slow = half_a_client(service, '{"query": "a', length=1000)
        slow.settimeout(10)
        assert b"408 Request Timeout" in slow.recv(1000)
        slow.close()


@pytest.mark.parametrize("merged", [True, False])
def test_a_stopped_service_finishes_what_waits_and_refuses_what_comes(merged: bool) -> None:
    held = Held()
    with running(held, micro_batching=merged) as service, ThreadPoolExecutor(8) as pool:
        sent = queued(service, pool, held, [["0"], ["1"], ["2"]])
        service.service.stop()
        until(lambda: service.http.get("/health").status_code == 503)
        late = service.rerank("a", ["late"])
        assert (late.status_code, late.json()["type"], late.headers["connection"]) == (503, "stopping", "close")
        held.free.set()
        assert [request.result().status_code for request in sent] == [200] * 3
    assert "late" not in {document for documents in held.passes for document in documents}


def test_an_idle_service_that_stops_still_answers_who_is_about_to_ask() -> None:
    with running(Held()) as service:
        assert service.rerank("a", ["a"]).status_code == 200
        service.service.stop()
        until(lambda: service.http.get("/health").status_code == 503)
        assert service.rerank("a", ["a"]).json()["type"] == "stopping"


def test_what_is_not_finished_in_time_is_refused() -> None:
    held = Held()
    with running(held, grace_s=0) as service, ThreadPoolExecutor(8) as pool:
        sent = queued(service, pool, held, [["0"], ["1"]])
        service.service.stop()
        answers = [request.result() for request in sent]
        held.free.set()
    assert [(answer.status_code, answer.json()["type"]) for answer in answers] == [(503, "stopping")] * 2
    assert held.passes == [["0"]]
