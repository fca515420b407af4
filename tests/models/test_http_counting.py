"""A reranker behind a server with its tokenizer at hand counts and splits as the same model in process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evalkit.ports import AskedByQuery, CountsPairTokens
from tests.models.asking import counting, reranker
from tests.models.conftest import MIXED_PAIRS, flag_reranker, onnx_reranker

LONG = [
    ("What is Debian?", "Debian is a distribution of free software, made by volunteers. " * 40),
    ("word " * 200, "Bread is made of flour, water, yeast and salt. " * 20),
    ("Zürich?", "Die Aufbewahrungspflicht beträgt zehn Jahre. " * 60),
]
PAIRS = [*MIXED_PAIRS, *LONG]


@pytest.mark.parametrize("max_length", [64, 128])
def test_tokens_and_windows_are_those_of_onnx_in_process(carrier: Path, max_length: int) -> None:
    here, there = (
        onnx_reranker(carrier / "reranker_en", max_length=max_length),
        counting(carrier / "reranker_en", max_length=max_length),
    )
    np.testing.assert_array_equal(there.count_tokens(PAIRS), here.count_tokens(PAIRS))
    assert there.windows(PAIRS, 16) == here.windows(PAIRS, 16)
    assert max(map(len, there.windows(PAIRS, 16))) > 5
    assert there.max_length == here.max_length == max_length


def test_tokens_and_windows_are_those_of_flag_in_process(xlmr_reranker: Path) -> None:
    """But for white space at the end of a text, which transformers takes away from XLM-R before it reads."""
    here, there = flag_reranker(xlmr_reranker), counting(xlmr_reranker)
    pairs = [(query.strip(), document.strip()) for query, document in PAIRS]
    np.testing.assert_array_equal(there.count_tokens(pairs), here.count_tokens(pairs))
    assert there.windows(pairs, 16) == here.windows(pairs, 16)


def test_only_a_reranker_with_a_tokenizer_counts_and_both_are_asked_by_query(minilm: Path) -> None:
    assert not isinstance(reranker(), CountsPairTokens)
    assert isinstance(counting(minilm), CountsPairTokens)
    assert isinstance(reranker(), AskedByQuery)
    assert isinstance(counting(minilm), AskedByQuery)
    assert not isinstance(onnx_reranker(minilm), AskedByQuery)
