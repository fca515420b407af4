"""Embedder and reranker through FlagEmbedding: the production pair bge-m3 and bge-reranker-v2-m3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import boolean, unfit, whole_number
from evalkit.errors import ConfigError
from evalkit.models.flag_library import COSINE_DRIFT, LOGIT_DRIFT, Device, FlagLibrary, Tokens
from evalkit.models.flag_loading import Dtype, FlagClass, Loaded
from evalkit.models.prompts import Prompts
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
        self._library = FlagLibrary("embedder", loader, weights, dtype, device, max_length, token_budget)
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
        return COSINE_DRIFT[self._library.dtype]

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


class FlagReranker:
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
        whole_number("reranker.query_max_length", query_max_length, 1, or_null=True)
        loader = FlagClass("FlagReranker", "AutoModelForSequenceClassification", {})
        self._library = FlagLibrary("reranker", loader, weights, dtype, device, max_length, token_budget)
        self._query_max_length = max_length * 3 // 4 if query_max_length is None else query_max_length
        if self._query_max_length >= max_length:
            raise unfit("reranker.query_max_length", query_max_length, f"less than max_length, {max_length}")

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

    @property
    def device(self) -> str:
        """What it runs on, a GPU with its name; reading it loads no model."""
        return self._library.device_name

    @property
    def batch_drift(self) -> float:
        """How far a logit moves with the other pairs of a batch; bfloat16 runs pair by pair for it."""
        return LOGIT_DRIFT[self._library.dtype]

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Raw logits.

        Returns:
            Shape (n,), in the order of ``pairs``.

        Raises:
            ModelError: Weights are missing or unfit, or a score is not finite.
        """
        rows = self._library.run(self._tokenise(pairs), self.batch_drift, self._forward)
        return rows.ravel().astype(np.float64)

    def count_tokens(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Tokens of each pair before anything is cut, prompts and special tokens included.

        Returns:
            Shape (n,).
        """
        if not pairs:
            return np.empty(0, dtype=np.int64)
        tokenizer = self._library.tokenizer
        specials = tokenizer.num_special_tokens_to_add(pair=True)
        queries, documents = (
            tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            for texts in self._prompts.pairs(pairs)
        )
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

    def _tokenise(self, pairs: Sequence[Pair]) -> list[Tokens]:
        """Cut and join as ``compute_score_single_gpu`` does."""
        from FlagEmbedding.utils.tokenizer_compat import prepare_for_model_compat

        if not pairs:
            return []
        tokenizer = self._library.copies[0].tokenizer
        queries, documents = (
            tokenizer(texts, add_special_tokens=False, max_length=limit, truncation=True)["input_ids"]
            for texts, limit in zip(self._prompts.pairs(pairs), (self._query_max_length, self.max_length), strict=True)
        )
        return [
            prepare_for_model_compat(
                tokenizer,
                query,
                document,
                truncation="only_second",
                max_length=self.max_length,
                padding=False,
            )
            for query, document in zip(queries, documents, strict=True)
        ]

    def _forward(self, copy: Loaded, inputs: Any) -> torch.Tensor:
        logits: torch.Tensor = copy.model(**inputs, return_dict=True).logits
        return logits
