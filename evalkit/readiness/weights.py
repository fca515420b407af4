"""Models whose weights this machine needs: whether they are here, and whether the model fits them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from evalkit.errors import ModelError
from evalkit.models.remote.endpoint import Endpoint
from evalkit.models.weights import CarrierWeights, HubWeights, Weights
from evalkit.readiness.hub import cached, fetchable, holds, offline
from evalkit.readiness.outcome import Check, attempted, broken_off
from evalkit.readiness.settings import held

_BULK = ("*.safetensors", "*.bin", "*.onnx", "*.xml", "*.pt")
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "sentencepiece.bpe.model", "vocab.txt")
_TOLD = ("backend", "class", "runtime", "dtype", "device", "quantised", "max_length")
"""What a fingerprint is shown by, of those that it has."""


def model(name: str, part: Any) -> Iterator[Check]:
    """Its weights, and its fingerprint: reading that finds out whether files, number format and device go together.

    Args:
        name: What it is for, such as ``embedder``.
        part: The model; it is not loaded.
    """
    # Behind a server, weights are there for counting tokens.
    patterns = _TOKENIZER if held(part, Endpoint) else _BULK
    whole = True
    for weights in held(part, Weights):  # type: ignore[type-abstract] # a protocol is what is looked for
        check = _weights(f"{name} weights", weights, patterns)
        whole = whole and check.status == "ok"
        yield check
    try:
        with offline():
            yield Check(name, "ok", _told(part.fingerprint))
    except Exception as error:
        # Of weights that are not here it was said above, and nothing else can be known of them.
        if whole or not isinstance(error, ModelError):
            yield broken_off(name, error)


def bytes_of(part: Any) -> int:
    """Bytes of the weights of a model that are on this machine."""
    total = 0
    for weights in held(part, Weights):  # type: ignore[type-abstract]
        # The look at the weights says why they cannot be read.
        with suppress(Exception):
            folder = cached(weights, _BULK) if isinstance(weights, HubWeights) else weights.locate()
            files = folder.rglob("*") if folder is not None else ()
            total += sum(file.stat().st_size for file in files if file.is_file())
    return total


def _weights(name: str, weights: Weights, patterns: Sequence[str]) -> Check:
    if not isinstance(weights, HubWeights):
        return attempted(name, lambda: _here(weights, patterns))
    folder = cached(weights, patterns)
    if folder is not None:
        return Check(name, "ok", f"{weights.repo} at {folder.name} is in the local cache")
    ignored = [*weights.ignore, *(_BULK if patterns is _TOKENIZER else ())]
    return fetchable(name, weights.repo, weights.revision, "model", ignored)


def _here(weights: Weights, patterns: Sequence[str]) -> str:
    folder = weights.locate()
    if isinstance(weights, CarrierWeights):
        return f"{weights.distribution} {weights.version}, each file with the SHA-256 that is stated"
    if not holds(folder, patterns):
        raise ModelError(f"{folder} holds no file like {', '.join(patterns)}; name the folder that does")
    return str(folder)


def _told(fingerprint: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {fingerprint[key]}" for key in _TOLD if fingerprint.get(key) is not None)
