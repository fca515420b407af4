"""Models that torch runs, exported and read back by both runtimes: the same numbers."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import MAX_BATCHED_DRIFT
from evalkit.models.export import DATA, GRAPH, INT8_GRAPH, RECORD, Exporter, gather
from evalkit.models.weights import FolderWeights
from tests.models.conftest import MIXED_PAIRS, flag_embedder, flag_reranker, onnx_embedder, onnx_reranker

pytest.importorskip("onnx", reason="pip install 'evalkit-rerank[export]' brings what writes graphs")

# FlagEmbedding takes a pair with an empty document for a single text.
FILLED = [pair for pair in MIXED_PAIRS if pair[1]]
EMBEDDING = {"pooling": "mean", "normalize": True, "query_prompt": "query: ", "document_prompt": "passage: "}
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
KINDS: dict[str, dict[str, Any]] = {
    "Bert": SMALL,
    "Roberta": {**SMALL, "max_position_embeddings": 130, "pad_token_id": 0},
    "Electra": {**SMALL, "embedding_size": 16},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "MPNet": {**SMALL, "max_position_embeddings": 514},
    "DebertaV2": {**SMALL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    "ModernBert": {
        **SMALL,
        "pad_token_id": 0,
        "cls_token_id": 101,
        "sep_token_id": 102,
        "bos_token_id": 101,
        "eos_token_id": 102,
    },
}


def exporter(role: Any, model: Any, source: Path, folder: Path, settings: dict[str, Any]) -> Exporter:
    folder.mkdir(exist_ok=True)
    return Exporter(role, model, FolderWeights(source), settings, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_cross_encoders_of_many_kinds_give_the_same_logits(kind: str, minilm: Path, tmp_path: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(1)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=30522, num_labels=1, initializer_range=0.5, **KINDS[kind]
    )
    source = tmp_path / "source"
    getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(source)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(minilm / name, source)
    reranker = flag_reranker(source)
    check = exporter("reranker", reranker, source, tmp_path / "out", {}).write()
    found = onnx_reranker(tmp_path / "out", max_length=128).score(FILLED)
    expected = reranker.score(FILLED)
    assert expected.std() > 1e-3
    assert np.abs(found - expected).max() < check.allowed
    assert check.difference < check.allowed


def test_vectors_follow_the_settings_of_the_model(tiny_embedder: Path, tmp_path: Path) -> None:
    embedder = flag_embedder(tiny_embedder, **EMBEDDING)
    exporter("embedder", embedder, tiny_embedder, tmp_path, EMBEDDING).write()
    texts = [text for pair in MIXED_PAIRS for text in pair]
    found = onnx_embedder(tmp_path, max_length=128, **EMBEDDING)
    assert np.allclose(found.embed_queries(texts), embedder.embed_queries(texts), rtol=0, atol=1e-5)
    assert np.allclose(found.embed_documents(texts), embedder.embed_documents(texts), rtol=0, atol=1e-5)


def test_int8_is_marked_measured_and_recorded(tiny_reranker: Path, tmp_path: Path) -> None:
    reranker = flag_reranker(tiny_reranker)
    written = exporter("reranker", reranker, tiny_reranker, tmp_path, {})
    checks = {GRAPH: written.write(), INT8_GRAPH: written.write_int8()}
    written.record(checks)
    assert checks[INT8_GRAPH].difference > checks[GRAPH].difference
    assert checks[INT8_GRAPH].batch_drift > MAX_BATCHED_DRIFT > checks[GRAPH].batch_drift
    marks = [onnx_reranker(tmp_path, file=file, max_length=128).fingerprint["quantised"] for file in checks]
    assert marks == [False, True]
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["source"] == reranker.fingerprint
    assert record["checks"][INT8_GRAPH]["difference"] == checks[INT8_GRAPH].difference
    assert set(record["versions"]) == {"onnx", "onnxruntime", "tokenizers", "torch", "transformers"}


def test_a_graph_that_gives_other_numbers_is_refused(tiny_reranker: Path, tmp_path: Path) -> None:
    """ONNX rerankers cut the query at 3/4 of the length; this one at 5 tokens."""
    reranker = flag_reranker(tiny_reranker, query_max_length=5)
    with pytest.raises(ModelError, match=r"other numbers than torch: .* apart, where rounding explains"):
        exporter("reranker", reranker, tiny_reranker, tmp_path, {}).write()


def test_what_is_done_outside_of_the_graph_must_be_named(tiny_reranker: Path, tmp_path: Path) -> None:
    embedder = exporter("embedder", flag_embedder(tiny_reranker), tiny_reranker, tmp_path, {"normalize": True})
    with pytest.raises(ConfigError, match="do not name pooling"):
        embedder.write()
    prompted = {"query_prompt": "q: ", "document_prompt": ""}
    with pytest.raises(ConfigError, match="the reranker has prompts"):
        exporter("reranker", flag_reranker(tiny_reranker, **prompted), tiny_reranker, tmp_path, prompted).write()


@pytest.mark.parametrize("most", [0, 1_000, 100_000])
def test_a_disk_that_is_full_when_int8_is_written_is_not_the_models_fault(
    most: int, tiny_reranker: Path, tmp_path: Path
) -> None:
    written = exporter("reranker", flag_reranker(tiny_reranker), tiny_reranker, tmp_path, {})
    written.write()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            written.write_int8()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_tensors_that_lie_one_per_file_are_gathered_in_one(tiny_reranker: Path, tmp_path: Path) -> None:
    """Torch leaves more than 2 GB so."""
    import onnx

    reranker, whole, scratch, gathered = flag_reranker(tiny_reranker), *(tmp_path / name for name in "abc")
    exporter("reranker", reranker, tiny_reranker, whole, {}).write()
    scratch.mkdir()
    onnx.save(
        onnx.load(str(whole / GRAPH)),
        str(scratch / GRAPH),
        save_as_external_data=True,
        all_tensors_to_one_file=False,
        size_threshold=0,
    )
    assert len(list(scratch.iterdir())) > 10
    gathered.mkdir()
    gather(scratch, gathered)
    assert sorted(path.name for path in gathered.iterdir()) == [GRAPH, DATA]
    shutil.copy(whole / "tokenizer.json", gathered)
    found = [onnx_reranker(folder, max_length=128).score(MIXED_PAIRS).tolist() for folder in (whole, gathered)]
    assert found[0] == found[1]
