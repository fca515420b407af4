"""What bge-m3 makes of a text, and how alike a query and a document are by each part of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from evalkit.models.flag_loading import FlagClass
from evalkit.models.torch_runtime import Loaded

if TYPE_CHECKING:
    import torch

BGE_M3 = FlagClass(
    "BGEM3FlagModel",
    "AutoModel",
    {"pooling_method": "cls", "normalize_embeddings": True},
    ("colbert_linear.pt", "sparse_linear.pt"),
)

# What FlagEmbedding calls the parts of a model's output.
_OUTPUTS = {"dense": "dense", "sparse": "sparse", "colbert": "colbert_vecs"}

PARTS = tuple(_OUTPUTS)


@dataclass(frozen=True, slots=True)
class M3Text:
    """What the model makes of one text; of what is not asked for, nothing.

    Attributes:
        dense: Its vector, shape (dimension,).
        ids: Its tokens, distinct and ascending, special ones left out, shape (n,).
        weights: The largest weight of each, shape (n,).
        tokens: A vector for every token but the first, shape (length - 1, dimension).
    """

    dense: torch.Tensor
    ids: torch.Tensor
    weights: torch.Tensor
    tokens: torch.Tensor

    def to(self, device: torch.device | str) -> M3Text:
        """The same on another device."""
        return M3Text(*(getattr(self, field.name).to(device) for field in fields(self)))


def read_texts(copy: Loaded, inputs: Any, parts: Collection[str]) -> list[M3Text]:
    """The texts of a batch, without their padding.

    Args:
        copy: The model.
        inputs: Padded tensors, as the tokenizer names them.
        parts: Which of ``PARTS`` are wanted.

    Returns:
        One text per row, in float32 and where the model is.
    """
    import torch

    found = copy.model(inputs, **{f"return_{output}": part in parts for part, output in _OUTPUTS.items()})
    ids = inputs["input_ids"]
    special = torch.tensor(_special_ids(copy.tokenizer), device=ids.device)
    nothing = torch.empty(0, device=ids.device)
    texts = []
    for row, length in enumerate(inputs["attention_mask"].sum(1).tolist()):
        dense, distinct, weights, tokens = nothing, nothing, nothing, nothing
        if "dense" in parts:
            dense = found["dense_vecs"][row].float()
        if "sparse" in parts:
            kept = ~torch.isin(ids[row], special)
            distinct, places = torch.unique(ids[row][kept], return_inverse=True)
            weights = torch.zeros(len(distinct), device=ids.device)
            weights = weights.scatter_reduce(0, places, found["sparse_vecs"][row, kept, 0].float(), "amax")
        if "colbert" in parts:
            tokens = found["colbert_vecs"][row, : length - 1].float()
        texts.append(M3Text(dense, distinct, weights, tokens))
    return texts


def similarity(query: M3Text, document: M3Text, shares: Mapping[str, float]) -> torch.Tensor:
    """The weighted sum of how alike both are by each part.

    Args:
        query: Where it lies is of no matter.
        document: Lies where the sum is computed.
        shares: Part -> what it weighs.

    Returns:
        Shape (), in float32.
    """
    import torch

    query = query.to(document.ids.device)
    alike = {"dense": _cosine, "sparse": _inner_product, "colbert": _late_interaction}
    return torch.stack([share * alike[part](query, document) for part, share in shares.items()]).sum()


def _cosine(query: M3Text, document: M3Text) -> torch.Tensor:
    return query.dense @ document.dense


def _inner_product(query: M3Text, document: M3Text) -> torch.Tensor:
    return query.weights @ ((query.ids[:, None] == document.ids).float() @ document.weights)


def _late_interaction(query: M3Text, document: M3Text) -> torch.Tensor:
    return (query.tokens @ document.tokens.T).amax(dim=1).mean()


def _special_ids(tokenizer: Any) -> list[int]:
    """The tokens that FlagEmbedding gives no weight."""
    named = (tokenizer.cls_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id)
    return [token for token in named if token is not None]
