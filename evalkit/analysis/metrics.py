"""Effectiveness per query, by ranx; means second.

ranx sorts unstably and would break ties at random, so it is handed scores that fall strictly with
the rank: the order is decided in ``derive`` and nowhere else.
"""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ConfigError
from evalkit.types import Metric, PerQuery, Qrels, Run

JUDGED_CUTOFF = 5

EPSILON = 1e-9
"""Per-query differences up to this size are ties: metrics are sums of fractions in floating point."""

KNOWN = ("hit_rate", "precision", "recall", "f1", "r-precision", "mrr", "map", "ndcg", "ndcg_burges", "rbp")
"""ranx's metrics that lie in [0, 1], so that points mean something. Its bpref is left out: it is no number where no
document is judged non-relevant."""


def parse_metrics(texts: Sequence[str]) -> tuple[Metric, ...]:
    """Parse and check a list of metrics.

    Raises:
        ConfigError: None given, one given twice, or a name that ranx does not know.
    """
    metrics = tuple(Metric.parse(text) for text in texts)
    if not metrics:
        raise ConfigError("no metric is configured; expected at least one, such as recall@5")
    for metric in metrics:
        name, _, persistence = metric.name.partition(".")
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(f"unknown metric {name!r}.{hint} Known: {', '.join(KNOWN)}")
        if name == "rbp" and not int(persistence):
            raise ConfigError("rbp.0 looks at nothing; write rbp.95 for a persistence of 0.95")
        if metrics.count(metric) > 1:
            raise ConfigError(f"metric {metric} is configured twice; keep one")
    return metrics


def measure(run: Run, qrels: Qrels, metrics: Sequence[Metric]) -> dict[Metric, dict[str, float]]:
    """Score one run, query by query.

    The denominator is every query in ``qrels`` with a grade of at least 1; a query that the run does
    not answer scores 0. Negative grades count as not relevant. Gains are linear (nDCG as trec_eval).

    Returns:
        metric -> query id -> value, for the queries with a relevant document.
    """
    evaluated = {query_id: grades for query_id, grades in qrels.items() if any(grade >= 1 for grade in grades.values())}
    answered = [query_id for query_id in evaluated if run.rankings.get(query_id)]
    values = {metric: dict.fromkeys(evaluated, 0.0) for metric in metrics}
    if not answered:
        return values

    import ranx
    from numba.core.errors import NumbaTypeSafetyWarning
    from numba.typed import List as TypedList

    pairs = [_as_arrays(run.rankings[query_id], evaluated[query_id]) for query_id in answered]
    # Asked for a single metric, ranx fails on arrays (KeyError); these two cost nothing.
    names = {"hits", "recall", *map(str, metrics)}
    with warnings.catch_warnings():
        # Said while compiling about a loop counter that never comes near the limit.
        warnings.simplefilter("ignore", NumbaTypeSafetyWarning)
        found = ranx.evaluate(
            TypedList([judged for judged, _ in pairs]),
            TypedList([ranked for _, ranked in pairs]),
            sorted(names),
            return_mean=False,
        )
    for metric in metrics:
        values[metric].update(zip(answered, found[str(metric)].tolist(), strict=True))
    return values


def mean(values: PerQuery) -> float:
    """Arithmetic mean over queries, summed exactly."""
    return math.fsum(values.values()) / len(values)


def judged_share(run: Run, qrels: Qrels, cutoff: int = JUDGED_CUTOFF) -> float:
    """Judged@cutoff: the share of the top documents that have a judgment, averaged over queries."""
    shares = []
    for query_id, grades in qrels.items():
        top = run.rankings.get(query_id, ())[:cutoff]
        shares.append(sum(doc_id in grades for doc_id in top) / len(top) if top else 0.0)
    return math.fsum(shares) / len(shares)


def _as_arrays(ranking: Sequence[str], grades: Mapping[str, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Judgments and ranking of one query as ranx computes with them: rows of (document number, grade or score).

    Documents are numbered here, where ranx would hash their ids. Judgments stand by falling grade, as
    its ideal ranking expects.
    """
    number = {doc_id: place for place, doc_id in enumerate(ranking)}
    for doc_id in grades:
        number.setdefault(doc_id, len(number))
    judged = sorted(((number[doc_id], max(grade, 0)) for doc_id, grade in grades.items()), key=lambda row: -row[1])
    depth = len(ranking)
    ranked = np.column_stack([np.arange(depth), np.arange(depth, 0, -1)])
    return np.array(judged, dtype=np.float64), ranked.astype(np.float64)
