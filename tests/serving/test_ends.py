"""A service that loads, that is stopped meanwhile, and that fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.errors import ModelError
from evalkit.ports import Pair
from evalkit.serving.service import Service
from evalkit.testing import FunctionReranker
from tests.serving.running import answers, settings, until


def test_nothing_is_scored_before_the_model_is_loaded() -> None:
    class Slow(FunctionReranker):
        def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
            assert opened.wait(20)
            return super().score(pairs)

    opened, ready = threading.Event(), threading.Event()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    service = Service(Slow(), settings(port=port), ())
    thread = threading.Thread(target=service.run, args=(lambda _: ready.set(),))
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            until(lambda: answers(http))
            assert (http.get("/health").status_code, http.get("/health").json()["status"]) == (503, "loading")
            early = http.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
            assert (early.status_code, early.json()["type"], early.headers["retry-after"]) == (503, "loading", "5")
            opened.set()
            assert ready.wait(10)
            assert http.get("/health").status_code == 200
    finally:
        opened.set()
        service.stop()
        thread.join(20)


def test_a_model_that_cannot_be_loaded_ends_the_service() -> None:
    class Broken(FunctionReranker):
        def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:  # noqa: ARG002 - part of the port
            raise ModelError("no weights; put them there")

    with pytest.raises(ModelError, match="no weights"):
        Service(Broken(), settings(), ()).run(lambda _: None)


def test_a_service_that_cannot_say_that_it_is_ready_ends() -> None:
    """As where whoever read its output went away."""

    def gone(_: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Service(FunctionReranker(), settings(), ()).run(gone)


def test_a_service_that_is_stopped_while_it_loads_does_not_wait_for_the_model() -> None:
    class Slow(FunctionReranker):
        def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
            loading.set()
            assert opened.wait(20)
            return super().score(pairs)

    loading, opened = threading.Event(), threading.Event()
    service = Service(Slow(), settings(grace_s=2), ())
    thread = threading.Thread(target=service.run, args=(lambda _: None,))
    thread.start()
    try:
        assert loading.wait(10)
        service.stop()
        thread.join(10)
        assert not thread.is_alive()
        assert service.abandoned
    finally:
        opened.set()


def test_a_worker_that_fails_ends_the_service_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("confidential")

    seen: list[tuple[int, str]] = []

    def ask(url: str) -> None:
        with httpx.Client(base_url=url, trust_env=False) as http:
            failed = http.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
            health = http.get("/health")
            seen.extend([(failed.status_code, failed.json()["type"]), (health.status_code, health.json()["status"])])

    clients: list[threading.Thread] = []

    def ready(url: str) -> None:
        clients.append(threading.Thread(target=ask, args=(url,)))
        clients[0].start()

    monkeypatch.setattr("evalkit.serving.queue.Queue.give_back", broken)
    with pytest.raises(RuntimeError) as caught:
        Service(FunctionReranker(), settings(), ()).run(ready)
    clients[0].join(10)
    assert str(caught.value) == "the service's worker failed (KeyError); start the service again"
    assert seen == [(503, "failed"), (503, "failed")]
    assert "confidential" not in caplog.text
