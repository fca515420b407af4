"""Decoders that FlagEmbedding reads a score from: what they have in common, and the plain language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from evalkit.models.flag_loading import Loader
from evalkit.models.loading import load_tokenizer, pretrained, quiet, refuse_unfilled
from evalkit.models.torch_runtime import Dtype, Loaded
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Lengths:
    """How a batch's items are made up, one number per item.

    Attributes:
        queries: Tokens up to the document: the query and what stands around it.
        documents: Tokens of the document.
    """

    queries: Sequence[int]
    documents: Sequence[int]


@runtime_checkable
class Decoder(Loader, Protocol):
    """A kind of decoder, and where its score is read."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes its scores besides the weights."""
        ...

    def scores(self, copy: Loaded, inputs: Any, lengths: Lengths, /) -> torch.Tensor:
        """One logit per item of a batch, read behind its last token, shape (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class YesDecoder:
    """A language model whose logit of ``Yes`` is the score, such as bge-reranker-v2-gemma."""

    name = "FlagLLMReranker"

    @property
    def fingerprint(self) -> Fingerprint:
        """Nothing."""
        return {}

    def load(self, folder: Path, dtype: Dtype, device: str) -> Loaded:
        """The language model.

        Raises:
            ModelError: The folder holds none, or one that lacks weights.
        """
        import torch

        with quiet():
            from transformers import AutoModelForCausalLM

            number = getattr(torch, dtype)
            model, report = pretrained(AutoModelForCausalLM, folder, dtype=number, trust_remote_code=False)
        refuse_unfilled(folder, model, report)
        tokenizer = load_tokenizer(folder)
        # The last token of every item is then in the last column, the only one of which logits are computed.
        tokenizer.padding_side = "left"
        yes = tokenizer("Yes", add_special_tokens=False)["input_ids"][0]
        return _Speaker(model.to(device).eval(), tokenizer, yes)

    def scores(self, copy: Loaded, inputs: Any, _lengths: Lengths, /) -> torch.Tensor:
        """The logit of the first token of ``Yes``."""
        # Left to itself, the model would count the padding.
        positions = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
        logits: torch.Tensor = copy.model(**inputs, position_ids=positions, logits_to_keep=1, use_cache=False).logits
        return logits[:, -1, copy.yes]


@dataclass(frozen=True, slots=True)
class _Speaker:
    model: Any
    tokenizer: Any
    yes: int
