"""The embedded int8 models, on real texts, against transformers' tokenizer and bare onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.models.batching import MAX_BATCHED_DRIFT
from evalkit.models.onnx_graph import int8_instructions
from evalkit.ports import Pair
from tests.models.conftest import MIXED_PAIRS, onnx_embedder, onnx_reranker

Faq = tuple[dict[str, str], dict[str, str], dict[str, list[str]]]


@pytest.fixture(scope="module")
def pairs(faq: Faq) -> list[Pair]:
    queries, documents, ranked = faq
    chosen = list(ranked)[::9][:6]
    return [(queries[query], documents[doc][:900]) for query in chosen for doc in ranked[query][:5]]


@pytest.fixture(scope="module")
def reranker(carrier: Path) -> Any:
    return onnx_reranker(carrier / "reranker_en")


@pytest.fixture(scope="module")
def scores(reranker: Any, pairs: list[Pair]) -> np.ndarray:
    return reranker.score(pairs)


def bare(folder: Path, rows: list[Any]) -> np.ndarray:
    """Outputs of the graph in one batch, fed with what transformers' tokenizer returns."""
    import onnxruntime
    from transformers import AutoTokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, ["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    strategy = "only_second" if isinstance(rows[0], tuple) else True
    texts = list(zip(*rows, strict=True)) if isinstance(rows[0], tuple) else [rows]
    fed = tokenizer(*map(list, texts), truncation=strategy, max_length=512, padding=True, return_tensors="np")
    return session.run(None, {node.name: fed[node.name] for node in session.get_inputs()})[0]


def test_scores_equal_bare_onnxruntime_pair_by_pair(reranker: Any, carrier: Path, pairs: list[Pair]) -> None:
    some = [*pairs[:6], MIXED_PAIRS[2]]
    expected = [bare(carrier / "reranker_en", [pair])[0, 0] for pair in some]
    assert reranker.score(some).tolist() == expected


def test_a_score_is_the_same_alone_in_any_order_and_in_any_chunk(
    reranker: Any, pairs: list[Pair], scores: np.ndarray
) -> None:
    order = np.random.default_rng(0).permutation(len(pairs))
    assert np.array_equal(reranker.score([pairs[i] for i in order]), scores[order])
    chunks = [reranker.score(pairs[start : start + 7]) for start in range(0, len(pairs), 7)]
    assert np.array_equal(np.concatenate(chunks), scores)
    assert reranker.score([pairs[3]])[0] == scores[3]


def test_the_number_of_threads_changes_no_bit(carrier: Path, pairs: list[Pair], scores: np.ndarray) -> None:
    one, three = (onnx_reranker(carrier / "reranker_en", threads=count).score(pairs[:8]) for count in (1, 3))
    assert np.array_equal(one, three)
    assert np.array_equal(one, scores[:8])


def test_batching_the_int8_file_would_move_scores_as_the_rule_assumes(
    reranker: Any, carrier: Path, pairs: list[Pair], scores: np.ndarray
) -> None:
    moved = np.abs(bare(carrier / "reranker_en", pairs)[:, 0] - scores).max()
    assert MAX_BATCHED_DRIFT < moved <= reranker.batch_drift


def test_the_count_is_what_transformers_counts(reranker: Any, carrier: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(carrier / "reranker_en")
    filled = [pair for pair in MIXED_PAIRS if pair[1]]
    expected = [len(tokenizer(*pair, verbose=False)["input_ids"]) for pair in filled]
    assert reranker.count_tokens(filled).tolist() == expected


def test_an_answer_scores_above_another_text(reranker: Any) -> None:
    question = "How many people live in Berlin?"
    scores = reranker.score(
        [
            (question, "Berlin had a population of 3,520,031 registered inhabitants in an area of 892 km²."),
            (question, "Berlin is well known for its museums."),
            (question, "Bread is made of flour, water, yeast and salt."),
        ]
    )
    assert scores[0] > scores[1] > scores[2]


def test_vectors_equal_bare_onnxruntime_text_by_text(carrier: Path, faq: Faq) -> None:
    folder = carrier / "bge_small_en"
    texts = [*list(faq[1].values())[:5], "x"]
    found = onnx_embedder(folder).embed_documents(texts)
    states = [bare(folder, [text])[0, 0] for text in texts]
    assert np.allclose(found, [state / np.linalg.norm(state) for state in states], rtol=0, atol=1e-7)


def test_batching_the_int8_embedder_would_move_cosines_as_the_rule_assumes(carrier: Path, faq: Faq) -> None:
    folder = carrier / "bge_small_en"
    queries, documents = (list(texts.values())[:16] for texts in faq[:2])
    embedder = onnx_embedder(folder)
    alone = embedder.embed_queries(queries) @ embedder.embed_documents([text[:600] for text in documents]).T
    states = bare(folder, [*queries, *(text[:600] for text in documents)])[:, 0]
    vectors = states / np.linalg.norm(states, axis=1, keepdims=True)
    moved = np.abs(alone - vectors[: len(queries)] @ vectors[len(queries) :].T).max()
    assert MAX_BATCHED_DRIFT < moved <= embedder.batch_drift


def test_the_fingerprint_names_what_moves_int8_numbers(reranker: Any) -> None:
    fingerprint = reranker.fingerprint
    assert fingerprint["quantised"] is True
    assert fingerprint["instructions"] == int8_instructions() != ""
    assert {"weights", "file", "max_length", "onnxruntime"} <= fingerprint.keys()
