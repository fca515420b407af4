"""A ``max_length`` beyond the model is refused as soon as a file tells what the model reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError, ModelError
from evalkit.models.limits import refuse_too_long
from tests.models.conftest import flag_embedder, flag_reranker, onnx_embedder, onnx_reranker


def told(folder: Path, config: Any = None, tokenizer: Any = None) -> Path:
    """A folder with what is given of ``config.json`` and ``tokenizer_config.json``."""
    folder.mkdir(exist_ok=True)
    for name, content in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        if content is not None:
            (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("config", "tokenizer", "limit"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, None, 512),
        (None, {"model_max_length": 256}, 256),
        ({"max_position_embeddings": 512}, {"model_max_length": 384}, 384),
        ({"max_position_embeddings": 512}, {"model_max_length": 10**30}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 1_000_000}, 512),
        # bge-reranker-v2-m3 as published: 8194 rows of positions, of which the first two are never used.
        ({"model_type": "xlm-roberta", "max_position_embeddings": 8194, "pad_token_id": 1}, None, 8192),
        ({"model_type": "roberta", "max_position_embeddings": 514}, None, 512),
    ],
)
def test_the_smallest_known_limit_is_allowed_and_one_more_is_not(
    config: Any, tokenizer: Any, limit: int, tmp_path: Path
) -> None:
    told(tmp_path, config, tokenizer)
    refuse_too_long("embedder", limit, tmp_path)
    with pytest.raises(ConfigError, match=f"embedder.max_length is {limit + 1}, .* reads {limit} tokens"):
        refuse_too_long("embedder", limit + 1, tmp_path)


@pytest.mark.parametrize(
    ("config", "tokenizer"),
    [
        (None, None),
        ({}, {}),
        ({"max_position_embeddings": None}, {"model_max_length": 10**30}),
        ({"max_position_embeddings": -1}, {"model_max_length": "512"}),
        ({"model_type": "deberta-v2", "max_position_embeddings": 512, "position_biased_input": False}, None),
    ],
)
def test_where_no_file_tells_nothing_is_refused(config: Any, tokenizer: Any, tmp_path: Path) -> None:
    folder = told(tmp_path, config, tokenizer)
    refuse_too_long("embedder", 100_000, folder)
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512}')
    with pytest.raises(ConfigError, match="reads 512 tokens"):
        refuse_too_long("embedder", 100_000, folder)


def test_files_beside_the_graph_are_read_before_those_of_the_folder(tmp_path: Path) -> None:
    folder = told(tmp_path, {"max_position_embeddings": 64}, {"model_max_length": 80})
    beside = told(tmp_path / "onnx", {"max_position_embeddings": 512})
    with pytest.raises(ConfigError, match=r"reads 80 tokens \(model_max_length in .*tokenizer_config.json\)"):
        refuse_too_long("reranker", 100, beside, folder)


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_damaged_configuration_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelError, match=r"config\.json"):
        refuse_too_long("embedder", 100, tmp_path)


def test_the_limit_is_where_torch_runs_out_of_positions(tiny_embedder: Path, tmp_path: Path) -> None:
    import torch
    import transformers

    model = transformers.XLMRobertaModel.from_pretrained(tiny_embedder)
    model(input_ids=torch.full((1, 129), 7))
    with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
        model(input_ids=torch.full((1, 130), 7))
    shutil.copy(tiny_embedder / "config.json", tmp_path)
    refuse_too_long("embedder", 129, tmp_path)
    with pytest.raises(ConfigError, match="reads 129 tokens"):
        refuse_too_long("embedder", 130, tmp_path)


def test_onnx_backends_refuse_before_anything_is_computed(carrier: Path) -> None:
    # bge_small_en tells it in config.json, reranker_en in tokenizer_config.json alone.
    with pytest.raises(ConfigError, match=r"embedder.max_length is 100000, but the model reads 512 tokens"):
        onnx_embedder(carrier / "bge_small_en", max_length=100_000).fingerprint  # noqa: B018 - reading it is the test
    with pytest.raises(ConfigError, match=r"reads 512 tokens \(model_max_length in .*expected 32 to 512"):
        onnx_reranker(carrier / "reranker_en", max_length=513).count_tokens([("one", "two")])


def test_flag_backends_refuse_before_weights_are_read(tiny_reranker: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(tiny_reranker / name, tmp_path)
    with pytest.raises(ConfigError, match=r"reranker.max_length is 512, .* reads 128 tokens"):
        flag_reranker(tmp_path, max_length=512).score([("one", "two")])
    with pytest.raises(ConfigError, match=r"reranker.max_length is 512, .* reads 128 tokens"):
        flag_reranker(tmp_path, max_length=512).count_tokens([("one", "two")])
    with pytest.raises(ConfigError, match=r"embedder.max_length is 512, .* reads 128 tokens"):
        flag_embedder(tmp_path, max_length=512).embed_queries(["one"])
