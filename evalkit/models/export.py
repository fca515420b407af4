"""A model that torch runs, written as an ONNX graph that gives the same numbers."""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ConfigError, ModelError
from evalkit.models.flag_llm import FlagLLMReranker
from evalkit.models.flag_m3 import FlagM3Reranker
from evalkit.models.loading import load_tokenizer, pretrained, quiet
from evalkit.models.onnx import OnnxEmbedder, OnnxReranker
from evalkit.models.samples import LONG_PAIRS, LONG_TEXTS, PAIRS, TEXTS
from evalkit.models.weights import FolderWeights, Weights
from evalkit.ports import Embedder, Reranker

GRAPH, INT8_GRAPH, RECORD = "model.onnx", "model_int8.onnx", "export.json"
DATA = f"{GRAPH}.data"
"""Tensors of a graph of more than 2 GB, which is what one file of this format can hold."""

OPSET = 17
"""The first with layer normalisation as one operator."""

INT8 = {"activations": "uint8, dynamic", "weights": "int8", "per_channel": True, "reduce_range": False}
"""What ONNX Runtime's dynamic quantisation is asked for; it quantises matrix products and embeddings."""

_TOLERANCE = 1e-4
_READ = ("input_ids", "attention_mask", "token_type_ids")
_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_LIBRARIES = ("onnx", "onnxruntime", "tokenizers", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class Check:
    """How far a graph's results are from those they should be.

    Args:
        items: Texts or pairs that were tried, in four languages.
        difference: The largest difference of a logit, or of an inner product.
        largest: The largest result that was expected, as a magnitude.
        batch_drift: How far a result moves with its batch, measured.
    """

    items: int
    difference: float
    largest: float
    batch_drift: float

    @property
    def allowed(self) -> float:
        """The difference that rounding alone may make in float32: 1e-4 of the largest result, or of 1."""
        return _TOLERANCE * max(1.0, self.largest)


@dataclass(frozen=True)
class Exporter:
    """One model as torch runs it, and where it is written as a graph.

    Args:
        role: What the model is.
        model: It, as torch runs it.
        weights: What it was loaded from.
        settings: Those of its YAML; pooling, normalize and prompts of an embedder are read.
        folder: An existing folder to write into.
    """

    role: Literal["embedder", "reranker"]
    model: Embedder | Reranker
    weights: Weights
    settings: Mapping[str, Any]
    folder: Path

    def write(self) -> Check:
        """Write the graph in float32, its tokenizer and its configuration.

        Raises:
            ConfigError: The model does more than an ONNX back end can do after the graph.
            ModelError: It cannot be loaded or exported, or the graph gives other numbers.
        """
        self._refuse_more_than_a_graph()
        expected = self._results(self.model)
        self._trace()
        check = self._check(GRAPH, expected)
        if not check.difference <= check.allowed:
            raise ModelError(
                f"the exported graph gives other numbers than torch: {check.difference:.1e} apart, where rounding "
                f"explains {check.allowed:.1e}. Describe the model with dtype=float32; if that is so already, this "
                "architecture cannot be exported"
            )
        return check

    def write_int8(self) -> Check:
        """Write the graph once more, quantised to int8, and compare it with the one in float32."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        # ONNX Runtime writes a copy of the graph first and does not see when the disk takes only a part of it.
        Path(shutil.copy(self.folder / GRAPH, self.folder / "room")).unlink()
        with _no_advice():
            quantize_dynamic(
                self.folder / GRAPH,
                self.folder / INT8_GRAPH,
                per_channel=True,
                reduce_range=False,
                weight_type=QuantType.QInt8,
                use_external_data_format=(self.folder / DATA).exists(),
            )
        return self._check(INT8_GRAPH, self._results(self._onnx(GRAPH)))

    def record(self, checks: Mapping[str, Check]) -> None:
        """Write what was exported from what, with which libraries, and how it was checked."""
        content = {
            "source": self.model.fingerprint,
            "opset": OPSET,
            "int8": INT8 if INT8_GRAPH in checks else None,
            "versions": {name: metadata.version(name) for name in _LIBRARIES},
            "checks": {file: asdict(check) for file, check in checks.items()},
        }
        (self.folder / RECORD).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    @cached_property
    def overrides(self) -> dict[str, Any]:
        """Settings under which an ONNX back end reads the folder as the model was described."""
        names = ("pooling", "normalize", "query_prompt", "document_prompt") if self.role == "embedder" else ()
        return {**{name: self.settings[name] for name in names}, "max_length": getattr(self.model, "max_length", None)}

    def _refuse_more_than_a_graph(self) -> None:
        if isinstance(self.model, FlagLLMReranker | FlagM3Reranker):
            raise ConfigError(
                f"the reranker is {type(self.model).__name__}, whose score is not read from a classification head, as "
                "ONNX back ends read it; expected a cross-encoder, such as reranker=flag_folder"
            )
        if self.role == "embedder":
            lacking = [name for name in ("pooling", "normalize") if self.settings.get(name) is None]
            if lacking:
                raise ConfigError(
                    f"the embedder's settings do not name {' and '.join(lacking)}, which is done after the graph; "
                    "describe it by embedder=flag_folder or another YAML that does"
                )
        elif any(self.settings.get(name) for name in ("query_prompt", "document_prompt")):
            raise ConfigError("the reranker has prompts, which an ONNX reranker does not read; leave them empty")

    def _trace(self) -> None:
        """Write graph and companions; the exporter that needs no further library follows one forward pass."""
        import torch
        import transformers

        source = self.weights.locate()
        auto_class, output = (
            (transformers.AutoModel, "last_hidden_state")
            if self.role == "embedder"
            else (transformers.AutoModelForSequenceClassification, "logits")
        )
        with quiet():
            # Attention in plain operators, which runtimes know how to fuse.
            model, _ = pretrained(auto_class, source, dtype=torch.float32, attn_implementation="eager")
        tokenizer = load_tokenizer(source)
        tokens = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
        known = inspect.signature(model.forward).parameters
        names = [name for name in _READ if name in tokens and name in known]

        class Graph(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
                result: torch.Tensor = getattr(self.model(**dict(zip(names, arrays, strict=True))), output)
                return result

        scratch = self.folder / "graph"
        scratch.mkdir()
        try:
            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    Graph().eval(),
                    tuple(tokens[name] for name in names),
                    str(scratch / GRAPH),
                    input_names=names,
                    output_names=[output],
                    dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names} | {output: {0: "batch"}},
                    opset_version=OPSET,
                    dynamo=False,
                )
        # The disk's, and not the model's.
        except OSError:
            raise
        # Whatever an operator without a translation raises.
        except Exception as error:
            raise ModelError(f"{type(model).__name__} cannot be exported: {error}") from error
        gather(scratch, self.folder)
        for name in _BESIDE:
            if (source / name).is_file():
                shutil.copy(source / name, self.folder / name)
        if not (self.folder / "tokenizer.json").is_file():
            tokenizer.save_pretrained(self.folder)

    def _check(self, file: str, expected: NDArray[np.floating[Any]]) -> Check:
        onnx = self._onnx(file)
        found = self._results(onnx)
        return Check(
            items=len(found),
            difference=float(np.abs(found - expected).max()),
            largest=float(np.abs(expected).max()),
            batch_drift=onnx.batch_drift,
        )

    def _onnx(self, file: str) -> OnnxEmbedder | OnnxReranker:
        kind = OnnxEmbedder if self.role == "embedder" else OnnxReranker
        return kind(
            weights=FolderWeights(self.folder),
            file=file,
            runtime="onnxruntime",
            threads=None,
            token_budget=2048,
            **self.overrides,
        )

    def _results(self, model: Embedder | Reranker) -> NDArray[np.floating[Any]]:
        """Logits of the built-in pairs, or inner products of the built-in texts, one row per item."""
        if self.role == "reranker":
            return model.score([*PAIRS, *LONG_PAIRS])  # type: ignore[union-attr]
        vectors = model.embed_documents([*TEXTS, *LONG_TEXTS])  # type: ignore[union-attr]
        return vectors @ vectors.T


def gather(scratch: Path, folder: Path) -> None:
    """Move the graph; of more than 2 GB, which torch writes one file per tensor, the tensors go into one file."""
    if len(list(scratch.iterdir())) == 1:
        (scratch / GRAPH).rename(folder / GRAPH)
    else:
        import onnx

        onnx.save(
            onnx.load(str(scratch / GRAPH)),
            str(folder / GRAPH),
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            location=DATA,
        )
    shutil.rmtree(scratch)


@contextmanager
def _no_advice() -> Iterator[None]:
    """Keep the quantiser's advice, given on the root logger, off the terminal."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
