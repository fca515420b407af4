"""Embedder and reranker through FlagEmbedding: the production pair bge-m3 and bge-reranker-v2-m3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import boolean
from evalkit.errors import ConfigError
from evalkit.models.batching import Rows
from evalkit.models.flag_library import FlagLibrary
from evalkit.models.flag_loading import FlagClass
from evalkit.models.pair_tokens import query_limit
from evalkit.models.prompts import Prompts
from evalkit.models.torch_reranker import TorchReranker
from evalkit.models.torch_runtime import Device, Dtype, Loaded, Tokens, TorchRuntime
from evalkit.models.weights import Weights
from evalkit.models.windows import in_windows
from evalkit.ports import Pair, Vectors
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch

EmbedderClass: TypeAlias = Literal["BGEM3FlagModel", "FlagModel", "FlagLLMModel"]
Pooling: TypeAlias = Literal["cls", "mean", "last_token"]

# FlagEmbedding's own choice: its decoders know one pooling, its encoders two.
_POOLINGS: dict[EmbedderClass, tuple[Pooling, ...]] = {
    "BGEM3FlagModel": ("cls", "mean"),
    "FlagModel": ("cls", "mean"),
    "FlagLLMModel": ("last_token",),
}


class FlagEmbedder:
    """Texts to dense vectors, as FlagEmbedding's ``encode_queries`` and ``encode_corpus`` compute them.

    Args:
        model_class: ``BGEM3FlagModel`` for bge-m3, ``FlagModel`` for other encoders, ``FlagLLMModel`` for decoders.
        weights: The folder with weights, configuration and tokenizer.
        dtype: ``float32``, or on a GPU ``float16`` or ``bfloat16``.
        device: ``cpu``, ``cuda:0`` and so on; a list holds one copy on each; None takes the first GPU, or the CPU
            where there is none.
        pooling: ``cls`` takes the first token's state, ``mean`` the mean over the text's tokens, ``last_token`` the
            last token's state, which is how decoders are read.
        normalize: Scale vectors to length 1, so that the inner product is the cosine.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        max_length: Tokens per text, special tokens included; the rest is cut.
        token_budget: Tokens per batch, padding included.
    """

    def __init__(
        self,
        model_class: EmbedderClass,
        weights: Weights,
        dtype: Dtype,
        device: Device,
        pooling: Pooling,
        normalize: bool,
        query_prompt: str,
        document_prompt: str,
        max_length: int,
        token_budget: int,
    ) -> None:
        if model_class not in _POOLINGS:
            raise ConfigError(f"model_class is {model_class!r}; known are BGEM3FlagModel, FlagModel and FlagLLMModel")
        if pooling not in _POOLINGS[model_class]:
            known = " and ".join(_POOLINGS[model_class])
            raise ConfigError(f"pooling is {pooling!r}; known to {model_class}: {known}")
        boolean("embedder.normalize", normalize)
        self._prompts = Prompts("embedder", query_prompt, document_prompt)
        options = {"pooling_method": pooling, "normalize_embeddings": normalize}
        loader = FlagClass(model_class, "AutoModel", options)
        runtime = TorchRuntime("embedder", dtype, device, token_budget)
        self._library = FlagLibrary(loader, weights, runtime, max_length)
        self._model_class = model_class
        self._pooling = pooling
        self._normalize = normalize

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the vectors; reading it loads no model."""
        return {
            **self._library.fingerprint,
            "pooling": self._pooling,
            "normalize": self._normalize,
            **self._prompts.fingerprint,
        }

    @property
    def batch_drift(self) -> float:
        """How far an inner product moves with the other texts of a batch."""
        return self._library.runtime.cosine_drift

    @property
    def max_length(self) -> int:
        """Tokens of a text, special tokens included, beyond which it is cut."""
        return self._library.max_length

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
        if not texts:
            return np.empty(0, dtype=np.int64)
        prompted = self._prompts.documents(texts)
        return np.array(list(map(len, self._library.tokenizer(prompted, verbose=False)["input_ids"])), dtype=np.int64)

    def windows(self, texts: Sequence[str], overlap: int) -> list[list[str]]:
        """Each document in windows that are read whole; one where it fits.

        Args:
            texts: Documents.
            overlap: Tokens that a window shares with the one before.
        """
        library = self._library
        room = library.max_length - library.tokenizer.num_special_tokens_to_add(pair=False)
        return in_windows(texts, [room] * len(texts), overlap, library.spans, self._prompts.document)

    def _embed(self, texts: list[str]) -> Vectors:
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        return self._library.run(self._library.tokenise(texts), self.batch_drift, self._forward)

    def _forward(self, copy: Loaded, inputs: Any) -> torch.Tensor:
        from torch.nn.functional import normalize

        if self._model_class == "BGEM3FlagModel":
            dense: torch.Tensor = copy.model(inputs, return_dense=True)["dense_vecs"]
            return dense
        states = copy.model(**inputs, return_dict=True).last_hidden_state
        vectors: torch.Tensor = self._pool(copy, states, inputs["attention_mask"])
        return normalize(vectors, dim=-1) if self._normalize else vectors

    def _pool(self, copy: Loaded, states: torch.Tensor, mask: torch.Tensor) -> Any:
        if self._model_class == "FlagModel":
            return copy.pooling(states, mask)
        from FlagEmbedding.inference.embedder.decoder_only.base import last_token_pool

        return last_token_pool(states, mask)


class FlagReranker(TorchReranker):
    """Pairs to logits, as FlagEmbedding's ``FlagReranker.compute_score`` computes them.

    Args:
        weights: The folder with weights, configuration and tokenizer.
        dtype: ``float32``, or on a GPU ``float16`` or ``bfloat16``.
        device: ``cpu``, ``cuda:0`` and so on; a list holds one copy on each; None takes the first GPU, or the CPU
            where there is none.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        max_length: Tokens per pair, special tokens included; beyond it the document is cut.
        query_max_length: Tokens at which the query is cut first; None means 3/4 of ``max_length``.
        token_budget: Tokens per batch, padding included.
    """

    def __init__(
        self,
        weights: Weights,
        dtype: Dtype,
        device: Device,
        query_prompt: str,
        document_prompt: str,
        max_length: int,
        query_max_length: int | None,
        token_budget: int,
    ) -> None:
        self._prompts = Prompts("reranker", query_prompt, document_prompt)
        loader = FlagClass("FlagReranker", "AutoModelForSequenceClassification", {})
        runtime = TorchRuntime("reranker", dtype, device, token_budget)
        super().__init__(runtime)
        self._library = FlagLibrary(loader, weights, runtime, max_length)
        self._query_max_length = query_limit(max_length, query_max_length)

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the scores; reading it loads no model."""
        return {
            **self._library.fingerprint,
            "query_max_length": self._query_max_length,
            **self._prompts.fingerprint,
        }

    @property
    def max_length(self) -> int:
        """Tokens of a pair, special tokens included, beyond which the document is cut."""
        return self._library.max_length

    def count_tokens(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Tokens of each pair before anything is cut, prompts and special tokens included.

        Returns:
            Shape (n,).
        """
        if not pairs:
            return np.empty(0, dtype=np.int64)
        specials = self._library.tokenizer.num_special_tokens_to_add(pair=True)
        queries, documents = self._library.tokens(*self._prompts.pairs(pairs))
        counts = [len(query) + len(document) + specials for query, document in zip(queries, documents, strict=True)]
        return np.array(counts, dtype=np.int64)

    def windows(self, pairs: Sequence[Pair], overlap: int) -> list[list[str]]:
        """Each pair's document in windows that are read whole beside the query; one where it fits.

        Args:
            pairs: Queries and documents.
            overlap: Tokens that a window shares with the one before.
        """
        library = self._library
        room = self.max_length - library.tokenizer.num_special_tokens_to_add(pair=True)
        queries = library.spans(self._prompts.queries([query for query, _ in pairs]))
        rooms = [room - min(len(query), self._query_max_length) for query in queries]
        return in_windows([text for _, text in pairs], rooms, overlap, library.spans, self._prompts.document)

    def _read(self, pairs: Sequence[Pair]) -> Rows:
        return self._library.run(self._tokenise(pairs), self.batch_drift, self._forward)

    def _tokenise(self, pairs: Sequence[Pair]) -> list[Tokens]:
        """Cut and join as ``compute_score_single_gpu`` does.

        Not by :class:`PairTokens`: FlagEmbedding reads an empty document as none, and its tokenizers need not be fast.
        """
        from FlagEmbedding.utils.tokenizer_compat import prepare_for_model_compat

        cut = self._library.cut(*self._prompts.pairs(pairs), self._query_max_length)
        tokenizer = self._library.tokenizer
        return [
            prepare_for_model_compat(
                tokenizer,
                query,
                document,
                truncation="only_second",
                max_length=self.max_length,
                padding=False,
            )
            for query, document in cut
        ]

    def _forward(self, copy: Loaded, inputs: Any) -> torch.Tensor:
        logits: torch.Tensor = copy.model(**inputs, return_dict=True).logits
        return logits
