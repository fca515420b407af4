"""Stage 1: dense retrieval, once, whatever the number of top-k values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.derive import order_hits
from evalkit.ports import Embedder, Hit, Numbers, Vectors, VectorStore
from evalkit.stages import Log, Plan, check_rows, key_of, remembered
from evalkit.types import Candidates, Dataset

SEARCH_MARGIN = 16
"""Extra hits asked of the store at first, so that few searches have to be repeated because of ties at the cut."""

SINGLE_PRECISION = 1e-6
"""Relative difference of inner products up to which an engine may confuse two hits."""

_NUMBERED = "\x1f"
"""Between a document's id and the number of its window. Every window has a number, so that no two ids are the same."""


@dataclass(frozen=True, slots=True)
class Points:
    """What the store holds: every document, or its windows.

    Attributes:
        texts: Point id -> what is embedded.
        parents: Point id -> document id.
        windows: Whether these are windows.
    """

    texts: Mapping[str, str]
    parents: Mapping[str, str]
    windows: bool = False

    @classmethod
    def of(cls, plan: Plan, embedder: Embedder, dataset: Dataset, log: Log) -> Points:
        """One point per document; where windows are asked for, one per window, and one window where it fits."""
        contents = {document.id: document.content for document in dataset.documents}
        if plan.long.stage1 == "cut":
            return cls(contents, {doc_id: doc_id for doc_id in contents})
        found: dict[str, list[str]] = {}
        with log.phase("split_documents"):
            for chunk, windows in plan.executor.map(
                lambda doc_ids: embedder.windows([contents[doc_id] for doc_id in doc_ids], plan.long.overlap),
                list(contents),
                "documents in windows",
            ):
                found.update(zip(chunk, windows, strict=True))
        texts = {
            f"{doc_id}{_NUMBERED}{number}": window for doc_id in contents for number, window in enumerate(found[doc_id])
        }
        return cls(texts, {point: point.rpartition(_NUMBERED)[0] for point in texts}, windows=True)

    def collection(self, embedder: Embedder, dataset: Dataset) -> str:
        """The name of what holds these points' vectors: another one for other points."""
        windows = [key_of(*self.texts, *self.texts.values())] if self.windows else []
        return key_of(embedder.fingerprint, dataset.corpus_digest, *windows).hex()[:24]


def retrieve(plan: Plan, embedder: Embedder, dataset: Dataset, points: Points, log: Log) -> Candidates:
    """Stage 1, once, as deep as the largest top-k or metric cutoff.

    A document that is stored in windows counts once, with the inner product of its best one.
    """
    prefix = key_of(embedder.fingerprint, "vector")
    plan.store.open(points.collection(embedder, dataset))
    with log.phase("embed_documents"):
        log.computed["documents"] = _fill_store(plan, embedder, points.texts, prefix)
    with log.phase("embed_queries"):
        query_keys = {query.id: key_of(prefix, "query", query.text) for query in dataset.queries}
        query_texts = {query_keys[query.id]: query.text for query in dataset.queries}
        query_vectors, log.computed["queries"] = remembered(
            plan, query_texts, lambda keys: embedder.embed_queries([query_texts[key] for key in keys]), "queries"
        )
    with log.phase("search"):
        matrix = np.stack([query_vectors[query_keys[query.id]] for query in dataset.queries]).astype(np.float32)
        depth = min(
            len(dataset.documents), max(*plan.design.top_ks, *(metric.cutoff or 0 for metric in plan.design.metrics))
        )
        hits = _search_documents(
            plan.store, matrix, min(len(dataset.documents), depth + int(plan.exclude_self)), points
        )
        return {
            query.id: order_hits(
                ((doc_id, score) for doc_id, score in found if not (plan.exclude_self and doc_id == query.id)), depth
            )
            for query, found in zip(dataset.queries, hits, strict=True)
        }


def _fill_store(plan: Plan, embedder: Embedder, texts: Mapping[str, str], prefix: bytes) -> int:
    """Bring every point's vector into the store, and return how many had to be computed for it.

    Equal texts are embedded once, so that their vectors are equal to the bit.
    """
    store = plan.store
    ids_of: dict[bytes, list[str]] = {}
    for point in store.missing(list(texts)):
        ids_of.setdefault(key_of(prefix, "document", texts[point]), []).append(point)

    def add(vectors: Mapping[bytes, Numbers]) -> None:
        rows = [(point, vector) for key, vector in vectors.items() for point in ids_of[key]]
        if rows:
            store.add([point for point, _ in rows], np.stack([vector for _, vector in rows]).astype(np.float32))

    known = plan.cache.get(list(ids_of))
    add(known)
    unknown = [key for key in ids_of if key not in known]
    for chunk, vectors in plan.executor.map(
        lambda keys: embedder.embed_documents([texts[ids_of[key][0]] for key in keys]), unknown, "documents"
    ):
        check_rows(vectors, len(chunk), "documents")
        fresh = dict(zip(chunk, vectors, strict=True))
        if not store.persistent:
            plan.cache.put(fresh.items())
        add(fresh)
    return len(unknown)


def _search_documents(store: VectorStore, queries: Vectors, depth: int, points: Points) -> list[list[Hit]]:
    """For each query at least the best ``depth`` documents, each with the score of its best point.

    As soon as the nearest points belong to enough documents, no other one can be among the best; until then the search
    looks at ever more of them.
    """
    count, limit = len(points.texts), depth
    hits = _search(store, queries, limit, count)
    while limit < count and (
        short := [
            place
            for place, found in enumerate(hits)
            if len(_of_documents(_nearest(found, limit), points.parents)) < depth
        ]
    ):
        limit = min(count, 2 * limit)
        for place, found in zip(short, _search(store, queries[short], limit, count), strict=True):
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


def _search(store: VectorStore, queries: Vectors, depth: int, count: int) -> list[list[Hit]]:
    """For each query at least the best ``depth`` of ``count`` points, with exact inner products.

    Engines return scores that differ by rounding, and any of several tied points. So the search goes on
    until no tie is cut off, and scores are computed again here, in double precision from the stored vectors:
    equal vectors get equal scores, in every engine.
    """
    limit = min(count, depth + SEARCH_MARGIN)
    hits = store.search(queries, limit)
    while limit < count and (open_ended := [place for place, found in enumerate(hits) if _cuts_a_tie(found, depth)]):
        limit = min(count, 4 * limit)
        for place, found in zip(open_ended, store.search(queries[open_ended], limit), strict=True):
            hits[place] = found
    row = {point: place for place, point in enumerate(sorted({point for found in hits for point, _ in found}))}
    vectors = (store.vectors(list(row)) if row else np.empty((0, queries.shape[1]))).astype(np.float64)
    exact = []
    for found, query in zip(hits, queries.astype(np.float64), strict=True):
        ids = [point for point, _ in found]
        scores = _inner_products(vectors[[row[point] for point in ids]], query)
        exact.append(list(zip(ids, scores.tolist(), strict=True)))
    return exact


def _cuts_a_tie(hits: Sequence[Hit], depth: int) -> bool:
    scores = sorted((score for _, score in hits), reverse=True)
    # A store that has lost documents may return fewer than it was asked for.
    return len(scores) >= depth and scores[depth - 1] - scores[-1] <= SINGLE_PRECISION * max(1.0, abs(scores[0]))


def _inner_products(vectors: NDArray[np.float64], query: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not a matrix product: its rounding depends on a row's place in the matrix.
    products: NDArray[np.float64] = (vectors * query).sum(axis=1)
    return products
