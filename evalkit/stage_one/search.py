"""Exact search in a store: no tie cut off, scores computed again in double precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.ports import Held, Hit, Store
from evalkit.stage_one.points import Points
from evalkit.stage_one.sides import Side

SEARCH_MARGIN = 16
"""Extra hits asked of the store at first, so that few searches have to be repeated because of ties at the cut."""

SINGLE_PRECISION = 1e-6
"""Relative difference of inner products up to which an engine may confuse two hits."""


def search_documents(
    side: Side[Held], store: Store[Held], queries: Held, places: Sequence[int], depth: int, points: Points
) -> list[list[Hit]]:
    """For each query at least the best ``depth`` documents, each with the score of its best point.

    As soon as the nearest points belong to enough documents, no other one can be among the best; until then the search
    looks at ever more of them, as long as there are any.

    Args:
        side: The kind of vectors.
        store: Open and filled.
        queries: Their vectors.
        places: 0 to the number of queries - 1.
        depth: Documents per query, at most all.
        points: What the store holds.
    """
    count, limit = len(points.texts), depth
    hits = _search(side, store, queries, places, limit, count)
    while limit < count and (
        short := [
            place
            for place, found in enumerate(hits)
            if len(found) >= limit and len(_of_documents(_nearest(found, limit), points.parents)) < depth
        ]
    ):
        limit = min(count, 2 * limit)
        for place, found in zip(short, _search(side, store, queries, short, limit, count), strict=True):
            hits[place] = found
    return [_of_documents(found, points.parents) for found in hits]


def _nearest(hits: Sequence[Hit], limit: int) -> list[Hit]:
    """Without those beyond the limit, of which some that tie may be missing."""
    return sorted(hits, key=lambda hit: -hit[1])[:limit]


def _of_documents(hits: Sequence[Hit], parents: Mapping[str, str]) -> list[Hit]:
    best: dict[str, float] = {}
    for point, score in hits:
        doc_id = parents[point]
        best[doc_id] = max(score, best.get(doc_id, score))
    return list(best.items())


def _search(
    side: Side[Held], store: Store[Held], queries: Held, places: Sequence[int], depth: int, count: int
) -> list[list[Hit]]:
    """For each of these queries at least the best ``depth`` of ``count`` points, with exact inner products.

    Engines return scores that differ by rounding, and any of several tied points. So the search goes on
    until no tie is cut off, and scores are computed again here, in double precision from the stored vectors:
    equal vectors get equal scores, in every engine.
    """
    limit = min(count, depth + SEARCH_MARGIN)
    hits = store.search(side.take(queries, places), limit)
    while limit < count and (
        open_ended := [place for place, found in enumerate(hits) if len(found) >= limit and _cuts_a_tie(found, depth)]
    ):
        limit = min(count, 4 * limit)
        again = store.search(side.take(queries, [places[place] for place in open_ended]), limit)
        for place, found in zip(open_ended, again, strict=True):
            hits[place] = found
    row = {point: number for number, point in enumerate(sorted({point for found in hits for point, _ in found}))}
    if not row:
        return hits
    vectors = store.vectors(list(row))
    exact = []
    for place, found in zip(places, hits, strict=True):
        ids = [point for point, _ in found]
        scores = side.products(side.take(vectors, [row[point] for point in ids]), queries, place)
        exact.append(list(zip(ids, scores.tolist(), strict=True)))
    return exact


def _cuts_a_tie(hits: Sequence[Hit], depth: int) -> bool:
    scores = sorted((score for _, score in hits), reverse=True)
    return len(scores) >= depth and scores[depth - 1] - scores[-1] <= SINGLE_PRECISION * max(1.0, abs(scores[0]))
