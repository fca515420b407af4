"""What is said of connections that cannot be taken, and of errors that nobody caught."""

from __future__ import annotations

import asyncio
import errno
import os
import resource

import pytest

from evalkit.serving.connections import faults, room


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
