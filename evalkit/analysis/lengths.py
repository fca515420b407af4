"""Whether long documents are reranked as well as short ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from evalkit.analysis.metrics import JUDGED_CUTOFF, measure
from evalkit.analysis.parts import Rankings, adjusted, gain_of, values_of
from evalkit.parts import LengthGain
from evalkit.record import Scoring
from evalkit.result import Design, Evidence
from evalkit.types import Metric

Length = Literal["fits", "longer"]


def lengths(evidence: Evidence, design: Design, scoring: Scoring, rankings: Rankings) -> tuple[LengthGain, ...]:
    """The gain of recall on relevant candidates that fit and on those that are too long, at the decision top-k.

    Args:
        evidence: Candidates with their tokens, and judgments.
        design: Decision top-k, resamples and seed; the cutoff is that of its metric, or 5.
        scoring: The reranker's limit.
        rankings: Of dense, the decision's system and the perfect one.

    Returns:
        Nothing where every candidate fits, or where so few candidates cannot change recall.
    """
    expectation, limit = design.expectation, scoring.max_length
    cutoff = expectation.metric.cutoff or JUDGED_CUTOFF
    if limit is None or expectation.top_k <= cutoff or not _any_longer(evidence, limit):
        return ()
    metric = Metric("recall", cutoff)
    judged = replace(design, expectation=replace(expectation, metric=metric))
    found = (_gain(length, limit, evidence, judged, rankings) for length in ("fits", "longer"))
    return adjusted([gain for gain in found if gain is not None], design.resamples)


def _gain(length: Length, limit: int, evidence: Evidence, design: Design, rankings: Rankings) -> LengthGain | None:
    metric, top_k = design.expectation.metric, design.expectation.top_k
    of_length = {
        query_id: {
            one.doc_id
            for one in found[:top_k]
            if one.tokens is not None and (one.tokens > limit) == (length == "longer")
        }
        for query_id, found in evidence.candidates.items()
    }
    relevant = {
        query_id: {
            doc_id: grade for doc_id, grade in evidence.qrels[query_id].items() if grade >= 1 and doc_id in doc_ids
        }
        for query_id, doc_ids in of_length.items()
    }
    dense, reranked, oracle = (measure(run, relevant, [metric])[metric] for run in rankings)
    if not dense:
        return None
    # Recall over all relevant documents, as far as these candidates make it up.
    shares = [
        (reranked[query_id] - dense[query_id]) * len(relevant[query_id]) / _positives(evidence.qrels[query_id])
        for query_id in dense
    ]
    return LengthGain(
        **values_of(gain_of(list(dense), evidence, design, (dense, reranked, oracle))),
        length=length,
        pairs=sum(map(len, of_length.values())),
        positives=sum(map(len, relevant.values())),
        contribution_points=100 * math.fsum(shares) / len(evidence.qrels),
    )


def _any_longer(evidence: Evidence, limit: int) -> bool:
    return any(one.tokens is not None and one.tokens > limit for found in evidence.candidates.values() for one in found)


def _positives(grades: Mapping[str, int]) -> int:
    return sum(grade >= 1 for grade in grades.values())
