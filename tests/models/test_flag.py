"""The FlagEmbedding backends against FlagEmbedding's own loops and sentence-transformers."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.errors import ConfigError, ModelError
from tests.models.conftest import MIXED_PAIRS, flag_embedder, flag_reranker
from tests.models.sentence_models import st_reranker

TEXTS = [text for pair in MIXED_PAIRS for text in pair]


@pytest.fixture(scope="module")
def flag_embedding() -> Any:
    return pytest.importorskip("FlagEmbedding")


@pytest.mark.parametrize("model", ["xlmr_reranker", "tiny_reranker"])
def test_scores_equal_compute_score(flag_embedding: Any, model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    library = flag_embedding.FlagReranker(str(folder), devices="cpu", max_length=128)
    expected = library.compute_score([list(pair) for pair in MIXED_PAIRS])
    found = flag_reranker(folder).score(MIXED_PAIRS)
    assert np.ptp(expected) > 0.1
    assert np.abs(found - expected).max() < 1e-5


def test_scores_equal_compute_score_with_prompts_and_a_query_limit(flag_embedding: Any, tiny_reranker: Path) -> None:
    library = flag_embedding.FlagReranker(
        str(tiny_reranker),
        devices="cpu",
        max_length=64,
        query_max_length=20,
        query_instruction_for_rerank="A: ",
        passage_instruction_for_rerank="B: ",
    )
    expected = library.compute_score([list(pair) for pair in MIXED_PAIRS])
    options = {"max_length": 64, "query_max_length": 20, "query_prompt": "A: ", "document_prompt": "B: "}
    assert np.abs(flag_reranker(tiny_reranker, **options).score(MIXED_PAIRS) - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("model", "model_class", "pooling"),
    [
        ("xlmr_embedder", "BGEM3FlagModel", "cls"),
        ("tiny_embedder", "BGEM3FlagModel", "mean"),
        ("tiny_embedder", "FlagModel", "cls"),
        ("tiny_embedder", "FlagModel", "mean"),
        ("tiny_gemma", "FlagLLMModel", "last_token"),
    ],
)
def test_vectors_equal_the_librarys_own(
    flag_embedding: Any, model: str, model_class: str, pooling: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    lengths = {"query_max_length": 128, "passage_max_length": 128}
    library = getattr(flag_embedding, model_class)(
        str(folder),
        use_fp16=False,
        devices="cpu",
        pooling_method=pooling,
        query_instruction_for_retrieval="query: ",
        query_instruction_format="{}{}",
        **lengths,
    )
    queries, documents = library.encode_queries(TEXTS), library.encode_corpus(TEXTS)
    if model_class == "BGEM3FlagModel":
        queries, documents = queries["dense_vecs"], documents["dense_vecs"]
    ours = flag_embedder(folder, model_class=model_class, pooling=pooling, query_prompt="query: ")
    assert np.abs(ours.embed_queries(TEXTS) - queries).max() < 1e-5
    assert np.abs(ours.embed_documents(TEXTS) - documents).max() < 1e-5
    assert np.abs(queries - documents).max() > 1e-3


def test_real_weights_give_the_vectors_of_sentence_transformers(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["What is Debian?", "Debian is a distribution of free software.", "Bread and salt"]
    expected = SentenceTransformer(str(minilm), device="cpu").encode(texts, show_progress_bar=False)
    found = flag_embedder(minilm, pooling="mean").embed_documents(texts)
    assert np.abs(found - expected).max() < 1e-5


def test_a_score_does_not_depend_on_order_or_neighbours(tiny_reranker: Path) -> None:
    reranker = flag_reranker(tiny_reranker)
    together = reranker.score(MIXED_PAIRS)
    assert np.abs(reranker.score(MIXED_PAIRS[::-1])[::-1] - together).max() <= reranker.batch_drift
    assert abs(reranker.score(MIXED_PAIRS[3:4])[0] - together[3]) <= reranker.batch_drift


def test_the_count_is_what_transformers_counts_and_loads_no_model(tiny_reranker: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(tiny_reranker / name, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    filled = [pair for pair in MIXED_PAIRS if pair[1]]
    expected = [len(tokenizer(*pair, verbose=False)["input_ids"]) for pair in filled]
    assert flag_reranker(tmp_path).count_tokens(filled).tolist() == expected
    assert max(expected) > 128


def test_the_libraries_write_nothing_to_the_terminal(
    tiny_reranker: Path, tiny_embedder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    flag_reranker(tiny_reranker).score(MIXED_PAIRS)
    flag_reranker(tiny_reranker).count_tokens(MIXED_PAIRS)
    flag_embedder(tiny_embedder, model_class="BGEM3FlagModel").embed_documents(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_nothing_in_gives_nothing_out(tiny_reranker: Path, tiny_embedder: Path) -> None:
    assert flag_reranker(tiny_reranker).score([]).shape == (0,)
    assert flag_reranker(tiny_reranker).count_tokens([]).shape == (0,)
    assert len(flag_embedder(tiny_embedder).embed_queries([])) == 0


def test_a_body_without_head_is_refused_as_a_reranker(tiny_embedder: Path) -> None:
    with pytest.raises(ModelError, match=r"4 parameters of XLMRobertaFor.*classifier\.dense\.bias"):
        flag_reranker(tiny_embedder).score(MIXED_PAIRS)


def test_foreign_weights_are_refused_as_an_embedder(tiny_embedder: Path, minilm: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_embedder, tmp_path / "mixed"))
    shutil.copy(minilm / "model.safetensors", folder)
    with pytest.raises(ModelError):
        flag_embedder(folder).embed_queries(["one"])


def test_a_reranker_without_pooler_weights_still_embeds(tiny_reranker: Path) -> None:
    assert flag_embedder(tiny_reranker).embed_queries(["one"]).shape == (1, 16)


def test_a_classifier_with_two_labels_is_refused(tiny_reranker: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_reranker, tmp_path / "two"))
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "no", "1": "yes"}
    config["label2id"] = {"no": 0, "yes": 1}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"2 numbers per pair|cannot be loaded"):
        flag_reranker(folder).score(MIXED_PAIRS)


@pytest.mark.parametrize("make", [flag_reranker, st_reranker])
@pytest.mark.parametrize("kept", [0, 100, 100_000])
def test_weights_that_were_cut_off_are_named(make: Any, kept: int, tiny_reranker: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_reranker, tmp_path / "cut"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"cut cannot be loaded"):
        make(folder).score(MIXED_PAIRS)


@pytest.mark.parametrize("make", [flag_reranker, flag_embedder])
def test_half_precision_on_the_cpu_is_refused(tmp_path: Path, make: Any) -> None:
    for dtype in ("float16", "bfloat16"):
        with pytest.raises(ConfigError, match="needs a GPU"):
            make(tmp_path, dtype=dtype)
    with pytest.raises(ConfigError, match="known are float32, float16, bfloat16"):
        make(tmp_path, dtype="int4")


def test_other_impossible_options_are_refused_at_once(tmp_path: Path) -> None:
    for make in (flag_reranker, flag_embedder):
        with pytest.raises(ConfigError, match="max_length"):
            make(tmp_path, max_length=4)
        with pytest.raises(ConfigError, match="token_budget"):
            make(tmp_path, token_budget=0)
    with pytest.raises(ConfigError, match="query_max_length"):
        flag_reranker(tmp_path, max_length=128, query_max_length=128)
    flag_reranker(tmp_path, max_length=128, query_max_length=127)
    with pytest.raises(ConfigError, match="known to FlagModel: cls and mean"):
        flag_embedder(tmp_path, pooling="max")
    with pytest.raises(ConfigError, match="known to FlagLLMModel: last_token"):
        flag_embedder(tmp_path, model_class="FlagLLMModel")
    with pytest.raises(ConfigError, match="BGEM3FlagModel, FlagModel and FlagLLMModel"):
        flag_embedder(tmp_path, model_class="FlagICLModel")


def test_constructors_open_nothing_and_first_use_names_what_is_missing(tmp_path: Path) -> None:
    reranker, embedder = flag_reranker(tmp_path / "absent"), flag_embedder(tmp_path)
    with pytest.raises(ModelError, match="there is no folder"):
        reranker.score(MIXED_PAIRS)
    with pytest.raises(ModelError, match=r"cannot be loaded"):
        embedder.embed_queries(["one"])


def test_the_fingerprint_imports_no_torch(tiny_reranker: Path) -> None:
    code = (
        "import sys\n"
        "from tests.models.conftest import Path, flag_embedder, flag_reranker\n"
        f"folder = Path({str(tiny_reranker)!r})\n"
        "assert flag_reranker(folder).fingerprint['device'] == 'cpu'\n"
        "assert flag_embedder(folder).fingerprint['class'] == 'FlagModel'\n"
        "assert not {'torch', 'transformers', 'FlagEmbedding'} & sys.modules.keys()\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


def test_the_fingerprint_changes_with_every_option_that_changes_numbers(tiny_reranker: Path) -> None:
    base = flag_reranker(tiny_reranker).fingerprint
    changes = {"max_length": 64, "query_max_length": 20, "query_prompt": "q", "document_prompt": "d"}
    for name, value in changes.items():
        assert flag_reranker(tiny_reranker, **{name: value}).fingerprint != base
    assert flag_reranker(tiny_reranker, token_budget=7).fingerprint == base
    assert flag_reranker(tiny_reranker, device=None).fingerprint.keys() == base.keys()


def test_a_loaded_reranker_travels_to_another_process(tiny_reranker: Path) -> None:
    reranker = flag_reranker(tiny_reranker)
    expected = reranker.score(MIXED_PAIRS[:1])
    copy = pickle.loads(pickle.dumps(reranker))  # noqa: S301 - own bytes
    assert np.array_equal(copy.score(MIXED_PAIRS[:1]), expected)
