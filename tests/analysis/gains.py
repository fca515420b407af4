"""Comparisons that are made up, for tests of what follows from one."""

from __future__ import annotations

from typing import Any

from evalkit.findings import Comparison
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
