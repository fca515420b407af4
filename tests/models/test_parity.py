"""Every back end gives the same weights the same scores and the same order, cut or not.

``make bench BENCH=parity`` prints the table over more pairs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.ports import Pair
from tests.models.conftest import flag_reranker
from tests.models.parity import (
    EMBEDDERS,
    OTHER_RULE,
    RERANKERS,
    Agreement,
    Opened,
    Scorer,
    agreement,
    candidates,
    embedder_of,
    random_xlmr,
    scores,
    with_graph,
)

pytest.importorskip("onnx", reason="pip install 'evalkit-rerank[export]' brings what writes graphs")

QUESTIONS, LONG = 5, 2
WHOLE, CUT = 512, 64
"""Tokens that a model reads: as many as any of these pairs has, and few enough to cut most of them."""

BOUND = 2e-5
"""Logits go up to 11, where float32 has steps of 1e-6: so much is rounding."""

Opens = Callable[[Path, int], Opened[Scorer]]


@dataclass(frozen=True)
class Judged:
    """A model's folder with what the flag back end gives for each length."""

    folder: Path
    expected: dict[int, list[NDArray[np.float64]]]


@pytest.fixture(scope="module")
def asked() -> list[list[Pair]]:
    return candidates(QUESTIONS, 6, LONG)


def of_length(asked: list[list[Pair]], length: int) -> list[list[Pair]]:
    """Passages that stand as questions would be cut at any length."""
    return asked[:QUESTIONS] if length == WHOLE else asked


def given(opens: Opens, folder: Path, length: int, asked: list[list[Pair]]) -> list[NDArray[np.float64]]:
    with opens(folder, length) as scorer:
        return scores(scorer, of_length(asked, length))


def judged(
    folder: Path, back_ends: dict[str, Opens], asked: list[list[Pair]], lengths: tuple[int, ...] = (WHOLE, CUT)
) -> Judged:
    return Judged(folder, {length: given(back_ends["flag"], folder, length, asked) for length in lengths})


@pytest.fixture(scope="module")
def real(float_reranker: Path, tmp_path_factory: pytest.TempPathFactory, asked: list[list[Pair]]) -> Judged:
    folder = shutil.copytree(float_reranker, tmp_path_factory.mktemp("real") / "model")
    return judged(with_graph(folder, "reranker"), RERANKERS, asked)


@pytest.fixture(scope="module")
def xlmr(xlmr_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory, asked: list[list[Pair]]) -> Judged:
    """Only cut: its tokenizer takes seconds to load, and each length needs another one."""
    folder = random_xlmr(xlmr_tokenizer, tmp_path_factory.mktemp("wide"))
    return judged(with_graph(folder, "reranker"), RERANKERS, asked, (CUT,))


@pytest.fixture(scope="module")
def embedder(minilm: Path, tmp_path_factory: pytest.TempPathFactory, asked: list[list[Pair]]) -> Judged:
    return judged(embedder_of(minilm, tmp_path_factory.mktemp("embedder")), EMBEDDERS, asked)


def needed(name: str) -> None:
    """Skip, with a message, what runs on a library that is not installed."""
    for word, library in (("openvino", "openvino"), ("serve", "fastapi")):
        # Not importorskip: to import OpenVINO without care is to report it.
        if word in name and find_spec(library) is None:
            pytest.skip(f"pip install 'evalkit-rerank[{word}]' brings what runs this")


def compared(of: Judged, opens: Opens, length: int, asked: list[list[Pair]]) -> Agreement:
    return agreement(of.expected[length], given(opens, of.folder, length, asked))


@pytest.mark.parametrize("name", [name for name in RERANKERS if name != "flag"])
@pytest.mark.parametrize("model", ["real", "xlmr"])
def test_rerankers_agree_with_flag(
    model: str, name: str, asked: list[list[Pair]], request: pytest.FixtureRequest
) -> None:
    needed(name)
    of = request.getfixturevalue(model)
    for length in of.expected:
        found = compared(of, RERANKERS[name], length, asked)
        assert found.difference < BOUND
        assert found.identical == found.queries == len(of_length(asked, length))


@pytest.mark.parametrize("name", [name for name in EMBEDDERS if name != "flag"])
def test_embedders_agree_with_flag(name: str, asked: list[list[Pair]], embedder: Judged) -> None:
    needed(name)
    for length in embedder.expected:
        found = compared(embedder, EMBEDDERS[name], length, asked)
        assert found.difference < BOUND
        assert found.identical == found.queries == len(of_length(asked, length))


def test_the_comparison_sees_another_rule_of_cutting(real: Judged, asked: list[list[Pair]]) -> None:
    """What sentence-transformers itself cuts moves scores by far more than the bound; whole pairs do not move."""
    (opens,) = OTHER_RULE.values()
    assert compared(real, opens, WHOLE, asked).difference < BOUND
    assert compared(real, opens, CUT, asked).difference > 0.1


def test_these_pairs_are_read_whole_and_cut_as_is_said(real: Judged, asked: list[list[Pair]]) -> None:
    tokens = [flag_reranker(real.folder, max_length=WHOLE).count_tokens(pairs) for pairs in asked]
    assert max(counts.max() for counts in tokens[:QUESTIONS]) <= WHOLE
    assert np.mean(np.concatenate(tokens) > CUT) > 0.9
    assert np.concatenate(real.expected[CUT]).std() > 1


def test_differences_and_orders_are_counted_by_hand() -> None:
    expected: list[Any] = [np.array([3.0, 1.0, 2.0]), np.array([0.5, 0.25])]
    found: list[Any] = [np.array([3.0, 1.5, 2.0]), np.array([0.25, 0.375])]
    assert agreement(expected, found) == Agreement(0.5, 1, 2)
