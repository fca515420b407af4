"""For whom the gain holds: split by what queries and documents say of themselves."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.analysis.comparison import Values
from evalkit.analysis.parts import Rankings, Results, adjusted, among, gain_of, members_of, values_of
from evalkit.parts import SliceGain
from evalkit.result import Design, Evidence
from evalkit.types import DENSE, System


def slices(
    evidence: Evidence, design: Design, rankings: Rankings, values: Values, oracles: Values
) -> tuple[SliceGain, ...]:
    """The gain at the decision top-k and metric by the value of an attribute.

    By an attribute of queries: for those that share a value. By one of documents: in the ranking of the documents that
    share a value, with the relevant ones among them as R, for the queries that have any. A query or document with
    several values lies in several slices, one without the attribute in none; an attribute with a single value over all
    is left out, as its slice is the whole. Holm corrects over all slices of all attributes together.

    Args:
        evidence: Judged queries, families, attributes.
        design: The attributes to split by, metric, top-k, resamples and seed.
        rankings: Of dense, the decision's system and the perfect one.
        values: Of ``dense`` and the decision's system, among others.
        oracles: Of the perfect ranking of the decision's candidates, among others.

    Returns:
        By attribute in the design's order, those of queries first, then by value.
    """
    expectation = design.expectation
    metric, system = expectation.metric, System("reranked", expectation.top_k).name
    whole = (values[DENSE.name][metric], values[system][metric], oracles[system][metric])
    found = [*_of_queries(evidence, design, whole), *_of_documents(evidence, design, rankings)]
    return adjusted(found, design.resamples)


def _of_queries(evidence: Evidence, design: Design, whole: Results) -> Iterator[SliceGain]:
    for attribute in design.slices:
        members = members_of(evidence.qrels, evidence.attributes, attribute)
        if len(members) == 1 and all(len(query_ids) == len(evidence.qrels) for query_ids in members.values()):
            continue
        for value, query_ids in members.items():
            gain = gain_of(query_ids, evidence, design, whole)
            yield SliceGain(**values_of(gain), of="query", attribute=attribute, value=value)


def _of_documents(evidence: Evidence, design: Design, rankings: Rankings) -> Iterator[SliceGain]:
    known = evidence.document_attributes
    for attribute in design.document_slices:
        members = members_of(known, known, attribute)
        if len(members) == 1 and all(len(doc_ids) == len(known) for doc_ids in members.values()):
            continue
        for value, doc_ids in members.items():
            results = among(frozenset(doc_ids), evidence, design, rankings)
            if results[0]:
                gain = gain_of(list(results[0]), evidence, design, results)
                yield SliceGain(**values_of(gain), of="document", attribute=attribute, value=value)
