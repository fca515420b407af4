"""What reranking changed: every metric and top-k against dense, how sure that is, and the room there was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.metrics import EPSILON, mean
from evalkit.analysis.power import detectable_effect
from evalkit.analysis.significance import attainable_p, gain_p_values, holm
from evalkit.analysis.units import Units
from evalkit.findings import Comparison
from evalkit.result import Design
from evalkit.types import Metric, PerQuery, System

UNMOVED = "none needed: so few candidates cannot change the metric"

Values = Mapping[str, Mapping[Metric, PerQuery]]
"""system -> metric -> query id -> value."""


def compare(
    systems: Sequence[System], values: Values, oracles: Values, design: Design, units: Units, stopped: bool = False
) -> list[Comparison]:
    """Compare every reranked system with dense on every metric, paired by query.

    Args:
        systems: ``dense`` and the reranked systems.
        values: Of every system, over the same queries.
        oracles: Of the perfect ranking of the same candidates, under each reranked system's name.
        design: Metrics, decision top-k, resamples and seed.
        units: What is resampled.
        stopped: The run was stopped when it was decided: intervals for a fixed number of queries do not hold then.
    """
    rows = [(system, metric) for system in systems if system.top_k is not None for metric in design.metrics]
    before = {metric: column(values["dense"][metric], units) for metric in design.metrics}
    differences = np.column_stack(
        [column(values[system.name][metric], units) - before[metric] for system, metric in rows]
    )
    certainty = [dict.fromkeys(_CERTAINTY)] * len(rows) if stopped else _certainty(differences, units, design)
    found = []
    for (system, metric), difference, known in zip(rows, differences.T, certainty, strict=True):
        sure = known if stopped or (system.top_k or 0) > metric.unmoved else _UNMOVED
        dense, after, best = (
            mean(source[metric]) for source in (values["dense"], values[system.name], oracles[system.name])
        )
        found.append(
            Comparison(
                metric=metric,
                baseline="dense",
                candidate=system.name,
                top_k=system.top_k or 0,
                baseline_mean=dense,
                candidate_mean=after,
                delta_points=100 * (after - dense),
                relative_percent=100 * (after - dense) / dense if dense > 0 else None,
                wins=int(np.count_nonzero(difference > EPSILON)),
                ties=int(np.count_nonzero(np.abs(difference) <= EPSILON)),
                losses=int(np.count_nonzero(difference < -EPSILON)),
                n_queries=len(difference),
                n_units=len(units.sizes),
                oracle=best,
                headroom_points=100 * (best - dense),
                captured=(after - dense) / (best - dense) if best - dense > EPSILON else None,
                **sure,
            )
        )
    return found if stopped else _adjusted(found, design.expectation.top_k)


def column(values: PerQuery, units: Units) -> NDArray[np.float64]:
    """The values in the order of the units' queries, shape (n_queries,)."""
    return np.array([values[query_id] for query_id in units.query_ids])


_CERTAINTY = (
    "ci_low", "ci_high", "interval_method", "p_value", "p_adjusted", "attainable_p", "detectable_points",
)  # fmt: skip


def _certainty(differences: NDArray[np.float64], units: Units, design: Design) -> list[dict[str, Any]]:
    """What ``_CERTAINTY`` names, for each column of differences."""
    intervals = paired_intervals(differences, units, design.resamples, design.seed)
    p_values = gain_p_values(differences, units, design.resamples, design.seed)
    rows = zip(
        (100 * intervals.low).tolist(),
        (100 * intervals.high).tolist(),
        intervals.method,
        p_values.tolist(),
        p_values.tolist(),
        attainable_p(differences, units, design.resamples).tolist(),
        (100 * detectable_effect(differences, units)).tolist(),
        strict=True,
    )
    return [dict(zip(_CERTAINTY, row, strict=True)) for row in rows]


_UNMOVED: Mapping[str, Any] = dict(zip(_CERTAINTY, (0.0, 0.0, UNMOVED, 1.0, 1.0, 1.0, None), strict=True))
"""So few candidates cannot change the metric: the gain is 0, which no labels are needed for."""


def _adjusted(found: Sequence[Comparison], decision: int) -> list[Comparison]:
    """Holm over the top-k of one metric that can change it; the decision top-k was declared beforehand, alone."""
    corrected: dict[tuple[Metric, int], float] = {}
    for metric in {row.metric for row in found}:
        family = [row for row in found if row.metric == metric and metric.unmoved < row.top_k != decision]
        adjusted = holm([row.p_value for row in family if row.p_value is not None])
        corrected.update(((metric, row.top_k), float(p)) for row, p in zip(family, adjusted, strict=True))
    return [replace(row, p_adjusted=corrected.get((row.metric, row.top_k), row.p_value)) for row in found]
