"""A service on loopback, over a real socket, and rerankers that can be held and that fail on demand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from evalkit.ports import Pair, Reranker
from evalkit.serving.service import Service
from evalkit.serving.settings import ServeSettings
from evalkit.testing import FunctionReranker

CONF = Path(__file__).parents[2] / "conf"
POISON = "poison"


def settings(**changes: Any) -> ServeSettings:
    """Those that ship, on a free port."""
    shipped = OmegaConf.to_container(OmegaConf.load(CONF / "serve" / "default.yaml"))
    assert isinstance(shipped, dict)
    named = {str(name): value for name, value in shipped.items() if name != "_target_"}
    return ServeSettings(**{**named, "port": 0, **changes})


class Held(FunctionReranker):
    """Scores by words in common; stands still while ``free`` is not set; fails, quoting texts, where one says poison.

    Attributes:
        passes: The documents of each pass, without those of the warm-up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()
        self.started = threading.Event()
        self.passes: list[list[str]] = []

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        if pairs[0][0] != "warm-up":
            self.passes.append([document for _, document in pairs])
            self.started.set()
            assert self.free.wait(20)
        if any(POISON in document for _, document in pairs):
            raise ValueError(f"cannot read {pairs!r}")
        return super().score(pairs)


@dataclass(frozen=True)
class Running:
    """A service that answers.

    Attributes:
        url: Its address, without a path.
        service: To stop it.
        http: A client of it.
    """

    url: str
    service: Service
    http: httpx.Client

    def rerank(self, query: str, documents: Sequence[Any], **fields: Any) -> httpx.Response:
        return self.http.post("/v1/rerank", json={"query": query, "documents": list(documents), **fields})

    def metric(self, line: str) -> float:
        """The value behind a name with its labels; 0 where it does not stand there."""
        rows = (row.rpartition(" ") for row in self.http.get("/metrics").text.splitlines())
        return next((float(value) for name, _, value in rows if name == line), 0.0)


@contextmanager
def running(reranker: Reranker, keys: Sequence[str] = (), **changes: Any) -> Iterator[Running]:
    service = Service(reranker, settings(**changes), keys)
    addresses: list[str] = []
    loaded = threading.Event()

    def ready(address: str) -> None:
        addresses.append(address)
        loaded.set()

    thread = threading.Thread(target=service.run, args=(ready,))
    thread.start()
    try:
        assert loaded.wait(60)
        with httpx.Client(base_url=addresses[0], timeout=30, trust_env=False) as http:
            yield Running(addresses[0], service, http)
    finally:
        if isinstance(reranker, Held):
            reranker.free.set()
        service.stop()
        thread.join(30)
        assert not thread.is_alive()


def half_a_client(service: Running, body: str, length: int | None = None) -> socket.socket:
    """Sends a request over a socket of its own and reads no answer."""
    host, port = service.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST /v1/rerank HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length or len(body)}\r\n\r\n"
    connection.sendall(f"{head}{body}".encode())
    return connection


def answers(http: httpx.Client) -> bool:
    """Whether anybody listens there."""
    try:
        http.get("/health")
    except httpx.TransportError:
        return False
    return True


def until(condition: Any, seconds: float = 10) -> None:
    """Wait for what happens in another thread."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "it did not happen in time"
        sleep(0.01)
