"""The words of the gate: what rules may say, where they stand, and which ruling decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pytest
from omegaconf import OmegaConf

from evalkit.composition import folder_of
from evalkit.errors import ConfigError
from evalkit.rules import EXIT_CODES, Rules, Ruling, gravest
from evalkit.types import Metric
from tests.analysis.evidence import RECALL

NDCG = Metric("ndcg", 10)


@pytest.mark.parametrize(
    ("statuses", "status", "code"),
    [
        (["passed", "failed", "invalid", "error", "inconclusive"], "invalid", 5),
        (["inconclusive", "failed", "error", "passed"], "error", 2),
        (["inconclusive", "failed", "warned"], "failed", 3),
        (["passed", "inconclusive", "skipped"], "inconclusive", 4),
        (["passed", "warned", "skipped"], "passed", 0),
        (["warned"], "passed", 0),
    ],
)
def test_the_gravest_decides(statuses: Sequence[Any], status: str, code: int) -> None:
    found = gravest([Ruling(str(place), one, "") for place, one in enumerate(statuses)])
    assert (found, EXIT_CODES.get(found, 0)) == (status, code)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"expectation": "maybe"}, "gate.expectation is 'maybe'; expected warn or fail or strict"),
        ({"top_k": 0}, "gate.top_k is 0; expected a whole number of at least 1"),
        ({"top_k": 10.0}, "gate.top_k is 10.0"),
        ({"metric": "recall@"}, "'recall@' is not a metric"),
        ({"min_points": "low"}, "gate.min_points is 'low'; expected a finite number of points, or null"),
        ({"max_points": float("nan")}, "gate.max_points is nan"),
        ({"decide_on": "mean"}, "gate.decide_on is 'mean'; expected estimate or lower_bound"),
        ({"floors": {"recall@5": 80}}, "gate.floors.recall@5 is 80; expected a fraction from 0 to 1"),
        ({"floors": {"recall": True}}, "gate.floors.recall is True"),
        ({"floors": {"recall five": 0.5}}, "'recall five' is not a metric"),
        ({"floors": [0.8]}, "gate.floors is [0.8]; expected names with numbers"),
        ({"slices": {"lang": None}}, "gate.slices.lang is None; expected a finite number of points"),
        ({"slices": "lang"}, "gate.slices is 'lang'"),
        ({"languages": "de"}, "gate.languages is 'de'; expected a finite number of points, or null"),
        ({"languages": float("-inf")}, "gate.languages is -inf"),
        ({"languages": True}, "gate.languages is True"),
        ({"latency_p95_ms": 0}, "gate.latency_p95_ms is 0; expected a number of milliseconds above 0"),
        ({"tolerance_points": -1}, "gate.tolerance_points is -1; expected a number of points of at least 0"),
        ({"tolerance_points": None}, "gate.tolerance_points is None"),
        ({"allow_changed": "reranker"}, "gate.allow_changed is 'reranker'; expected a list, some of [embedder, spar"),
        ({"allow_changed": ["store"]}, "gate.allow_changed is 'store'; expected embedder or sparse or reranker"),
        ({"baseline": 7}, "gate.baseline is of type int; expected text, or null"),
        ({"floor": {}}, "gate has no rule floor; known are expectation, metric, top_k"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rules.parse(settings)
    assert what in str(caught.value)


def test_rules_are_read_from_plain_settings() -> None:
    settings = {
        "metric": "recall@5",
        "floors": {"ndcg@10": 0.75},
        "slices": None,
        "allow_changed": ["reranker"],
        "languages": -2,
    }
    assert Rules.parse(settings) == Rules(
        metric=RECALL, floors={NDCG: 0.75}, slices={}, languages=-2, allow_changed=("reranker",)
    )
    assert Rules.parse({}) == Rules()


def test_every_rule_stands_in_its_yaml_with_its_default() -> None:
    """So that a misspelt override fails at once."""
    settings = OmegaConf.to_container(OmegaConf.load(folder_of("conf") / "gate" / "default.yaml"))
    assert isinstance(settings, dict)
    assert list(settings) == [entry.name for entry in fields(Rules)]
    assert Rules.parse({str(name): value for name, value in settings.items()}) == Rules()
