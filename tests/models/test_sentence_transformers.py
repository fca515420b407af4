"""The sentence-transformers back ends against the library's own loops."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.errors import ConfigError, ModelError
from evalkit.ports import CountsTokens
from tests.models.conftest import MIXED_PAIRS
from tests.models.sentence_models import save_embedder, save_language_model, st_embedder, st_reranker

TEXTS = [text for pair in MIXED_PAIRS for text in pair]
SHORT = [pair for pair in MIXED_PAIRS if len(pair[0] + pair[1]) < 200]
"""Pairs of which nothing is cut, so that it does not matter what the library would cut."""


@pytest.fixture(scope="module")
def pooled(tiny_embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mean pooling, vectors of any length, prompts of its own."""
    prompts = {"prompts": {"query": "ask: ", "document": "read: "}}
    return save_embedder(tmp_path_factory.mktemp("pooled"), tiny_embedder, "mean", **prompts)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language_model(tmp_path_factory.mktemp("qwen"), TEXTS, "Judge the document.")


def changed(folder: Path, folder_out: Path, name: str, **changes: Any) -> Path:
    """A copy of a model of which one JSON file says something else."""
    shutil.copytree(folder, folder_out)
    path = folder_out / name
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | changes))
    return folder_out


def cross_encoder(folder: Path, **options: Any) -> Any:
    import torch
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity(), **options)


# --- rerankers ------------------------------------------------------------------------------------


def test_scores_equal_predict_where_nothing_is_cut(tiny_reranker: Path) -> None:
    expected = cross_encoder(tiny_reranker).predict(SHORT)
    found = st_reranker(tiny_reranker).score(SHORT)
    assert np.ptp(expected) > 0.1
    assert np.abs(found - expected).max() < 1e-5


def test_the_sigmoid_of_a_configuration_is_left_out(tiny_reranker: Path, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    named = {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}
    folder = changed(tiny_reranker, tmp_path / "sigmoid", "config.json", **named)
    squashed = CrossEncoder(str(folder), device="cpu").predict(SHORT)
    found = st_reranker(folder).score(SHORT)
    assert np.abs(1 / (1 + np.exp(-found)) - squashed).max() < 1e-6
    assert found.min() < 0 < found.max()


def test_the_query_is_cut_first_and_then_the_document(tiny_reranker: Path) -> None:
    """By hand: 128 tokens, 96 of them for the query, 3 special ones; words of one token each."""
    reranker = st_reranker(tiny_reranker)
    query, document = "word " * 200, "long " * 300
    cut = [("word " * 96, "long " * 29), ("word " * 96, "long " * 30), ("word " * 97, "long " * 29)]
    assert reranker.count_tokens(cut).tolist() == [128, 129, 129]
    scores = reranker.score([(query, document), *cut])
    assert np.abs(scores - scores[0]).max() < 1e-5
    assert abs(reranker.score([("word " * 95, "long " * 30)])[0] - scores[0]) > 1e-3
    assert abs(st_reranker(tiny_reranker, query_max_length=20).score([(query, document)])[0] - scores[0]) > 1e-3


def test_prompts_are_put_before_each_text(tiny_reranker: Path) -> None:
    prompted = st_reranker(tiny_reranker, query_prompt="A: ", document_prompt="B: ").score(SHORT)
    assert (
        np.abs(prompted - cross_encoder(tiny_reranker).predict([(f"A: {q}", f"B: {d}") for q, d in SHORT])).max() < 1e-5
    )
    assert np.abs(prompted - st_reranker(tiny_reranker).score(SHORT)).max() > 1e-3


def test_a_query_prompt_of_null_is_the_models_own(tiny_reranker: Path, tmp_path: Path) -> None:
    own = {"prompts": {"search": "A: "}, "default_prompt_name": "search", "model_type": "CrossEncoder"}
    folder = changed(tiny_reranker, tmp_path / "prompted", "config_sentence_transformers.json", **own)
    expected = st_reranker(tiny_reranker, query_prompt="A: ").score(SHORT)
    assert np.array_equal(st_reranker(folder).score(SHORT), expected)
    assert np.array_equal(st_reranker(folder, query_prompt="").score(SHORT), st_reranker(tiny_reranker).score(SHORT))


def test_a_score_does_not_depend_on_order_or_neighbours(tiny_reranker: Path) -> None:
    reranker = st_reranker(tiny_reranker)
    together = reranker.score(MIXED_PAIRS)
    assert np.abs(reranker.score(MIXED_PAIRS[::-1])[::-1] - together).max() <= reranker.batch_drift
    assert abs(reranker.score(MIXED_PAIRS[3:4])[0] - together[3]) <= reranker.batch_drift


def test_real_logits_move_by_less_than_the_stated_drift(float_reranker: Path, faq: Any) -> None:
    queries, documents, ranked = faq
    pairs = [(queries[query], documents[doc]) for query in list(ranked)[::29] for doc in ranked[query][:4]]
    batched, alone = (st_reranker(float_reranker, max_length=256, token_budget=budget) for budget in (8192, 1))
    moved = np.abs(batched.score(pairs) - alone.score(pairs)).max()
    assert len(pairs) == 20
    assert 0 < moved <= batched.batch_drift


def test_windows_are_read_whole_beside_the_query(tiny_reranker: Path) -> None:
    reranker = st_reranker(tiny_reranker, query_prompt="A: ", document_prompt="B: ", max_length=64)
    query, text = "What is Debian?", " ".join(f"word{place}" for place in range(80))
    (windows,) = reranker.windows([(query, text)], 5)
    assert len(windows) > 2
    assert reranker.count_tokens([(query, window) for window in windows]).max() <= 64
    assert windows[0].split()[0] == "word0"
    assert windows[-1].split()[-1] == "word79"


# --- language models as rerankers -----------------------------------------------------------------


def test_a_language_model_answers_behind_its_chat_template(language_model: Path) -> None:
    library = cross_encoder(language_model)
    expected = library.predict(SHORT)
    assert np.ptp(expected) > 0.1
    assert np.abs(st_reranker(language_model, max_length=256).score(SHORT) - expected).max() < 1e-5
    asked = st_reranker(language_model, max_length=256, query_prompt="Say yes.").score(SHORT)
    assert np.abs(asked - library.predict(SHORT, prompt="Say yes.")).max() < 1e-5
    assert np.abs(asked - expected).max() > 1e-3


def test_only_the_texts_in_a_template_are_cut(language_model: Path) -> None:
    reranker = st_reranker(language_model, max_length=160, query_max_length=20)
    pair = ("word " * 50, "long " * 300)
    counted = reranker.count_tokens([pair, SHORT[0]]).tolist()
    tokenizer = cross_encoder(language_model).tokenizer
    assert counted[1] == len(
        cross_encoder(language_model).preprocess([SHORT[0]], prompt="Judge the document.")["input_ids"][0]
    )
    (item,) = reranker._tokenise([pair])
    read = tokenizer.decode(item["input_ids"])
    assert counted[0] > 160 >= len(item["input_ids"]) > 150
    assert read.startswith("<system>Judge the document.</system><query>word word")
    assert read.endswith("</document>relevant?")
    assert len(tokenizer(read.split("<query>")[1].split("</query>")[0])["input_ids"]) <= 20


def test_a_template_that_leaves_no_room_is_refused(language_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"max_length 64 leaves -\d+ tokens to a query of up to"):
        st_reranker(language_model, max_length=64).score(SHORT)


def test_a_language_model_that_says_not_how_it_is_asked_is_refused(language_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(language_model, tmp_path / "bare"))
    for name in ("modules.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match="nothing beside the model says how a pair is put to it"):
        st_reranker(folder).score(SHORT)


# --- embedders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "lasttoken"])
def test_vectors_equal_encode(tiny_embedder: Path, pooling: str, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = save_embedder(tmp_path, tiny_embedder, pooling, dense=True)
    library = SentenceTransformer(str(folder), device="cpu")
    library.max_seq_length = 128
    embedder = st_embedder(folder, normalize=False)
    expected = library.encode(TEXTS)
    assert expected.shape[1] == 12
    assert np.abs(embedder.embed_documents(TEXTS) - expected).max() < 1e-5
    normed = library.encode(TEXTS, normalize_embeddings=True)
    assert np.abs(st_embedder(folder).embed_documents(TEXTS) - normed).max() < 1e-5


def test_real_weights_give_the_librarys_vectors_at_its_own_length(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    embedder = st_embedder(minilm, max_length=None)
    expected = SentenceTransformer(str(minilm), device="cpu").encode(TEXTS)
    assert embedder.max_length == 256  # sentence_bert_config.json; the tokenizer would read 512
    assert np.abs(embedder.embed_documents(TEXTS) - expected).max() < 1e-5


def test_prompts_of_null_are_the_models_own_and_others_win(pooled: Path) -> None:
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(pooled), device="cpu")
    own, none = st_embedder(pooled, normalize=False), st_embedder(pooled, query_prompt="", normalize=False)
    assert np.abs(own.embed_queries(TEXTS[:4]) - library.encode_query(TEXTS[:4])).max() < 1e-5
    assert np.abs(own.embed_documents(TEXTS[:2]) - library.encode_document(TEXTS[:2])).max() < 1e-5
    assert np.abs(none.embed_queries(TEXTS[:4]) - library.encode(TEXTS[:4])).max() < 1e-5
    other = st_embedder(pooled, query_prompt="other: ", normalize=False)
    assert np.abs(other.embed_queries(TEXTS[:4]) - library.encode(TEXTS[:4], prompt="other: ")).max() < 1e-5
    assert np.abs(own.embed_queries(TEXTS[:4]) - own.embed_documents(TEXTS[:4])).max() > 1e-3


def test_saved_dimensions_are_kept(tiny_embedder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = save_embedder(tmp_path, tiny_embedder, "mean", truncate_dim=6)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS[:3], normalize_embeddings=True)
    assert expected.shape == (3, 6)
    assert np.abs(st_embedder(folder).embed_queries(TEXTS[:3]) - expected).max() < 1e-5


def test_a_folder_that_says_not_how_to_pool_is_refused(tiny_embedder: Path) -> None:
    with pytest.raises(ModelError, match=r"says nowhere how to pool.*embedder=flag_folder"):
        st_embedder(tiny_embedder).embed_queries(["one"])


def test_a_reranker_is_no_embedder_and_an_embedder_no_reranker(pooled: Path, language_model: Path) -> None:
    with pytest.raises(ModelError, match=r"no modules\.json of a SentenceTransformer"):
        st_embedder(language_model).embed_queries(["one"])
    with pytest.raises(ModelError, match=r"4 parameters of XLMRobertaFor.*classifier\.dense\.bias"):
        st_reranker(pooled).score(SHORT)


def test_pooling_without_the_prompt_is_refused(pooled: Path, tmp_path: Path) -> None:
    folder = changed(pooled, tmp_path / "without", "1_Pooling/config.json", include_prompt=False)
    with pytest.raises(ModelError, match="leaves its prompt out when it pools"):
        st_embedder(folder).embed_queries(["one"])


def test_a_document_counts_with_its_prompt_and_special_tokens(pooled: Path) -> None:
    """Two special tokens and the two of ``read:``; words that WordPiece knows whole."""
    embedder = st_embedder(pooled)
    assert embedder.count_tokens(["house is old", "", "house " * 200]).tolist() == [7, 4, 204]
    assert isinstance(embedder, CountsTokens)
    (windows,) = embedder.windows([" ".join(f"word{place}" for place in range(120))], 5)
    assert len(windows) > 1
    assert embedder.count_tokens(windows).max() <= 128


# --- both -----------------------------------------------------------------------------------------


def test_counting_loads_no_model(pooled: Path, tiny_reranker: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(tiny_reranker / name, tmp_path)
    assert st_reranker(tmp_path).count_tokens(SHORT).tolist() == st_reranker(tiny_reranker).count_tokens(SHORT).tolist()
    assert st_embedder(tmp_path, document_prompt="read: ").count_tokens(["old"]) == st_embedder(pooled).count_tokens(
        ["old"]
    )


def test_a_max_length_of_null_is_what_the_files_say(tiny_reranker: Path, tmp_path: Path) -> None:
    assert st_reranker(tiny_reranker, max_length=None).max_length == 128
    folder = changed(tiny_reranker, tmp_path / "shorter", "sentence_bert_config.json", max_seq_length=64)
    assert st_reranker(folder, max_length=None).max_length == 64
    endless = changed(tiny_reranker, tmp_path / "endless", "config.json", max_position_embeddings=None)
    (endless / "tokenizer_config.json").unlink()
    with pytest.raises(ConfigError, match=r"reranker\.max_length is null, but no file"):
        st_reranker(endless, max_length=None).max_length  # noqa: B018 - reading it is the test


def test_more_than_the_model_reads_is_refused(tiny_reranker: Path, pooled: Path) -> None:
    with pytest.raises(ConfigError, match=r"reranker.max_length is 512, .* reads 128 tokens"):
        st_reranker(tiny_reranker, max_length=512).count_tokens(SHORT)
    with pytest.raises(ConfigError, match=r"embedder.max_length is 512, .* reads 128 tokens"):
        st_embedder(pooled, max_length=512).embed_queries(["one"])


def test_the_libraries_write_nothing_to_the_terminal(
    tiny_reranker: Path, pooled: Path, language_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    st_reranker(tiny_reranker).score(MIXED_PAIRS)
    st_reranker(tiny_reranker).count_tokens(MIXED_PAIRS)
    st_reranker(language_model, max_length=256).score(MIXED_PAIRS)
    st_embedder(pooled).embed_documents(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_nothing_in_gives_nothing_out(tiny_reranker: Path, pooled: Path) -> None:
    assert st_reranker(tiny_reranker).score([]).shape == (0,)
    assert st_reranker(tiny_reranker).count_tokens([]).shape == (0,)
    assert st_reranker(tiny_reranker).windows([], 5) == []
    assert len(st_embedder(pooled).embed_queries([])) == 0
    assert st_embedder(pooled).count_tokens([]).shape == (0,)


def test_a_classifier_with_two_labels_is_refused(tiny_reranker: Path, tmp_path: Path) -> None:
    import transformers

    folder = Path(shutil.copytree(tiny_reranker, tmp_path / "two"))
    config = transformers.XLMRobertaConfig.from_pretrained(folder, num_labels=2)
    transformers.XLMRobertaForSequenceClassification(config).save_pretrained(folder)
    with pytest.raises(ModelError, match="gives 2 numbers per pair; a reranker gives one"):
        st_reranker(folder).score(SHORT)


def test_an_adapter_without_its_base_is_refused(tiny_reranker: Path, tmp_path: Path) -> None:
    folder = changed(
        tiny_reranker, tmp_path / "adapter", "adapter_config.json", base_model_name_or_path="someone/model"
    )
    with pytest.raises(ModelError, match="names another model as its base"):
        st_reranker(folder).score(SHORT)


def test_impossible_options_are_refused_at_once(tmp_path: Path) -> None:
    for make in (st_reranker, st_embedder):
        for changes, message in (
            ({"dtype": "float16"}, "dtype float16 needs a GPU"),
            ({"dtype": "int4"}, "known are float32, float16, bfloat16"),
            ({"device": 0}, "device is of type int; expected text, or null"),
            ({"max_length": 4}, "max_length is 4; expected a whole number of at least 32, or null"),
            ({"token_budget": 0}, "token_budget is 0"),
            ({"trust_remote_code": "no"}, "trust_remote_code is 'no'; expected true or false"),
            ({"query_prompt": 5}, "query_prompt is of type int; expected text, or null"),
        ):
            with pytest.raises(ConfigError, match=message):
                make(tmp_path, **changes)
    with pytest.raises(ConfigError, match="query_max_length is 128; expected less than max_length, 128"):
        st_reranker(tmp_path, query_max_length=128)
    with pytest.raises(ConfigError, match="normalize is 1"):
        st_embedder(tmp_path, normalize=1)


def test_constructors_open_nothing_and_first_use_names_what_is_missing(tmp_path: Path) -> None:
    reranker, embedder = st_reranker(tmp_path / "absent"), st_embedder(tmp_path / "absent")
    with pytest.raises(ModelError, match="there is no folder"):
        reranker.score(SHORT)
    with pytest.raises(ModelError, match="there is no folder"):
        embedder.embed_queries(["one"])
    with pytest.raises(ModelError, match=r"has no tokenizer that can be loaded|cannot be loaded"):
        st_reranker(tmp_path).score(SHORT)


def test_the_fingerprint_imports_no_torch(tiny_reranker: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.models.sentence_models import st_embedder, st_reranker\n"
        f"folder = Path({str(tiny_reranker)!r})\n"
        "assert st_reranker(folder).fingerprint['class'] == 'CrossEncoder'\n"
        "assert st_embedder(folder).fingerprint['device'] == 'cpu'\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


def test_the_fingerprint_changes_with_every_option_that_changes_numbers(tiny_reranker: Path) -> None:
    for make, other in ((st_reranker, {"query_max_length": 20}), (st_embedder, {"normalize": False})):
        base = make(tiny_reranker).fingerprint
        changes = {"max_length": 64, "query_prompt": "q", "document_prompt": "d", "trust_remote_code": True}
        for name, value in {**changes, **other}.items():
            assert make(tiny_reranker, **{name: value}).fingerprint != base
        assert make(tiny_reranker, token_budget=7).fingerprint == base
        assert make(tiny_reranker, device=None).fingerprint.keys() == base.keys()


def test_loaded_models_travel_to_another_process(tiny_reranker: Path, pooled: Path) -> None:
    reranker, embedder = st_reranker(tiny_reranker), st_embedder(pooled)
    scores, vectors = reranker.score(SHORT[:1]), embedder.embed_queries(["one"])
    sent = pickle.dumps((reranker, embedder))
    assert len(sent) < 10_000
    copies = pickle.loads(sent)  # noqa: S301 - own bytes
    assert np.array_equal(copies[0].score(SHORT[:1]), scores)
    assert np.array_equal(copies[1].embed_queries(["one"]), vectors)


# --- code that comes with the weights -------------------------------------------------------------


@pytest.fixture
def with_code(tiny_reranker: Path, tmp_path: Path) -> Path:
    """A model whose own class adds 100 to every score."""
    folder = changed(
        tiny_reranker,
        tmp_path / "coded",
        "config.json",
        model_type="coded",
        auto_map={"AutoConfig": "coded.CodedConfig", "AutoModelForSequenceClassification": "coded.CodedModel"},
    )
    (folder / "coded.py").write_text(
        "from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification\n\n\n"
        "class CodedConfig(XLMRobertaConfig):\n    model_type = 'coded'\n\n\n"
        "class CodedModel(XLMRobertaForSequenceClassification):\n    config_class = CodedConfig\n\n"
        "    def forward(self, *arguments, **named):\n"
        "        found = super().forward(*arguments, **named)\n"
        "        found.logits = found.logits + 100\n"
        "        return found\n"
    )
    return folder


def test_code_runs_only_when_told_to_and_is_announced_once(
    with_code: Path,
    tiny_reranker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    with pytest.raises(ModelError, match="trust_remote_code"):
        st_reranker(with_code).score(SHORT)
    plain = st_reranker(tiny_reranker).score(SHORT)
    with caplog.at_level(logging.WARNING, "evalkit.models"):
        trusting = st_reranker(with_code, trust_remote_code=True).score(SHORT)
        st_reranker(with_code, trust_remote_code=True).count_tokens(SHORT)
    assert np.abs(trusting - plain - 100).max() < 1e-4
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["trust_remote_code is true"]


@pytest.mark.parametrize("error", ["AttributeError", "TypeError", "KeyError", "ImportError"])
def test_whatever_foreign_code_raises_is_said_of_the_model(
    error: str, with_code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    with (with_code / "coded.py").open("a") as code:
        code.write(f"\n    def __init__(self, *_):\n        raise {error}('made for another version')\n")
    with pytest.raises(ModelError, match=r"cannot be loaded as CrossEncoder: .*made for another version"):
        st_reranker(with_code, trust_remote_code=True).score(SHORT)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_another_repository_is_refused(tiny_reranker: Path, name: str, tmp_path: Path) -> None:
    folder = changed(tiny_reranker, tmp_path / "foreign", name, auto_map={"AutoModel": "someone/else--code.Model"})
    with pytest.raises(ModelError, match=r"no revision here pins: someone/else--code\.Model"):
        st_reranker(folder, trust_remote_code=True).score(SHORT)
