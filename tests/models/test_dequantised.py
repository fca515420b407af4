"""Real weights through the production path: the carrier's models in float32, run by FlagEmbedding."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.conftest import flag_embedder, flag_reranker, onnx_embedder, onnx_reranker

Faq = tuple[dict[str, str], dict[str, str], dict[str, list[str]]]

LENGTH = {"max_length": 256}


@pytest.fixture(scope="module")
def floating(float_reranker: Path) -> Any:
    return flag_reranker(float_reranker, **LENGTH)


def test_int8_and_float_agree_on_the_order_of_real_candidates(carrier: Path, floating: Any, faq: Faq) -> None:
    queries, documents, ranked = faq
    chosen = list(ranked)[::11][:4]
    pairs = [(queries[query], documents[doc]) for query in chosen for doc in ranked[query]]
    integer = onnx_reranker(carrier / "reranker_en", **LENGTH).score(pairs).reshape(4, 10)
    exact = floating.score(pairs).reshape(4, 10)
    agreed = [
        (integer[row, one] > integer[row, two]) == (exact[row, one] > exact[row, two])
        for row in range(4)
        for one, two in combinations(range(10), 2)
    ]
    assert np.mean(agreed) > 0.97
    assert (integer.argmax(axis=1) == exact.argmax(axis=1)).sum() >= 3
    assert np.abs(integer - exact).max() < 0.3 * integer.std()


def test_float_scores_equal_compute_score_on_real_pairs(float_reranker: Path, floating: Any, faq: Faq) -> None:
    library = pytest.importorskip("FlagEmbedding").FlagReranker(str(float_reranker), devices="cpu", **LENGTH)
    queries, documents, ranked = faq
    pairs = [(queries[query], documents[docs[0]]) for query, docs in list(ranked.items())[:6]]
    expected = library.compute_score([list(pair) for pair in pairs])
    assert np.abs(floating.score(pairs) - expected).max() < 1e-5


def test_int8_and_float_vectors_are_close_and_find_the_same_documents(
    carrier: Path, float_embedder: Path, faq: Faq
) -> None:
    queries, documents = (list(texts.values())[:24] for texts in faq[:2])
    integer = onnx_embedder(carrier / "bge_small_en", max_length=128)
    floating = flag_embedder(float_embedder, max_length=128)
    cosines, exact = (
        embedder.embed_queries(queries) @ embedder.embed_documents(documents).T for embedder in (integer, floating)
    )
    assert np.abs(cosines - exact).max() < 0.05
    assert (cosines.argmax(axis=1) == exact.argmax(axis=1)).mean() > 0.9
