"""What the facts mean: findings, and what so much data can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.inspection.facts import Facts, Some

Level: TypeAlias = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Power:
    """What so many units can tell, before anything is measured.

    Attributes:
        units: Queries, or families of them.
        half_width_points: Half the width of the 95 % interval to expect, in points.
        detectable_points: The smallest gain that is found with a power of 80 %, in points.
    """

    units: int
    half_width_points: float
    detectable_points: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that somebody should know.

    Attributes:
        level: ``error`` where a run refuses the data, ``warning`` where its numbers suffer, else ``note``.
        name: Stays the same from version to version.
        what: What is counted.
        count: How many there are.
        total: Of how many; None where that says nothing.
        advice: What to do.
        examples: The first few ids, or messages with file and line.
    """

    level: Level
    name: str
    what: str
    count: int
    total: int | None
    advice: str
    examples: tuple[str, ...] = ()


def some(level: Level, name: str, what: str, found: Some, total: int | None, advice: str) -> Iterator[Finding]:
    """A finding, where there are any."""
    if found.count:
        yield Finding(level, name, what, found.count, total, advice, found.examples)


def number(level: Level, name: str, what: str, count: int, total: int | None, advice: str) -> Iterator[Finding]:
    """A finding without ids, where there are any."""
    return some(level, name, what, Some(count), total, advice)


@dataclass(frozen=True, slots=True)
class Inspection:
    """One data set, looked at.

    Attributes:
        name: The data set's.
        facts: What was counted.
        power: None where no query can be evaluated.
        findings: The gravest first.
    """

    name: str
    facts: Facts
    power: Power | None
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        """Whether a run would refuse the data set."""
        return any(finding.level == "error" for finding in self.findings)
