"""Comparisons and cells of a language table that are made up, for tests of what follows from them."""

from __future__ import annotations

from typing import Any

from evalkit.findings import Comparison
from evalkit.parts import LanguageBias, LanguageGain
from tests.analysis.evidence import RECALL


def gain_of(points: float, low: float | None = None, high: float | None = None, **changes: Any) -> Comparison:
    """A gain over 0.5 at top-k 50 with this interval; one of no width where none is given."""
    parts: dict[str, Any] = {
        "metric": RECALL,
        "baseline": "dense",
        "candidate": f"rerank@{changes.get('top_k', 50)}",
        "top_k": 50,
        "baseline_mean": 0.5,
        "candidate_mean": 0.5 + points / 100,
        "delta_points": points,
        "relative_percent": 2 * points,
        "ci_low": points if low is None else low,
        "ci_high": points if high is None else high,
        "interval_method": "made up",
        "p_value": 0.01,
        "p_adjusted": 0.01,
        "attainable_p": 0.001,
        "detectable_points": 5.0,
        "wins": 30,
        "ties": 60,
        "losses": 10,
        "n_queries": 100,
        "n_units": 100,
        "oracle": 0.9,
        "headroom_points": 40.0,
        "captured": points / 40,
    }
    return Comparison(**{**parts, **changes})


def cell_of(query_lang: str, document_lang: str | None, points: float, units: int = 40, **changes: Any) -> LanguageGain:
    """A certain gain over 0.5 at top-k 10, of so many queries that are units of their own."""
    parts: dict[str, Any] = {
        "query_lang": query_lang,
        "document_lang": document_lang,
        "candidates": 5.0,
        "metric": RECALL,
        "top_k": 10,
        "baseline_mean": 0.5,
        "candidate_mean": 0.5 + points / 100,
        "delta_points": points,
        "ci_low": points - 1,
        "ci_high": points + 1,
        "p_value": 0.001,
        "p_adjusted": 0.01,
        "headroom_points": 40.0,
        "n_queries": units,
        "n_units": units,
        "note": "",
    }
    return LanguageGain(**{**parts, **changes})


def bias_of(query_lang: str | None, low: float, high: float, **changes: Any) -> LanguageBias:
    """The share of the top 5 that is in the asker's language, from 0.4; 0.3 of the relevant documents are in it."""
    points = (low + high) / 2
    parts: dict[str, Any] = {
        "query_lang": query_lang,
        "cutoff": 5,
        "relevant_share": 0.3,
        "dense_share": 0.4,
        "reranked_share": 0.4 + points / 100,
        "delta_points": points,
        "ci_low": low,
        "ci_high": high,
        "n_queries": 100,
    }
    return LanguageBias(**{**parts, **changes})
