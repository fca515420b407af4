"""Long documents at stage 1: windows are embedded, the best one counts, and a document is retrieved once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.pipeline import evaluate
from evalkit.record import LongDocuments
from evalkit.result import EvalResult
from evalkit.stages import Plan
from evalkit.stores.edge import EdgeStore
from evalkit.stores.qdrant import MemoryStore
from evalkit.testing import ArrayStore, DictCache, WordEmbedder
from tests.conftest import BeirWriter, beir, plan_of
from tests.results import control_of
from tests.test_cache_keys import ShelfStore

READ = 8
"""Words that the embedder reads."""

OVERLAP = 3


def plan(folder: Path, stage1: Any = "windows", overlap: int = OVERLAP, **changes: Any) -> Plan:
    embedder = WordEmbedder(1 << 12, max_length=READ)
    long = LongDocuments(stage1=stage1, overlap=overlap)
    return plan_of(beir(folder), **{"embedder": embedder, "long": long, **changes})


def dense(result: EvalResult, query_id: str = "q") -> list[str]:
    return [one.doc_id for one in result.evidence.candidates[query_id]]


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    """The note that answers says so behind what the embedder reads."""
    documents = {f"note{n:02}": f"rent note{n}" for n in range(11)}
    documents["long"] = " ".join([*(f"w{n}" for n in range(12)), "alpha", "beta"])
    return write_beir(documents, {"q": "alpha beta"}, [("q", "long", 1)])


def test_what_stands_behind_the_cut_is_found_in_windows_only(folder: Path) -> None:
    """Windows of 8 words, 3 of them shared: 0-7, 5-12, 10-13. The last has 2 of its 4 words from the question."""
    cut, windows = (evaluate(plan(folder, stage1)) for stage1 in ("cut", "windows"))
    assert {one.stage1_score for one in cut.evidence.candidates["q"]} == {0.0}
    first = windows.evidence.candidates["q"][0]
    assert first.doc_id == "long"
    assert first.stage1_score == pytest.approx(2 / math.sqrt(2) / math.sqrt(4))
    assert (cut.computed["documents"], windows.computed["documents"]) == (12, 11 + 3)


def brute_force(texts: dict[str, str], query: str, embedder: WordEmbedder) -> dict[str, float]:
    """Each document's best inner product over windows that are cut here, with exact sums."""
    (asked,) = embedder.embed_queries([query]).astype(float)
    scores = {}
    for doc_id, text in texts.items():
        words, windows = text.split(), []
        while len(words) > READ:
            windows.append(words[:READ])
            words = words[READ - OVERLAP :]
        vectors = embedder.embed_documents([" ".join(window) for window in [*windows, words]]).astype(float)
        scores[doc_id] = max(math.fsum(vector * asked) for vector in vectors)
    return scores


@pytest.mark.parametrize("seed", range(6))
def test_retrieval_equals_a_brute_force_search(write_beir: BeirWriter, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vocabulary = [f"w{n}" for n in range(25)]
    documents = {f"d{n:02}": " ".join(rng.choice(vocabulary, rng.integers(1, 60))) for n in range(40)}
    queries = {f"q{n}": " ".join(rng.choice(vocabulary, rng.integers(1, 4))) for n in range(8)}
    folder = write_beir(documents, queries, [(query_id, "d00", 1) for query_id in queries])
    result = evaluate(plan(folder))
    for query_id, text in queries.items():
        expected = brute_force(documents, text, WordEmbedder(1 << 12))
        found = result.evidence.candidates[query_id]
        assert len(dense(result, query_id)) == len(set(dense(result, query_id))) == 10
        best = sorted(expected.values(), reverse=True)[:10]
        assert [one.stage1_score for one in found] == pytest.approx(best, abs=1e-12)
        assert [one.stage1_score for one in found] == pytest.approx([expected[one.doc_id] for one in found], abs=1e-12)


@pytest.mark.parametrize("windows", range(14, 20))
def test_a_document_takes_one_place_and_ties_behind_it_are_broken_by_id(write_beir: BeirWriter, windows: int) -> None:
    """One document of many good windows takes one place, and the notes behind it tie.

    The first search asks for 10 + 16 points: these windows, and then some of the notes, the last by id first.
    """
    documents = {f"note{n:02}": "alpha note" for n in reversed(range(40))}
    documents["greedy"] = " ".join(["alpha"] * (READ + (windows - 1) * (READ - OVERLAP)))
    folder = write_beir(documents, {"q": "alpha"}, [("q", "note03", 1)])
    assert dense(evaluate(plan(folder))) == ["greedy", *(f"note{n:02}" for n in range(9))]


def test_the_query_itself_is_left_out_with_all_its_windows(write_beir: BeirWriter) -> None:
    texts = {f"t{n:02}": f"{'alpha ' * 30}end{n}" for n in range(12)}
    folder = write_beir(texts, texts, [(query_id, "t00" if query_id != "t00" else "t01", 1) for query_id in texts])
    result = evaluate(plan(folder, exclude_self=True))
    for query_id in texts:
        assert dense(result, query_id) == [doc_id for doc_id in texts if doc_id != query_id][:10]


def test_windows_fill_a_collection_of_their_own(folder: Path) -> None:
    store = ShelfStore()
    for stage1, overlap in (("cut", 3), ("windows", 3), ("windows", 2), ("cut", 2), ("windows", 3)):
        evaluate(plan(folder, stage1, overlap, store=store))
    whole, three, two, whole_again, three_again = store.names
    assert len({whole, three, two}) == 3
    assert (whole_again, three_again) == (whole, three)


def test_windows_that_a_store_keeps_are_not_embedded_again(folder: Path) -> None:
    store = ShelfStore()
    first, second = (evaluate(plan(folder, store=store)) for _ in range(2))
    assert (first.computed["documents"], second.computed["documents"]) == (14, 0)
    assert first.evidence == second.evidence


def test_remembered_documents_that_fit_serve_as_windows(folder: Path) -> None:
    cache = DictCache()
    evaluate(plan(folder, "cut", cache=cache))
    assert evaluate(plan(folder, cache=cache)).computed["documents"] == 3


def test_ids_that_look_like_windows_stay_apart(write_beir: BeirWriter) -> None:
    """A document whose id is that of another one's window."""
    documents = {f"note{n}": f"note{n}" for n in range(10)} | {"a\x1f0": "alpha", "a": " ".join(["beta"] * 20)}
    folder = write_beir(documents, {"q": "alpha", "r": "beta"}, [("q", "a\x1f0", 1), ("r", "a", 1)])
    result = evaluate(plan(folder))
    assert (dense(result, "q")[0], dense(result, "r")[0]) == ("a\x1f0", "a")


@pytest.mark.parametrize("engine", ["memory", "edge"])
def test_engines_find_the_same_windows(folder: Path, tmp_path: Path, engine: str) -> None:
    store: Any = MemoryStore()
    if engine == "edge":
        pytest.importorskip("qdrant_edge", reason="pip install 'evalkit-rerank[edge]' brings it")
        store = EdgeStore(tmp_path / "edge")
    found = evaluate(plan(folder, store=store)).evidence.candidates["q"]
    expected = evaluate(plan(folder)).evidence.candidates["q"]
    assert [one.doc_id for one in found] == [one.doc_id for one in expected]
    assert [one.stage1_score for one in found] == pytest.approx([one.stage1_score for one in expected], abs=1e-6)


class Lossy(ArrayStore):
    """Loses every second point that it is given."""

    def add(self, doc_ids: Sequence[str], vectors: Any) -> None:
        super().add(doc_ids[::2], vectors[::2])


def test_the_store_is_held_to_every_window(folder: Path) -> None:
    healthy, lossy = evaluate(plan(folder)), evaluate(plan(folder, store=Lossy()))
    assert (
        control_of(healthy, "store_complete").message == "expected the vector store to hold 14 windows; found 0 missing"
    )
    assert control_of(healthy, "store_finds").status == "passed"
    assert control_of(lossy, "store_complete").status == "failed"
