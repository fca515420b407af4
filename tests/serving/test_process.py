"""``evalkit serve`` as a process of its own: signals under load, kill and restart."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep

import httpx
import pytest

from evalkit.ports import Reranker
from tests.serving.conftest import DOCUMENTS, QUESTION
from tests.serving.running import until

CLIENTS = 8


class Process:
    """The command, and what it printed."""

    def __init__(self, overrides: Sequence[str], files: int) -> None:
        words = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", sys.executable, "-m", "evalkit", "serve"]
        self.process = subprocess.Popen(
            [*words, *overrides],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout
        lines = iter(self.process.stdout.readline, "")
        found = next((line for line in lines if line.startswith("serving ")), "")
        assert found, self.process.communicate()[1]
        self.url = found.split()[1].removesuffix("/v1/rerank;")

    def ended(self, how: signal.Signals) -> tuple[int, str]:
        """Exit code, and what stood in stderr, after a signal."""
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@contextmanager
def process(*overrides: str, files: int = 1024) -> Iterator[Process]:
    started = Process(overrides, files)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
            started.process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Clients:
    """Each asks again as soon as it has its answer, and stops when it is told to or finds the door closed."""

    def __init__(self, url: str, expected: list[float], through: bool = False) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url, self._expected, self._through = url, expected, through
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _work(self) -> None:
        body = {"query": QUESTION, "documents": DOCUMENTS, "raw_scores": True}
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not self._enough.is_set():
                try:
                    outcome = self._outcome(http.post(f"{self._url}/v1/rerank", json=body))
                except httpx.ConnectError:
                    outcome = "closed"
                except httpx.TransportError:
                    outcome = "broken off"
                self.outcomes[outcome] += 1
                if outcome != "right" and not self._through:
                    return
                if outcome != "right":
                    sleep(0.05)

    def _outcome(self, answer: httpx.Response) -> str:
        if answer.status_code != 200:
            return f"{answer.status_code} {answer.json()['type']}"
        found = {result["index"]: result["relevance_score"] for result in answer.json()["results"]}
        return "right" if found == dict(enumerate(self._expected)) else "wrong"


@pytest.fixture(scope="module")
def expected(int8: Reranker) -> list[float]:
    logits: list[float] = int8.score([(QUESTION, document) for document in DOCUMENTS]).tolist()
    return logits


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_request(how: signal.Signals, expected: list[float]) -> None:
    with process("serve.port=0") as service:
        clients = Clients(service.url, expected)
        until(lambda: clients.outcomes["right"] > 3 * CLIENTS, 30)
        code, errors = service.ended(how)
        clients.wait()
    assert (code, errors) == (0, "")
    assert set(clients.outcomes) <= {"right", "503 stopping", "closed"}
    assert clients.outcomes["right"] > 3 * CLIENTS


def test_clients_find_a_killed_service_again_once_it_is_restarted(expected: list[float]) -> None:
    port = f"serve.port={free_port()}"
    with process(port) as first:
        clients = Clients(first.url, expected, through=True)
        until(lambda: clients.outcomes["right"] > CLIENTS, 30)
        code, _ = first.ended(signal.SIGKILL)
        assert code == -signal.SIGKILL
        before = clients.outcomes["right"]
        until(lambda: clients.outcomes["closed"] >= CLIENTS)
        with process(port) as second:
            until(lambda: clients.outcomes["right"] > before + 3 * CLIENTS, 30)
            clients.join()
            assert second.ended(signal.SIGTERM) == (0, "")
    assert "wrong" not in clients.outcomes
    assert set(clients.outcomes) <= {"right", "closed", "broken off", "503 loading"}


def test_it_says_where_it_is_and_what_it_serves() -> None:
    with process("serve.port=0", "serve.model_names=[mine]") as service:
        assert service.url.startswith("http://127.0.0.1:")
        health = json.loads(httpx.get(f"{service.url}/health", trust_env=False).text)
        assert (health["status"], health["model"]) == ("ready", "reranker_en")


LONG = {"query": QUESTION, "documents": [f"{number} {' '.join(DOCUMENTS * 10)}" for number in range(1000)]}
"""Minutes of work."""


def begun(service: Process, pool: ThreadPoolExecutor) -> Future[httpx.Response]:
    """The long request, with its first slice in work."""

    def waiting() -> bool:
        return "evalkit_queue_pairs 936.0" in httpx.get(f"{service.url}/metrics", trust_env=False).text

    sent = pool.submit(httpx.post, f"{service.url}/v1/rerank", json=LONG, timeout=60, trust_env=False)
    until(waiting)
    return sent


def test_a_long_request_delays_the_end_by_no_more_than_the_grace() -> None:
    with process("serve.port=0", "serve.grace_s=1") as service, ThreadPoolExecutor(1) as pool:
        sent = begun(service, pool)
        started = monotonic()
        assert service.ended(signal.SIGTERM) == (0, "")
        assert monotonic() - started < 6
        assert (sent.result().status_code, sent.result().json()["type"]) == (503, "stopping")


def test_a_second_signal_ends_at_once() -> None:
    with process("serve.port=0") as service, ThreadPoolExecutor(1) as pool:
        sent = begun(service, pool)
        service.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{service.url}/health", trust_env=False).status_code == 503)
        started = monotonic()
        assert service.ended(signal.SIGTERM) == (-signal.SIGTERM, "")
        assert monotonic() - started < 3
        with pytest.raises(httpx.TransportError):
            sent.result()


def test_more_unfinished_heads_than_files_shut_nobody_out() -> None:
    with process("serve.port=0", "serve.timeout_s=3", files=200) as service, ExitStack() as held:
        address = httpx.URL(service.url)
        for _ in range(230):
            connection = held.enter_context(socket.create_connection((address.host, address.port), 5))
            connection.sendall(b"POST /v1/rerank HT")
        for _ in range(3):
            assert httpx.get(f"{service.url}/health", timeout=3, trust_env=False).status_code == 200
        connection.settimeout(10)
        assert connection.recv(1) == b""
        held.close()
        code, errors = service.ended(signal.SIGTERM)
    assert code == 0
    assert len(errors) < 500
