"""Routes, keys, limits, health and numbers, over a real socket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.errors import ConfigError
from evalkit.ports import Pair
from evalkit.serving.bodies import BIG
from evalkit.serving.service import Service
from evalkit.testing import FunctionReranker
from tests.serving.running import Held, Running, half_a_client, running, settings, until

FINGERPRINT = {"backend": "testing", "model": "overlap", "max_length": 512}


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running(FunctionReranker(), max_documents=3, max_text_chars=2**20, max_body_mb=1) as service:
        yield service


@pytest.mark.parametrize(("path", "version"), [("/rerank", "2"), ("/v1/rerank", "1"), ("/v2/rerank", "2")])
def test_three_paths_give_one_answer(served: Running, path: str, version: str) -> None:
    body = {"query": "a b", "documents": ["x", "a", "b a"], "raw_scores": True}
    answer = served.http.post(path, json=body).json()
    assert [(result["index"], result["relevance_score"]) for result in answer["results"]] == [(2, 1), (1, 0.5), (0, 0)]
    assert answer["model"] == "overlap"
    assert answer["meta"]["api_version"] == {"version": version}
    assert answer["usage"]["total_tokens"] == 3 + 3 + 4


def test_scores_are_the_sigmoid_of_the_logits(served: Running) -> None:
    (first, second) = served.rerank("a b", ["b a", "x"]).json()["results"]
    assert first["relevance_score"] == pytest.approx(0.7310585786300049, abs=1e-16)
    assert second["relevance_score"] == 0.5


def test_health_names_the_model(served: Running) -> None:
    answer = served.http.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "model": "overlap",
        "fingerprint": FINGERPRINT,
        "max_length": 512,
        "device": "cpu",
        "version": answer.json()["version"],
    }


def test_the_interface_is_described(served: Running) -> None:
    paths = served.http.get("/openapi.json").json()["paths"]
    schema = paths["/v1/rerank"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"query", "documents", "top_n", "raw_scores"} <= set(schema["properties"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/v1/rerank/", 404), ("GET", "/v1/rerank", 405), ("POST", "/health", 405)],
)
def test_what_is_no_route_is_answered_with_the_routes(served: Running, method: str, path: str, status: int) -> None:
    answer = served.http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["type"] == "no_such_route"
    assert ("allow" in answer.headers) == (status == 405)
    assert "location" not in answer.headers
    assert "/v1/rerank" in answer.json()["message"]


def test_a_refusal_has_one_shape(served: Running) -> None:
    for answer, status in [
        (served.http.post("/v1/rerank", content=b"{"), 400),
        (served.rerank("q", ["a"], model="other"), 404),
        (served.rerank("q", ["a", "b", "c", "d"]), 413),
        (served.rerank("q", []), 422),
    ]:
        assert answer.status_code == status
        assert set(answer.json()) == {"id", "type", "message"}


def test_a_body_that_is_too_large_is_refused_and_the_connection_lives_on(served: Running) -> None:
    answer = served.http.post("/v1/rerank", content=b"x" * (3 * 2**20))
    assert answer.status_code == 413
    assert answer.json()["message"].startswith("a body of 3145728 bytes; expected 1048576 at most")
    assert served.rerank("a", ["a"]).status_code == 200


def test_requests_are_counted_by_route_and_status(served: Running) -> None:
    def counted(labels: str) -> float:
        return served.metric(f"evalkit_requests_total{{{labels}}}")

    before = counted('route="/v2/rerank",status="200"'), counted('route="other",status="404"')
    served.http.post("/v2/rerank", json={"query": "q", "documents": ["a"]})
    served.http.get("/words-of-a-client")
    after = counted('route="/v2/rerank",status="200"'), counted('route="other",status="404"')
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


def test_pairs_passes_and_memory_are_measured(served: Running) -> None:
    pairs, passes = served.metric("evalkit_pairs_total"), served.metric("evalkit_batch_pairs_count")
    served.rerank("q", ["a", "b", "c"])
    assert served.metric("evalkit_pairs_total") - pairs == 3
    assert served.metric("evalkit_batch_pairs_count") - passes == 1
    assert served.metric("evalkit_model_seconds_count") == served.metric("evalkit_batch_pairs_count")
    assert served.metric('evalkit_request_seconds_count{route="/v1/rerank"}') >= 1
    assert served.metric("process_resident_memory_bytes") > 10 * 2**20
    assert served.metric("evalkit_device_memory_bytes") == 0
    assert served.metric("evalkit_queue_pairs") == 0


def test_a_service_that_nobody_asked_has_scored_nothing() -> None:
    with running(FunctionReranker()) as service:
        assert (service.metric("evalkit_pairs_total"), service.metric("evalkit_model_seconds_count")) == (0, 0)


def test_a_large_request_is_answered_as_a_small_one(served: Running) -> None:
    documents = ["b " * 250_000, "a " * 100_000]
    answer = served.rerank("a", documents, return_documents=True, raw_scores=True)
    assert len(answer.request.content) > BIG
    assert [(found["relevance_score"], found["document"]["text"]) for found in answer.json()["results"]] == [
        (1, documents[1]),
        (0, documents[0]),
    ]


def test_bodies_that_are_read_at_once_are_limited_together() -> None:
    """Eight of the largest: seven that are never completed leave room for one more, eight do not."""
    part = "x" * (2**20 - 1000)
    body = {"query": "a", "documents": ["b" * (2**20 - 2000)]}
    with running(FunctionReranker(), max_body_mb=1, max_text_chars=2**20) as service, ExitStack() as held:
        for _ in range(7):
            held.enter_context(half_a_client(service, part, length=2**20))
        assert service.http.post("/v1/rerank", json=body).status_code == 200

        def full() -> bool:
            # It may be the new one that is refused, where both arrive together.
            held.enter_context(half_a_client(service, part, length=2**20))
            return service.http.post("/v1/rerank", json=body).status_code == 503

        until(full)
        refused = service.http.post("/v1/rerank", json=body)
        assert (refused.json()["type"], refused.headers["retry-after"]) == ("busy", "1")
        assert service.rerank("a", ["a"]).status_code == 200
        held.close()
        until(lambda: service.http.post("/v1/rerank", json=body).status_code == 200)


def test_pairs_that_are_longer_than_the_model_reads_are_counted_and_said() -> None:
    with running(FunctionReranker(max_length=4)) as service:
        answer = service.rerank("a", ["b c", "b c d e", "b c d e f"]).json()
        assert service.metric("evalkit_cut_pairs_total") == 2
    assert answer["meta"]["warnings"] == [
        "2 documents were cut: with the query longer than the 4 tokens that the model reads"
    ]
    assert answer["usage"]["total_tokens"] == 3 + 4 + 4


class Bare:
    """A reranker that has no tokenizer at hand, as one behind a server."""

    fingerprint = FINGERPRINT
    device = "elsewhere"

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        return np.array([float(len(document)) for _, document in pairs])


def test_a_reranker_needs_no_tokenizer() -> None:
    with running(Bare()) as service:
        answer = service.rerank("q", ["a", "bb"], raw_scores=True).json()
        assert service.http.get("/health").json()["max_length"] is None
    assert [result["relevance_score"] for result in answer["results"]] == [2.0, 1.0]
    assert answer["usage"] is None


def test_a_key_is_wanted_everywhere_but_for_health() -> None:
    with running(FunctionReranker(), keys=("new", "old")) as service:
        assert service.http.get("/health").status_code == 200
        for key in (None, "Bearer nEw", "Bearer", "Bearer new,old", "Basic new", "new", "Bearer n\u00e9w"):
            headers = {} if key is None else {"Authorization": key.encode("latin-1")}
            for answer in (
                service.http.post("/v1/rerank", json={"query": "q", "documents": ["a"]}, headers=headers),
                service.http.get("/metrics", headers=headers),
            ):
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert "EVALKIT_SERVE_API_KEY" in answer.json()["message"]
        for key in ("Bearer new", "bearer old"):
            headers = {"Authorization": key.encode()}
            assert service.http.get("/metrics", headers=headers).status_code == 200


def test_a_client_that_insists_on_a_name_is_taken_in() -> None:
    with running(FunctionReranker(), model_names=["rerank-v3.5"]) as service:
        answer = service.rerank("a", ["a"], model="rerank-v3.5")
        assert (answer.status_code, answer.json()["model"]) == (200, "overlap")


def test_a_text_that_breaks_a_binding_fails_its_request_alone() -> None:
    """A panic of code in Rust is no Exception."""

    class Panic(BaseException):
        pass

    def score(_: str, document: str) -> float:
        if document == "odd":
            raise Panic
        return 1.0

    with running(FunctionReranker(score)) as service:
        failed = service.rerank("q", ["odd"])
        assert (failed.status_code, failed.json()["type"]) == (500, "model_failed")
        assert service.rerank("q", ["a"]).status_code == 200


def test_a_taken_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} of 127\.0\.0\.1 cannot be used: .*serve\.port="):
            Service(FunctionReranker(), settings(port=port), ()).run(lambda _: None)


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_score_that_is_no_number_fails_its_request(number: str) -> None:
    def score(_: str, document: str) -> float:
        return float(number) if document == "odd" else 1.0

    with running(FunctionReranker(score)) as service:
        failed = service.rerank("q", ["a", "odd"])
        assert (failed.status_code, failed.json()["type"]) == (500, "model_failed")
        assert service.rerank("q", ["a"]).status_code == 200


def test_an_answer_is_json_of_full_precision(served: Running) -> None:
    text = served.rerank("a b c", ["a"], raw_scores=True).text
    assert json.loads(text)["results"][0]["relevance_score"] == 1 / 3


def test_a_held_reranker_lets_the_service_answer_health() -> None:
    held = Held()
    with running(held) as service:
        held.free.clear()
        thread = threading.Thread(target=service.rerank, args=("a", ["a"]))
        thread.start()
        assert held.started.wait(10)
        assert service.http.get("/health").status_code == 200
        held.free.set()
        thread.join(10)
