"""Long texts in overlapping windows, cut between words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"\S+\s*")

Spans = Sequence[tuple[int, int]]
"""Begin and end of every token in its text, in characters; an empty span belongs to no character."""


def split(text: str, tokens: Spans, room: int, overlap: int) -> list[str]:
    """The text in windows of at most ``room`` tokens, each but the first beginning inside the one before.

    Windows begin and end between words, so that their tokens are those of the whole text; a single word of more tokens
    is a window alone, and too long.

    Args:
        text: What is split.
        tokens: Its tokens, special ones left out.
        room: Tokens that fit.
        overlap: Tokens that a window shares with the one before, at least, as far as half of it allows.

    Returns:
        At least one window; the text itself where it fits.
    """
    if len(tokens) <= room:
        return [text]
    words = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    sizes = _sizes(words, tokens)
    shared = min(overlap, room // 2)
    windows: list[str] = []
    begin = 0
    while True:
        end, size = begin, 0
        while end < len(words) and (end == begin or size + sizes[end] <= room):
            size += sizes[end]
            end += 1
        windows.append(text[words[begin][0] : words[end - 1][1]].rstrip())
        if end == len(words):
            return windows
        following, kept = end, 0
        while following > begin + 1 and kept < shared:
            following -= 1
            kept += sizes[following]
        begin = following


def _sizes(words: Spans, tokens: Spans) -> list[int]:
    """Tokens of each word; one between two words belongs to the latter."""
    sizes = [0] * len(words)
    word = 0
    for begin, end in tokens:
        while word < len(words) - 1 and max(begin, end - 1) >= words[word][1]:
            word += 1
        sizes[word] += 1
    return sizes
