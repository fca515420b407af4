"""What a store says of itself to a reader: which engine, where, and nothing secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evalkit.ports import VectorStore

from .conftest import server_store


@pytest.mark.parametrize(
    ("url", "described"),
    [
        ("https://qdrant.example:6333", "https://qdrant.example:6333"),
        ("http://localhost", "http://localhost"),
        ("https://[::1]:6333", "https://[::1]:6333"),
        ("https://gateway.example/tenant-8f3c/qdrant", "https://gateway.example"),
    ],
)
def test_a_server_is_named_by_scheme_host_and_port(url: str, described: str) -> None:
    store = server_store(url)
    assert store.description == f"Qdrant server at {described}"
    assert not store.in_process


def test_every_store_describes_itself_before_it_is_opened(new_store: Callable[[], VectorStore]) -> None:
    store = new_store()
    expected = {
        "MemoryStore": ("qdrant-client in process", True),
        "EdgeStore": ("qdrant-edge in process", True),
    }
    if type(store).__name__ in expected:
        assert (store.description, store.in_process) == expected[type(store).__name__]
    else:
        assert store.description.startswith("Qdrant server at http://127.0.0.1:")
        assert not store.in_process
