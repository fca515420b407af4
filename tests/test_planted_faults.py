"""Faults that people really make, planted in a whole run: each is caught and named, and the result is invalid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import DataError
from evalkit.pipeline import evaluate
from evalkit.result import EvalResult
from evalkit.testing import FunctionReranker, WordEmbedder
from tests.conftest import BeirWriter, beir, plan_of

N = 150
WORDS = [f"word{number}" for number in range(600)]


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    """Each question repeats four words of its note and adds noise; notes share common words."""
    rng = np.random.default_rng(5)
    documents = {f"d{n:03}": " ".join(rng.choice(WORDS, 12)) for n in range(N)}
    queries = {f"q{n:03}": " ".join([*documents[f"d{n:03}"].split()[:4], *rng.choice(WORDS, 8)]) for n in range(N)}
    return write_beir(documents, queries, [(f"q{n:03}", f"d{n:03}", 1) for n in range(N)])


def overlap(query: str, document: str) -> float:
    """The number of shared words, those of long documents first on ties."""
    return len(set(query.split()) & set(document.split())) + len(document) / 1000


def evaluated(folder: Path, function: Callable[[str, str], float], name: str) -> EvalResult:
    reranker = FunctionReranker(function, name)
    return evaluate(plan_of(beir(folder), reranker=reranker, embedder=WordEmbedder(1 << 12), top_ks=(10, 30)))


def failed(result: EvalResult) -> set[str]:
    return {control.name for control in result.assessment.controls if control.status == "failed"}


def test_a_useful_reranker_raises_no_alarm(folder: Path) -> None:
    result = evaluated(folder, overlap, "useful")
    assert failed(result) == set()
    assert result.assessment.verdict.status != "invalid"


def test_a_reranker_that_sorts_ascending(folder: Path) -> None:
    result = evaluated(folder, lambda query, document: -overlap(query, document), "ascending")
    assert failed(result) == {"direction"}
    assert result.assessment.verdict.status == "invalid"
    assert "direction" in result.assessment.verdict.reason


def test_scores_that_are_shifted_by_one_pair(folder: Path) -> None:
    """The scores lie one pair further in the order of candidates, as a wrong join of two tables leaves them."""
    previous = [0.0]

    def shifted(query: str, document: str) -> float:
        score, previous[0] = previous[0], overlap(query, document)
        return score

    assert {"alignment", "replay"} & failed(evaluated(folder, shifted, "shifted"))


def test_a_corpus_that_was_chunked_anew_under_the_old_ids(folder: Path) -> None:
    """The texts moved to other ids, the judgments did not: labels say no more than chance."""
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    texts = [row["text"] for row in rows]
    moved = [{**row, "text": text} for row, text in zip(rows, texts[7:] + texts[:7], strict=True)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in moved))
    result = evaluated(folder, overlap, "useful")
    assert failed(result) == {"labels"}
    assert "labels" in result.assessment.verdict.reason


def test_a_corpus_that_was_chunked_anew_under_new_ids(folder: Path) -> None:
    corpus = folder / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace('"_id": "d', '"_id": "chunk-d'))
    with pytest.raises(DataError, match="d000"):
        evaluated(folder, overlap, "useful")
