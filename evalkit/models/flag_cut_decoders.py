"""Decoders that are cut behind a layer, where a linear head gives the score.

FlagEmbedding 1.4.2 brings files of its own for both, which transformers 5 cannot run: layers of Gemma 2 ask for
arguments that the one does not pass, and loading leaves the rotary tables of the other at whatever the memory held.
Here both are built of layers that transformers has itself, so that no code of a checkpoint is run either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.checks import unfit, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.flag_decoders import Lengths
from evalkit.models.limits import read_object
from evalkit.models.loading import load_tokenizer, pretrained, quiet, refuse_unfilled
from evalkit.models.torch_runtime import Dtype, Loaded
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch

_MINICPM_NAMES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "hidden_act"),
    *("max_position_embeddings", "rms_norm_eps", "attention_bias", "bos_token_id", "eos_token_id", "pad_token_id"),
)
# What the settings of a Gemma 2 do not know.
_COST_WISE_NAMES = {"architectures", "auto_map", "layer_sep", "layer_wise", "model_type", "start_layer"}


@dataclass(frozen=True, slots=True)
class LayerwiseDecoder:
    """MiniCPM with a score behind each of its later layers, as bge-reranker-v2-minicpm-layerwise.

    MiniCPM is transformers' Granite with other names for its three multipliers.

    Args:
        cutoff_layer: The layer behind which the score is read; later ones are not even loaded.
    """

    cutoff_layer: int

    name = "LayerWiseFlagLLMReranker"

    def __post_init__(self) -> None:
        whole_number("decoder.cutoff_layer", self.cutoff_layer, 1)

    @property
    def fingerprint(self) -> Fingerprint:
        """The layer."""
        return {"cutoff_layer": self.cutoff_layer}

    def load(self, folder: Path, dtype: Dtype, device: str) -> Loaded:
        """The layers up to the cutoff, and the linear head behind it.

        Raises:
            ModelError: The folder holds no such model, or one that lacks weights.
            ConfigError: No score is to be had behind that layer.
        """
        from transformers import GraniteConfig, GraniteModel

        told = _configuration(folder, "minicpm")
        if not (told.get("head_multi", True) and told.get("head_type", "simple") == "simple") or told.get(
            "rope_scaling"
        ):
            raise ModelError(
                f"{folder}/config.json has another head or other positions than bge-reranker-v2-minicpm-layerwise; "
                "expected head_multi true, head_type simple and no rope_scaling"
            )
        begin = told["start_layer"]
        _refuse_layer(self.cutoff_layer, range(begin, told["num_hidden_layers"] + 1), folder)
        config = GraniteConfig(
            **{name: told[name] for name in _MINICPM_NAMES if name in told},
            num_hidden_layers=self.cutoff_layer,
            rope_parameters={"rope_type": "default", "rope_theta": told.get("rope_theta", 10_000.0)},
            embedding_multiplier=told.get("scale_emb", 1),
            residual_multiplier=told.get("scale_depth", 1) / told["num_hidden_layers"] ** 0.5,
            attention_multiplier=(told["hidden_size"] / told["num_attention_heads"]) ** -0.5,
        )
        return _load_cut(folder, GraniteModel, config, self.cutoff_layer - begin, dtype, device)

    def scores(self, copy: Loaded, inputs: Any, _lengths: Lengths, /) -> torch.Tensor:
        """The linear head of the last state."""
        states = copy.model(**inputs, use_cache=False).last_hidden_state
        logits: torch.Tensor = copy.read(states, inputs["attention_mask"].sum(1))
        return logits


@dataclass(frozen=True, slots=True)
class LightweightDecoder:
    """Gemma 2 that merges neighbouring tokens of the document, as bge-reranker-v2.5-gemma2-lightweight.

    Args:
        cutoff_layer: The layer behind which the score is read; later ones are not even loaded. FlagEmbedding reads it
            with the head of the first such layer, whichever it is, and so does this.
        compress_ratio: How many tokens of the document become one, their mean; 1 merges none.
        compress_layers: Before which layers, counted from 0, they are merged; those past the cutoff are passed over.
    """

    cutoff_layer: int
    compress_ratio: int
    compress_layers: Sequence[int]

    name = "LightWeightFlagLLMReranker"

    def __post_init__(self) -> None:
        whole_number("decoder.cutoff_layer", self.cutoff_layer, 1)
        whole_number("decoder.compress_ratio", self.compress_ratio, 1)
        if not isinstance(self.compress_layers, list | tuple):
            raise unfit("decoder.compress_layers", self.compress_layers, "a list of layers, such as [8]")
        for layer in self.compress_layers:
            whole_number("decoder.compress_layers", layer, 1)

    @property
    def fingerprint(self) -> Fingerprint:
        """The layers and the ratio."""
        merged = "" if self.compress_ratio == 1 else ", ".join(map(str, self._merging))
        return {
            "cutoff_layer": self.cutoff_layer,
            "compress_ratio": self.compress_ratio if merged else 1,
            "compress_layers": merged,
        }

    @property
    def _merging(self) -> list[int]:
        layers = sorted({layer for layer in self.compress_layers if layer < self.cutoff_layer})
        return layers if self.compress_ratio > 1 else []

    def load(self, folder: Path, dtype: Dtype, device: str) -> Loaded:
        """The layers up to the cutoff, and the linear head.

        Raises:
            ModelError: The folder holds no such model, or one that lacks weights.
            ConfigError: No score is to be had behind that layer.
        """
        from transformers import Gemma2Config, Gemma2Model

        told = _configuration(folder, "cost_wise_gemma")
        if not told.get("layer_wise"):
            raise ModelError(f"{folder}/config.json does not say layer_wise: true; expected a head behind each layer")
        layers = range(told["start_layer"], told["num_hidden_layers"] + 1, told["layer_sep"])
        _refuse_layer(self.cutoff_layer, layers, folder)
        kept = {name: value for name, value in told.items() if name not in _COST_WISE_NAMES}
        if "layer_types" in kept:
            kept["layer_types"] = kept["layer_types"][: self.cutoff_layer]
        config = Gemma2Config(**{**kept, "num_hidden_layers": self.cutoff_layer})
        return _load_cut(folder, Gemma2Model, config, 0, dtype, device)

    def scores(self, copy: Loaded, inputs: Any, lengths: Lengths, /) -> torch.Tensor:
        """The linear head of the last state, as far as the model lets a logit grow."""
        import torch

        states = copy.model.embed_tokens(inputs["input_ids"])
        items, queries, documents = (
            torch.tensor(counts, device=states.device)
            for counts in (inputs["attention_mask"].sum(1).tolist(), lengths.queries, lengths.documents)
        )
        stages = pairwise([0, *self._merging, self.cutoff_layer])
        for begin, end in stages:
            if begin:
                states, merged = _merge(states, items, queries, documents, self.compress_ratio)
                items, documents = items - documents + merged, merged
            states = _through(copy.model, states, items, range(begin, end))
        logits: torch.Tensor = copy.read(copy.model.norm(states), items)
        cap = copy.model.config.final_logit_softcapping
        return logits if cap is None else cap * torch.tanh(logits / cap)


@dataclass(frozen=True, slots=True)
class _Cut:
    model: Any
    tokenizer: Any
    head: torch.Tensor

    def read(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The head's product with each item's last state."""
        import torch

        last = states[torch.arange(len(states), device=states.device), lengths - 1]
        return last.float() @ self.head


def _through(model: Any, states: torch.Tensor, lengths: torch.Tensor, layers: range) -> torch.Tensor:
    """States after some of the layers of a Gemma 2, padding on the right."""
    import torch
    from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask

    places = torch.arange(states.shape[1], device=states.device)[None]
    asked = {
        "config": model.config,
        "inputs_embeds": states,
        "attention_mask": (places < lengths[:, None]).long(),
        "past_key_values": None,
        "position_ids": places,
    }
    masks = {
        "full_attention": create_causal_mask(**asked),
        "sliding_attention": create_sliding_window_causal_mask(**asked),
    }
    rotary = model.rotary_emb(states, places)
    for layer in layers:
        mask = masks[model.config.layer_types[layer]]
        states = model.layers[layer](states, position_embeddings=rotary, attention_mask=mask, position_ids=places)
    return states


def _merge(
    states: torch.Tensor, lengths: torch.Tensor, queries: torch.Tensor, documents: torch.Tensor, ratio: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """States in which neighbouring tokens of the document became their mean, and how many it has then.

    Args:
        states: Shape (n, length, dimension), padding on the right.
        lengths: Tokens of each item.
        queries: Tokens of each up to the document.
        documents: Tokens of each document.
        ratio: How many become one; the last one may be of fewer.
    """
    import torch

    merged = (documents + ratio - 1) // ratio
    places = torch.arange(states.shape[1], device=states.device)[None]
    behind = places - queries[:, None]
    inside = (behind >= 0) & (behind < documents[:, None])
    moved = torch.where(behind < 0, places, places - (documents - merged)[:, None])
    targets = torch.where(inside, queries[:, None] + behind // ratio, moved)
    width = int((lengths - documents + merged).max())
    shares = torch.nn.functional.one_hot(targets.clamp(max=width - 1), width).to(states.dtype)
    shares = shares * (places < lengths[:, None])[:, :, None]
    # A product, not a scattered sum: on a GPU that adds in whatever order its threads come.
    return (shares / shares.sum(1, keepdim=True).clamp(min=1)).transpose(1, 2) @ states, merged


def _load_cut(folder: Path, kind: Any, config: Any, head: int, dtype: Dtype, device: str) -> _Cut:
    import torch

    with quiet():
        model, report = pretrained(kind, folder, config=config, dtype=getattr(torch, dtype))
    refuse_unfilled(folder, model, report)
    tokenizer = load_tokenizer(folder)
    tokenizer.padding_side = "right"
    weights = _tensor(folder, f"lm_head.{head}.linear_head.weight")
    return _Cut(model.to(device).eval(), tokenizer, weights.float().flatten().to(device))


def _tensor(folder: Path, name: str) -> torch.Tensor:
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            if name in weights.keys():  # noqa: SIM118 - no mapping
                found: torch.Tensor = weights.get_tensor(name)
                return found
    raise ModelError(f"{folder} has no weights {name} in a file *.safetensors; is the model complete?")


def _configuration(folder: Path, model_type: str) -> Mapping[str, Any]:
    told = read_object(folder / "config.json")
    if told.get("model_type") != model_type:
        raise ModelError(f"{folder}/config.json has model_type {told.get('model_type')!r}; expected {model_type!r}")
    return told


def _refuse_layer(layer: int, known: range, folder: Path) -> None:
    if layer not in known:
        raise ConfigError(
            f"decoder.cutoff_layer is {layer}, but {folder} has scores behind the layers {known[0]} to {known[-1]}"
            f"{f' in steps of {known.step}' if known.step > 1 else ''}"
        )
