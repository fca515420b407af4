"""Answers without an end: bytes that drip, interim answers for ever, and more than can be held."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.models.asking import ask, endpoint, refusal_of

pytestmark = pytest.mark.usefixtures("pauses")

MIB = 2**20


@contextmanager
def speaking(say: Callable[[socket.socket], None]) -> Iterator[str]:
    """The base of a server that hears one request, says something and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(100_000)
                say(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        thread.join(20)
        assert not thread.is_alive()


def dripping(beginning: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    def say(connection: socket.socket) -> None:
        connection.sendall(beginning)
        for _ in range(60):
            connection.sendall(drop)
            time.sleep(0.1)

    return say


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "until the end", "head", "continue"],
)
def test_the_time_limit_is_that_of_the_whole_answer(pauses: list[float], beginning: bytes, drop: bytes) -> None:
    """Each piece comes well in time, and the last one after 6 s."""
    with speaking(dripping(beginning, drop)) as url:
        began = time.monotonic()
        message = refusal_of(endpoint(url, timeout_s=1))
        assert 0.9 < time.monotonic() - began < 3
    assert "gave no answer within 1 s; raise embedder.timeout_s or lower embedder.batch" in message
    assert pauses == []


def flood(head: bytes, unit: bytes) -> Callable[[socket.socket], None]:
    def say(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(70):
            connection.sendall(unit)

    return say


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        (f"HTTP/1.1 200 OK\r\nContent-Length: {70 * MIB}\r\n\r\n".encode(), b" " * MIB),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n" % (MIB, b" " * MIB)),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" " * MIB),
    ],
    ids=["of stated length", "in chunks", "until the end"],
)
def test_an_answer_that_is_too_long_is_refused_and_not_asked_for_again(
    pauses: list[float], head: bytes, unit: bytes
) -> None:
    with speaking(flood(head, unit)) as url:
        message = refusal_of(endpoint(url))
    assert message == (
        f"the embedder at {url} answered a request of 1 texts with more than 64 MiB, and nothing of it was kept; check "
        "which server listens at embedder.url"
    )
    assert pauses == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["of stated length", "in chunks", "until the end", "after an interim one"],
)
def test_an_answer_in_any_form_of_http_is_read(answer: bytes) -> None:
    with speaking(lambda connection: connection.sendall(answer)) as url:
        assert ask(endpoint(url)) == b"{}"
