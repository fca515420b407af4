"""Windows of long texts: nothing is lost, nothing is too long, neighbours overlap; by hand and at random."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count, islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.models.windows import in_windows, split


def thirds(text: str) -> list[tuple[int, int]]:
    """Tokens of up to three letters, never across white space."""
    return [found.span() for found in re.finditer(r"\S{1,3}", text)]


def spaced(text: str) -> list[tuple[int, int]]:
    """As byte-level tokenizers do: a word takes the space before it along, and without one it has a token more."""
    return [
        span
        for word in re.finditer(r"(\s*)\S+", text)
        for span in ([word.span()] if word[1] else [(word.start(), word.start() + 1), word.span()])
    ]


WORDS = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from([" ", "  ", "\n", "\t \u3000"])), min_size=1, max_size=60
)


def text_of(words: Sequence[tuple[int, str]]) -> tuple[str, list[str]]:
    """Words of any length with white space between them; every letter occurs once, so that places are known."""
    letters = map(chr, count(0x4E00))
    named = ["".join(islice(letters, length + 1)) for length, _ in words]
    return "".join(word + space for word, (_, space) in zip(named, words, strict=True)), named


def ranges(windows: Sequence[str], words: Sequence[str]) -> list[tuple[int, int]]:
    """Each window as a range of words; fails where it is anything else than these words in a row."""
    found = []
    for window in windows:
        held = window.split()
        begin = words.index(held[0])
        assert held == list(words[begin : begin + len(held)])
        found.append((begin, begin + len(held)))
    return found


def assert_all_is_there(text: str, windows: Sequence[str]) -> None:
    """In order, with nothing but white space between two windows; where text repeats, at the last place that fits."""
    covered = 0
    for window in windows:
        reach = len(text) - len(text[covered:].lstrip())
        place = text.rfind(window, 0, reach + len(window))
        assert place >= 0
        covered = max(covered, place + len(window))
    assert not text[covered:].strip()


@given(WORDS, st.integers(8, 40), st.integers(0, 30))
def test_windows_of_words_cover_the_text_fit_and_overlap(words: list[tuple[int, str]], room: int, overlap: int) -> None:
    text, named = text_of(words)
    windows = split(text, thirds(text), room, overlap)
    sizes = [len(thirds(word)) for word in named]
    if sum(sizes) <= room:
        assert windows == [text]
        return
    assert all(window in text and window == window.strip() for window in windows)
    found = ranges(windows, named)
    assert {place for begin, end in found for place in range(begin, end)} == set(range(len(named)))
    assert all(sum(sizes[begin:end]) <= room for begin, end in found)
    for (begin, end), (following, reached) in pairwise(found):
        assert begin < following <= end < reached
        shared = sum(sizes[following:end])
        # Or one word more would leave no room for the next one, or begin where the window before does.
        assert shared >= min(overlap, room // 2) or sum(sizes[following - 1 : end + 1]) > room or following == begin + 1


@given(WORDS, st.integers(1, 7), st.integers(0, 30))
def test_words_that_do_not_fit_are_taken_apart_and_nothing_is_lost(
    words: list[tuple[int, str]], room: int, overlap: int
) -> None:
    text, named = text_of(words)
    windows = split(text, thirds(text), room, overlap)
    assert all(len(thirds(window)) <= room for window in windows) or windows == [text]
    assert_all_is_there(text, windows)
    for word in named:
        if len(thirds(word)) <= room:
            assert any(word in window.split() for window in windows)


@given(WORDS, st.integers(2, 40), st.integers(0, 30), st.sampled_from(["", "passage: "]))
def test_windows_fit_as_they_are_tokenised_on_their_own(
    words: list[tuple[int, str]], room: int, overlap: int, prompt: str
) -> None:
    text, named = text_of(words)

    def tokenise(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [spaced(one) for one in texts]

    (windows,) = in_windows([text], [room], overlap, tokenise, prompt)
    lengths = [len(spaced(prompt + window)) for window in windows]
    if lengths == [len(spaced(prompt + text))]:
        # Two tokens for a word alone, two for the prompt: less room than that is none.
        assert lengths[0] <= room or room < 2 + 2 * bool(prompt)
        assert windows == [text]
    else:
        assert max(lengths) <= room
        assert {word for window in windows for word in window.split()} == set(named)


def test_windows_by_hand() -> None:
    """Ten words of one token; four fit, two are shared."""
    text = "a b c d e f g h i j"
    assert split(text, thirds(text), 4, 2) == ["a b c d", "c d e f", "e f g h", "g h i j"]
    assert split(text, thirds(text), 4, 0) == ["a b c d", "e f g h", "i j"]
    assert split(text, thirds(text), 4, 99) == split(text, thirds(text), 4, 2)
    assert split(text, thirds(text), 10, 3) == [text]


def test_a_long_word_is_not_shared_where_it_would_keep_the_next_one_out() -> None:
    """``longlong`` has three tokens of four: with it, ``two`` and ``three`` would not both fit behind."""
    text = "one longlong threes two"
    assert split(text, thirds(text), 4, 2) == ["one longlong", "threes two"]


def test_white_space_inside_a_window_stays_and_that_around_it_goes() -> None:
    text = "  a  b\n\nc\td  "
    assert split(text, thirds(text), 2, 0) == ["a  b", "c\td"]
    assert split(text, thirds(text), 4, 0) == [text]


def test_a_text_without_spaces_is_cut_between_its_tokens() -> None:
    text = "abcdefghijklmnopqrstuvwxyz"
    assert split(text, thirds(text), 4, 1) == ["abcdefghijkl", "jklmnopqrstu", "stuvwxyz"]


def test_tokens_of_one_character_stay_together() -> None:
    """Four bytes each, as for an emoji; three fit into the room, with no byte apart."""
    text = "😀😁😂🤣😃"
    tokens = [(place, place + 1) for place in range(len(text)) for _ in range(4)]
    assert split(text, tokens, 12, 4) == ["😀😁😂", "😂🤣😃"]


@pytest.mark.parametrize("text", ["", " ", "\n" * 50])
def test_a_text_without_words_is_one_window(text: str) -> None:
    assert split(text, [(place, place + 1) for place in range(len(text))], 10, 3) == [text]


def test_tokens_of_no_character_belong_to_the_word_behind_them() -> None:
    """A lone sign for the space, of no width: two tokens for each word."""
    text = "aa bb cc dd"
    tokens = [span for begin in (0, 3, 6, 9) for span in ((begin, begin), (begin, begin + 2))]
    assert split(text, tokens, 4, 0) == ["aa bb", "cc dd"]


def test_where_nothing_fits_beside_query_or_prompt_the_text_stays_as_it_is() -> None:
    text = "one two three four"
    tokenise = lambda texts: [thirds(one) for one in texts]  # noqa: E731 - the port asks for a function
    assert in_windows([text, text], [0, -5], 1, tokenise) == [[text], [text]]
    assert in_windows([text], [2], 1, tokenise, "a b ") == [[text]]


def test_each_text_has_its_own_room() -> None:
    text = "a b c d"
    found = in_windows([text, text, text], [2, 3, 4], 0, lambda texts: [thirds(one) for one in texts])
    assert found == [["a b", "c d"], ["a b c", "d"], [text]]
