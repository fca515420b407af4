"""Embedder and reranker on ONNX Runtime or OpenVINO and tokenizers alone: no torch, CPU only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import boolean
from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import Rows
from evalkit.models.onnx_graph import OnnxGraph
from evalkit.models.pair_tokens import PairTokens
from evalkit.models.prompts import Prompts
from evalkit.models.runtimes import Runtime
from evalkit.models.samples import PAIRS, TEXTS
from evalkit.models.weights import Weights
from evalkit.models.windows import in_windows
from evalkit.ports import Pair, Vectors
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    from tokenizers import Encoding

_SMALLEST_NORM = 1e-12


class OnnxEmbedder:
    """Texts to vectors through an ONNX graph whose first output is the last hidden state.

    Args:
        weights: The folder that holds the graph and ``tokenizer.json``.
        file: The graph, relative to that folder.
        runtime: ``onnxruntime`` or ``openvino``.
        pooling: ``cls`` takes the first token's state, ``mean`` the mean over the text's tokens.
        normalize: Scale vectors to length 1, so that the inner product is the cosine.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        max_length: Tokens per text, special tokens included; the rest is cut.
        threads: Batches in flight; None means one per usable core.
        token_budget: Tokens per batch, padding included.
    """

    def __init__(
        self,
        weights: Weights,
        file: str,
        runtime: Runtime,
        pooling: Literal["cls", "mean"],
        normalize: bool,
        query_prompt: str,
        document_prompt: str,
        max_length: int,
        threads: int | None,
        token_budget: int,
    ) -> None:
        if pooling not in ("cls", "mean"):
            raise ConfigError(f"pooling is {pooling!r}; known are cls and mean")
        boolean("embedder.normalize", normalize)
        self._prompts = Prompts("embedder", query_prompt, document_prompt)
        self._graph = OnnxGraph("embedder", weights, file, runtime, max_length, threads, token_budget)
        self._pooling = pooling
        self._normalize = normalize

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the vectors; reading it loads no model."""
        return {
            **self._graph.fingerprint,
            "pooling": self._pooling,
            "normalize": self._normalize,
            **self._prompts.fingerprint,
        }

    @property
    def batch_drift(self) -> float:
        """How far an inner product moves with the other texts of a batch: measured, which loads the model."""
        return self._graph.batch_drift(lambda: self._cut(TEXTS), self._pool, lambda vectors: vectors @ vectors.T)

    @property
    def max_length(self) -> int:
        """Tokens of a text, special tokens included, beyond which it is cut."""
        return self._graph.max_length

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector per document.

        Returns:
            Shape (n, dimension), in order.

        Raises:
            ModelError: Weights are missing or unfit, or a vector is not finite.
        """
        return self._embed(self._prompts.documents(texts))

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector per query.

        Returns:
            Shape (n, dimension), in order.

        Raises:
            ModelError: Weights are missing or unfit, or a vector is not finite.
        """
        return self._embed(self._prompts.queries(texts))

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of each document before anything is cut, prompt and special tokens included.

        Returns:
            Shape (n,).
        """
        specials = self._graph.tokenizer.num_special_tokens_to_add(is_pair=False)
        encoded = self._graph.encode(self._prompts.documents(texts))
        return np.array([len(one.ids) + specials for one in encoded], dtype=np.int64)

    def windows(self, texts: Sequence[str], overlap: int) -> list[list[str]]:
        """Each document in windows that are read whole; one where it fits.

        Args:
            texts: Documents.
            overlap: Tokens that a window shares with the one before.
        """
        room = self._graph.max_length - self._graph.tokenizer.num_special_tokens_to_add(is_pair=False)
        return in_windows(texts, [room] * len(texts), overlap, self._graph.spans, self._prompts.document)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        return self._graph.run(self._cut(texts), self.batch_drift, self._pool)

    def _cut(self, texts: Sequence[str]) -> list[Encoding]:
        tokenizer = self._graph.tokenizer
        room = self._graph.max_length - tokenizer.num_special_tokens_to_add(is_pair=False)
        items = []
        for encoding in self._graph.encode(texts):
            encoding.truncate(room)
            items.append(tokenizer.post_process(encoding))
        return items

    def _pool(self, states: NDArray[np.float32], mask: NDArray[np.int64]) -> Rows:
        if states.ndim != 3:
            raise ModelError(
                f"{self._graph.file} gives an output of shape {states.shape}; expected the last hidden "
                "state, of shape (texts, tokens, dimension)"
            )
        vectors = states[:, 0] if self._pooling == "cls" else _masked_mean(states, mask)
        if self._normalize:
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(norms, _SMALLEST_NORM)
        return vectors.astype(np.float32, copy=False)


class OnnxReranker:
    """Pairs to logits through an ONNX cross-encoder.

    Of two outputs per pair the second minus the first counts: the log-odds of their softmax, by which FlashRank ranks
    (its ``Ranker.rerank``), without the ties that the softmax rounds to.

    Lengths follow FlagEmbedding, so that backends agree: the query is cut to 3/4 of ``max_length``,
    then the document to what remains.

    Args:
        weights: The folder that holds the graph and ``tokenizer.json``.
        file: The graph, relative to that folder.
        runtime: ``onnxruntime`` or ``openvino``.
        max_length: Tokens per pair, special tokens included.
        threads: Batches in flight; None means one per usable core.
        token_budget: Tokens per batch, padding included.
    """

    def __init__(
        self, weights: Weights, file: str, runtime: Runtime, max_length: int, threads: int | None, token_budget: int
    ) -> None:
        self._graph = OnnxGraph("reranker", weights, file, runtime, max_length, threads, token_budget)

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the scores; reading it loads no model."""
        return self._graph.fingerprint

    @property
    def max_length(self) -> int:
        """Tokens of a pair, special tokens included, beyond which the document is cut."""
        return self._graph.max_length

    @property
    def device(self) -> str:
        """What it runs on: the CPU, whatever the machine has."""
        return "cpu"

    @property
    def batch_drift(self) -> float:
        """How far a logit moves with the other pairs of a batch: measured, which loads the model."""
        return self._graph.batch_drift(lambda: self._cut(PAIRS), self._logits, lambda logits: logits)

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Raw logits.

        Returns:
            Shape (n,), in the order of ``pairs``.

        Raises:
            ModelError: Weights are missing or unfit, or a score is not finite.
        """
        rows = self._graph.run(self._cut(pairs), self.batch_drift, self._logits)
        return rows.ravel().astype(np.float64)

    def count_tokens(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Tokens of each pair before anything is cut, special tokens included.

        Returns:
            Shape (n,).
        """
        return self._tokens.count(*_apart(pairs))

    def windows(self, pairs: Sequence[Pair], overlap: int) -> list[list[str]]:
        """Each pair's document in windows that are read whole beside the query; one where it fits.

        Args:
            pairs: Queries and documents.
            overlap: Tokens that a window shares with the one before.
        """
        return self._tokens.windows(*_apart(pairs), overlap, "")

    @property
    def _tokens(self) -> PairTokens:
        tokenizer = self._graph.tokenizer
        added = tokenizer.num_special_tokens_to_add(is_pair=True)
        return PairTokens(tokenizer, added, self.max_length, self.max_length * 3 // 4)

    def _cut(self, pairs: Sequence[Pair]) -> list[Encoding]:
        return [self._graph.tokenizer.post_process(*parts) for parts in self._tokens.cut(*_apart(pairs))]

    def _logits(self, output: NDArray[np.float32], _: NDArray[np.int64]) -> Rows:
        if output.ndim != 2 or output.shape[1] not in (1, 2):
            raise ModelError(
                f"{self._graph.file} gives an output of shape {output.shape}; a reranker gives one logit per "
                "pair, of shape (pairs, 1), or those of no and yes, of shape (pairs, 2)"
            )
        return output if output.shape[1] == 1 else output[:, 1:] - output[:, :1]


def _apart(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [query for query, _ in pairs], [document for _, document in pairs]


def _masked_mean(states: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    weights = mask[:, :, np.newaxis].astype(np.float32)
    mean: NDArray[np.float32] = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return mean
