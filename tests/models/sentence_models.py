"""Tiny models as sentence-transformers itself saves them, and the back ends that read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.models.sentence_embedder import SentenceTransformersEmbedder
from evalkit.models.sentence_reranker import SentenceTransformersReranker
from evalkit.models.weights import FolderWeights

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}</{{ message.role }}>{% endfor %}relevant?"
)
"""A chat template that takes an instruction, a query and a document."""


def st_reranker(folder: Path, **changes: Any) -> SentenceTransformersReranker:
    options = {"dtype": "float32", "device": "cpu", "query_prompt": None, "document_prompt": "", "max_length": 128}
    options |= {"query_max_length": None, "token_budget": 1024, "trust_remote_code": False}
    return SentenceTransformersReranker(FolderWeights(folder), **{**options, **changes})


def st_embedder(folder: Path, **changes: Any) -> SentenceTransformersEmbedder:
    options = {"dtype": "float32", "device": "cpu", "normalize": True, "query_prompt": None, "document_prompt": None}
    options |= {"max_length": 128, "token_budget": 1024, "trust_remote_code": False}
    return SentenceTransformersEmbedder(FolderWeights(folder), **{**options, **changes})


def save_embedder(folder_out: Path, transformer: Path, pooling: str, dense: bool = False, **options: Any) -> Path:
    """A SentenceTransformer of a transformer's weights, its pooling and, if asked, a random dense layer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(3)
    first = Transformer(str(transformer), transformer_task="feature-extraction")
    width = first.get_embedding_dimension()
    modules = [first, Pooling(width, pooling), *([Dense(width, 12)] if dense else [])]
    SentenceTransformer(modules=modules, device="cpu", **options).save_pretrained(str(folder_out))
    return folder_out


def save_language_model(folder_out: Path, texts: Sequence[str], instruction: str | None) -> Path:
    """A CrossEncoder of a random two-layer Qwen3 that answers yes or no behind a chat template."""
    import torch
    import transformers
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [*texts, "yes no"], trainers.BpeTrainer(vocab_size=400, show_progress=False, initial_alphabet=alphabet)
    )
    tokenizer.add_tokens([AddedToken("yes"), AddedToken("no")])
    special = dict.fromkeys(("pad_token", "eos_token"), "<pad>")
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template=TEMPLATE, model_max_length=256, **special
    )
    torch.manual_seed(11)
    config = transformers.Qwen3Config(
        vocab_size=len(wrapped),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        initializer_range=0.5,
    )
    plain = folder_out / "plain"
    transformers.Qwen3ForCausalLM(config).save_pretrained(plain)
    wrapped.save_pretrained(plain)
    first = Transformer(str(plain), transformer_task="text-generation")
    yes, no = (wrapped.convert_tokens_to_ids(word) for word in ("yes", "no"))
    named = {} if instruction is None else {"prompts": {"search": instruction}, "default_prompt_name": "search"}
    modules = [first, LogitScore(true_token_id=yes, false_token_id=no)]
    CrossEncoder(modules=modules, device="cpu", **named).save_pretrained(str(folder_out / "saved"))
    return folder_out / "saved"
