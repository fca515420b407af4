"""One ONNX graph with its tokenizer on the CPU: what the embedder and the reranker share."""

from __future__ import annotations

import mmap
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import metadata
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import text, unfit, whole_number
from evalkit.errors import ModelError
from evalkit.models.batching import Batch, Rows, in_batches
from evalkit.models.limits import SHORTEST_MAX_LENGTH, nearest, refuse_too_long
from evalkit.models.weights import Weights
from evalkit.models.windows import Spans
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

Reduce: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.int64]], Rows]
"""The graph's first output and the attention mask (batch, tokens) to one row per item."""

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_INT8_OPERATORS = (b"DynamicQuantize", b"QuantizeLinear", b"MatMulInteger", b"QLinearMatMul")
_INT8_INSTRUCTIONS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512bw", "avx2", "i8mm", "asimddp")
_PAD_TOKENS = ("[PAD]", "<pad>")


@dataclass(frozen=True)
class OnnxGraph:
    """A graph, its tokenizer and the threads that run it.

    Each thread runs whole batches on one core: on two cores that was measured 1.5 times as fast as
    one batch after the other on both, and the numbers do not depend on the number of threads.

    Args:
        role: Whose graph it is; errors name it.
        weights: The folder that holds the graph and ``tokenizer.json``.
        file: The graph, relative to that folder.
        max_length: Tokens per item, special tokens included.
        threads: Batches in flight; None means one per usable core.
        token_budget: Tokens per batch, padding included.
    """

    role: Literal["embedder", "reranker"]
    weights: Weights
    file: str
    max_length: int
    threads: int | None
    token_budget: int

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Weights):
            raise unfit(f"{self.role}.weights", self.weights, "CarrierWeights, FolderWeights or HubWeights")
        text(f"{self.role}.file", self.file)
        if PurePath(self.file).is_absolute() or ".." in PurePath(self.file).parts:
            raise unfit(f"{self.role}.file", self.file, "a path inside the weights' folder, such as onnx/model.onnx")
        whole_number(f"{self.role}.max_length", self.max_length, SHORTEST_MAX_LENGTH)
        whole_number(f"{self.role}.threads", self.threads, 1, or_null=True)
        whole_number(f"{self.role}.token_budget", self.token_budget, 1)

    def __getstate__(self) -> dict[str, Any]:
        # A loaded session cannot travel to another process; the copy there loads its own.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the numbers of any graph; int8 arithmetic also depends on the processor."""
        return {
            "backend": "onnx",
            "weights": self.weights.identity(),
            "file": self.file,
            "quantised": self.quantised,
            "max_length": self.max_length,
            "onnxruntime": metadata.version("onnxruntime"),
            "tokenizers": metadata.version("tokenizers"),
            "instructions": int8_instructions() if self.quantised else None,
        }

    @cached_property
    def quantised(self) -> bool:
        """Whether the graph computes in int8, usually with scales taken from the whole batch.

        The names of operators stand in the file as plain text. Files with fixed scales do not depend
        on the batch; they are counted in, which costs them speed but never exactness.
        """
        with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as graph:
            return any(graph.find(operator) >= 0 for operator in _INT8_OPERATORS)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, with the truncation and padding of its file switched off."""
        from tokenizers import Tokenizer

        path = nearest("tokenizer.json", self._path.parent, self.weights.locate())
        try:
            tokenizer = Tokenizer.from_file(str(path))
        # The library raises plain Exception.
        except Exception as error:
            raise ModelError(f"no tokenizer can be read from {path}: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokens of each text, uncut and without special tokens."""
        return self.tokenizer.encode_batch(list(texts), add_special_tokens=False)

    def spans(self, texts: Sequence[str]) -> list[Spans]:
        """Begin and end of every token of each text, in characters; uncut and without special tokens."""
        return [encoding.offsets for encoding in self.encode(texts)]

    def run(self, items: Sequence[Encoding], batch_drift: float, reduce: Reduce) -> Rows:
        """Run complete items through the graph.

        Args:
            items: Encodings with special tokens, cut to length.
            batch_drift: How far a result moves with its batch; see ``plan_batches``.
            reduce: Draws one row per item from the graph's first output.

        Returns:
            One row per item, in order.

        Raises:
            ModelError: A number is not finite, or the graph is not of the expected kind.
        """
        session = self._session
        wanted = [node.name for node in session.get_inputs()]

        def forward(batch: Batch) -> Rows:
            arrays = self._arrays([items[position] for position in batch])
            try:
                output = session.run(None, {name: arrays[name] for name in wanted})[0]
            # The library's errors share no public base class.
            except Exception as error:
                raise ModelError(
                    f"{self._path} failed on {len(items[batch[0]].ids)} tokens; if it reads fewer, lower "
                    f"max_length: {error}"
                ) from error
            return reduce(output, arrays["attention_mask"])

        lengths = [len(item.ids) for item in items]
        with ThreadPoolExecutor(self.threads or _usable_cores()) as pool:
            rows = in_batches(forward, lengths, self.token_budget, batch_drift, pool.map)
        if not np.isfinite(rows).all():
            raise ModelError(f"{self._path} returned numbers that are not finite; the file may be damaged")
        return rows

    @cached_property
    def _path(self) -> Path:
        folder = self.weights.locate()
        path = folder / self.file
        if not path.is_file():
            raise ModelError(f"there is no file {path}; file must name an ONNX graph in the weights' folder")
        read = path, nearest("tokenizer.json", path.parent, folder)
        self.weights.vouch(*(file.relative_to(folder).as_posix() for file in read))
        refuse_too_long(self.role, self.max_length, path.parent, folder)
        return path

    @cached_property
    def _session(self) -> InferenceSession:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
        # The library's errors share no public base class.
        except Exception as error:
            raise ModelError(f"{self._path} cannot be loaded: {error}") from error
        unknown = sorted({node.name for node in session.get_inputs()} - set(_INPUTS))
        if unknown:
            raise ModelError(f"{self._path} asks for {', '.join(unknown)}; only {', '.join(_INPUTS)} can be given")
        return session

    @cached_property
    def _pad_id(self) -> int:
        known = (self.tokenizer.token_to_id(token) for token in _PAD_TOKENS)
        return next((token_id for token_id in known if token_id is not None), 0)

    def _arrays(self, items: Sequence[Encoding]) -> dict[str, NDArray[np.int64]]:
        shape = len(items), max(len(item.ids) for item in items)
        ids, mask, types = np.full(shape, self._pad_id), np.zeros(shape, int), np.zeros(shape, int)
        for row, item in enumerate(items):
            tokens = len(item.ids)
            ids[row, :tokens], mask[row, :tokens], types[row, :tokens] = item.ids, 1, item.type_ids
        return dict(zip(_INPUTS, (ids, mask, types), strict=True))


def int8_instructions() -> str:
    """The processor's instructions that int8 kernels choose between, which changes int8 results."""
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return platform.machine()
    return " ".join(name for name in _INT8_INSTRUCTIONS if name in words) or platform.machine()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
