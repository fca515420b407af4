"""Queries that give their answer away: they name it, or stand in it."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")

FEWEST_WORDS = 4
"""Fewer words than this stand in an answer without having been copied from it: they may be its subject."""

FEWEST_DIGITS = 5
"""A shorter number, such as a year or a section, stands in a question by itself."""


def named(doc_id: str, question: str) -> bool:
    """Whether a question contains a document's id, as a word or words of its own; case does not count.

    Ids that are a plain word or a short number are passed by: questions hold such without meaning the document.
    """
    if len(doc_id) < 2 or doc_id.isalpha() or (doc_id.isdigit() and len(doc_id) < FEWEST_DIGITS):
        return False
    return re.search(rf"(?<!\w){re.escape(doc_id.casefold())}(?!\w)", question.casefold()) is not None


def copied(question: str, document: str) -> bool:
    """Whether a document contains a question word for word; case, white space and punctuation do not count."""
    asked = _WORD.findall(question.casefold())
    if len(asked) < FEWEST_WORDS:
        return False
    return f" {' '.join(asked)} " in f" {' '.join(_WORD.findall(document.casefold()))} "
