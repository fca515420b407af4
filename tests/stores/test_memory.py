"""What only the in-process engine has: a size from which another store is better."""

from __future__ import annotations

import logging

import pytest

from evalkit.stores import qdrant
from evalkit.stores.qdrant import MemoryStore

from .test_contract import random_vectors


def test_edge_is_suggested_once_for_a_large_corpus(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(qdrant, "_LOCAL_MODE_LIMIT", 5)
    store = MemoryStore()
    store.open("a")
    for first in (0, 5, 10):
        store.add([f"d{i}" for i in range(first, first + 5)], random_vectors(5))
        assert len(caplog.records) == (0 if first == 0 else 1)
    store.close()
    (record,) = caplog.records
    assert record.name == "evalkit.stores"
    assert record.levelno == logging.WARNING
    assert "vector_store=edge" in record.getMessage()


def test_the_clients_own_warning_about_size_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.open("a")
    store.add([f"d{i}" for i in range(20_001)], random_vectors(20_001, dimension=4))
    store.close()
    assert len(caplog.records) == 1
