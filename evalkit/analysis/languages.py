"""Who is served: the gain by language of queries and documents, and whether the ranking prefers the asker's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from evalkit.analysis.grouping import LANG
from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.metrics import JUDGED_CUTOFF, measure
from evalkit.analysis.parts import Rankings, adjusted, among, gain_of, members_of, values_of
from evalkit.analysis.units import Units
from evalkit.parts import LanguageBias, LanguageGain, Languages
from evalkit.result import Design, Evidence


def languages(evidence: Evidence, design: Design, rankings: Rankings) -> Languages | None:
    """The gain at the decision top-k and metric by query language x document language, and in the pooled ranking.

    A cell takes the queries in one language that have relevant documents in another (or the same): these are its R, and
    only documents in that language are ranked. The pooled ranking holds all documents, and all relevant ones are R.
    Holm corrects over all of them together.

    Args:
        evidence: Judgments, families, and ``lang`` among the attributes of queries and documents.
        design: The decision's metric and top-k, resamples and seed.
        rankings: Of dense, the decision's system and the perfect one.

    Returns:
        None where queries or documents do not say their language, or all of both are in one and the same.
    """
    askers = members_of(evidence.qrels, evidence.attributes, LANG)
    holders = members_of(evidence.document_attributes, evidence.document_attributes, LANG)
    if not askers or not holders or len(askers.keys() | holders.keys()) == 1:
        return None
    gains = [*_cells(evidence, design, rankings, askers, holders), *_pooled(evidence, design, rankings, askers)]
    several = len(holders) > 1
    return Languages(adjusted(gains), tuple(_biases(evidence, design, rankings, askers)) if several else ())


def _cells(
    evidence: Evidence,
    design: Design,
    rankings: Rankings,
    askers: Mapping[str, Sequence[str]],
    holders: Mapping[str, Sequence[str]],
) -> Iterator[LanguageGain]:
    for document_lang, doc_ids in holders.items():
        documents = frozenset(doc_ids)
        results = among(documents, evidence, design, rankings)
        for query_lang, query_ids in askers.items():
            concerned = [query_id for query_id in query_ids if query_id in results[0]]
            if concerned:
                gain = gain_of(concerned, evidence, design, results)
                yield LanguageGain(
                    **values_of(gain),
                    query_lang=query_lang,
                    document_lang=document_lang,
                    candidates=_candidates(evidence, concerned, documents, design.expectation.top_k),
                )


def _candidates(evidence: Evidence, query_ids: Sequence[str], documents: frozenset[str], top_k: int) -> float:
    """Mean number of these documents among the first ``top_k`` candidates."""
    found = [evidence.candidates.get(query_id, ())[:top_k] for query_id in query_ids]
    return sum(one.doc_id in documents for candidates in found for one in candidates) / len(query_ids)


def _pooled(
    evidence: Evidence, design: Design, rankings: Rankings, askers: Mapping[str, Sequence[str]]
) -> Iterator[LanguageGain]:
    metric, top_k = design.expectation.metric, design.expectation.top_k
    dense, reranked, oracle = (measure(run, evidence.qrels, [metric])[metric] for run in rankings)
    for query_lang, query_ids in askers.items():
        sizes = [len(evidence.candidates.get(query_id, ())[:top_k]) for query_id in query_ids]
        yield LanguageGain(
            **values_of(gain_of(query_ids, evidence, design, (dense, reranked, oracle))),
            query_lang=query_lang,
            document_lang=None,
            candidates=sum(sizes) / len(sizes),
        )


def _biases(
    evidence: Evidence, design: Design, rankings: Rankings, askers: Mapping[str, Sequence[str]]
) -> Iterator[LanguageBias]:
    for query_lang, query_ids in askers.items():
        yield _bias(query_lang, query_ids, evidence, design, rankings)
    if len(askers) > 1:
        everybody = [query_id for query_id in evidence.qrels if evidence.attributes.get(query_id, {}).get(LANG)]
        yield _bias(None, everybody, evidence, design, rankings)


def _bias(
    query_lang: str | None, query_ids: Sequence[str], evidence: Evidence, design: Design, rankings: Rankings
) -> LanguageBias:
    cutoff = design.expectation.metric.cutoff or JUDGED_CUTOFF
    units = Units.of(query_ids, evidence.families)
    dense, reranked = (
        np.array([_own(run.rankings.get(query_id, ())[:cutoff], query_id, evidence) for query_id in query_ids])
        for run in rankings[:2]
    )
    relevant = [
        _own([doc_id for doc_id, grade in evidence.qrels[query_id].items() if grade >= 1], query_id, evidence)
        for query_id in query_ids
    ]
    interval = paired_intervals((reranked - dense)[:, np.newaxis], units, design.resamples, design.seed)
    return LanguageBias(
        query_lang=query_lang,
        cutoff=cutoff,
        relevant_share=float(np.mean(relevant)),
        dense_share=float(dense.mean()),
        reranked_share=float(reranked.mean()),
        delta_points=100 * float(reranked.mean() - dense.mean()),
        ci_low=100 * float(interval.low[0]),
        ci_high=100 * float(interval.high[0]),
        n_queries=len(query_ids),
    )


def _own(doc_ids: Sequence[str], query_id: str, evidence: Evidence) -> float:
    """Share of these documents that are in the query's language."""
    own = set(evidence.attributes[query_id][LANG])
    same = [not own.isdisjoint(evidence.document_attributes.get(doc_id, {}).get(LANG, ())) for doc_id in doc_ids]
    return sum(same) / len(same) if same else 0.0
