"""One request and its answer, which is whole in time and no larger than can be held."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from io import BufferedReader, RawIOBase
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class OversizedAnswer(Exception):  # noqa: N818 - what was found, as the others are named that http.client raises
    """More than was to be taken."""


def exchange(
    connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str], timeout_s: int, most: int
) -> tuple[HTTPResponse, bytes]:
    """Send a request, and read all of its answer.

    Args:
        connection: One that stands.
        path: From the server's root.
        body: What is sent.
        headers: Sent along.
        timeout_s: Longest time for sending, and then for the whole of the answer, in seconds.
        most: Bytes that are taken of it.

    Returns:
        The answer's head and body.

    Raises:
        TimeoutError: It was not complete in time.
        OversizedAnswer: There is more of it.
        OSError, HTTPException: The connection broke, or something else than HTTP came back.
    """
    connection.sock.settimeout(timeout_s)
    connection.response_class = _TimedAnswer
    # A server may say that this is too large before it has read everything.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", path, body, headers)
    with connection.getresponse() as response:
        if (response.length or 0) > most:
            raise OversizedAnswer
        answer = response.read(most + 1)
        if len(answer) > most:
            raise OversizedAnswer
        # Where it says how long it is, http.client takes less for all of it.
        if response.length:
            raise IncompleteRead(answer, response.length)
        return response, answer


class _TimedAnswer(HTTPResponse):
    """Where the socket's time-out is that of the whole answer, and not of every piece in which it comes."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp = BufferedReader(_Timed(sock, self.fp.detach()))


class _Timed(RawIOBase):
    """What comes over a socket, until as many seconds as its time-out have passed."""

    def __init__(self, connected: socket.socket, stream: RawIOBase) -> None:
        self._socket = connected
        self._stream = stream
        self._end = monotonic() + (connected.gettimeout() or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left = self._end - monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._stream.readinto(buffer)

    def close(self) -> None:
        super().close()
        self._stream.close()
