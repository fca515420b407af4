"""What MLflow is told of the language table: one gain per cell, how much of the top is in the asker's language."""

from __future__ import annotations

import re

from evalkit.parts import LanguageGain, Languages
from evalkit.result import EvalResult
from evalkit.sinks import languages, table

# MLflow takes more, but an underscore stands between the two languages of a name.
_FORBIDDEN = re.compile(r"[^A-Za-z0-9.-]")

_LONGEST = 35
"""Characters of a language tag that RFC 5646 asks everybody to take."""


def numbers(result: EvalResult) -> dict[str, float]:
    """Metric -> value; nothing of a table with a single cell."""
    found = _several(result)
    if found is None:
        return {}
    names = [_name(gain) for gain in found.gains]
    # Two languages may differ only in what a name must not hold: neither is sent under the name of both.
    gains = {name: gain.delta_points for name, gain in zip(names, found.gains, strict=True) if names.count(name) == 1}
    if not found.bias:
        return gains
    whole = found.bias[-1]
    return {**gains, "own_language_dense": whole.dense_share, "own_language_reranked": whole.reranked_share}


def worst(result: EvalResult) -> str | None:
    """The row that gains least, pooled or not, of those that can tell; None where there are not several cells."""
    found = _several(result)
    told = [] if found is None else [gain for gain in found.gains if not gain.note]
    if not told:
        return None
    least = min(told, key=lambda gain: gain.delta_points)
    sure = "" if languages.direction(least) else ", not certain"
    return (
        f"{languages.cell_name(least)}: {least.delta_points:+.1f} points "
        f"({table.interval(least.ci_low, least.ci_high)}{sure})"
    )


def _several(result: EvalResult) -> Languages | None:
    """The language table where it has several cells."""
    found = result.assessment.languages
    return found if found is not None and len(found.cells) > 1 else None


def _name(gain: LanguageGain) -> str:
    """Such as ``gain_points_de_fr``, queries first."""
    documents = languages.POOLED if gain.document_lang is None else _tag(gain.document_lang)
    return f"gain_points_{_tag(gain.query_lang)}_{documents}"


def _tag(lang: str) -> str:
    return _FORBIDDEN.sub("-", lang)[:_LONGEST]
