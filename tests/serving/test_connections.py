"""Connections that keep the service waiting, and what is said of those that cannot be taken."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket

import pytest

from evalkit.serving.connections import faults, room
from tests.serving.running import Held, half_a_client, running


def test_half_of_the_files_are_for_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for files in (resource.RLIM_INFINITY, 2**20, 1024, 200, 2):
        monkeypatch.setattr("resource.getrlimit", lambda _, files=files: (files, files))
        found[files] = room()
    assert list(found.values()) == [(4096, 128), (4096, 128), (512, 128), (100, 50), (1, 1)]


def test_a_lack_of_files_is_said_once_a_minute_and_other_errors_by_their_kind(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, say, now = asyncio.new_event_loop(), faults(), [1000.0]
    monkeypatch.setattr("evalkit.serving.connections.monotonic", lambda: now[0])
    lack = {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "SECRET")}
    try:
        for now[0] in (1000, 1001, 1059, 1061):
            say(loop, lack)
        say(loop, {"message": "Task exception was never retrieved", "exception": ValueError("SECRET")})
    finally:
        loop.close()
    said = f"no connection can be taken: {os.strerror(errno.EMFILE)}; raise the limit, such as ulimit -n"
    assert caplog.messages == [said, said, "Task exception was never retrieved (ValueError)"]


def read_to(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        part = connection.recv(1000)
        assert part
        received += part
    return received


def test_a_head_that_is_not_completed_ends_its_connection() -> None:
    with running(Held(), timeout_s=1) as service, half_a_client(service, "") as slow:
        slow.settimeout(3)
        assert read_to(slow, b"}").startswith(b"HTTP/1.1 400")
        slow.sendall(b"POST /v1/rerank HTTP/1.1\r\nHost: a")
        assert slow.recv(1000) == b""
