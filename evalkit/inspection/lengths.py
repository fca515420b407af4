"""How much of a data set is longer than the models read: tokenizers are asked, no model is loaded."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import EvalkitError
from evalkit.inspection.facts import Lengths
from evalkit.ports import CountsPairTokens, CountsTokens, Embedder, FoundRun, FoundScores, Pair, Reranker

Item = TypeVar("Item")

SAMPLE = 10_000
"""Pairs whose tokens are counted."""

_AT_A_TIME = 256
_UNTOLD = "it does not tell how many tokens a text has"


def lengths(
    embedder: Embedder | FoundRun | None,
    reranker: Reranker | FoundScores,
    documents: Sequence[str],
    pairs: Sequence[Pair],
) -> tuple[Lengths, ...]:
    """Hold documents and judged positive pairs to what the models read; of many pairs, a sample.

    Args:
        embedder: Where it or its tokenizer cannot be had, nothing is estimated, and the reason is told; None where
            words alone are searched, of which nothing is told.
        reranker: Likewise.
        documents: Contents of documents.
        pairs: (query text, content of a positive).
    """
    if len(pairs) > SAMPLE:
        pairs = random.Random(0).sample(pairs, SAMPLE)  # noqa: S311 - a sample, not a secret
    read = _of_reranker(reranker, documents, pairs)
    return (read,) if embedder is None else (_of_embedder(embedder, documents, pairs), read)


def _of_embedder(embedder: Embedder | FoundRun, documents: Sequence[str], pairs: Sequence[Pair]) -> Lengths:
    if not isinstance(embedder, CountsTokens):
        return Lengths("embedder", None, unknown=_UNTOLD)
    try:
        return Lengths(
            "embedder",
            embedder.max_length,
            len(documents),
            _longer(embedder.count_tokens, documents, embedder.max_length),
            len(pairs),
            _longer(embedder.count_tokens, [content for _, content in pairs], embedder.max_length),
        )
    except EvalkitError as error:
        return Lengths("embedder", embedder.max_length, unknown=str(error))


def _of_reranker(reranker: Reranker | FoundScores, documents: Sequence[str], pairs: Sequence[Pair]) -> Lengths:
    if not isinstance(reranker, CountsPairTokens):
        return Lengths("reranker", None, unknown=_UNTOLD)
    try:
        return Lengths(
            "reranker",
            reranker.max_length,
            len(documents),
            _longer(reranker.count_tokens, [("", content) for content in documents], reranker.max_length),
            len(pairs),
            _longer(reranker.count_tokens, pairs, reranker.max_length),
        )
    except EvalkitError as error:
        return Lengths("reranker", reranker.max_length, unknown=str(error))


def _longer(count: Callable[[Sequence[Item]], NDArray[np.int64]], items: Sequence[Item], max_length: int) -> int:
    return sum(int((count(chunk) > max_length).sum()) for chunk in _chunks(items))


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[begin : begin + _AT_A_TIME] for begin in range(0, len(items), _AT_A_TIME))
