"""Two results held against each other, paired by query: models, revisions, settings or dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from evalkit.analysis.comparison import column
from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.metrics import EPSILON, mean
from evalkit.analysis.significance import gain_p_values, holm
from evalkit.analysis.units import Floats, Units
from evalkit.contrast import Change, Contrast, Difference
from evalkit.errors import DataError
from evalkit.findings import Expectation
from evalkit.result import EvalResult
from evalkit.types import DENSE, Metric, PerQuery

Row = tuple[str, Metric, PerQuery, PerQuery]
"""System, metric, and the values of both results over the same queries."""


def contrast(first: EvalResult, second: EvalResult) -> Contrast:
    """What differs between two results, and what that changed.

    Pairs the queries that both evaluated with the same judgments; units are the families that either of them names.
    Resamples are the larger number of the two designs, the seed is the first one's.

    Raises:
        DataError: They share no such query, or no metric.
    """
    one, other = first.evidence.qrels, second.evidence.qrels
    both = [query_id for query_id in one if query_id in other]
    paired = [query_id for query_id in both if one[query_id] == other[query_id]]
    if not paired:
        judged = f"; {len(both)} are in both, but judged otherwise" if both else ""
        raise DataError(
            f"no query to compare: the first result evaluated {len(one)} and the second {len(other)}, none of them in "
            f"both with the same judgments{judged}. Compare results of one data set"
        )
    units = Units.of(paired, _families(paired, (first.evidence.families, second.evidence.families)))
    values = _shared(first, second, paired)
    stopped = first.sequential is not None or second.sequential is not None
    tests = None if stopped else (max(first.design.resamples, second.design.resamples), first.design.seed)
    return Contrast(
        differences=_differences(first, second),
        n_queries=len(paired),
        n_units=units.n_units,
        only_first=len(one) - len(both),
        only_second=len(other) - len(both),
        judged_otherwise=len(both) - len(paired),
        values=_changes(values, units, tests, largest=1),
        gains=_changes(_gains(values), units, tests, largest=2),
        stopped=stopped,
    )


def _shared(first: EvalResult, second: EvalResult, query_ids: Sequence[str]) -> list[Row]:
    before, after = first.assessment.per_query, second.assessment.per_query
    rows: list[Row] = [
        (
            system.name,
            metric,
            {query_id: before[system.name][metric][query_id] for query_id in query_ids},
            {query_id: after[system.name][metric][query_id] for query_id in query_ids},
        )
        for metric in first.design.metrics
        for system in first.assessment.systems
        if metric in second.design.metrics and system in second.assessment.systems
    ]
    if not rows:
        one, other = (", ".join(map(str, result.design.metrics)) for result in (first, second))
        raise DataError(
            f"no metric to compare: the first result has {one}, the second {other}. evalkit report RESULT "
            "metrics.names=[...] measures a result otherwise, without a model"
        )
    return rows


def _gains(rows: Sequence[Row]) -> list[Row]:
    """The same rows as gains over dense, which lie in [-1, 1]."""
    dense = {metric: (before, after) for system, metric, before, after in rows if system == DENSE.name}

    def gain(found: PerQuery, base: PerQuery) -> PerQuery:
        return {query_id: value - base[query_id] for query_id, value in found.items()}

    return [
        (system, metric, gain(before, dense[metric][0]), gain(after, dense[metric][1]))
        for system, metric, before, after in rows
        if system != DENSE.name
    ]


def _changes(rows: Sequence[Row], units: Units, tests: tuple[int, int] | None, largest: int) -> tuple[Change, ...]:
    """Second minus first, row by row.

    Args:
        rows: Values over the units' queries.
        units: What is resampled.
        tests: Resamples and seed; None leaves intervals and p out.
        largest: Largest difference that one query can have, in fractions.
    """
    if not rows:
        return ()
    differences = np.column_stack([column(after, units) - column(before, units) for _, _, before, after in rows])
    certainty = _certainty(differences / largest, units, *tests) if tests else [(None,) * 4] * len(rows)
    found = []
    for (system, metric, before, after), difference, sure in zip(rows, differences.T, certainty, strict=True):
        low, high, p_value, p_adjusted = sure
        one, other = mean(before), mean(after)
        found.append(
            Change(
                system=system,
                metric=metric,
                first_mean=one,
                second_mean=other,
                delta_points=100 * (other - one),
                ci_low=None if low is None else largest * low,
                ci_high=None if high is None else largest * high,
                p_value=p_value,
                p_adjusted=p_adjusted,
                wins=int(np.count_nonzero(difference > EPSILON)),
                ties=int(np.count_nonzero(np.abs(difference) <= EPSILON)),
                losses=int(np.count_nonzero(difference < -EPSILON)),
            )
        )
    return tuple(found)


def _certainty(differences: Floats, units: Units, resamples: int, seed: int) -> list[tuple[float, ...]]:
    """Interval in points, p and adjusted p, for each column of differences in [-1, 1]."""
    intervals = paired_intervals(differences, units, resamples, seed)
    p_values = gain_p_values(differences, units, resamples, seed).tolist()
    low, high = (100 * intervals.low).tolist(), (100 * intervals.high).tolist()
    return list(zip(low, high, p_values, holm(p_values), strict=True))


def _families(query_ids: Sequence[str], sources: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Query -> one query of its family, where queries belong together if either result says so."""
    parent = {query_id: query_id for query_id in query_ids}

    def root(query_id: str) -> str:
        while parent[query_id] != query_id:
            parent[query_id] = parent[parent[query_id]]
            query_id = parent[query_id]
        return query_id

    for source in sources:
        leaders: dict[str, str] = {}
        for query_id in query_ids:
            if query_id in source:
                parent[root(query_id)] = root(leaders.setdefault(source[query_id], query_id))
    return {query_id: root(query_id) for query_id in query_ids}


def _differences(first: EvalResult, second: EvalResult) -> tuple[Difference, ...]:
    """Block by block, so that a fact of the second result alone stands beside the others of its block."""
    one, other = _facts(first), _facts(second)
    names = list(dict.fromkeys((*one, *other)))
    blocks = list(dict.fromkeys(name.partition(".")[0] for name in names))
    return tuple(
        Difference(name, one.get(name), other.get(name))
        for name in sorted(names, key=lambda name: blocks.index(name.partition(".")[0]))
        if one.get(name) != other.get(name)
    )


def _facts(result: EvalResult) -> dict[str, Any]:
    """What a reader compares before any number, by dotted name."""
    subject, design, origin = result.dataset, result.design, result.provenance
    expected = design.expectation
    blocks: dict[str, Mapping[str, Any]] = {
        "stage_one": {"method": result.stage_one.method},
        "result": {"status": result.assessment.status, "stopped_early": result.sequential is not None},
        "dataset": {
            name: getattr(subject, name)
            for name in ("name", "digest", "corpus_digest", "qrels_digest", "n_documents", "n_queries")
        },
        "design": {
            "top_ks": list(design.top_ks),
            "metrics": list(map(str, design.metrics)),
            "resamples": design.resamples,
            "seed": design.seed,
            "unit": result.evidence.unit,
        },
        "expectation": {
            entry.name: str(expected.metric) if entry.name == "metric" else getattr(expected, entry.name)
            for entry in fields(Expectation)
        },
        **origin.settings,
        **origin.fingerprints,
        "versions": origin.versions,
        "machine": origin.machine,
    }
    return {f"{block}.{name}": value for block, facts in blocks.items() for name, value in facts.items()}
