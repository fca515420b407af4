"""What bge-m3 gives beside dense vectors: sparse weights, and multi-vectors that score a pair token by token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import unfit
from evalkit.errors import ConfigError
from evalkit.models.batching import Batch, Rows
from evalkit.models.flag_library import FlagLibrary
from evalkit.models.flag_m3_texts import BGE_M3, PARTS, M3Text, read_texts, similarity
from evalkit.models.torch_reranker import TorchReranker
from evalkit.models.torch_runtime import Device, Dtype, Loaded, TorchRuntime
from evalkit.models.weights import Weights
from evalkit.models.windows import in_windows
from evalkit.ports import Pair
from evalkit.sparse import SparseVector
from evalkit.types import Fingerprint

Mode: TypeAlias = Literal["dense", "sparse", "colbert", "weighted"]


class FlagSparseEncoder:
    """Texts to bge-m3's sparse vectors: a learnt weight for every token, as its ``lexical_weights``.

    Args:
        weights: The folder with weights, both linear heads, configuration and tokenizer.
        dtype: ``float32``, or on a GPU ``float16`` or ``bfloat16``.
        device: ``cpu``, ``cuda:0`` and so on; a list holds one copy on each; None takes the first GPU, or the CPU
            where there is none.
        max_length: Tokens per text, special tokens included; the rest is cut.
        token_budget: Tokens per batch, padding included.
    """

    def __init__(self, weights: Weights, dtype: Dtype, device: Device, max_length: int, token_budget: int) -> None:
        runtime = TorchRuntime("retrieval.sparse", dtype, device, token_budget)
        self._library = FlagLibrary(BGE_M3, weights, runtime, max_length)

    @property
    def label(self) -> str:
        """What tables call a search by it."""
        return "bge-m3 sparse"

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the vectors; reading it loads no model."""
        return {**self._library.fingerprint, "output": "sparse"}

    def encode_documents(self, texts: Sequence[str]) -> list[SparseVector]:
        """One vector per document, in order: token id -> its largest weight in the text, special tokens left out.

        Raises:
            ModelError: Weights are missing or unfit, or a weight is not finite.
        """
        if not texts:
            return []
        library = self._library

        def forward(copy: Loaded, inputs: Any, _batch: Batch) -> NDArray[Any]:
            return _objects([_sparse_vector(library.runtime, text) for text in read_texts(copy, inputs, {"sparse"})])

        return list(library.run_batches(library.tokenise(texts), library.runtime.cosine_drift, forward))

    def encode_queries(self, texts: Sequence[str]) -> list[SparseVector]:
        """One vector per query, weighted as a document is.

        Raises:
            ModelError: Weights are missing or unfit, or a weight is not finite.
        """
        return self.encode_documents(texts)


class FlagM3Reranker(TorchReranker):
    """Pairs scored by bge-m3 itself, as ``BGEM3FlagModel.compute_score`` scores each pair on its own.

    Each text is read once per call, however many pairs it stands in. FlagEmbedding lets a query's token also match
    the padding of a batch, with 0: there a score can rise with its neighbours, here it cannot.

    Args:
        weights: The folder with weights, both linear heads, configuration and tokenizer.
        dtype: ``float32``, or on a GPU ``float16`` or ``bfloat16``.
        device: ``cpu``, ``cuda:0`` and so on; a list holds one copy on each; None takes the first GPU, or the CPU
            where there is none.
        mode: ``dense`` is the cosine, ``sparse`` the inner product of token weights, ``colbert`` the mean over the
            query's tokens of the largest cosine with a token of the document, ``weighted`` the weighted mean of all.
        mode_weights: What each of ``dense``, ``sparse`` and ``colbert`` weighs in the mode ``weighted``.
        max_length: Tokens of a query, and of a document, special tokens included; the rest is cut.
        token_budget: Tokens per batch, padding included.
    """

    def __init__(
        self,
        weights: Weights,
        dtype: Dtype,
        device: Device,
        mode: Mode,
        mode_weights: Mapping[str, float],
        max_length: int,
        token_budget: int,
    ) -> None:
        if mode not in get_args(Mode):
            raise ConfigError(f"mode is {mode!r}; known are {', '.join(get_args(Mode))}")
        fit = isinstance(mode_weights, Mapping) and set(mode_weights) == set(PARTS)
        if not (fit and all(map(_is_weight, mode_weights.values())) and any(mode_weights.values())):
            expected = f"a number of at least 0 for each of {', '.join(PARTS)}, not all of them 0"
            raise unfit("reranker.mode_weights", mode_weights, expected)
        runtime = TorchRuntime("reranker", dtype, device, token_budget)
        super().__init__(runtime)
        self._library = FlagLibrary(BGE_M3, weights, runtime, max_length)
        total = sum(mode_weights.values())
        weighted = {part: mode_weights[part] / total for part in PARTS if mode_weights[part]}
        self._shares: dict[str, float] = weighted if mode == "weighted" else {mode: 1.0}

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the scores; reading it loads no model."""
        shares = ", ".join(f"{part} {share!r}" for part, share in self._shares.items())
        return {**self._library.fingerprint, "output": shares}

    @property
    def max_length(self) -> int:
        """Tokens of a text, special tokens included, beyond which it is cut."""
        return self._library.max_length

    @property
    def batch_drift(self) -> float:
        """How far a score moves with the other texts of a batch."""
        return self._runtime.cosine_drift

    def count_tokens(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Tokens of the longer text of each pair before anything is cut, special tokens included.

        Returns:
            Shape (n,).
        """
        if not pairs:
            return np.empty(0, dtype=np.int64)
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        counts = dict(zip(texts, map(len, self._library.tokenizer(texts, verbose=False)["input_ids"]), strict=True))
        return np.array([max(counts[query], counts[document]) for query, document in pairs], dtype=np.int64)

    def windows(self, pairs: Sequence[Pair], overlap: int) -> list[list[str]]:
        """Each pair's document in windows that are read whole; one where it fits.

        Args:
            pairs: Queries and documents.
            overlap: Tokens that a window shares with the one before.
        """
        library = self._library
        room = library.max_length - library.tokenizer.num_special_tokens_to_add(pair=False)
        return in_windows([text for _, text in pairs], [room] * len(pairs), overlap, library.spans)

    def _read(self, pairs: Sequence[Pair]) -> Rows:
        queries, documents = (list(dict.fromkeys(texts)) for texts in zip(*pairs, strict=True))
        places = {text: place for place, text in enumerate(documents)}
        asked: list[list[int]] = [[] for _ in documents]
        for row, (_, document) in enumerate(pairs):
            asked[places[document]].append(row)
        read = dict(zip(queries, self._read_queries(queries), strict=True))

        def forward(copy: Loaded, inputs: Any, batch: Batch) -> NDArray[Any]:
            import torch

            # Scored at once, so that no document's vectors outlive their batch.
            found = [
                [similarity(read[pairs[row][0]], document, self._shares) for row in asked[position]]
                for position, document in zip(batch, read_texts(copy, inputs, self._shares), strict=True)
            ]
            return _objects([torch.stack(scores).cpu().numpy() for scores in found])

        library = self._library
        scores = library.run_batches(library.tokenise(documents), self.batch_drift, forward)
        ordered = np.empty(len(pairs), dtype=np.float32)
        ordered[np.concatenate(asked)] = np.concatenate(list(scores))
        return self._runtime.finite(ordered)

    def _read_queries(self, queries: Sequence[str]) -> list[M3Text]:
        def forward(copy: Loaded, inputs: Any, _batch: Batch) -> NDArray[Any]:
            return _objects([text.to("cpu") for text in read_texts(copy, inputs, self._shares)])

        return list(self._library.run_batches(self._library.tokenise(queries), self.batch_drift, forward))


def _sparse_vector(runtime: TorchRuntime, text: M3Text) -> SparseVector:
    weights = runtime.finite(text.weights.cpu().numpy())
    return SparseVector(text.ids.cpu().numpy()[weights > 0], weights[weights > 0])


def _objects(results: Sequence[Any]) -> NDArray[Any]:
    """One cell per result, whatever it is: results of one length would otherwise become a matrix."""
    cells = np.empty(len(results), dtype=object)
    for row, result in enumerate(results):
        cells[row] = result
    return cells


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
