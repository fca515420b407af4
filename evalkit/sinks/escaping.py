"""Names and values that come from data, made harmless where signs mean something."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_\[\]<>|~#])")


def escaped(text: str) -> str:
    """One line of markdown in which nothing counts as markup."""
    return _MARKUP.sub(r"\\\1", one_line(text))


def one_line(text: str) -> str:
    """Without line breaks and control signs."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
