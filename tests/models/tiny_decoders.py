"""Tiny random decoders of the three kinds that FlagEmbedding scores with, and its own way to score with them.

Its files for two of them were written for transformers 4; what follows lets transformers 5 run them as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

VOCABULARY = 260
# The names are those of the released config.json files, the numbers are small.
MINICPM: dict[str, Any] = {
    "architectures": ["LayerWiseMiniCPMForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "BAAI/bge-reranker-v2-minicpm-layerwise--configuration_minicpm_reranker.LayerWiseMiniCPMConfig"
    },
    "bos_token_id": 0,
    "dim_model_base": 8,
    "eos_token_id": 2,
    "head_multi": True,
    "head_type": "simple",
    "hidden_act": "silu",
    "hidden_size": 16,
    "initializer_range": 0.5,
    "intermediate_size": 32,
    "max_position_embeddings": 512,
    "model_type": "minicpm",
    "num_attention_heads": 4,
    "num_hidden_layers": 5,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "scale_depth": 1.4,
    "scale_emb": 12,
    "start_layer": 2,
    "use_cache": False,
    "vocab_size": VOCABULARY,
}
COST_WISE_GEMMA: dict[str, Any] = {
    "architectures": ["CostWiseGemmaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0,
    "auto_map": {"AutoConfig": "BAAI/bge-reranker-v2.5-gemma2-lightweight--gemma_config.CostWiseGemmaConfig"},
    "bos_token_id": 0,
    "cache_implementation": "hybrid",
    "eos_token_id": 2,
    "final_logit_softcapping": 30.0,
    "head_dim": 8,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 16,
    "initializer_range": 0.5,
    "intermediate_size": 32,
    "layer_sep": 1,
    "layer_wise": True,
    "max_position_embeddings": 512,
    "model_type": "cost_wise_gemma",
    "num_attention_heads": 2,
    "num_hidden_layers": 6,
    "num_key_value_heads": 1,
    "pad_token_id": 1,
    "query_pre_attn_scalar": 8,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "sliding_window_size": 4096,
    "start_layer": 2,
    "use_cache": False,
    "vocab_size": VOCABULARY,
}


def save_gemma(folder: Path) -> Path:
    """A language model, as bge-reranker-v2-gemma is one."""
    import torch
    import transformers

    torch.manual_seed(21)
    config = transformers.GemmaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=512,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    transformers.GemmaForCausalLM(config).save_pretrained(folder)
    return save_byte_tokenizer(folder)


def save_minicpm(folder: Path) -> Path:
    return _save(folder, "minicpm", MINICPM)


def save_cost_wise_gemma(folder: Path) -> Path:
    return _save(folder, "gemma", COST_WISE_GEMMA)


def save_byte_tokenizer(folder: Path) -> Path:
    """A tokenizer that loads at once: bytes, a line end among them, and the special tokens of XLM-R."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    assert len(words) == VOCABULARY
    tokenizer = Tokenizer(models.BPE(vocab={word: place for place, word in enumerate(words)}, merges=[]))
    tokenizer.add_special_tokens(special)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    tokens |= {"pad_token": "<pad>", "unk_token": "<unk>"}
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(named | tokens))
    return folder


def theirs(kind: str, folder: Path, **options: Any) -> Any:
    """FlagEmbedding's reranker with the model of this folder: ``llm``, ``minicpm`` or ``gemma``."""
    import FlagEmbedding
    from safetensors.torch import load_file

    if kind == "llm":
        return FlagEmbedding.FlagLLMReranker(str(folder), devices="cpu", **options)
    with pytest.MonkeyPatch.context() as patch:
        model_class, config = _runnable(patch, kind)
        # Built and filled, since transformers 5 forgets what the constructor computed when it loads a model itself.
        model = model_class(config(**json.loads((folder / "config.json").read_text())))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        patch.setattr(model_class, "from_pretrained", lambda *_, **__: model)
        kinds = {"minicpm": "LayerWiseFlagLLMReranker", "gemma": "LightWeightFlagLLMReranker"}
        # Half precision, which it insists on, is left off on a CPU.
        return getattr(FlagEmbedding, kinds[kind])(str(folder), devices="cpu", use_fp16=True, **options)


def _save(folder: Path, kind: str, told: dict[str, Any]) -> Path:
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(22)
    with pytest.MonkeyPatch.context() as patch:
        model_class, config = _runnable(patch, kind)
        model = model_class(config(**told))
    save_file({name: value.clone() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(told))
    return save_byte_tokenizer(folder)


def _runnable(patch: pytest.MonkeyPatch, kind: str) -> tuple[Any, Any]:
    """FlagEmbedding's classes of model and configuration, fit for transformers 5."""
    if kind == "minicpm":
        from FlagEmbedding.inference.reranker.decoder_only.models import (
            configuration_minicpm_reranker,
            modeling_minicpm_reranker,
        )

        config = configuration_minicpm_reranker.LayerWiseMiniCPMConfig
        # transformers 5 makes an object of null, which the model takes for scaled positions.
        patch.setattr(config, "rope_scaling", property(lambda _: None, lambda *_: None), raising=False)
        model_class = modeling_minicpm_reranker.LayerWiseMiniCPMForCausalLM
    else:
        from FlagEmbedding.inference.reranker.decoder_only.models import gemma_config, gemma_model

        config, model_class = gemma_config.CostWiseGemmaConfig, gemma_model.CostWiseGemmaForCausalLM
        patch.setattr(gemma_model, "Gemma2DecoderLayer", _layer_of_transformers_4(gemma_model))
        patch.setattr(gemma_model.CostWiseGemma2PreTrainedModel, "_supports_sdpa", False)
    patch.setattr(model_class, "_tied_weights_keys", None)
    return model_class, config


def _layer_of_transformers_4(module: Any) -> Any:
    class Layer(module.Gemma2DecoderLayer):  # type: ignore[misc]
        """Computes its rotary tables itself and returns a tuple."""

        def forward(self, hidden_states: Any, attention_mask: Any, position_ids: Any, **_: Any) -> Any:
            rotary = module.Gemma2RotaryEmbedding(self.config)(hidden_states, position_ids)
            given = {"position_embeddings": rotary, "attention_mask": attention_mask}
            return (super().forward(hidden_states, position_ids=position_ids, **given),)

    return Layer
