"""bge-m3's sparse weights and its own scores against FlagEmbedding's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.errors import ConfigError, ModelError
from evalkit.models.flag_m3 import FlagSparseEncoder
from tests.models.conftest import MIXED_PAIRS, flag_m3, flag_sparse

TEXTS = [text for pair in MIXED_PAIRS for text in pair]
WEIGHTS = {"dense": 0.4, "sparse": 0.2, "colbert": 0.4}
KEYS = {"dense": "dense", "sparse": "sparse", "colbert": "colbert", "weighted": "colbert+sparse+dense"}


@pytest.fixture(scope="module")
def library(tiny_m3: Path) -> Any:
    module = pytest.importorskip("FlagEmbedding")
    lengths = {"query_max_length": 128, "passage_max_length": 128}
    return module.BGEM3FlagModel(str(tiny_m3), use_fp16=False, devices="cpu", **lengths)


@pytest.fixture(scope="module")
def expected(library: Any) -> dict[str, Any]:
    """Pair by pair: in a batch, FlagEmbedding lets padding match."""
    scored = [library.compute_score([list(pair)], weights_for_different_modes=[0.4, 0.2, 0.4]) for pair in MIXED_PAIRS]
    return {key: np.array([one[key][0] for one in scored]) for key in scored[0]}


def test_sparse_vectors_equal_the_lexical_weights(library: Any, tiny_m3: Path) -> None:
    told = library.encode_corpus(TEXTS, return_dense=False, return_sparse=True)["lexical_weights"]
    found = flag_sparse(tiny_m3).encode_documents(TEXTS)
    assert [[str(term) for term in vector.indices] for vector in found] == [sorted(one, key=int) for one in told]
    differences = [
        abs(value - one[str(term)])
        for vector, one in zip(found, told, strict=True)
        for term, value in zip(vector.indices, vector.values, strict=True)
    ]
    assert len(differences) > 50
    assert max(differences) < 1e-5
    assert flag_sparse(tiny_m3).encode_queries(TEXTS[:1])[0].values.tolist() == found[0].values.tolist()


@pytest.mark.parametrize("mode", list(KEYS))
def test_scores_equal_compute_score_pair_by_pair(expected: dict[str, Any], tiny_m3: Path, mode: str) -> None:
    found = flag_m3(tiny_m3, mode=mode).score(MIXED_PAIRS)
    assert np.ptp(expected[KEYS[mode]]) > 0.01
    assert np.abs(found - expected[KEYS[mode]]).max() < 1e-5


def test_weights_are_shares_of_their_sum(tiny_m3: Path) -> None:
    parts = {mode: flag_m3(tiny_m3, mode=mode).score(MIXED_PAIRS) for mode in WEIGHTS}
    weighted = flag_m3(tiny_m3, mode="weighted", mode_weights={"dense": 1, "sparse": 0, "colbert": 3})
    assert np.abs(weighted.score(MIXED_PAIRS) - (parts["dense"] + 3 * parts["colbert"]) / 4).max() < 1e-6


def test_late_interaction_is_the_mean_of_the_best_matches(library: Any, tiny_m3: Path) -> None:
    query, document = "What is Debian?", "Debian is a distribution of free software."
    one, two = library.encode_corpus([query, document], return_dense=False, return_colbert_vecs=True)["colbert_vecs"]
    found = flag_m3(tiny_m3).score([(query, document)])
    assert found[0] == pytest.approx((one @ two.T).max(axis=1).mean(), abs=1e-5)


@pytest.mark.parametrize("mode", list(KEYS))
def test_a_score_does_not_depend_on_order_or_neighbours(tiny_m3: Path, mode: str) -> None:
    reranker = flag_m3(tiny_m3, mode=mode)
    together = reranker.score(MIXED_PAIRS)
    alone = np.array([reranker.score([pair])[0] for pair in MIXED_PAIRS])
    assert np.abs(reranker.score(MIXED_PAIRS[::-1])[::-1] - together).max() <= reranker.batch_drift
    assert np.abs(alone - together).max() <= reranker.batch_drift


def test_each_text_is_read_once_however_many_pairs_it_stands_in(tiny_m3: Path) -> None:
    reranker = flag_m3(tiny_m3)
    model = reranker._library.copies[0].model
    forward, read = model.forward, []

    def counting(inputs: Any, **options: Any) -> Any:
        read.append(len(inputs["input_ids"]))
        return forward(inputs, **options)

    model.forward = counting
    queries, documents = ["one", "two", "three"], ["first", "second", "third", "fourth"]
    pairs = [(query, document) for query in queries for document in documents]
    scores = reranker.score(pairs).reshape(3, 4)
    assert sum(read) == 7
    assert scores[2, 1] == pytest.approx(flag_m3(tiny_m3).score([("three", "second")])[0], abs=1e-6)


def test_the_longer_text_decides_whether_a_pair_is_cut(tiny_m3: Path) -> None:
    """A token is a byte here, beside the first and the last one of every text."""
    reranker = flag_m3(tiny_m3, max_length=32)
    assert reranker.count_tokens([("a", "a b c"), ("a b c", "a"), ("a", "b " * 25)]).tolist() == [7, 7, 52]
    (windows,) = reranker.windows([("a", "b " * 25)], 0)
    assert len(windows) == 2
    assert reranker.count_tokens([("a", window) for window in windows]).max() == 31
    cut, whole = reranker.score([("a", "b " * 25), ("a", "b " * 15)])
    assert cut == pytest.approx(whole, abs=1e-6)


def test_nothing_in_gives_nothing_out(tmp_path: Path) -> None:
    assert flag_sparse(tmp_path / "absent").encode_documents([]) == []
    assert flag_m3(tmp_path / "absent").score([]).shape == (0,)
    assert flag_m3(tmp_path / "absent").count_tokens([]).shape == (0,)


def test_a_model_without_the_linear_heads_is_refused(tiny_m3: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_m3, tmp_path / "dense", ignore=shutil.ignore_patterns("sparse_linear.pt")))
    with pytest.raises(ModelError, match=r"lacks sparse_linear\.pt; .* would stay random without"):
        flag_sparse(folder).encode_queries(["one"])
    with pytest.raises(ModelError, match=r"lacks sparse_linear\.pt"):
        flag_m3(folder).score(MIXED_PAIRS)


@pytest.mark.parametrize("mode", list(KEYS))
def test_a_number_that_is_not_finite_is_refused(tiny_m3: Path, mode: str) -> None:
    reranker, encoder = flag_m3(tiny_m3, mode=mode), flag_sparse(tiny_m3)
    for model in (reranker._library.copies[0].model, encoder._library.copies[0].model):
        model.model.encoder.layer[1].output.LayerNorm.bias.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        reranker.score(MIXED_PAIRS[:1])
    with pytest.raises(ModelError, match="not finite"):
        encoder.encode_documents(TEXTS[:1])


def test_the_fingerprint_tells_the_parts_of_a_score_apart(tiny_m3: Path) -> None:
    prints = [flag_m3(tiny_m3, mode=mode).fingerprint for mode in KEYS]
    prints += [flag_m3(tiny_m3, mode="weighted", mode_weights={**WEIGHTS, "sparse": 0.3}).fingerprint]
    prints += [flag_m3(tiny_m3, max_length=64).fingerprint, flag_sparse(tiny_m3).fingerprint]
    assert len({str(one) for one in prints}) == 7
    ignored = flag_m3(tiny_m3, mode_weights={**WEIGHTS, "sparse": 0.3}).fingerprint
    assert ignored == flag_m3(tiny_m3).fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "late"}, "mode is 'late'; known are dense, sparse, colbert, weighted"),
        ({"mode_weights": [0.4, 0.2, 0.4]}, "mode_weights is .*; expected a number of at least 0 for each of dense"),
        ({"mode_weights": {"dense": 1}}, "mode_weights is .*; expected a number"),
        ({"mode_weights": {"dense": 0, "sparse": 0, "colbert": 0}}, "mode_weights is .*not all of them 0"),
        ({"mode_weights": {**WEIGHTS, "dense": -1}}, "mode_weights is .*; expected a number"),
        ({"mode_weights": {**WEIGHTS, "dense": True}}, "mode_weights is .*; expected a number"),
    ],
)
def test_impossible_options_are_refused_at_once(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        flag_m3(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": 8}, "retrieval.sparse.max_length is 8; expected a whole number of at least 32"),
        ({"token_budget": 0}, "retrieval.sparse.token_budget is 0"),
        ({"dtype": "int4"}, "retrieval.sparse.dtype is 'int4'; known are"),
        ({"dtype": "float16"}, "retrieval.sparse.dtype float16 needs a GPU"),
        ({"device": 0}, "retrieval.sparse.device is of type int; expected text, or null"),
        ({"device": "meta"}, "retrieval.sparse.device is 'meta'; expected "),
        ({"max_length": 4096}, "retrieval.sparse.max_length is 4096, but the model reads "),
    ],
)
def test_what_is_wrong_with_the_sparse_encoder_is_named_where_it_is_set(
    changes: dict[str, Any], message: str, tiny_m3: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        flag_sparse(tiny_m3, **changes).encode_documents(["one"])


def test_weights_of_the_sparse_encoder_are_named_where_they_are_set() -> None:
    with pytest.raises(ConfigError, match=r"retrieval\.sparse\.weights is '/models/m3'; expected CarrierWeights"):
        FlagSparseEncoder("/models/m3", "float32", "cpu", 128, 1024)  # type: ignore[arg-type]


@pytest.mark.parametrize("head", ["colbert_linear.pt", "sparse_linear.pt"])
def test_a_head_that_was_cut_off_is_named(head: str, tiny_m3: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_m3, tmp_path / "cut"))
    (folder / head).write_bytes(b"")
    with pytest.raises(ModelError, match=r"cut cannot be loaded as BGEM3FlagModel"):
        flag_m3(folder).score(MIXED_PAIRS)
