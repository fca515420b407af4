"""Faults that only show while the store and the reranker are at hand, each planted and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.pipeline import evaluate
from evalkit.testing import ArrayStore, DictCache, FunctionReranker, WordEmbedder
from tests.conftest import BeirWriter, beir, plan_of
from tests.results import control_of

CITIES = [f"Town{number}" for number in range(40)]


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    documents = {f"{c}-{t}": f"the {t} of the client in {c}" for c in CITIES for t in ("rent", "wages", "tax")}
    queries = {f"q-{c}": f"what is the rent in {c}" for c in CITIES}
    return write_beir(documents, queries, [(f"q-{c}", f"{c}-rent", 1) for c in CITIES])


def test_a_healthy_run_passes(folder: Path) -> None:
    result = evaluate(plan_of(beir(folder)))
    assert {control_of(result, name).status for name in ("store_complete", "store_finds", "replay")} == {"passed"}
    assert result.assessment.status == "ok"


class HalfSearched(ArrayStore):
    """Says that it holds every document and searches only the first half of them."""

    def search(self, vectors: Any, limit: int) -> Any:
        everything, half = self._vectors, len(self._vectors) // 2
        self._vectors = dict(list(everything.items())[:half])
        try:
            return super().search(vectors, limit)
        finally:
            self._vectors = everything


def test_a_stage_1_that_searches_half_the_documents_is_found(folder: Path) -> None:
    result = evaluate(plan_of(beir(folder), store=HalfSearched()))
    found = control_of(result, "store_finds")
    assert found.status == "failed"
    assert "that the search does not return" in found.message
    assert result.assessment.verdict.status == "invalid"
    assert "store_finds" in result.assessment.verdict.reason


class Forgetful(ArrayStore):
    """Loses every second document that it is given."""

    def add(self, doc_ids: Any, vectors: Any) -> None:
        super().add(doc_ids[::2], vectors[::2])


def test_a_store_that_lost_documents_is_found(folder: Path) -> None:
    result = evaluate(plan_of(beir(folder), store=Forgetful()))
    found = control_of(result, "store_complete")
    assert found.status == "failed"
    assert "hold 120 documents; found " in found.message
    assert control_of(result, "store_finds").status == "skipped"
    assert result.assessment.status == "invalid"


class Lengths(WordEmbedder):
    """Vectors that are not normalised: long ones beat a short one at its own vector."""

    def embed_documents(self, texts: Any) -> NDArray[np.float32]:
        vectors = super().embed_documents(texts)
        return (vectors * np.linspace(1, 50, len(vectors))[:, None]).astype(np.float32)


def test_vectors_that_are_not_normalised_raise_no_alarm(folder: Path) -> None:
    assert control_of(evaluate(plan_of(beir(folder), embedder=Lengths())), "store_finds").status == "passed"


class Shifted(FunctionReranker):
    """Returns the score of the next pair of its batch."""

    def score(self, pairs: Any) -> Any:
        return np.roll(super().score(pairs), 1)


class Swayed(FunctionReranker):
    """A score depends on the other pairs of its batch, as that of an int8 model does."""

    def score(self, pairs: Any) -> Any:
        scores = super().score(pairs)
        return scores + scores.mean()


@pytest.mark.parametrize("kind", [Shifted, Swayed])
def test_scores_that_depend_on_their_batch_are_found(folder: Path, kind: type[FunctionReranker]) -> None:
    result = evaluate(plan_of(beir(folder), reranker=kind(name="planted")))
    found = control_of(result, "replay")
    assert found.status == "failed"
    assert "found one that moved by" in found.message


def test_remembered_scores_of_another_reranker_under_the_same_name_are_found(folder: Path) -> None:
    """A fingerprint that leaves something out returns stale scores; half of the queries are new here."""
    cache = DictCache()
    evaluate(plan_of(beir(folder, limit=20), cache=cache))
    other = FunctionReranker(lambda _, document: float(len(document)), "overlap")
    assert control_of(evaluate(plan_of(beir(folder), cache=cache, reranker=other)), "replay").status == "failed"


def test_a_warm_run_scores_nothing_again(folder: Path) -> None:
    cache = DictCache()
    evaluate(plan_of(beir(folder), cache=cache))
    reranker = FunctionReranker()
    result = evaluate(plan_of(beir(folder), cache=cache, reranker=reranker))
    assert reranker.pairs == 0
    assert control_of(result, "replay").status == "skipped"
