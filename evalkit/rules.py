"""What a finished result is held to, and what came of it: the words of the gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, get_args

from evalkit.checks import text, unfit, whole_number
from evalkit.errors import ConfigError
from evalkit.findings import DecideOn
from evalkit.types import Metric

Policy: TypeAlias = Literal["warn", "fail", "strict"]
RulingStatus: TypeAlias = Literal["invalid", "error", "failed", "inconclusive", "warned", "skipped", "passed"]

AUTO = "auto"
"""The baseline that is named like the data set, where there is one."""

MODELS = ("embedder", "sparse", "reranker")
"""Whose fingerprints a baseline keeps."""

EXIT_CODES: Mapping[RulingStatus, int] = {"invalid": 5, "error": 2, "failed": 3, "inconclusive": 4}
"""The gravest first; every other status is a pass."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a result; None and empty leave a rule out, or leave it to what the result stored.

    Attributes:
        expectation: What a gain below the band means: a warning or a failure; ``strict`` also refuses a verdict that
            is not conclusive.
        metric, top_k: Of the decision.
        min_points, max_points: The band, in points; the first alone leaves it open above.
        decide_on: What is held against the band.
        floors: Metric -> least mean of the reranked system at the decision top-k, a fraction.
        slices: Attribute of queries -> least gain of each of its slices, in points.
        languages: Least gain of each row of the language table, in points: of each query language x document language,
            and of each query language in the pooled ranking of all documents.
        latency_p95_ms: Most milliseconds of both stages together, by the sum of their 95th percentiles.
        baseline: Name of the baseline that must not be fallen behind.
        tolerance_points: A drop up to this is none.
        allow_changed: Models that may differ from the baseline's.
    """

    expectation: Policy = "warn"
    metric: Metric | None = None
    top_k: int | None = None
    min_points: float | None = None
    max_points: float | None = None
    decide_on: DecideOn | None = None
    floors: Mapping[Metric, float] = field(default_factory=dict)
    slices: Mapping[str, float] = field(default_factory=dict)
    languages: float | None = None
    latency_p95_ms: float | None = None
    baseline: str | None = AUTO
    tolerance_points: float = 1.0
    allow_changed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("expectation", self.expectation, get_args(Policy))
        if self.top_k is not None:
            whole_number("gate.top_k", self.top_k, 1)
        for name in ("min_points", "max_points", "languages"):
            if getattr(self, name) is not None:
                _number(name, getattr(self, name), "a finite number of points, or null")
        if self.decide_on is not None:
            _one_of("decide_on", self.decide_on, get_args(DecideOn))
        for metric, least in self.floors.items():
            _number(f"floors.{metric}", least, "a fraction from 0 to 1, such as 0.8", 0, 1)
        for attribute, least in self.slices.items():
            _number(f"slices.{attribute}", least, "a finite number of points")
        if self.latency_p95_ms is not None:
            _number("latency_p95_ms", self.latency_p95_ms, "a number of milliseconds above 0, or null", 1e-9)
        text("gate.baseline", self.baseline, or_null=True)
        _number("tolerance_points", self.tolerance_points, "a number of points of at least 0", 0)
        for model in self.allow_changed:
            _one_of("allow_changed", model, MODELS)

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Rules:
        """Read the group ``gate`` of a configuration.

        Args:
            settings: Plain values by name; a name that is left out takes its default.

        Raises:
            ConfigError: A name is unknown, or a value is impossible.
        """
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise ConfigError(f"gate has no rule {', '.join(unknown)}; known are {', '.join(known)}")
        read: Mapping[str, Callable[[Any], Any]] = {
            "metric": lambda value: None if value is None else Metric.parse(str(value)),
            "floors": lambda value: {Metric.parse(name): least for name, least in _mapping("floors", value).items()},
            "slices": lambda value: _mapping("slices", value),
            "allow_changed": _names,
        }
        return cls(**{name: read[name](value) if name in read else value for name, value in settings.items()})


@dataclass(frozen=True, slots=True)
class Ruling:
    """What came of one rule.

    Attributes:
        name: The rule, such as ``floor ndcg@10``; unique within one gate.
        status: ``warned`` and ``skipped`` pass; ``error`` is a rule that could not be held to this result.
        message: What was asked and what was found; holds no text and no id of a query or document.
    """

    name: str
    status: RulingStatus
    message: str


def gravest(rulings: Sequence[Ruling]) -> RulingStatus:
    """The status that decides about all of them, ``passed`` where nothing stands against the result."""
    found = {ruling.status for ruling in rulings}
    return next((status for status in EXIT_CODES if status in found), "passed")


def _one_of(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise unfit(f"gate.{name}", value, " or ".join(known))


def _number(name: str, value: Any, expected: str, least: float = -math.inf, most: float = math.inf) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and least <= value <= most):
        raise unfit(f"gate.{name}", value, expected)


def _mapping(name: str, value: object) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise unfit(f"gate.{name}", value, "names with numbers, such as {name: 0.8}, or null")
    return {str(key): entry for key, entry in (value or {}).items()}


def _names(value: object) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise unfit("gate.allow_changed", value, f"a list, some of [{', '.join(MODELS)}]")
    return tuple(value)
