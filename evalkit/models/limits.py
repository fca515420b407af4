"""How many tokens a model reads, as far as the files beside it say so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import ConfigError, ModelError

SHORTEST_MAX_LENGTH = 32
"""Below it, a pair's query and special tokens leave no room for a document."""

# A tokenizer that knows no limit names 10^30, or a million.
_NO_LIMIT = 1_000_000
# Their first position is the one after the padding token's id.
_POSITIONS_AFTER_PADDING = {"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"}


def nearest(name: str, *folders: Path) -> Path:
    """The file of this name in the first folder that has it, or in the last one."""
    found = (folder / name for folder in folders if (folder / name).is_file())
    return next(found, folders[-1] / name)


def refuse_too_long(owner: str, max_length: int, *folders: Path) -> None:
    """Refuse more tokens than the model reads; where no file tells, nothing is refused.

    Args:
        owner: Where the argument stands in the configuration, such as ``embedder``.
        max_length: Tokens that were asked for.
        folders: Where ``config.json`` and ``tokenizer_config.json`` may lie, nearest first.

    Raises:
        ConfigError: The model reads fewer tokens.
        ModelError: One of the files is not what its name says.
    """
    known = stated_limit(*folders)
    if known is not None and max_length > known[0]:
        limit, source = known
        raise ConfigError(
            f"{owner}.max_length is {max_length}, but the model reads {limit} tokens ({source}); "
            f"expected {SHORTEST_MAX_LENGTH} to {limit}"
        )


def stated_limit(*folders: Path) -> tuple[int, str] | None:
    """The most tokens that the files say the model reads, and which file says so; None where none does.

    Args:
        folders: Where ``config.json`` and ``tokenizer_config.json`` may lie, nearest first.

    Raises:
        ModelError: One of the files is not what its name says.
    """
    config, tokenizer = (nearest(name, *folders) for name in ("config.json", "tokenizer_config.json"))
    told = [
        (_positions(read_object(config)), f"max_position_embeddings in {config}"),
        (_number(read_object(tokenizer), "model_max_length"), f"model_max_length in {tokenizer}"),
    ]
    return min(((limit, source) for limit, source in told if limit is not None), default=None)


def _positions(config: Mapping[str, Any]) -> int | None:
    # DeBERTa, which counts distances instead of positions, reads on behind its trained length.
    if config.get("position_biased_input") is False:
        return None
    positions = _number(config, "max_position_embeddings")
    if positions is None or config.get("model_type") not in _POSITIONS_AFTER_PADDING:
        return positions
    padding = config.get("pad_token_id")
    return positions - 1 - (padding if isinstance(padding, int) else 1)


def _number(config: Mapping[str, Any], key: str) -> int | None:
    value = config.get(key)
    return int(value) if isinstance(value, int | float) and 0 < value < _NO_LIMIT else None


def read_object(path: Path) -> Mapping[str, Any]:
    """What a JSON file beside a model says; nothing where there is no such file.

    Raises:
        ModelError: It holds no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object; expected a model's configuration")
    return content
