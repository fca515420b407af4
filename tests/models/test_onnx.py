"""ONNX backends on graphs small enough to compute by hand."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.errors import ConfigError, ModelError
from evalkit.models.runtimes import RUNTIMES
from evalkit.models.samples import PAIRS, TEXTS
from tests.models.conftest import onnx_embedder, onnx_reranker

pytest.importorskip("onnx", reason="pip install onnx writes the graphs of these tests")

WORDS = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "one": 10, "two": 20, "three": 30}


def write(folder: Path, nodes: Sequence[Any], inputs: Sequence[str], output_rank: int) -> Path:
    """A graph over int64 inputs with one float output ``out``, and a tokenizer of six words."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    given = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "tokens"]) for name in inputs]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * output_rank)
    axes = numpy_helper.from_array(np.array([1]), "axes")
    graph = helper.make_graph(list(nodes), "test", given, [out], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))

    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[PAD]"))  # noqa: S106 - not a password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def summing_reranker(tmp_path: Path) -> Path:
    """Scores a pair by the sum of its token ids; has no token_type_ids."""
    from onnx import helper

    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["numbers"], to=1),
        helper.make_node("ReduceSum", ["numbers", "axes"], ["out"], keepdims=1),
    ]
    return write(tmp_path, nodes, ["input_ids", "attention_mask"], 2)


@pytest.fixture
def echoing_embedder(tmp_path: Path) -> Path:
    """A token's state is (its id, its type id, 1)."""
    from onnx import helper

    nodes = [
        helper.make_node("Cast", [name], [f"{name}_number"], to=1)
        for name in ("input_ids", "token_type_ids", "attention_mask")
    ]
    nodes += [
        helper.make_node("Constant", [], ["last"], value_ints=[2]),
        helper.make_node("Unsqueeze", ["input_ids_number", "last"], ["ids_state"]),
        helper.make_node("Unsqueeze", ["token_type_ids_number", "last"], ["types_state"]),
        helper.make_node("Unsqueeze", ["attention_mask_number", "last"], ["mask_state"]),
        helper.make_node("Concat", ["ids_state", "types_state", "mask_state"], ["out"], axis=2),
    ]
    return write(tmp_path, nodes, ["input_ids", "attention_mask", "token_type_ids"], 3)


def test_pairs_are_joined_as_the_tokenizer_says_and_padding_does_not_count(summing_reranker: Path) -> None:
    reranker = onnx_reranker(summing_reranker)
    pairs = [("one", "two"), ("three", "three three one"), ("one", "")]
    assert reranker.score(pairs).tolist() == [10 + 20 + 5, 30 + 70 + 5, 10 + 5]
    assert reranker.count_tokens(pairs).tolist() == [5, 7, 4]


def test_a_long_document_is_cut_and_the_count_tells(summing_reranker: Path) -> None:
    reranker = onnx_reranker(summing_reranker, max_length=40)
    pair = ("one", "two " * 100)
    assert reranker.score([pair]).tolist() == [10 + 5 + 20 * (40 - 3 - 1)]
    assert reranker.count_tokens([pair]).tolist() == [104]


def test_a_long_query_is_cut_to_three_quarters_so_that_the_document_is_read(summing_reranker: Path) -> None:
    score = onnx_reranker(summing_reranker, max_length=40).score([("one " * 100, "three " * 100)])
    assert score.tolist() == [30 * 10 + 5 + 7 * 30]


def test_no_pair_gives_no_score(summing_reranker: Path) -> None:
    assert onnx_reranker(summing_reranker).score([]).shape == (0,)
    assert onnx_reranker(summing_reranker).count_tokens([]).shape == (0,)


def test_a_float_graph_that_keeps_its_items_apart_is_measured_not_to_move(summing_reranker: Path) -> None:
    assert onnx_reranker(summing_reranker).batch_drift == 0
    assert onnx_reranker(summing_reranker).fingerprint["quantised"] is False
    assert onnx_reranker(summing_reranker).fingerprint["instructions"] is None


@pytest.fixture
def crowding_reranker(tmp_path: Path) -> Path:
    """Scores a pair by the sum of its token ids, and 1 more for every pair of its batch."""
    from onnx import helper

    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["numbers"], to=1),
        helper.make_node("ReduceSum", ["numbers", "axes"], ["sums"], keepdims=1),
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Constant", [], ["first"], value_ints=[0]),
        helper.make_node("Gather", ["shape", "first"], ["size"]),
        helper.make_node("Cast", ["size"], ["crowd"], to=1),
        helper.make_node("Add", ["sums", "crowd"], ["out"]),
    ]
    return write(tmp_path, nodes, ["input_ids", "attention_mask"], 2)


def test_a_graph_that_mixes_its_items_is_measured_and_gets_one_at_a_time(crowding_reranker: Path) -> None:
    """All but one of the built-in pairs are neighbours of each; real texts may move ten times as far."""
    reranker = onnx_reranker(crowding_reranker)
    assert reranker.score([("one", "two"), ("one", "")]).tolist() == [35 + 1, 15 + 1]
    assert reranker.batch_drift == 10 * (len(PAIRS) - 1)


def test_inner_products_are_what_an_embedder_is_measured_by(tmp_path: Path) -> None:
    """A text's state is the size of its batch: alone 1 x 1, together 7 x 7."""
    from onnx import helper

    nodes = [
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Constant", [], ["first"], value_ints=[0]),
        helper.make_node("Gather", ["shape", "first"], ["size"]),
        helper.make_node("Constant", [], ["one"], value_ints=[1]),
        helper.make_node("Concat", ["shape", "one"], ["states"], axis=0),
        helper.make_node("Cast", ["size"], ["number"], to=1),
        helper.make_node("Expand", ["number", "states"], ["out"]),
    ]
    embedder = onnx_embedder(write(tmp_path, nodes, ["input_ids"], 3), normalize=False)
    assert len(TEXTS) == 7
    assert embedder.batch_drift == 10 * (7 * 7 - 1)


def test_the_move_is_measured_once_per_loaded_graph(crowding_reranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = onnx_reranker(crowding_reranker)
    before = reranker.batch_drift
    monkeypatch.setattr("evalkit.models.onnx.PAIRS", PAIRS[:2])
    assert reranker.score([("one", "two")]).tolist() == [36]
    assert reranker.batch_drift == before == 60
    assert onnx_reranker(crowding_reranker).batch_drift == 10


def test_a_fingerprint_is_read_without_loading_or_measuring_anything(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph, but it names DynamicQuantizeLinear")
    (tmp_path / "tokenizer.json").write_text("no tokenizer either")
    fingerprint = onnx_reranker(tmp_path).fingerprint
    assert (fingerprint["backend"], fingerprint["quantised"]) == ("onnx", True)


def test_a_loaded_reranker_travels_to_another_process(summing_reranker: Path) -> None:
    reranker = onnx_reranker(summing_reranker)
    reranker.score([("one", "two")])
    assert pickle.loads(pickle.dumps(reranker)).score([("one", "two")]).tolist() == [35]  # noqa: S301 - own bytes


@pytest.mark.parametrize(
    ("pooling", "expected"), [("cls", [[1, 0, 1], [1, 0, 1]]), ("mean", [[13 / 3, 0, 1], [63 / 5, 0, 1]])]
)
def test_pooling_ignores_padding(echoing_embedder: Path, pooling: str, expected: list[list[float]]) -> None:
    embedder = onnx_embedder(echoing_embedder, pooling=pooling, normalize=False)
    assert np.allclose(embedder.embed_documents(["one", "one two three"]), expected)


def test_vectors_have_length_one_when_asked(echoing_embedder: Path) -> None:
    vectors = onnx_embedder(echoing_embedder, pooling="mean").embed_queries(["one"])
    assert np.allclose(vectors, np.array([[13 / 3, 0, 1]]) / np.hypot(13 / 3, 1))
    assert vectors.dtype == np.float32


def test_prompts_are_put_before_queries_and_documents(echoing_embedder: Path) -> None:
    embedder = onnx_embedder(
        echoing_embedder, pooling="mean", normalize=False, query_prompt="two ", document_prompt="three "
    )
    assert np.allclose(embedder.embed_queries(["one"])[0, 0], (1 + 20 + 10 + 2) / 4)
    assert np.allclose(embedder.embed_documents(["one"])[0, 0], (1 + 30 + 10 + 2) / 4)


def test_a_long_text_keeps_its_end_token(echoing_embedder: Path) -> None:
    embedder = onnx_embedder(echoing_embedder, pooling="mean", normalize=False, max_length=32)
    assert np.allclose(embedder.embed_documents(["two " * 50])[0, 0], (1 + 30 * 20 + 2) / 32)


def classifier(folder: Path, outputs: int) -> Path:
    """Output i of a pair is i times the sum of its token ids, plus 100."""
    from onnx import helper

    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=1),
        helper.make_node("ReduceSum", ["numbers", "axes"], ["sum"], keepdims=1),
        helper.make_node("Constant", [], ["labels"], value_floats=[float(label) for label in range(outputs)]),
        helper.make_node("Mul", ["sum", "labels"], ["products"]),
        helper.make_node("Constant", [], ["hundred"], value_float=100.0),
        helper.make_node("Add", ["products", "hundred"], ["out"]),
    ]
    return write(folder, nodes, ["input_ids"], 2)


def test_of_two_outputs_the_log_odds_of_the_second_count(tmp_path: Path) -> None:
    """Logits of 100 and 135: their softmax is 1 in float32, and their log-odds 35."""
    assert onnx_reranker(classifier(tmp_path, 2)).score([("one", "two")]).tolist() == [35]


def test_a_classifier_with_three_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"shape \(1, 3\); a reranker gives one logit per pair, of shape \(pairs, 1\)"):
        onnx_reranker(classifier(tmp_path, 3)).score([("one", "two")])


def test_a_reranker_graph_is_refused_as_an_embedder(summing_reranker: Path) -> None:
    with pytest.raises(ModelError, match="expected the last hidden state"):
        onnx_embedder(summing_reranker).embed_queries(["one"])


def test_a_score_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=1),
        helper.make_node("ReduceSum", ["numbers", "axes"], ["sum"], keepdims=1),
        helper.make_node("Sub", ["sum", "sum"], ["zero"]),
        helper.make_node("Div", ["sum", "zero"], ["out"]),
    ]
    with pytest.raises(ModelError, match="not finite"):
        onnx_reranker(write(tmp_path, nodes, ["input_ids"], 2)).score([("one", "two")])


def test_an_input_that_nobody_can_give_is_named(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [helper.make_node("Cast", ["position_ids"], ["out"], to=1)]
    with pytest.raises(ModelError, match="asks for position_ids"):
        onnx_reranker(write(tmp_path, nodes, ["position_ids"], 2)).score([("one", "two")])


def test_constructors_open_nothing_and_first_use_names_what_is_missing(tmp_path: Path) -> None:
    reranker, embedder = onnx_reranker(tmp_path / "absent"), onnx_embedder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="there is no folder"):
        reranker.score([("one", "two")])
    with pytest.raises(ModelError, match=r"there is no file .*model\.onnx"):
        embedder.fingerprint  # noqa: B018 - reading it is the test


def test_a_damaged_graph_and_a_missing_tokenizer_are_named(tmp_path: Path, summing_reranker: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match=r"broken\.onnx cannot be loaded"):
        onnx_reranker(tmp_path, file="broken.onnx").score([("one", "two")])
    (summing_reranker / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer can be read from .*tokenizer\.json"):
        onnx_reranker(summing_reranker).count_tokens([("one", "two")])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_empty_graph_is_refused_before_it_is_read(runtime: str, summing_reranker: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(summing_reranker, tmp_path / "cut off"))
    (folder / "model.onnx").write_bytes(b"")
    reranker = onnx_reranker(folder, runtime=runtime)
    with pytest.raises(ModelError, match=r"model\.onnx is empty; expected an ONNX graph"):
        reranker.fingerprint  # noqa: B018 - reading it is the test
    with pytest.raises(ModelError, match=r"model\.onnx is empty; expected an ONNX graph"):
        reranker.score([("q", "d")])


def test_a_graph_that_fails_on_a_length_of_which_no_file_tells_says_so_at_first_use(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=1),
        helper.make_node("Constant", [], ["positions"], value_floats=[0.0] * 40),
        helper.make_node("Add", ["numbers", "positions"], ["states"]),
        helper.make_node("ReduceSum", ["states", "axes"], ["out"], keepdims=1),
    ]
    folder = write(tmp_path, nodes, ["input_ids"], 2)
    with pytest.raises(ModelError, match="failed on 50 tokens; if it reads fewer, lower max_length"):
        onnx_reranker(folder, max_length=50).score([("one", "two " * 36)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"max_length": 8}, "max_length"), ({"threads": 0}, "threads"), ({"token_budget": 0}, "token_budget")],
)
def test_impossible_options_are_refused_at_once(tmp_path: Path, changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        onnx_reranker(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message):
        onnx_embedder(tmp_path, **changes)


def test_an_unknown_pooling_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cls and mean"):
        onnx_embedder(tmp_path, pooling="max")
