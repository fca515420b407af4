"""The two stages: dense retrieval and reranking. Whatever touches a model, a store or the cache is here."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.derive import count_ties, order_hits
from evalkit.errors import ModelError
from evalkit.ports import Cache, DatasetSource, Embedder, Executor, Hit, Numbers, Reranker, Vectors, VectorStore
from evalkit.result import Expectation, Scoring
from evalkit.types import Candidates, Dataset, Fingerprint, Metric

SEARCH_MARGIN = 16
"""Extra hits asked of the store at first, so that few searches have to be repeated because of ties at the cut."""

SINGLE_PRECISION = 1e-6
"""Relative difference of inner products up to which an engine may confuse two hits."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one evaluation needs, ready to use but not yet opened.

    Attributes:
        top_ks: The stage-1 top-k values of the sweep.
        exclude_self: Leave out the document whose id equals the query's id.
        config: The resolved configuration, for the record.
    """

    source: DatasetSource
    embedder: Embedder
    reranker: Reranker
    store: VectorStore
    cache: Cache
    executor: Executor
    top_ks: tuple[int, ...]
    metrics: tuple[Metric, ...]
    expectation: Expectation
    exclude_self: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Log:
    """Seconds per phase and models' work, as they come about."""

    timings: dict[str, float] = field(default_factory=dict)
    computed: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - started


def retrieve(plan: Plan, dataset: Dataset, log: Log) -> Candidates:
    """Stage 1, once, as deep as the largest top-k or metric cutoff."""
    texts = {document.id: document.content for document in dataset.documents}
    prefix = key_of(plan.embedder.fingerprint, "vector")
    plan.store.open(_collection(dataset, plan.embedder.fingerprint))
    with log.phase("embed_documents"):
        log.computed["documents"] = _fill_store(plan, texts, prefix)
    with log.phase("embed_queries"):
        query_keys = {query.id: key_of(prefix, "query", query.text) for query in dataset.queries}
        query_texts = {query_keys[query.id]: query.text for query in dataset.queries}
        query_vectors, log.computed["queries"] = _remembered(plan, query_texts, plan.embedder.embed_queries, "queries")
    with log.phase("search"):
        matrix = np.stack([query_vectors[query_keys[query.id]] for query in dataset.queries]).astype(np.float32)
        depth = min(len(texts), max(*plan.top_ks, *(metric.cutoff or 0 for metric in plan.metrics)))
        hits = _search(plan.store, matrix, depth + int(plan.exclude_self), len(texts))
        return {
            query.id: order_hits(
                ((doc_id, score) for doc_id, score in found if not (plan.exclude_self and doc_id == query.id)), depth
            )
            for query, found in zip(dataset.queries, hits, strict=True)
        }


def rerank(plan: Plan, dataset: Dataset, retrieved: Candidates, log: Log) -> tuple[Candidates, Scoring]:
    """Stage 2: score each unique pair once, whatever the number of top-k values."""
    documents = {document.id: document.content for document in dataset.documents}
    queries = {query.id: query.text for query in dataset.queries}
    prefix = key_of(plan.reranker.fingerprint, "pair")
    top_k = max(plan.top_ks)
    with log.phase("rerank"):
        keys = {
            (query_id, candidate.doc_id): key_of(prefix, queries[query_id], documents[candidate.doc_id])
            for query_id, found in retrieved.items()
            for candidate in found[:top_k]
        }
        pairs = {key: (queries[query_id], documents[doc_id]) for (query_id, doc_id), key in keys.items()}
        # Long pairs first: neighbours of one length waste no padding, and memory runs out early or not at all.
        pairs = dict(sorted(pairs.items(), key=lambda entry: -len(entry[1][0]) - len(entry[1][1])))
        outcome, log.computed["pairs"] = _remembered(plan, pairs, lambda chunk: _score(plan.reranker, chunk), "pairs")
    scored = {
        query_id: tuple(
            replace(candidate, rerank_score=float(outcome[keys[query_id, candidate.doc_id]][0]))
            for candidate in found[:top_k]
        )
        + found[top_k:]
        for query_id, found in retrieved.items()
    }
    limit = plan.reranker.max_length
    truncated = sum(float(value[1]) > limit for value in outcome.values())
    return scored, Scoring(len(pairs), truncated, limit, count_ties(scored))


def _fill_store(plan: Plan, texts: Mapping[str, str], prefix: bytes) -> int:
    """Bring every document's vector into the store, and return how many had to be computed for it.

    Equal texts are embedded once, so that their vectors are equal to the bit.
    """
    store = plan.store
    ids_of: dict[bytes, list[str]] = {}
    for doc_id in store.missing(list(texts)):
        ids_of.setdefault(key_of(prefix, "document", texts[doc_id]), []).append(doc_id)

    def add(vectors: Mapping[bytes, Numbers]) -> None:
        rows = [(doc_id, vector) for key, vector in vectors.items() for doc_id in ids_of[key]]
        if rows:
            store.add([doc_id for doc_id, _ in rows], np.stack([vector for _, vector in rows]).astype(np.float32))

    known = plan.cache.get(list(ids_of))
    add(known)
    unknown = [key for key in ids_of if key not in known]
    for chunk, vectors in plan.executor.map(
        lambda keys: plan.embedder.embed_documents([texts[ids_of[key][0]] for key in keys]), unknown, "documents"
    ):
        _check(vectors, len(chunk), "documents")
        fresh = dict(zip(chunk, vectors, strict=True))
        if not store.persistent:
            plan.cache.put(fresh.items())
        add(fresh)
    return len(unknown)


def _search(store: VectorStore, queries: Vectors, depth: int, count: int) -> list[list[Hit]]:
    """For each query at least the best ``depth`` of ``count`` documents, with exact inner products.

    Engines return scores that differ by rounding, and any of several tied documents. So the search goes on
    until no tie is cut off, and scores are computed again here, in double precision from the stored vectors:
    equal vectors get equal scores, in every engine.
    """
    limit = min(count, depth + SEARCH_MARGIN)
    hits = store.search(queries, limit)
    while limit < count and (open_ended := [place for place, found in enumerate(hits) if _cuts_a_tie(found, depth)]):
        limit = min(count, 4 * limit)
        for place, found in zip(open_ended, store.search(queries[open_ended], limit), strict=True):
            hits[place] = found
    row = {doc_id: place for place, doc_id in enumerate(sorted({doc_id for found in hits for doc_id, _ in found}))}
    vectors = store.vectors(list(row)).astype(np.float64)
    exact = []
    for found, query in zip(hits, queries.astype(np.float64), strict=True):
        ids = [doc_id for doc_id, _ in found]
        scores = _inner_products(vectors[[row[doc_id] for doc_id in ids]], query)
        exact.append(list(zip(ids, scores.tolist(), strict=True)))
    return exact


def _cuts_a_tie(hits: Sequence[Hit], depth: int) -> bool:
    scores = sorted((score for _, score in hits), reverse=True)
    return scores[depth - 1] - scores[-1] <= SINGLE_PRECISION * max(1.0, abs(scores[0]))


def _inner_products(vectors: NDArray[np.float64], query: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not a matrix product: its rounding depends on a row's place in the matrix.
    products: NDArray[np.float64] = (vectors * query).sum(axis=1)
    return products


def _remembered(
    plan: Plan, items: Mapping[bytes, Any], compute: Callable[[Sequence[Any]], Numbers], label: str
) -> tuple[dict[bytes, Numbers], int]:
    """The value of each item: from the cache where it is known, else computed and remembered chunk by chunk."""
    known = plan.cache.get(list(items))
    missing = [key for key in items if key not in known]
    for chunk, rows in plan.executor.map(lambda keys: compute([items[key] for key in keys]), missing, label):
        _check(rows, len(chunk), label)
        fresh = dict(zip(chunk, rows, strict=True))
        plan.cache.put(fresh.items())
        known.update(fresh)
    return known, len(missing)


def _check(rows: Numbers, expected: int, label: str) -> None:
    """Refuse what a model returned, before anything of it is remembered."""
    if len(rows) != expected:
        raise ModelError(f"asked for {expected} {label}, the model returned {len(rows)} results")
    if not np.isfinite(rows).all():
        raise ModelError(
            f"the model returned a value that is not finite for {label}; nothing of it was kept. Half precision "
            "can overflow: try dtype float32"
        )


def _score(reranker: Reranker, pairs: Sequence[tuple[str, str]]) -> Numbers:
    """Columns: raw score, tokens before truncation."""
    return np.column_stack([reranker.score(pairs), reranker.count_tokens(pairs)]).astype(np.float64)


def key_of(*parts: str | bytes | Mapping[str, Any]) -> bytes:
    """SHA-256 over parts, each preceded by its length, so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        text = json.dumps(part, sort_keys=True, default=str) if isinstance(part, Mapping) else part
        raw = text if isinstance(text, bytes) else text.encode()
        total.update(len(raw).to_bytes(8, "big"))
        total.update(raw)
    return total.digest()


def _collection(dataset: Dataset, embedder: Fingerprint) -> str:
    return key_of(embedder, dataset.corpus_digest).hex()[:24]
