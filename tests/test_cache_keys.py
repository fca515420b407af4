"""What is remembered belongs to its content and its model: nothing stale, nothing of another model, nothing mixed up.

The expected rankings follow from :class:`WordEmbedder`: the query "alpha" has inner product 1 with the
document "alpha" and 0 with documents of other words, which then stand by id.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.metrics import parse_metrics
from evalkit.findings import Expectation
from evalkit.pipeline import evaluate
from evalkit.ports import Vectors
from evalkit.result import EvalResult
from evalkit.stages import Plan
from evalkit.testing import ArrayStore, DictCache, FunctionReranker, WordEmbedder
from evalkit.types import Fingerprint, Metric
from tests.conftest import BeirWriter, beir, plan_of

DOCUMENTS = {"d1": "alpha", "d2": "beta", "d3": "gamma"}

OTHER_FINGERPRINTS = [{"model": "others"}, {"revision": "2"}, {"dimension": 512}, {"dimension": "256"}]
"""What may differ between two embedders; all of them differ from ``WordEmbedder()``."""


class SignedEmbedder(WordEmbedder):
    """Another model: its vectors of documents, of queries, or of both point the other way.

    Args:
        differs: Entries of its fingerprint that are not ``WordEmbedder``'s.
        documents, queries: -1 turns the vectors of that kind around.
    """

    def __init__(self, differs: Fingerprint, documents: int = 1, queries: int = 1) -> None:
        super().__init__()
        self._differs = differs
        self._signs = documents, queries

    @property
    def fingerprint(self) -> Fingerprint:
        return {**super().fingerprint, **self._differs}

    def embed_documents(self, texts: Any) -> Vectors:
        return self._signs[0] * super().embed_documents(texts)

    def embed_queries(self, texts: Any) -> Vectors:
        return self._signs[1] * super().embed_documents(texts)


class ContraryEmbedder(WordEmbedder):
    """Its query "alpha" asks for documents of the word beta, and the other way round."""

    def embed_queries(self, texts: Any) -> Vectors:
        swapped = {"alpha": "beta", "beta": "alpha"}
        return super().embed_documents([swapped.get(text, text) for text in texts])


class ShelfStore(ArrayStore):
    """Keeps the vectors of every collection for as long as the object lives.

    Attributes:
        names: The collections that were opened, in order.
    """

    persistent = True

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._shelves: dict[str, Any] = {}

    def open(self, collection: str) -> None:
        self.names.append(collection)
        self._vectors = self._shelves.setdefault(collection, {})

    def close(self) -> None:
        self._vectors = {}


def small_plan(folder: Path, **changes: Any) -> Plan:
    """All of a corpus of three is retrieved and reranked."""
    parts: dict[str, Any] = {
        "top_ks": (3,),
        "metrics": parse_metrics(["map"]),
        "expectation": Expectation(Metric("map"), 3, 0, 100),
    }
    return plan_of(beir(folder), **{**parts, **changes})


def dense(result: EvalResult, query_id: str = "q") -> list[str]:
    return [candidate.doc_id for candidate in result.evidence.candidates[query_id]]


def ask_alpha(write_beir: BeirWriter, documents: dict[str, str], folder: str) -> Path:
    return write_beir(documents, {"q": "alpha"}, [("q", "d1", 1)], folder=folder)


# --- content, not ids -----------------------------------------------------------------------------


def test_a_document_whose_text_changed_is_embedded_anew_under_its_old_id(write_beir: BeirWriter) -> None:
    """The word moves from d1 to d3, and d3 must be found first; d2 is as it was."""
    before = ask_alpha(write_beir, DOCUMENTS, "before")
    after = ask_alpha(write_beir, {"d1": "delta", "d2": "beta", "d3": "alpha epsilon"}, "after")
    cache, embedder = DictCache(), WordEmbedder()
    assert dense(evaluate(small_plan(before, cache=cache))) == ["d1", "d2", "d3"]
    result = evaluate(small_plan(after, cache=cache, embedder=embedder))
    assert dense(result) == ["d3", "d1", "d2"]
    assert result.computed["documents"] == 2
    assert embedder.texts == 2


def test_a_text_that_was_embedded_is_known_under_another_id(write_beir: BeirWriter) -> None:
    before = ask_alpha(write_beir, DOCUMENTS, "before")
    after = ask_alpha(write_beir, {"d1": "gamma", "d2": "beta", "d3": "alpha"}, "after")
    cache, embedder = DictCache(), WordEmbedder()
    evaluate(small_plan(before, cache=cache))
    assert dense(evaluate(small_plan(after, cache=cache, embedder=embedder))) == ["d3", "d1", "d2"]
    assert embedder.texts == 0


def test_a_question_whose_text_changed_is_embedded_and_scored_anew_under_its_old_id(write_beir: BeirWriter) -> None:
    before = write_beir(DOCUMENTS, {"q": "alpha"}, [("q", "d1", 1)], folder="before")
    after = write_beir(DOCUMENTS, {"q": "gamma"}, [("q", "d1", 1)], folder="after")
    cache = DictCache()
    evaluate(small_plan(before, cache=cache))
    result = evaluate(small_plan(after, cache=cache))
    assert dense(result) == ["d3", "d1", "d2"]
    assert [candidate.rerank_score for candidate in result.evidence.candidates["q"]] == [1.0, 0.0, 0.0]
    assert result.computed == {"documents": 0, "queries": 1, "pairs": 3}


# --- one model's vectors --------------------------------------------------------------------------


@pytest.mark.parametrize("differs", OTHER_FINGERPRINTS, ids=str)
@pytest.mark.parametrize("turned", ["documents", "queries"])
def test_another_embedder_never_reads_the_vectors_of_the_first(
    write_beir: BeirWriter, differs: Fingerprint, turned: str
) -> None:
    """Turned around, the inner products are -1, 0, 0: "alpha" comes last."""
    folder, cache = ask_alpha(write_beir, DOCUMENTS, "beir"), DictCache()
    other = SignedEmbedder(differs, **{turned: -1})
    assert dense(evaluate(small_plan(folder, cache=cache))) == ["d1", "d2", "d3"]
    assert dense(evaluate(small_plan(folder, cache=cache, embedder=other))) == ["d2", "d3", "d1"]
    assert other.texts == 4
    again = WordEmbedder()
    assert dense(evaluate(small_plan(folder, cache=cache, embedder=again))) == ["d1", "d2", "d3"]
    assert again.texts == 0


def test_the_order_in_which_a_fingerprint_lists_its_entries_means_nothing(write_beir: BeirWriter) -> None:
    class Reordered(WordEmbedder):
        @property
        def fingerprint(self) -> Fingerprint:
            return dict(reversed(list(super().fingerprint.items())))

    folder, cache, embedder = ask_alpha(write_beir, DOCUMENTS, "beir"), DictCache(), Reordered()
    evaluate(small_plan(folder, cache=cache))
    evaluate(small_plan(folder, cache=cache, embedder=embedder))
    assert embedder.texts == 0


# --- a query is not a document --------------------------------------------------------------------


def test_a_question_is_embedded_as_a_question_although_a_document_has_its_very_text(write_beir: BeirWriter) -> None:
    folder = ask_alpha(write_beir, DOCUMENTS, "beir")
    result = evaluate(small_plan(folder, embedder=ContraryEmbedder()))
    assert dense(result) == ["d2", "d1", "d3"]
    assert result.computed["queries"] == 1


def test_a_document_is_embedded_as_a_document_although_a_question_had_its_very_text(write_beir: BeirWriter) -> None:
    """The first corpus lacks the text "alpha"; its query's vector is in the cache when d1 gets it."""
    before = ask_alpha(write_beir, {**DOCUMENTS, "d1": "delta"}, "before")
    after = ask_alpha(write_beir, DOCUMENTS, "after")
    cache = DictCache()
    evaluate(small_plan(before, cache=cache, embedder=ContraryEmbedder()))
    result = evaluate(small_plan(after, cache=cache, embedder=ContraryEmbedder()))
    assert dense(result) == ["d2", "d1", "d3"]
    assert [candidate.stage1_score for candidate in result.evidence.candidates["q"]] == [1.0, 0.0, 0.0]
    assert result.computed["documents"] == 1


# --- collections of stores that keep vectors ------------------------------------------------------


def test_the_same_corpus_and_embedder_open_the_same_collection(write_beir: BeirWriter) -> None:
    folder, store = ask_alpha(write_beir, DOCUMENTS, "beir"), ShelfStore()
    evaluate(small_plan(folder, store=store))
    result = evaluate(small_plan(folder, store=store))
    assert result.computed["documents"] == 0
    assert dense(result) == ["d1", "d2", "d3"]
    assert len(store.names) == 2
    assert len(set(store.names)) == 1
    assert re.fullmatch(r"[a-z0-9_-]+", store.names[0])


def test_other_questions_about_the_same_corpus_share_its_collection(write_beir: BeirWriter) -> None:
    store = ShelfStore()
    evaluate(small_plan(write_beir(DOCUMENTS, {"q": "alpha"}, [("q", "d1", 1)], folder="first"), store=store))
    other = write_beir(DOCUMENTS, {"r": "gamma"}, [("r", "d3", 1)], folder="second")
    result = evaluate(small_plan(other, store=store))
    assert result.computed["documents"] == 0
    assert dense(result, "r") == ["d3", "d1", "d2"]
    assert len(set(store.names)) == 1


@pytest.mark.parametrize("differs", OTHER_FINGERPRINTS, ids=str)
def test_another_embedder_opens_another_collection(write_beir: BeirWriter, differs: Fingerprint) -> None:
    folder, store = ask_alpha(write_beir, DOCUMENTS, "beir"), ShelfStore()
    assert dense(evaluate(small_plan(folder, store=store))) == ["d1", "d2", "d3"]
    other = evaluate(small_plan(folder, store=store, embedder=SignedEmbedder(differs, documents=-1)))
    assert dense(other) == ["d2", "d3", "d1"]
    assert other.computed["documents"] == 3
    assert len(set(store.names)) == 2


@pytest.mark.parametrize("field", ["text", "title"])
def test_a_changed_document_opens_another_collection(write_beir: BeirWriter, field: str) -> None:
    """The ids are the same: a store asked for what is missing would not notice the new content."""
    folder, store = ask_alpha(write_beir, {**DOCUMENTS, "d1": "delta"}, "beir"), ShelfStore()
    assert dense(evaluate(small_plan(folder, store=store))) == ["d1", "d2", "d3"]
    corpus = folder / "corpus.jsonl"
    rows = [json.loads(line) for line in corpus.read_text("utf-8").splitlines()]
    rows[2][field] = "alpha"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert dense(evaluate(small_plan(folder, store=store))) == ["d3", "d1", "d2"]
    assert len(set(store.names)) == 2


def test_remembered_vectors_of_another_embedder_never_reach_a_store_that_keeps_them(write_beir: BeirWriter) -> None:
    folder, cache = ask_alpha(write_beir, DOCUMENTS, "beir"), DictCache()
    evaluate(small_plan(folder, cache=cache))
    other = SignedEmbedder({"revision": "2"}, documents=-1)
    assert dense(evaluate(small_plan(folder, cache=cache, store=ShelfStore(), embedder=other))) == ["d2", "d3", "d1"]


# --- pairs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", ["", " ", "\n", "\t", "|", "\x00", "\x1f"], ids=repr)
def test_pairs_whose_texts_join_to_the_same_string_keep_their_own_scores(write_beir: BeirWriter, joint: str) -> None:
    """("ab", "c") and ("a", "bc") both read "abc"; so they do around a separator that the texts hold."""
    scores = {
        (f"a{joint}b", "c"): 1.0,
        ("a", f"b{joint}c"): 2.0,
        (f"a{joint}b", f"b{joint}c"): 3.0,
        ("a", "c"): 4.0,
    }
    folder = write_beir(
        {"c": "c", "bc": f"b{joint}c"}, {"ab": f"a{joint}b", "a": "a"}, [("ab", "c", 1), ("a", "bc", 1)]
    )
    reranker = FunctionReranker(lambda query, document: scores[query, document], "table")
    expectation = Expectation(Metric("map"), 2, 0, 100)
    result = evaluate(small_plan(folder, reranker=reranker, top_ks=(2,), expectation=expectation))
    found = {
        (query_id, candidate.doc_id): candidate.rerank_score
        for query_id, candidates in result.evidence.candidates.items()
        for candidate in candidates
    }
    assert found == {("ab", "c"): 1.0, ("a", "bc"): 2.0, ("ab", "bc"): 3.0, ("a", "c"): 4.0}
    assert result.scoring.pairs == 4
