"""A model's server on loopback, over real sockets and threads, with the errors that such servers know.

Like some real ones, its errors quote what was sent.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeAlias


@dataclass(frozen=True)
class Answer:
    """A status with its headers, and a body: JSON values, or bytes as they are; None quotes the request."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Failure: TypeAlias = Answer | Literal["cut", "half", "silent"]
"""Another answer; a connection that is cut before one, or in the middle of it; or no answer for long."""


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


class ModelServer(ABC):
    """Runs while its ``with`` block does.

    Args:
        base: What its URL ends with.
        api_key: The key that requests must carry, or None for a server without keys.
        host: Loopback, as IPv4 or IPv6.
        tls: Certificate and key; None serves without encryption.

    Attributes:
        most: Requests that were under way at once, at most.
        slow_s: Seconds that every answer takes.
    """

    def __init__(
        self, base: str, api_key: str | None = None, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.api_key = api_key
        self.requests: list[Request] = []
        self.connections: list[socket.socket] = []
        self.released = threading.Event()
        self.most = 0
        self.slow_s = 0.0
        self._under_way = 0
        self._lock = threading.Lock()
        self._failures: dict[int, Failure] = {}
        self._http = _Server((host, 0), type("Handler", (_Handler,), {"server_of": self}), host)
        self._http.connections = self.connections
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        named = f"[{host}]" if ":" in host else host
        self.port = self._http.server_port
        self.url = f"{'https' if tls else 'http'}://{named}:{self.port}{base}"

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """What the protocol says to a request with the right key."""

    def fail(self, how: Failure, times: int = 1, after: int = 0) -> None:
        """Treat so many requests as ``how`` says, after so many more that are well."""
        begin = len(self.requests) + after
        self._failures |= dict.fromkeys(range(begin, begin + times), how)

    def forgive(self) -> None:
        """Treat every request well from now on."""
        self._failures.clear()

    def received(self, request: Request) -> tuple[Failure | None, Answer]:
        """How the request is to fail, if it is, and the right answer."""
        with self._lock:
            how = self._failures.get(len(self.requests))
            self.requests.append(request)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        if self.slow_s:
            self.released.wait(self.slow_s)
        known = self.api_key is None or request.headers.get("Authorization") == f"Bearer {self.api_key}"
        return how, self.answer(request) if known else Answer(401)

    def answered(self) -> None:
        with self._lock:
            self._under_way -= 1

    def hang_up(self) -> None:
        """Close every connection, as servers do with those that are idle."""
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.connections.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._http.shutdown()
        self._thread.join()
        self.hang_up()
        self._http.server_close()


class _Server(ThreadingHTTPServer):
    # server_close() then waits for every handler, so that no thread or socket is left behind.
    daemon_threads = False
    connections: list[socket.socket]

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], host: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that refuse a certificate, or give up, are meant to break off."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of: ClassVar[ModelServer]

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        how, right = self.server_of.received(Request(self.path, dict(self.headers.items()), json.loads(sent)))
        if how == "silent":
            self.server_of.released.wait(10)
        # Before the answer: the client's next request may come as soon as it is there.
        self.server_of.answered()
        if how is None or isinstance(how, Answer):
            self._send(how or right, sent, cut=False)
            return
        if how == "half":
            self._send(right, sent, cut=True)
        self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def _send(self, answer: Answer, sent: bytes, cut: bool) -> None:
        quoting = {"error": {"message": f"cannot read {sent.decode()}", "type": "invalid_request_error", "code": None}}
        body = quoting if answer.body is None else answer.body
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw[: len(raw) // 2] if cut else raw)
