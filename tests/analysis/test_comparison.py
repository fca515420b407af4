"""Deltas, room and counts, by hand."""

from __future__ import annotations

import pytest

from evalkit.analysis.comparison import compare
from evalkit.types import Metric, System

RECALL = Metric("recall", 5)


def test_points_percent_headroom_and_captured() -> None:
    """Dense 0.5, reranked 0.625, oracle 0.75: +12.5 points, +25 %, headroom 25, half of it captured."""
    found = compare(
        RECALL,
        System("reranked", 50),
        dense={"a": 1.0, "b": 0.0, "c": 0.5, "d": 0.5},
        reranked={"a": 0.5, "b": 1.0, "c": 0.5, "d": 0.5},
        oracle={"a": 1.0, "b": 1.0, "c": 0.5, "d": 0.5},
    )
    assert (found.baseline_mean, found.candidate_mean, found.oracle) == (0.5, 0.625, 0.75)
    assert found.delta_points == pytest.approx(12.5)
    assert found.relative_percent == pytest.approx(25.0)
    assert found.headroom_points == pytest.approx(25.0)
    assert found.captured == pytest.approx(0.5)
    assert (found.wins, found.ties, found.losses, found.n_queries) == (1, 2, 1, 4)
    assert (found.baseline, found.candidate, found.top_k) == ("dense", "rerank@50", 50)


def test_what_cannot_be_divided_is_absent() -> None:
    found = compare(RECALL, System("reranked", 10), {"a": 0.0}, {"a": 0.0}, {"a": 0.0})
    assert found.relative_percent is None
    assert found.captured is None
    assert found.delta_points == 0.0


def test_noise_of_floating_point_is_a_tie() -> None:
    found = compare(RECALL, System("reranked", 10), {"a": 0.1 + 0.2}, {"a": 0.3}, {"a": 1.0})
    assert (found.wins, found.ties, found.losses) == (0, 1, 0)


def test_values_are_paired_by_query_not_by_position() -> None:
    found = compare(RECALL, System("reranked", 10), {"a": 1.0, "b": 0.0}, {"b": 0.0, "a": 1.0}, {"a": 1.0, "b": 1.0})
    assert (found.wins, found.ties, found.losses) == (0, 2, 0)
