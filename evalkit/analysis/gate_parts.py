"""Hold the parts of a finished result to a least gain: slices of the queries, and rows of the language table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.analysis.expectation import EPSILON_POINTS
from evalkit.analysis.parts import FEW_UNITS
from evalkit.findings import Expectation
from evalkit.result import EvalResult
from evalkit.rules import Ruling

STOPPED = (
    "the run stopped early, so that it can be held to its expectation alone; go on to a full result with evalkit run, "
    "without sweep.sequential, or leave this rule out"
)


@dataclass(frozen=True, slots=True)
class _Gain:
    """That of one part, in points, over so many independent queries or families."""

    part: str
    points: float
    units: int
    note: str

    def __str__(self) -> str:
        return f"{self.part} {self.points:+.1f} points ({self.units} independent)"


def hold_slice(result: EvalResult, expected: Expectation, attribute: str, least: float) -> Ruling:
    """Whether no slice of the queries by an attribute gains less.

    Args:
        result: A finished one.
        expected: The decision that the gate speaks of.
        attribute: Key of the queries' metadata.
        least: In points.

    Returns:
        Failed where one gains less, or nothing could be held to it; a slice with a note cannot tell, and is named.
    """
    name, found = f"slice {attribute}", _slices(result, attribute)
    absent = "" if found else _absent(result, attribute)
    return _unfit(result, expected, name, "slices were") or _held(name, "slice", found, least, absent)


def hold_languages(result: EvalResult, expected: Expectation, least: float) -> Ruling:
    """Whether no row of the language table gains less: a cell, or all documents in one pooled ranking.

    A preference for the asker's own language costs nothing within a cell, and shows in the pooled rows alone.

    Args:
        result: A finished one.
        expected: The decision that the gate speaks of.
        least: In points.

    Returns:
        Failed where one gains less, or nothing could be held to it; a row with a note cannot tell, and is named.
    """
    table = result.assessment.languages
    found = [
        _Gain(f"{row.query_lang} -> {row.document_lang or 'all'}", row.delta_points, row.n_units, row.note)
        for row in (table.gains if table else ())
    ]
    absent = (
        "there is no language table: queries or documents do not name their language in the metadata's lang, or all "
        "are in one"
    )
    return _unfit(result, expected, "languages", "the language table was") or _held(
        "languages", "row", found, least, absent
    )


def _unfit(result: EvalResult, expected: Expectation, name: str, parts_were: str) -> Ruling | None:
    """The error of a result whose parts tell nothing of this decision."""
    declared = result.assessment.verdict.expectation
    if result.sequential is not None:
        return Ruling(name, "error", STOPPED)
    if (expected.metric, expected.top_k) == (declared.metric, declared.top_k):
        return None
    return Ruling(
        name,
        "error",
        f"{parts_were} measured on {declared.metric} at top-k {declared.top_k}, and the gate speaks of "
        f"{expected.metric} at top-k {expected.top_k}; to measure that without a model: evalkit report RESULT "
        f"expectation.metric={expected.metric} expectation.top_k={expected.top_k}",
    )


def _held(name: str, part: str, gains: Sequence[_Gain], least: float, absent: str) -> Ruling:
    """No part may gain less; one whose note says that it cannot tell is named and held to nothing."""
    if not gains:
        return Ruling(name, "failed", f"{absent}, so that nothing was held to {least:+g} points")
    held = [gain for gain in gains if not gain.note]
    noted = ", ".join(str(gain) for gain in gains if gain.note)
    if not held:
        return Ruling(
            name, "failed", f"no {part} can tell, by its note, so that nothing was held to {least:+g} points: {noted}"
        )
    note = f"; cannot tell, by its note, and held to nothing: {noted}" if noted else ""
    low = sorted((gain for gain in held if gain.points < least - EPSILON_POINTS), key=lambda gain: gain.points)
    if low:
        return Ruling(name, "failed", f"under the least gain of {least:+g} points: {', '.join(map(str, low))}{note}")
    worst = min(held, key=lambda gain: gain.points)
    return Ruling(name, "passed", f"the lowest of {len(held)} is {worst}, at least {least:+g} is asked for{note}")


def _slices(result: EvalResult, attribute: str) -> list[_Gain]:
    """The gain of every slice of an attribute; none where no query has it, or nothing was split by it."""
    found = [
        _Gain(one.value, one.delta_points, one.n_units, one.note)
        for one in result.assessment.slices
        if (one.of, one.attribute) == ("query", attribute)
    ]
    if found or attribute not in result.design.slices:
        return found
    # A value that all queries share makes no slice: it would be the whole.
    shared = {value for attributes in result.evidence.attributes.values() for value in attributes.get(attribute, ())}
    whole = result.assessment.decision
    note = "" if whole.n_units >= FEW_UNITS else "too small to tell"
    return [_Gain(f"{value} (all queries)", whole.delta_points, whole.n_units, note) for value in shared]


def _absent(result: EvalResult, attribute: str) -> str:
    """Why there is no slice by an attribute, and by which there are some."""
    evidence, names = result.evidence, result.design.slices
    of_queries, of_documents = (
        any(attribute in attributes for attributes in told.values())
        for told in (evidence.attributes, evidence.document_attributes)
    )
    if of_documents and not of_queries:
        known = ", ".join(name for name in names if _slices(result, name)) or "none in this result"
        table = "" if result.assessment.languages is None else "; gate.languages holds the language table"
        return (
            f"{attribute} is an attribute of documents, and slices of documents are not held; those of queries can be: "
            f"{known} (statistics.slices){table}"
        )
    return (
        f"no query has the attribute {attribute}, or it is not among statistics.slices ({', '.join(names) or 'none'})"
    )
