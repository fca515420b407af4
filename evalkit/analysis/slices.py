"""For whom the gain holds: the queries split by what they say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from evalkit.analysis.comparison import Values, column
from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.metrics import mean
from evalkit.analysis.significance import UNRESOLVABLE, attainable_p, gain_p_values, holm
from evalkit.analysis.units import Units
from evalkit.findings import SliceGain
from evalkit.result import Design, Evidence
from evalkit.types import DENSE, PerQuery, System

FEW_UNITS = 10
"""Under this many units one of them moves the mean by more than 10 points, as much as the whole gain that is judged."""


def slices(evidence: Evidence, design: Design, values: Values, oracles: Values) -> tuple[SliceGain, ...]:
    """The gain at the decision top-k and metric for the queries that share one value of an attribute.

    A query with several values lies in several slices, one without the attribute in none; an attribute with a single
    value over all queries is left out, as its slice is the whole. Units are the families as far as they lie inside the
    slice. Holm corrects over all slices of all attributes together.

    Args:
        evidence: Judged queries, their attributes and families.
        design: The attributes to split by, metric, top-k, resamples and seed.
        values: Of ``dense`` and the decision's system, among others.
        oracles: Of the perfect ranking of the decision's candidates, among others.

    Returns:
        By attribute in the design's order, then by value.
    """
    expectation = design.expectation
    metric, system = expectation.metric, System("reranked", expectation.top_k).name
    dense, reranked, oracle = values[DENSE.name][metric], values[system][metric], oracles[system][metric]
    found = [
        _gain(attribute, value, members, evidence, design, (dense, reranked, oracle))
        for attribute in design.slices
        for value, members in _members(evidence, attribute)
    ]
    adjusted = holm([gain.p_value for gain in found])
    return tuple(replace(gain, p_adjusted=p) for gain, p in zip(found, adjusted, strict=True))


def _members(evidence: Evidence, attribute: str) -> Iterator[tuple[str, list[str]]]:
    """Value -> its queries in the order of the qrels, by value."""
    members: dict[str, list[str]] = {}
    for query_id in evidence.qrels:
        for value in dict.fromkeys(evidence.attributes.get(query_id, {}).get(attribute, ())):
            members.setdefault(value, []).append(query_id)
    whole = len(members) == 1 and all(len(found) == len(evidence.qrels) for found in members.values())
    if not whole:
        yield from sorted(members.items())


def _gain(
    attribute: str,
    value: str,
    members: list[str],
    evidence: Evidence,
    design: Design,
    results: tuple[PerQuery, PerQuery, PerQuery],
) -> SliceGain:
    units = Units.of(members, evidence.families)
    dense, reranked, oracle = ({query_id: source[query_id] for query_id in members} for source in results)
    differences = (column(reranked, units) - column(dense, units))[:, np.newaxis]
    interval = paired_intervals(differences, units, design.resamples, design.seed)
    p_value = float(gain_p_values(differences, units, design.resamples, design.seed)[0])
    before, after = mean(dense), mean(reranked)
    return SliceGain(
        attribute=attribute,
        value=value,
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
        n_queries=len(members),
        n_units=units.n_units,
        note=_note(
            units.n_units, int(interval.differing[0]), float(attainable_p(differences, units, design.resamples)[0])
        ),
    )


def _note(n_units: int, n_differing: int, attainable: float) -> str:
    """Why the slice cannot tell; empty where it can."""
    if n_units < FEW_UNITS:
        return f"too small to tell: {n_units} independent queries or families, fewer than {FEW_UNITS}"
    if attainable > UNRESOLVABLE:
        return (
            f"too small to tell: reranking changed {n_differing} of {n_units} independent queries or families, so "
            f"that no p under {attainable:.2g} was possible"
        )
    return ""
