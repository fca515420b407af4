"""What every store of sparse vectors promises; the expected hits are computed with dictionaries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from evalkit.errors import StoreError
from evalkit.ports import Hit, SparseStore, VectorStore
from evalkit.sparse import SparseVector

from .conftest import server_store
from .qdrant_server import QdrantServer
from .test_contract import random_vectors


def vector(weights: dict[int, float]) -> SparseVector:
    terms = sorted(weights)
    return SparseVector(np.array(terms, np.int64), np.array([weights[term] for term in terms], np.float32))


def random_sparse(count: int, seed: int = 7) -> list[SparseVector]:
    """Three to twelve of 60 terms each, the highest index among them."""
    rng = np.random.default_rng(seed)
    terms = np.append(np.arange(59) * 1000, (1 << 32) - 1)
    drawn = [rng.choice(terms, rng.integers(3, 13), replace=False) for _ in range(count)]
    return [vector({int(term): float(rng.random()) + 0.1 for term in some}) for some in drawn]


def products(query: SparseVector, vectors: Sequence[SparseVector], ids: Sequence[str]) -> dict[str, float]:
    """The inner product with each document that shares a term."""
    asked = dict(zip(query.indices.tolist(), query.values.tolist(), strict=True))
    held = [dict(zip(one.indices.tolist(), one.values.tolist(), strict=True)) for one in vectors]
    return {
        doc_id: sum(weights[term] * asked[term] for term in weights.keys() & asked.keys())
        for doc_id, weights in zip(ids, held, strict=True)
        if weights.keys() & asked.keys()
    }


def assert_nearest(hits: list[Hit], expected: dict[str, float], limit: int) -> None:
    best = sorted(expected.values(), reverse=True)[:limit]
    assert len({doc_id for doc_id, _ in hits}) == len(hits) == len(best)
    assert sorted((score for _, score in hits), reverse=True) == pytest.approx(best, abs=1e-5)
    assert all(score == pytest.approx(expected[doc_id], abs=1e-5) for doc_id, score in hits)


@pytest.fixture
def sparse(new_store: Callable[[], VectorStore]) -> SparseStore:
    store = new_store().sparse()
    store.open("a")
    return store


def test_search_finds_the_best_of_those_that_share_a_term(sparse: SparseStore) -> None:
    ids, vectors, queries = [f"d{n}" for n in range(400)], random_sparse(400), random_sparse(30, seed=8)
    sparse.add(ids, vectors)
    found = sparse.search(queries, 25)
    assert len(found) == 30
    for query, hits in zip(queries, found, strict=True):
        assert_nearest(hits, products(query, vectors, ids), 25)
    sparse.close()


def test_what_shares_no_term_is_not_found_however_many_are_asked_for(sparse: SparseStore) -> None:
    sparse.add(["a", "b", "c"], [vector({1: 2}), vector({1: 1, 7: 1}), vector({9: 5})])
    queries = [vector({1: 3}), vector({}), vector({8: 1}), vector({7: 2, 9: 1})]
    found = [dict(hits) for hits in sparse.search(queries, 10)]
    assert found == [{"a": 6, "b": 3}, {}, {}, {"b": 2, "c": 5}]
    sparse.close()


def test_a_document_without_terms_is_held_and_never_found(sparse: SparseStore) -> None:
    sparse.add(["empty", "b"], [vector({}), vector({1: 1})])
    assert sparse.missing(["empty", "b", "c"]) == ["c"]
    (stored,) = sparse.vectors(["empty"])
    assert (stored.indices.tolist(), stored.values.tolist()) == ([], [])
    assert [doc_id for doc_id, _ in sparse.search([vector({1: 1})], 10)[0]] == ["b"]
    sparse.close()


def test_vectors_come_back_to_the_bit_in_the_order_of_the_ids(new_store: Callable[[], VectorStore]) -> None:
    ids, vectors = [f"d{n}" for n in range(1500)], random_sparse(1500)
    limits = np.finfo(np.float32)
    vectors[3] = vector({0: 1 / 3, 5: float(limits.max), 6: float(limits.tiny), 1 << 31: 1e-7})
    first = new_store().sparse()
    first.open("a")
    first.add(ids, vectors)
    again = first
    if first.persistent:
        first.close()
        again = new_store().sparse()
        again.open("a")
    order = np.random.default_rng(9).permutation(1500).tolist()
    for place, found in zip(order, again.vectors([ids[place] for place in order]), strict=True):
        assert found.indices.tolist() == vectors[place].indices.tolist()
        assert found.values.tobytes() == vectors[place].values.tobytes()
    assert (again.persistent, again.missing([*ids, "x"])) == (first.persistent, ["x"])
    again.close()


def test_dense_and_sparse_vectors_of_one_engine_stand_side_by_side(new_store: Callable[[], VectorStore]) -> None:
    dense = new_store()
    sparse = dense.sparse()
    dense.open("dense")
    sparse.open("sparse")
    dense.add(["a", "b"], random_vectors(2))
    sparse.add(["a", "c"], [vector({1: 1}), vector({2: 1})])
    assert (dense.missing(["a", "b", "c"]), sparse.missing(["a", "b", "c"])) == (["c"], ["b"])
    assert (sparse.description, sparse.in_process) == (dense.description, dense.in_process)
    sparse.close()


@pytest.mark.parametrize("first", ["dense", "sparse"])
def test_a_collection_of_the_other_kind_is_refused(new_store: Callable[[], VectorStore], first: str) -> None:
    dense = new_store()
    sparse = dense.sparse()
    if not dense.persistent:
        pytest.skip("gone once it is closed")
    filled: VectorStore | SparseStore = dense if first == "dense" else sparse
    filled.open("a")
    if first == "dense":
        dense.add(["a"], random_vectors(1))
    else:
        sparse.add(["a"], [vector({1: 1})])
    filled.close()
    other: VectorStore | SparseStore = sparse if first == "dense" else dense
    with pytest.raises(StoreError, match=r"sparse vector|named vectors|without a dense vector"):
        other.open("a")


def test_an_interrupted_upload_is_resumed(server: QdrantServer) -> None:
    ids, vectors = [f"d{n}" for n in range(30)], random_sparse(30)
    store = server_store(server.url, batch_size=10).sparse()
    store.open("a")
    server.fail("PUT", nth=3, how=500)  # the collection and one batch get through
    with pytest.raises(StoreError, match="uploading a collection: it answered with status 500"):
        store.add(ids, vectors)
    assert store.missing(ids) == ids[10:]
    store.add(ids[10:], vectors[10:])
    assert_nearest(store.search(vectors[:1], 30)[0], products(vectors[0], vectors, ids), 30)
    store.close()


def test_qdrants_own_weighting_is_refused(server: QdrantServer) -> None:
    """With the modifier idf, Qdrant multiplies the query by idf once more."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(url=server.url, check_compatibility=False)
    weighted = models.SparseVectorParams(modifier=models.Modifier.IDF)
    client.create_collection("test-a", vectors_config={}, sparse_vectors_config={"terms": weighted})
    client.close()
    with pytest.raises(StoreError, match="by its inner product alone"):
        server_store(server.url).sparse().open("a")


@pytest.mark.parametrize("stored", [None, [1.0], {"other": {"indices": [1], "values": [1.0]}}], ids=repr)
def test_what_is_no_sparse_vector_is_refused(server: QdrantServer, stored: object) -> None:
    from evalkit.stores.base import point_id

    store = server_store(server.url).sparse()
    store.open("a")
    store.add(["d"], [vector({1: 1})])
    server.fail("POST", nth=1, how={"result": [{"id": str(point_id("d")), "vector": stored}], "status": "ok"})
    with pytest.raises(StoreError, match="not a sparse one"):
        store.vectors(["d"])
    store.close()


def test_many_documents_in_python_are_pointed_out_once(caplog: pytest.LogCaptureFixture) -> None:
    from evalkit.stores.qdrant import MemoryStore

    store = MemoryStore().sparse()
    store.open("a")
    with caplog.at_level(logging.WARNING):
        store.add([f"d{n}" for n in range(2001)], [vector({1: 1})] * 2001)
        store.add(["x"], [vector({1: 1})])
    (record,) = caplog.records
    assert "2001 documents" in record.getMessage()
    assert "vector_store=edge" in record.getMessage()
    store.close()
