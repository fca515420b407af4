"""Long texts in overlapping windows, cut between words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

_WORD = re.compile(r"(\S+)\s*")

Spans: TypeAlias = Sequence[tuple[int, int]]
"""Begin and end of every token in its text, in characters; an empty span belongs to no character."""

Tokenise: TypeAlias = Callable[[Sequence[str]], Sequence[Spans]]
"""Texts to the tokens of each, uncut, special ones left out."""


def in_windows(
    texts: Sequence[str], rooms: Sequence[int], overlap: int, tokenise: Tokenise, prompt: str = ""
) -> list[list[str]]:
    """Each text in windows that have, behind the prompt and tokenised on their own, at most ``room`` tokens.

    Args:
        texts: What is split.
        rooms: Of each text, the tokens that fit, those of the prompt included.
        overlap: Tokens that a window shares with the one before; see :func:`split`.
        tokenise: As the model does.
        prompt: What the model reads before every text.

    Returns:
        At least one window per text: the text itself where it fits, or where nothing would.
    """
    all_tokens = tokenise([prompt + text for text in texts])
    return [
        list(_fitting(text, tokens, room, overlap, tokenise, prompt))
        for text, tokens, room in zip(texts, all_tokens, rooms, strict=True)
    ]


def _fitting(text: str, prompted: Spans, room: int, overlap: int, tokenise: Tokenise, prompt: str) -> Sequence[str]:
    if len(prompted) <= room:
        return [text]
    begin = len(prompt)
    tokens = [(max(0, start - begin), end - begin) for start, end in prompted if end > begin]
    left = room - (len(prompted) - len(tokens))
    while left > 0:
        windows = split(text, tokens, left, overlap)
        excess = max(map(len, tokenise([prompt + window for window in windows]))) - room
        if excess <= 0:
            return windows
        # Some tokenizers hold a word's space to it: without it, at a window's edge, the word has other tokens.
        left -= min(excess, max(1, left // 4))
    return [text]


def split(text: str, tokens: Spans, room: int, overlap: int) -> list[str]:
    """The text in windows of at most ``room`` of its tokens.

    Windows begin and end between words; a word of more tokens than fit is taken apart between its tokens.

    Args:
        text: What is split.
        tokens: Its tokens, special ones left out.
        room: Tokens that fit, at least one.
        overlap: Tokens that a window shares with the one before, at least: as far as half of the room allows, and as
            the next word leaves them room.

    Returns:
        At least one window; the text itself where it fits.
    """
    pieces = list(_pieces(text, tokens, room))
    if len(tokens) <= room or not pieces:
        return [text]
    sizes = _sizes(pieces, tokens)
    shared = min(overlap, room // 2)
    windows: list[str] = []
    begin = 0
    while True:
        end, size = begin, 0
        while end < len(pieces) and (end == begin or size + sizes[end] <= room):
            size += sizes[end]
            end += 1
        windows.append(text[pieces[begin][0] : pieces[end - 1][1]].rstrip())
        if end == len(pieces):
            return windows
        following, kept = end, 0
        while following > begin + 1 and kept < shared and kept + sizes[following - 1] + sizes[end] <= room:
            following -= 1
            kept += sizes[following]
        begin = following


def _pieces(text: str, tokens: Spans, room: int) -> Iterator[tuple[int, int]]:
    """Begin and end of what stays together, the white space behind it included: words, or the tokens of long ones."""
    words = list(_WORD.finditer(text))
    sizes = _sizes([word.span() for word in words], tokens)
    for word, size in zip(words, sizes, strict=True):
        begin, end = word.span()
        inside = {start for start, _ in tokens if begin < start < word.end(1)} if size > room else set()
        yield from pairwise([begin, *sorted(inside), end])


def _sizes(pieces: Spans, tokens: Spans) -> list[int]:
    """Tokens of each piece; one that reaches into the next piece belongs to that."""
    sizes = [0] * len(pieces)
    place = 0
    for begin, end in tokens if pieces else ():
        while place < len(pieces) - 1 and max(begin, end - 1) >= pieces[place][1]:
            place += 1
        sizes[place] += 1
    return sizes
