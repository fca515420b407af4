"""How long a query and a document are together, and what is cut where they are too long; no model in here.

The rule is FlagEmbedding's, in every back end, so that they agree: the query is cut first, at 3/4 of the length unless
told otherwise, then the document to what remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import unfit, whole_number
from evalkit.models.windows import Spans, in_windows

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


def query_limit(max_length: int, query_max_length: int | None) -> int:
    """Tokens at which the query is cut first.

    Args:
        max_length: Tokens per pair.
        query_max_length: What was asked for; None means 3/4 of ``max_length``.

    Raises:
        ConfigError: It is no such number, or leaves a document no room.
    """
    whole_number("reranker.query_max_length", query_max_length, 1, or_null=True)
    limit = max_length * 3 // 4 if query_max_length is None else query_max_length
    if limit >= max_length:
        raise unfit("reranker.query_max_length", query_max_length, f"less than max_length, {max_length}")
    return limit


@dataclass(frozen=True)
class PairTokens:
    """A tokenizer and the room that a pair has.

    Args:
        tokenizer: With truncation and padding switched off.
        added: Tokens that a pair has besides those of its texts.
        max_length: Tokens per pair, those included; beyond it the document is cut.
        query_max_length: Tokens at which the query is cut first.
    """

    tokenizer: Tokenizer
    added: int
    max_length: int
    query_max_length: int

    def count(self, queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of each pair before anything is cut, shape (n,)."""
        encoded = zip(self._encode(queries), self._encode(documents), strict=True)
        counts = [len(query.ids) + len(document.ids) + self.added for query, document in encoded]
        return np.array(counts, dtype=np.int64)

    def cut(self, queries: Sequence[str], documents: Sequence[str]) -> list[tuple[Encoding, Encoding]]:
        """The tokens of each pair that are read, special ones left out."""
        pairs = list(zip(self._encode(queries), self._encode(documents), strict=True))
        for query, document in pairs:
            query.truncate(self.query_max_length)
            document.truncate(self.max_length - self.added - len(query.ids))
        return pairs

    def windows(self, queries: Sequence[str], documents: Sequence[str], overlap: int, prompt: str) -> list[list[str]]:
        """Each document in windows that are read whole beside its query; one where it fits.

        Args:
            queries: As the model reads them.
            documents: Without what is put before each.
            overlap: Tokens that a window shares with the one before.
            prompt: What is put before each document and window.
        """
        room = self.max_length - self.added
        rooms = [room - min(len(query.ids), self.query_max_length) for query in self._encode(queries)]
        return in_windows(documents, rooms, overlap, self._spans, prompt)

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        return self.tokenizer.encode_batch(list(texts), add_special_tokens=False)

    def _spans(self, texts: Sequence[str]) -> list[Spans]:
        return [encoding.offsets for encoding in self._encode(texts)]
