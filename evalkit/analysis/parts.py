"""The gain for a part: some of the queries, or the documents that share a value, each with its own interval."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

from evalkit.analysis.comparison import column
from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.metrics import mean, measure
from evalkit.analysis.significance import UNRESOLVABLE, attainable_p, gain_p_values, holm
from evalkit.analysis.units import Units
from evalkit.parts import PartGain
from evalkit.result import Design, Evidence, ValuesOf
from evalkit.types import PerQuery, Run

FEW_UNITS = 10
"""Under this many units one of them moves the mean by more than 10 points, as much as the whole gain that is judged."""

Rankings = tuple[Run, Run, Run]
"""Of dense, of the decision's system, and the perfect one of the same candidates."""

Results = tuple[PerQuery, PerQuery, PerQuery]
"""The decision's metric of each of these."""

Part = TypeVar("Part", bound=PartGain)


def members_of(ids: Iterable[str], attributes: ValuesOf, attribute: str) -> dict[str, list[str]]:
    """Value of an attribute -> the ids that have it, sorted by value; an id with several values is in several."""
    members: dict[str, list[str]] = {}
    for one in ids:
        for value in dict.fromkeys(attributes.get(one, {}).get(attribute, ())):
            members.setdefault(value, []).append(one)
    return dict(sorted(members.items()))


def among(documents: Collection[str], evidence: Evidence, design: Design, rankings: Rankings) -> Results:
    """The decision's metric where only some documents are ranked, and only these can be relevant.

    A positive that the corpus does not hold has no attributes, so that no part's R counts it.

    Args:
        documents: Their ids.
        evidence: The judgments.
        design: The decision's metric.
        rankings: Over all documents; the order is kept.

    Returns:
        Values of the queries to which one of these documents is relevant.
    """
    metric = design.expectation.metric
    qrels: dict[str, dict[str, int]] = {}
    for query_id, grades in evidence.qrels.items():
        kept = {doc_id: grade for doc_id, grade in grades.items() if doc_id in documents}
        if any(grade >= 1 for grade in kept.values()):
            qrels[query_id] = kept
    dense, reranked, oracle = (measure(_only(run, qrels, documents), qrels, [metric])[metric] for run in rankings)
    return dense, reranked, oracle


def _only(run: Run, query_ids: Iterable[str], documents: Collection[str]) -> Run:
    """The rankings of these queries without any other document."""
    kept = {query_id: run.rankings.get(query_id, ()) for query_id in query_ids}
    return Run(
        run.name,
        {query_id: tuple(doc_id for doc_id in ranking if doc_id in documents) for query_id, ranking in kept.items()},
    )


def gain_of(query_ids: Sequence[str], evidence: Evidence, design: Design, results: Results) -> PartGain:
    """The gain over some queries; units are the families as far as they lie among these.

    Args:
        query_ids: At least one.
        evidence: The families.
        design: The decision's metric and top-k, resamples and seed.
        results: Values of at least these queries.
    """
    units = Units.of(query_ids, evidence.families)
    dense, reranked, oracle = ({query_id: source[query_id] for query_id in query_ids} for source in results)
    differences = (column(reranked, units) - column(dense, units))[:, np.newaxis]
    interval = paired_intervals(differences, units, design.resamples, design.seed)
    p_value = float(gain_p_values(differences, units, design.resamples, design.seed)[0])
    before, after = mean(dense), mean(reranked)
    return PartGain(
        metric=design.expectation.metric,
        top_k=design.expectation.top_k,
        baseline_mean=before,
        candidate_mean=after,
        delta_points=100 * (after - before),
        ci_low=100 * float(interval.low[0]),
        ci_high=100 * float(interval.high[0]),
        p_value=p_value,
        p_adjusted=p_value,
        headroom_points=100 * (mean(oracle) - before),
        n_queries=len(query_ids),
        n_units=units.n_units,
        note=_note(
            units.n_units, int(interval.differing[0]), float(attainable_p(differences, units, design.resamples)[0])
        ),
    )


def values_of(gain: PartGain) -> dict[str, Any]:
    """The fields of a gain, for a value that says which part it is."""
    return {entry.name: getattr(gain, entry.name) for entry in fields(PartGain)}


def adjusted(found: Sequence[Part], resamples: int) -> tuple[Part, ...]:
    """The gains with p-values that Holm corrected over all of them.

    Where so many rows and so few resamples leave no corrected p under 0.05, every row says so.

    Args:
        found: All rows of one table.
        resamples: Of each permutation test, whose p is never below 1 / (resamples + 1).
    """
    corrected = holm([gain.p_value for gain in found])
    least = len(found) / (resamples + 1)
    blunt = f"cannot tell: {len(found)} rows and {resamples} resamples leave no adjusted p under {least:.2g}"
    return tuple(
        replace(gain, p_adjusted=float(p), note=gain.note or (blunt if least > UNRESOLVABLE else ""))
        for gain, p in zip(found, corrected, strict=True)
    )


def _note(n_units: int, n_differing: int, attainable: float) -> str:
    """Why the part cannot tell; empty where it can."""
    if n_units < FEW_UNITS:
        return f"too small to tell: {n_units} independent queries or families, fewer than {FEW_UNITS}"
    if attainable > UNRESOLVABLE:
        return (
            f"too small to tell: reranking changed {n_differing} of {n_units} independent queries or families, so "
            f"that no p under {attainable:.2g} was possible"
        )
    return ""
