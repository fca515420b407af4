"""Reranker through sentence-transformers: what its CrossEncoder loads and scores pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import text, unfit, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import Rows
from evalkit.models.pair_tokens import PairTokens
from evalkit.models.prompts import Prompts
from evalkit.models.sentence_library import SentenceLibrary
from evalkit.models.torch_reranker import TorchReranker
from evalkit.models.torch_runtime import Device, Dtype, Loaded, Tokens, TorchRuntime
from evalkit.models.weights import Weights
from evalkit.ports import Pair
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding

_PROBE = "x"
"""A text that is surely read whole, to see how many tokens a chat template adds."""


class SentenceTransformersReranker(TorchReranker):
    """Pairs to logits, as ``CrossEncoder.predict`` computes them without an activation.

    The activation that a model's configuration names, often a sigmoid, is left out: it changes no order, but ties
    scores that differ. Lengths follow FlagEmbedding, so that back ends agree, and not the library, which cuts the
    longer text of a pair.

    Args:
        weights: The folder with weights, configuration and tokenizer.
        dtype: ``float32``, or on a GPU ``float16`` or ``bfloat16``.
        device: ``cpu``, ``cuda:0`` and so on; a list holds one copy on each; None takes the first GPU, or the CPU
            where there is none.
        query_prompt: Put before every query, or the instruction of a chat template; None means the model's own.
        document_prompt: Put before every document.
        max_length: Tokens per pair, special tokens included; beyond it the document is cut. None means the model's own.
        query_max_length: Tokens at which the query is cut first; None means 3/4 of ``max_length``, or of what a chat
            template leaves of it.
        token_budget: Tokens per batch, padding included.
        trust_remote_code: Run the Python code that comes with the weights.
    """

    def __init__(
        self,
        weights: Weights,
        dtype: Dtype,
        device: Device,
        query_prompt: str | None,
        document_prompt: str,
        max_length: int | None,
        query_max_length: int | None,
        token_budget: int,
        trust_remote_code: bool,
    ) -> None:
        text("reranker.query_prompt", query_prompt, or_null=True)
        text("reranker.document_prompt", document_prompt)
        whole_number("reranker.query_max_length", query_max_length, 1, or_null=True)
        runtime = TorchRuntime("reranker", dtype, device, token_budget)
        super().__init__(runtime)
        self._library = SentenceLibrary("CrossEncoder", weights, runtime, max_length, trust_remote_code)
        if max_length is not None and query_max_length is not None and query_max_length >= max_length:
            raise unfit("reranker.query_max_length", query_max_length, f"less than max_length, {max_length}")
        self._query_prompt = query_prompt
        self._document_prompt = document_prompt
        self._query_max_length = query_max_length

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the scores; reading it loads no model."""
        return {
            **self._library.fingerprint,
            "query_max_length": self._query_max_length,
            "query_prompt": self._query_prompt,
            "document_prompt": self._document_prompt,
        }

    @property
    def max_length(self) -> int:
        """Tokens of a pair, special tokens included, beyond which the document is cut."""
        return self._library.limit

    def count_tokens(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Tokens of each pair before anything is cut, prompts, template and special tokens included.

        Returns:
            Shape (n,).
        """
        return self._pair_tokens.count(*self._prompts.pairs(pairs))

    def windows(self, pairs: Sequence[Pair], overlap: int) -> list[list[str]]:
        """Each pair's document in windows that are read whole beside the query; one where it fits.

        Args:
            pairs: Queries and documents.
            overlap: Tokens that a window shares with the one before.
        """
        queries = self._prompts.queries([query for query, _ in pairs])
        documents = [document for _, document in pairs]
        return self._pair_tokens.windows(queries, documents, overlap, self._prompts.document)

    @property
    def _loaded(self) -> Loaded:
        """The library's object, once it is known that it gives one number to a pair, put to it as it was trained."""
        library = self._library.copies[0]
        if library.num_labels != 1:
            raise ModelError(f"the model gives {library.num_labels} numbers per pair; a reranker gives one")
        meant = self._library.settings.get("model_type") == "CrossEncoder"
        if not meant and (_generates(library) or "message" in library[0].modality_config):
            raise ModelError(
                "nothing beside the model says how a pair is put to it: a language model or a chat template needs a "
                "config_sentence_transformers.json with model_type CrossEncoder"
            )
        return library

    @property
    def _templated(self) -> bool:
        """Whether pairs go through a chat template; only where the tokenizer has one is the model loaded to see."""
        has_template = getattr(self._library.tokenizer, "chat_template", None) is not None
        return has_template and "message" in self._loaded[0].modality_config

    @cached_property
    def _instruction(self) -> str:
        settings = self._library.settings
        own = (settings.get("prompts") or {}).get(settings.get("default_prompt_name")) or ""
        return own if self._query_prompt is None else self._query_prompt

    @property
    def _prompts(self) -> Prompts:
        return Prompts("reranker", "" if self._templated else self._instruction, self._document_prompt)

    @property
    def _pair_tokens(self) -> PairTokens:
        backend, limit = self._library.backend, self.max_length
        room = limit - self._template_tokens
        added = self._template_tokens or backend.num_special_tokens_to_add(is_pair=True)
        longest_query = room * 3 // 4 if self._query_max_length is None else self._query_max_length
        if longest_query >= limit - added:
            raise ConfigError(
                f"reranker.max_length {limit} leaves {limit - added} tokens to a query of up to {longest_query} and a "
                "document; raise max_length or lower query_max_length"
            )
        return PairTokens(self._library.backend, added, limit, longest_query)

    @property
    def _template_tokens(self) -> int:
        """Tokens of a chat template around a pair; 0 where there is none."""
        if not self._templated:
            return 0
        probe = len(self._library.backend.encode(_PROBE, add_special_tokens=False).ids)
        return len(self._render(_PROBE, _PROBE)["input_ids"]) - 2 * probe

    def _read(self, pairs: Sequence[Pair]) -> Rows:
        return self._library.run(self._tokenise(pairs), self.batch_drift, self._forward)

    def _tokenise(self, pairs: Sequence[Pair]) -> list[Tokens]:
        self._loaded  # noqa: B018 - brings its tokenizer, which would be read twice otherwise
        prompted = self._prompts.pairs(pairs)
        cut = self._pair_tokens.cut(*prompted)
        if self._templated:
            texts = zip(*prompted, strict=True)
            return [
                self._render(_kept(query, query_tokens), _kept(document, document_tokens))
                for (query, document), (query_tokens, document_tokens) in zip(texts, cut, strict=True)
            ]
        backend = self._library.backend
        return self._library.items([backend.post_process(query, document) for query, document in cut])

    def _render(self, query: str, document: str) -> Tokens:
        """The tokens of a pair in the model's chat template."""
        features = self._loaded.preprocess([(query, document)], prompt=self._instruction or None)
        return {name: features[name][0].tolist() for name in ("input_ids", "attention_mask")}

    def _forward(self, copy: Loaded, inputs: Any) -> torch.Tensor:
        features = {**inputs, "modality": "message" if self._templated else "text"}
        if _generates(copy):
            features["logits_to_keep"] = 1
        scores: torch.Tensor = copy(features)["scores"]
        return scores


def _generates(library: Any) -> bool:
    """Whether it is a language model, whose score is read from the last position."""
    return str(library[0].transformer_task) != "sequence-classification"


def _kept(text: str, tokens: Encoding) -> str:
    """The text as far as its tokens were kept."""
    if not tokens.overflowing:
        return text
    return text[: tokens.offsets[-1][1]] if tokens.ids else ""
