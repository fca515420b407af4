"""Embedder through sentence-transformers: what its SentenceTransformer loads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import boolean, text
from evalkit.errors import ModelError
from evalkit.models.prompts import Prompts
from evalkit.models.sentence_library import SentenceLibrary, modules_of
from evalkit.models.torch_runtime import Device, Dtype, Loaded, TorchRuntime
from evalkit.models.weights import Weights
from evalkit.models.windows import Spans, in_windows
from evalkit.ports import Vectors
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch


class SentenceTransformersEmbedder:
    """Texts to vectors, as ``SentenceTransformer.encode_query`` and ``encode_document`` compute them.

    Args:
        weights: The folder with weights, configuration, tokenizer and ``modules.json``, which says how to pool.
        dtype: ``float32``, or on a GPU ``float16`` or ``bfloat16``.
        device: ``cpu``, ``cuda:0`` and so on; a list holds one copy on each; None takes the first GPU, or the CPU
            where there is none.
        normalize: Scale vectors to length 1, so that the inner product is the cosine; a model may do so itself.
        query_prompt: Put before every query; None means the model's own.
        document_prompt: Put before every document; None means the model's own.
        max_length: Tokens per text, special tokens included; the rest is cut. None means the model's own.
        token_budget: Tokens per batch, padding included.
        trust_remote_code: Run the Python code that comes with the weights.
    """

    def __init__(
        self,
        weights: Weights,
        dtype: Dtype,
        device: Device,
        normalize: bool,
        query_prompt: str | None,
        document_prompt: str | None,
        max_length: int | None,
        token_budget: int,
        trust_remote_code: bool,
    ) -> None:
        boolean("embedder.normalize", normalize)
        text("embedder.query_prompt", query_prompt, or_null=True)
        text("embedder.document_prompt", document_prompt, or_null=True)
        runtime = TorchRuntime("embedder", dtype, device, token_budget)
        self._library = SentenceLibrary("SentenceTransformer", weights, runtime, max_length, trust_remote_code)
        self._normalize = normalize
        self._query_prompt = query_prompt
        self._document_prompt = document_prompt

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the vectors; reading it loads no model."""
        return {
            **self._library.fingerprint,
            "normalize": self._normalize,
            "query_prompt": self._query_prompt,
            "document_prompt": self._document_prompt,
        }

    @property
    def batch_drift(self) -> float:
        """How far an inner product moves with the other texts of a batch."""
        return self._library.runtime.cosine_drift

    @property
    def max_length(self) -> int:
        """Tokens of a text, special tokens included, beyond which it is cut."""
        return self._library.limit

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector per document.

        Returns:
            Shape (n, dimension), in order.

        Raises:
            ModelError: Weights are missing or unfit, or a vector is not finite.
        """
        return self._embed(texts, "document")

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector per query.

        Returns:
            Shape (n, dimension), in order.

        Raises:
            ModelError: Weights are missing or unfit, or a vector is not finite.
        """
        return self._embed(texts, "query")

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of each document before anything is cut, prompt and special tokens included.

        Returns:
            Shape (n,).
        """
        backend = self._library.backend
        specials = backend.num_special_tokens_to_add(is_pair=False)
        encoded = backend.encode_batch(self._prompts.documents(texts), add_special_tokens=False)
        return np.array([len(one.ids) + specials for one in encoded], dtype=np.int64)

    def windows(self, texts: Sequence[str], overlap: int) -> list[list[str]]:
        """Each document in windows that are read whole; one where it fits.

        Args:
            texts: Documents.
            overlap: Tokens that a window shares with the one before.
        """
        backend = self._library.backend

        def spans(windows: Sequence[str]) -> list[Spans]:
            return [one.offsets for one in backend.encode_batch(list(windows), add_special_tokens=False)]

        room = self.max_length - backend.num_special_tokens_to_add(is_pair=False)
        return in_windows(texts, [room] * len(texts), overlap, spans, self._prompts.document)

    @cached_property
    def _prompts(self) -> Prompts:
        own = self._library.settings.get("prompts") or {}
        query, document = (
            (own.get(name) or "") if given is None else given
            for name, given in (("query", self._query_prompt), ("document", self._document_prompt))
        )
        return Prompts("embedder", query, document)

    def _embed(self, texts: Sequence[str], task: Literal["query", "document"]) -> Vectors:
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        self._load()
        backend = self._library.backend
        room = self.max_length - backend.num_special_tokens_to_add(is_pair=False)
        prompted = self._prompts.queries(texts) if task == "query" else self._prompts.documents(texts)
        encoded = backend.encode_batch(prompted, add_special_tokens=False)
        for one in encoded:
            one.truncate(room)
        items = self._library.items([backend.post_process(one) for one in encoded])

        def forward(copy: Loaded, inputs: Any) -> torch.Tensor:
            from torch.nn.functional import normalize

            pooled: torch.Tensor = copy({**inputs, "modality": "text"}, task=task)["sentence_embedding"]
            vectors = pooled[:, : copy.truncate_dim].float()
            return normalize(vectors, dim=-1) if self._normalize else vectors

        return self._library.run(items, self.batch_drift, forward)

    def _load(self) -> None:
        """Load the model, and refuse one that does not pool as its authors meant."""
        if "copies" not in vars(self._library):
            folder = self._library.weights.locate()
            kind = self._library.settings.get("model_type", "SentenceTransformer")
            if not modules_of(folder) or kind != "SentenceTransformer":
                raise ModelError(
                    f"{folder} says nowhere how to pool: it has no modules.json of a SentenceTransformer. If its card "
                    "does, use embedder=flag_folder, where pooling is an argument"
                )
        library = self._library.copies[0]
        from sentence_transformers.base.modules import Router

        if isinstance(library[0], Router) or not all(getattr(module, "include_prompt", True) for module in library):
            raise ModelError(
                "the model sends queries and documents through different modules, or leaves its prompt out when it "
                "pools; neither is supported"
            )
