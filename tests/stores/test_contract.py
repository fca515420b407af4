"""What every vector store promises; the expected hits are NumPy's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evalkit.errors import ModelError, StoreError
from evalkit.ports import Hit, Vectors, VectorStore

DIMENSION = 24


def random_vectors(count: int, seed: int = 7, dimension: int = DIMENSION) -> Vectors:
    """Vectors of unequal lengths around 1, so that inner product and cosine differ."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension), np.float32)
    return vectors / np.float32(np.sqrt(dimension))


def assert_nearest(found: list[list[Hit]], ids: list[str], vectors: Vectors, queries: Vectors, limit: int) -> None:
    """Each hit carries its document's own score, and no document outside scores higher than one inside."""
    assert len(found) == len(queries)
    scores = queries @ vectors.T
    row = {doc_id: index for index, doc_id in enumerate(ids)}
    for query, hits in enumerate(found):
        best = np.sort(scores[query])[::-1][:limit]
        assert len({doc_id for doc_id, _ in hits}) == len(hits) == len(best)
        for doc_id, score in hits:
            assert score == pytest.approx(scores[query, row[doc_id]], abs=2e-6)
        assert sorted((score for _, score in hits), reverse=True) == pytest.approx(best, abs=2e-6)


def test_search_finds_what_numpy_finds(store: VectorStore) -> None:
    ids, vectors, queries = [f"d{i}" for i in range(1500)], random_vectors(1500), random_vectors(70, seed=8)
    store.add(ids, vectors)
    found = store.search(queries, 30)
    assert_nearest(found, ids, vectors, queries, 30)
    expected = [{ids[i] for i in np.argsort(-row)[:30]} for row in queries @ vectors.T]
    assert [{doc_id for doc_id, _ in hits} for hits in found] == expected


def test_documents_of_equal_vectors_are_all_found(store: VectorStore) -> None:
    ids, vectors = [f"d{i}" for i in range(40)], random_vectors(40)
    vectors[10:20] = vectors[0]
    store.add(ids, vectors)
    (hits,) = store.search(vectors[:1], 11)
    assert {doc_id for doc_id, _ in hits} == {"d0", *(f"d{i}" for i in range(10, 20))}
    assert_nearest([hits], ids, vectors, vectors[:1], 11)


def test_a_limit_beyond_the_collection_returns_every_document(store: VectorStore) -> None:
    ids, vectors = ["a", "b", "c"], random_vectors(3)
    store.add(ids, vectors)
    assert_nearest(store.search(vectors[:2], 50), ids, vectors, vectors[:2], 50)


def test_no_query_no_hits(store: VectorStore) -> None:
    store.add(["a"], random_vectors(1))
    assert store.search(random_vectors(0), 5) == []


def test_document_ids_come_back_unchanged(store: VectorStore) -> None:
    ids = ["<urn:a>", "a b", " a", "Zürich/§ 4", "税", "🧾", "a\u0085b", "1", "01", "../x", 'q"uote']
    ids += ["\u00e9", "e\u0301"]  # one glyph, two ids
    store.add(ids, random_vectors(len(ids)))
    (hits,) = store.search(random_vectors(1), 99)
    assert sorted(doc_id for doc_id, _ in hits) == sorted(ids)
    assert store.missing([*ids, "other"]) == ["other"]


def test_missing_names_what_is_still_to_be_added_in_order(store: VectorStore) -> None:
    ids = [f"d{i}" for i in range(2500)]
    assert store.missing(ids) == ids
    store.add(ids[::2], random_vectors(1250))
    assert store.missing(ids) == ids[1::2]
    store.add(ids[1::2], random_vectors(1250, seed=9))
    assert store.missing(ids) == []


def test_vectors_come_back_to_the_bit_in_the_order_of_the_ids(new_store: Callable[[], VectorStore]) -> None:
    ids, vectors = [f"d{i}" for i in range(2500)], random_vectors(2500)
    limits = np.finfo(np.float32)
    vectors[7, :6] = np.array([-0.0, 1 / 3, limits.max, -limits.tiny, limits.smallest_subnormal, 1e-7])
    order = np.random.default_rng(9).permutation(2500)
    first = new_store()
    first.open("a")
    first.add(ids, vectors)
    stores = [first]
    if first.persistent:
        first.close()
        stores.append(new_store())
    for store in stores:
        if first.persistent:
            store.open("a")
        found = store.vectors([ids[i] for i in order])
        assert found.dtype == np.float32
        assert found.shape == vectors.shape
        assert found.tobytes() == vectors[order].tobytes()
        store.close()


def test_a_repeated_id_gets_a_row_each_time(store: VectorStore) -> None:
    vectors = random_vectors(3)
    store.add(["a", "b", "c"], vectors)
    assert store.vectors(["c", "a", "c", "c"]).tobytes() == vectors[[2, 0, 2, 2]].tobytes()


def test_the_vector_of_a_document_added_again_is_the_last_one(store: VectorStore) -> None:
    first, second = random_vectors(2), random_vectors(1, seed=9)
    store.add(["a", "b"], first)
    store.add(["a"], second)
    assert store.vectors(["b", "a"]).tobytes() == first[1].tobytes() + second[0].tobytes()


def test_no_id_no_vectors(store: VectorStore) -> None:
    store.add(["a"], random_vectors(1))
    assert store.vectors([]).shape == (0, DIMENSION)


def test_documents_without_a_vector_are_counted(store: VectorStore) -> None:
    store.add(["a", "b"], random_vectors(2))
    absent = [f"x{i}" for i in range(1500)]
    with pytest.raises(StoreError, match="'a' lacks 1500 of 1502 documents"):
        store.vectors(["a", *absent, *absent, "b"])


@pytest.mark.parametrize("ids", [[], ["a"]])
def test_an_empty_collection_has_no_vectors(store: VectorStore, ids: list[str]) -> None:
    with pytest.raises(StoreError, match="'a' is empty"):
        store.vectors(ids)


def test_adding_a_document_again_replaces_its_vector(store: VectorStore) -> None:
    first, second = random_vectors(1), random_vectors(1, seed=9)
    store.add(["a"], first)
    store.add(["a"], second)
    assert_nearest(store.search(second, 5), ["a"], second, second, 5)


def test_reopening_finds_what_a_persistent_store_held(new_store: Callable[[], VectorStore]) -> None:
    ids, vectors = ["a", "b"], random_vectors(2)
    first = new_store()
    first.open("a")
    first.add(ids, vectors)
    first.close()
    first.close()
    for again in (first, new_store()):
        again.open("a")
        if again.persistent:
            assert_nearest(again.search(vectors, 5), ids, vectors, vectors, 5)
        else:
            assert again.missing(ids) == ids
        again.close()


def test_collections_are_kept_apart(store: VectorStore) -> None:
    store.add(["a"], random_vectors(1))
    store.open("b")
    assert store.missing(["a"]) == ["a"]
    store.add(["a"], random_vectors(1, dimension=3))


def test_another_dimension_is_refused(store: VectorStore) -> None:
    store.add(["a"], random_vectors(1))
    with pytest.raises(StoreError, match="dimension 24, these have 3"):
        store.add(["b"], random_vectors(1, dimension=3))
    with pytest.raises(StoreError, match="dimension 24, these have 3"):
        store.search(random_vectors(1, dimension=3), 5)


def test_a_persistent_store_remembers_its_dimension(new_store: Callable[[], VectorStore]) -> None:
    first = new_store()
    if not first.persistent:
        return
    first.open("a")
    first.add(["a"], random_vectors(1))
    first.close()
    again = new_store()
    again.open("a")
    with pytest.raises(StoreError, match="dimension 24, these have 3"):
        again.add(["b"], random_vectors(1, dimension=3))


def test_searching_an_empty_collection_is_refused(store: VectorStore) -> None:
    with pytest.raises(StoreError, match="'a' is empty"):
        store.search(random_vectors(1), 5)
    store.add([], random_vectors(0))
    with pytest.raises(StoreError, match="'a' is empty"):
        store.search(random_vectors(1), 5)


def test_nothing_works_before_open_or_after_close(new_store: Callable[[], VectorStore]) -> None:
    store = new_store()
    for state in ("new", "closed"):
        with pytest.raises(StoreError, match="no collection is open"):
            store.missing(["a"])
        with pytest.raises(StoreError, match="no collection is open"):
            store.vectors(["a"])
        if state == "new":
            store.open("a")
            store.close()


def test_a_vector_that_is_not_finite_is_refused(store: VectorStore) -> None:
    vectors = random_vectors(2)
    vectors[1, 3] = np.nan
    with pytest.raises(ModelError, match="NaN"):
        store.add(["a", "b"], vectors)
    assert store.missing(["a"]) == ["a"]


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a b"])
def test_a_name_that_is_no_collection_name_is_refused(new_store: Callable[[], VectorStore], name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a collection"):
        new_store().open(name)
