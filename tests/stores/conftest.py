"""A server, stores of every kind, and Python processes that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import evalkit
from evalkit.ports import VectorStore
from evalkit.stores.edge import EdgeStore
from evalkit.stores.qdrant import MemoryStore, ServerStore

from .qdrant_server import QdrantServer

KEY_VARIABLE = "EVALKIT_TEST_KEY"

Start = Callable[..., "subprocess.Popen[str]"]


def server_store(url: str, batch_size: int = 64) -> ServerStore:
    return ServerStore(url, KEY_VARIABLE, timeout_s=5, batch_size=batch_size, prefix="test-")


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    with QdrantServer() as running:
        yield running


@pytest.fixture(params=["memory", "server", "edge"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], VectorStore]]:
    """Makes stores of one kind over the same place; all are closed at the end."""
    with ExitStack() as cleanup:
        url = cleanup.enter_context(QdrantServer()).url if request.param == "server" else ""

        def make() -> VectorStore:
            store: VectorStore
            match request.param:
                case "memory":
                    store = MemoryStore()
                case "server":
                    store = server_store(url)
                case _:
                    store = EdgeStore(tmp_path / "edge")
            cleanup.callback(store.close)
            return store

        yield make


@pytest.fixture
def store(new_store: Callable[[], VectorStore]) -> VectorStore:
    opened = new_store()
    opened.open("a")
    return opened


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python code in a process of its own; whatever still runs at the end is killed."""
    with ExitStack() as cleanup:

        def run(code: str, *arguments: object) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path(evalkit.__file__).parents[1])},
            )
            cleanup.enter_context(process)
            cleanup.callback(process.kill)
            return process

        yield run
