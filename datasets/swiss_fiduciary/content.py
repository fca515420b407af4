"""Checks of what the texts say: their language, likeness and length, and Swiss usage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations

import wording
from built import Finding, Part, Row, percent, words

MIN_WORDS, MAX_WORDS = 30, 120
MOST_SHORT = 0.15
"""At most this share of the questions may have too few function words to tell their language."""
NEAR = 0.5
"""Share of common words (Jaccard) from which two questions are nearly the same."""


def languages_of_passages(part: Part) -> Finding:
    """The function words of every passage tell its language, and it is the one of its id."""
    told = {row.id: wording.language(row.text) for row in part.passages}
    faults = [
        f"{row.id}: function words of {told[row.id] or 'no one language'}"
        for row in part.passages
        if told[row.id] != row.prefix
    ]
    return Finding(f"function words agree with the tag, with a lead of {wording.LEAD} or more in each passage", faults)


def languages_of_questions(part: Part) -> Finding:
    """The function words of a question agree with its id, as far as it has any."""
    told = {row.id: wording.language(row.text) for row in part.questions}
    faults = [
        f"{row.id}: function words of {told[row.id]}"
        for row in part.questions
        if told[row.id] not in (None, row.prefix)
    ]
    short = [name for name, lang in told.items() if lang is None]
    if len(short) > MOST_SHORT * len(told):
        faults += [f"{name}: too short to tell" for name in short]
    shown = f"function words agree with the tag in {len(told) - len(short)}; {len(short)} are too short to tell"
    return Finding(f"{shown} ({percent(len(short), len(told))}, at most {MOST_SHORT * 100:.0f} %)", faults)


def near_questions(part: Part) -> Finding:
    """No two questions of a language are nearly the same."""
    spoken: dict[str, list[tuple[str, set[str]]]] = defaultdict(list)
    for row in part.questions:
        spoken[row.prefix].append((row.id, set(words(row.text))))
    faults, nearest, pair = [], 0.0, "none"
    for rows in spoken.values():
        for (one, left), (other, right) in combinations(rows, 2):
            overlap = len(left & right) / max(1, len(left | right))
            if overlap >= NEAR:
                faults.append(f"{one}, {other}: {overlap:.2f} of their words shared")
            if overlap > nearest:
                nearest, pair = overlap, f"{one}, {other}"
    shown = (
        f"two of a language share under {NEAR} of their words (Jaccard), none excepted; at most {nearest:.2f}: {pair}"
    )
    return Finding(shown, faults)


def same_passages(part: Part) -> Finding:
    """No two passages have the same words in the same order."""
    seen: dict[str, str] = {}
    faults = []
    for row in part.passages:
        first = seen.setdefault(" ".join(words(row.text)), row.id)
        if first != row.id:
            faults.append(f"{first}, {row.id}: the same text")
    return Finding("no two texts are the same, case and punctuation aside", faults)


def leaks(part: Part) -> Finding:
    """No question names a passage by its key, with or without a language, whether or not that answers the question."""
    names = {form: row.id for row in part.passages for form in (row.key, row.key.replace("-", "/", 1))}
    faults = []
    for question in part.questions:
        asked = question.text.casefold()
        if "-" not in asked and "/" not in asked:
            continue  # every name has one of them, and hardly a question does
        faults += [f"{question.id}: names {passage}" for form, passage in names.items() if form in asked]
    return Finding("no question holds the id or the key of a passage", faults)


def copies(part: Part) -> Finding:
    """No question stands word for word in one of its answers."""
    written = {row.id: _bounded(f"{row.title} {row.text}") for row in part.passages}
    answers = part.answers()
    faults = [
        f"{question.id}, {passage.id}: word for word"
        for question in part.questions
        for passage in answers[question.id]
        if _bounded(question.text) in written[passage.id]
    ]
    return Finding("no question stands word for word in the title and text of an answer", faults)


def _bounded(text: str) -> str:
    """The words of a text with a space around each, so that one within another only counts where whole words do."""
    return f" {' '.join(words(text))} "


def lengths(part: Part) -> Finding:
    """Passages have 30 to 120 words; questions have some."""
    long = {row.id: len(row.text.split()) for row in part.passages}
    asked = {row.id: len(row.text.split()) for row in part.questions}
    faults = [f"{name}: {count} words" for name, count in long.items() if not MIN_WORDS <= count <= MAX_WORDS]
    faults += [f"{name}: no word" for name, count in asked.items() if not count]
    shown = f"passages {_range(long)} words, {MIN_WORDS} to {MAX_WORDS} allowed; questions {_range(asked)}"
    return Finding(shown, faults)


def _range(counts: dict[str, int]) -> str:
    return f"{min(counts.values(), default=0)} to {max(counts.values(), default=0)}"


def sharp_s(part: Part) -> Finding:
    """No text has a sharp s."""
    return Finding("none", _places(part, lambda _, text: wording.sharp_s(text)))


def amounts(part: Part) -> Finding:
    """Numbers are written as in Switzerland."""
    return Finding(
        "as 1'250.00: straight apostrophe, decimal point", _places(part, lambda _, text: wording.amounts(text))
    )


def vat(part: Part) -> Finding:
    """VAT is abbreviated as in Switzerland."""
    return Finding("never MwSt", _places(part, lambda _, text: wording.vat(text)))


def umlauts(part: Part) -> Finding:
    """No umlaut is spelt as two vowels."""
    spelt = {word for _, _, text in _texts(part) for _, word in wording.letters(text)}

    def found(row: Row, text: str) -> Iterator[int]:
        return wording.ascii_umlauts(text, row.prefix, spelt)

    return Finding("none spelt as two vowels", _places(part, found))


def _texts(part: Part) -> Iterator[tuple[Row, str, str]]:
    """Every title and every text, with its row and its name."""
    for row in part.passages + part.questions:
        yield row, "title", row.title
        yield row, "text", row.text


def _places(part: Part, search: Callable[[Row, str], Iterator[int]]) -> list[str]:
    """A line for each place that a search finds in a title or text."""
    return [f"{row.id}: {field}, character {at + 1}" for row, field, text in _texts(part) for at in search(row, text)]
