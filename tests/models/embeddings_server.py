"""An OpenAI-compatible ``/v1/embeddings`` on loopback, over a real socket, with the errors that its protocol knows.

Like some real servers it lists vectors in an order of its own, which their indices tell, and its errors quote what was
sent. A text's vector is (its characters, how many of them are ``a``, 1).
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Literal, TypeAlias


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


def vector(text: str) -> list[float]:
    return [float(len(text)), float(text.count("a")), 1.0]


def embeddings(vectors: list[Any]) -> Answer:
    """The protocol's answer with these vectors."""
    data = [{"object": "embedding", "index": index, "embedding": found} for index, found in enumerate(vectors)]
    return Answer(200, {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}})


class EmbeddingsServer:
    """Runs while its ``with`` block does.

    Args:
        api_key: The key that requests must carry, or None for a server without keys.
        largest_batch: Texts above which a request is too large.
        host: Loopback, as IPv4 or IPv6.
        tls: Certificate and key; None serves without encryption.
    """

    def __init__(
        self,
        api_key: str | None = None,
        largest_batch: int = 2048,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.api_key = api_key
        self.largest_batch = largest_batch
        self.requests: list[Request] = []
        self.connections: list[socket.socket] = []
        self.released = threading.Event()
        self._failures: dict[int, Failure] = {}
        self._http = _Server((host, 0), type("Handler", (_Handler,), {"server_of": self}), host)
        self._http.connections = self.connections
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        named = f"[{host}]" if ":" in host else host
        self.port = self._http.server_port
        self.url = f"{'https' if tls else 'http'}://{named}:{self.port}/v1"

    @property
    def batches(self) -> list[list[str]]:
        return [request.body["input"] for request in self.requests]

    def fail(self, how: Failure, times: int = 1) -> None:
        """Treat the next so many requests as ``how`` says."""
        begin = len(self.requests)
        self._failures |= dict.fromkeys(range(begin, begin + times), how)

    def received(self, request: Request) -> Failure:
        self.requests.append(request)
        how = self._failures.get(len(self.requests) - 1)
        return how or self._answer(request)

    def hang_up(self) -> None:
        """Close every connection, as servers do with those that are idle."""
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.connections.clear()

    def __enter__(self) -> EmbeddingsServer:
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

    def _answer(self, request: Request) -> Answer:
        texts = request.body.get("input")
        if self.api_key is not None and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return Answer(401)
        if request.path != "/v1/embeddings" or not isinstance(request.body.get("model"), str):
            return Answer(404)
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            return Answer(400)
        if len(texts) > self.largest_batch:
            return Answer(413)
        right = embeddings([vector(text) for text in texts])
        return Answer(200, {**right.body, "data": right.body["data"][::-1]})


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
        """Say nothing: clients that refuse a certificate are meant to break off."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: ClassVar[EmbeddingsServer]

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        how = self.server_of.received(Request(self.path, dict(self.headers.items()), json.loads(sent)))
        if how == "silent":
            self.server_of.released.wait(10)
        if isinstance(how, Answer):
            self._send(how, sent, cut=False)
            return
        if how == "half":
            self._send(embeddings([[1.0]]), sent, cut=True)
        self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def _send(self, answer: Answer, sent: bytes, cut: bool) -> None:
        quoting = {"error": {"message": f"cannot embed {sent.decode()}", "type": "invalid_request_error", "code": None}}
        body = quoting if answer.body is None else answer.body
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw[: len(raw) // 2] if cut else raw)
