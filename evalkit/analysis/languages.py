"""Who is served: the gain by language of queries and documents, and whether the ranking prefers the asker's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.grouping import LANG
from evalkit.analysis.intervals import paired_intervals
from evalkit.analysis.metrics import JUDGED_CUTOFF, measure
from evalkit.analysis.parts import Rankings, adjusted, among, gain_of, members_of, values_of
from evalkit.analysis.units import Units
from evalkit.parts import LanguageBias, LanguageGain, Languages
from evalkit.result import Design, Evidence

Members = Mapping[str, Sequence[str]]
"""Language -> the ids of the queries, or of the documents, that are in it."""

Shares = tuple[float, float, float]
"""Of one query: the share of its relevant documents, of dense's first and of reranked's first in its language."""


def languages(evidence: Evidence, design: Design, rankings: Rankings) -> Languages | None:
    """The gain at the decision top-k and metric by query language x document language, and in the pooled ranking.

    A cell takes the queries in one language that have relevant documents in another (or the same): these are its R, and
    only documents in that language are ranked. The pooled ranking holds all documents, and all relevant ones are R;
    where documents are in one language it would repeat the cells, and is left out. Holm corrects over all of them
    together. A query or document in several languages counts in each. One that names no language is in no cell, and
    neither is a positive that the corpus does not hold; in the pooled ranking they count.

    Args:
        evidence: Judgments, families, and ``lang`` among the attributes of queries and documents.
        design: The decision's metric and top-k, resamples and seed.
        rankings: Of dense, the decision's system and the perfect one.

    Returns:
        Cells by document language, then query language, and pooled rows by query language; None where no query has a
        relevant document in a language that is named, or all queries and documents are in one and the same.
    """
    askers = members_of(evidence.qrels, evidence.attributes, LANG)
    holders = members_of(evidence.document_attributes, evidence.document_attributes, LANG)
    if len(askers.keys() | holders.keys()) == 1:
        return None
    rows = list(_cells(evidence, design, rankings, askers, holders))
    if not rows:
        return None
    several = len(holders) > 1
    if several:
        rows += [(row, "") for row in _pooled(evidence, design, rankings, askers)]
    # Few candidates hide a gain or a loss; one that shows all the same is one.
    gains = tuple(
        gain if gain.certain else replace(gain, note=gain.note or idle)
        for gain, (_, idle) in zip(adjusted([row for row, _ in rows], design.resamples), rows, strict=True)
    )
    return Languages(gains, tuple(_biases(evidence, design, rankings, askers, holders)) if several else ())


def _cells(
    evidence: Evidence, design: Design, rankings: Rankings, askers: Members, holders: Members
) -> Iterator[tuple[LanguageGain, str]]:
    """Each cell, and why it says little where its gain is not certain."""
    for document_lang, doc_ids in holders.items():
        documents = frozenset(doc_ids)
        results = among(documents, evidence, design, rankings)
        for query_lang, query_ids in askers.items():
            concerned = [query_id for query_id in query_ids if query_id in results[0]]
            if concerned:
                gain = gain_of(concerned, evidence, design, results)
                counts = _counts(evidence, concerned, documents, design.expectation.top_k)
                cell = LanguageGain(
                    **values_of(gain),
                    query_lang=query_lang,
                    document_lang=document_lang,
                    candidates=sum(counts) / len(counts),
                )
                yield cell, _idle(counts, design.expectation.metric.unmoved)


def _counts(evidence: Evidence, query_ids: Sequence[str], documents: frozenset[str], top_k: int) -> list[int]:
    """How many of these documents are among the first ``top_k`` candidates of each query."""
    found = [evidence.candidates.get(query_id, ())[:top_k] for query_id in query_ids]
    return [sum(one.doc_id in documents for one in candidates) for candidates in found]


def _idle(counts: Sequence[int], unmoved: int) -> str:
    """Why a cell in which nothing is certain says little: most queries have too few such candidates to change."""
    movable = sum(count > unmoved for count in counts)
    if 2 * movable >= len(counts):
        return ""
    return (
        f"cannot tell: {movable} of {len(counts)} queries have more than {unmoved} of these documents among their "
        "candidates; for the others no order of them changes the metric"
    )


def _pooled(evidence: Evidence, design: Design, rankings: Rankings, askers: Members) -> Iterator[LanguageGain]:
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
    evidence: Evidence, design: Design, rankings: Rankings, askers: Members, holders: Members
) -> Iterator[LanguageBias]:
    """By query language, where any document is in it, and over all of these queries where there are several."""
    cutoff = design.expectation.metric.cutoff or JUDGED_CUTOFF
    shares = _shares(evidence, rankings, cutoff)
    rows: dict[str | None, list[str]] = {}
    for query_lang, query_ids in askers.items():
        comparable = [query_id for query_id in query_ids if query_id in shares]
        if comparable and query_lang in holders:
            rows[query_lang] = comparable
    if len(rows) > 1:
        together = {query_id for query_ids in rows.values() for query_id in query_ids}
        rows[None] = [query_id for query_id in evidence.qrels if query_id in together]
    for one, comparable in rows.items():
        yield _bias(one, cutoff, Units.of(comparable, evidence.families), shares, design)


def _shares(evidence: Evidence, rankings: Rankings, cutoff: int) -> dict[str, Shares]:
    """By query, over the documents that name a language; a query without relevant ones, or candidates, is left out."""
    spoken = {doc_id: told[LANG] for doc_id, told in evidence.document_attributes.items() if told.get(LANG)}
    found: dict[str, Shares] = {}
    for query_id, grades in evidence.qrels.items():
        own = set(evidence.attributes.get(query_id, {}).get(LANG, ()))
        relevant, dense, reranked = (
            [not own.isdisjoint(spoken[doc_id]) for doc_id in documents if doc_id in spoken]
            for documents in (
                [doc_id for doc_id, grade in grades.items() if grade >= 1],
                *(run.rankings.get(query_id, ()) for run in rankings[:2]),
            )
        )
        if relevant and dense:
            found[query_id] = _share(relevant), _share(dense[:cutoff]), _share(reranked[:cutoff])
    return found


def _share(same: Sequence[bool]) -> float:
    return sum(same) / len(same)


def _bias(
    query_lang: str | None, cutoff: int, units: Units, shares: Mapping[str, Shares], design: Design
) -> LanguageBias:
    table: NDArray[np.float64] = np.array([shares[query_id] for query_id in units.query_ids])
    relevant, dense, reranked = table.mean(axis=0).tolist()
    interval = paired_intervals(table[:, [2]] - table[:, [1]], units, design.resamples, design.seed)
    return LanguageBias(
        query_lang=query_lang,
        cutoff=cutoff,
        relevant_share=relevant,
        dense_share=dense,
        reranked_share=reranked,
        delta_points=100 * (reranked - dense),
        ci_low=100 * float(interval.low[0]),
        ci_high=100 * float(interval.high[0]),
        n_queries=units.n_queries,
    )
