"""The two stages: dense retrieval and reranking. Whatever touches a model, a store or the cache is here."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.derive import count_ties, order_hits
from evalkit.analysis.grouping import FamilyRule
from evalkit.errors import ModelError
from evalkit.ports import (
    Cache,
    DatasetSource,
    Embedder,
    Executor,
    Hit,
    Notes,
    Numbers,
    Pair,
    Reranker,
    Vectors,
    VectorStore,
)
from evalkit.record import LatencyBudget, Scoring
from evalkit.result import Design
from evalkit.types import Candidates, Dataset, Fingerprint

SEARCH_MARGIN = 16
"""Extra hits asked of the store at first, so that few searches have to be repeated because of ties at the cut."""

SINGLE_PRECISION = 1e-6
"""Relative difference of inner products up to which an engine may confuse two hits."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one evaluation needs, ready to use but not yet opened.

    Attributes:
        design: What is asked.
        family: How queries name their family.
        sequential: Stop as soon as the expectation's lower edge is decided.
        exclude_self: Leave out the document whose id equals the query's id.
        latency: What the latency probe may spend; by default it is off.
        notes: Where its measurements are remembered; None forgets them.
        config: The resolved configuration, for the record.
        command: The words that started the run, for the record.
    """

    source: DatasetSource
    embedder: Embedder
    reranker: Reranker
    store: VectorStore
    cache: Cache
    executor: Executor
    design: Design
    family: FamilyRule = field(default_factory=FamilyRule)
    sequential: bool = False
    exclude_self: bool = False
    latency: LatencyBudget = field(default_factory=LatencyBudget)
    notes: Notes | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()


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
        query_vectors, log.computed["queries"] = _remembered(
            plan, query_texts, lambda keys: plan.embedder.embed_queries([query_texts[key] for key in keys]), "queries"
        )
    with log.phase("search"):
        matrix = np.stack([query_vectors[query_keys[query.id]] for query in dataset.queries]).astype(np.float32)
        depth = min(len(texts), max(*plan.design.top_ks, *(metric.cutoff or 0 for metric in plan.design.metrics)))
        hits = _search(plan.store, matrix, depth + int(plan.exclude_self), len(texts))
        return {
            query.id: order_hits(
                ((doc_id, score) for doc_id, score in found if not (plan.exclude_self and doc_id == query.id)), depth
            )
            for query, found in zip(dataset.queries, hits, strict=True)
        }


def rerank(plan: Plan, dataset: Dataset, retrieved: Candidates, log: Log) -> tuple[Candidates, Scoring]:
    """Stage 2: score each unique pair once, whatever the number of top-k values."""
    with log.phase("rerank"):
        pairs = Pairs.of(plan, dataset, retrieved)
        rows, log.computed["pairs"] = _remembered(plan, pairs.texts, pairs.scorer(plan.reranker), "pairs")
    return pairs.outcome(retrieved, rows, plan.reranker.max_length)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs that stage 2 reads: the first max(top-k) candidates of each query.

    Attributes:
        keys: query id -> document id -> content key.
        texts: Content key -> the pair, each once.
    """

    keys: Mapping[str, Mapping[str, bytes]]
    texts: Mapping[bytes, Pair]

    @classmethod
    def of(cls, plan: Plan, dataset: Dataset, retrieved: Candidates) -> Pairs:
        """Keys hold the reranker's fingerprint and both texts; long pairs stand first."""
        documents = {document.id: document.content for document in dataset.documents}
        queries = {query.id: query.text for query in dataset.queries}
        prefix, top_k = key_of(plan.reranker.fingerprint, "pair"), max(plan.design.top_ks)
        keys = {
            query_id: {one.doc_id: key_of(prefix, queries[query_id], documents[one.doc_id]) for one in found[:top_k]}
            for query_id, found in retrieved.items()
        }
        texts = {
            key: (queries[query_id], documents[doc_id]) for query_id, of in keys.items() for doc_id, key in of.items()
        }
        # Neighbours of one length waste no padding, and memory runs out early or not at all.
        return cls(keys, dict(sorted(texts.items(), key=lambda entry: -len(entry[1][0]) - len(entry[1][1]))))

    def of_queries(self, query_ids: Iterable[str]) -> Pairs:
        """Those of some queries, in their order."""
        keys = {query_id: self.keys[query_id] for query_id in query_ids}
        return Pairs(keys, {key: self.texts[key] for found in keys.values() for key in found.values()})

    def scorer(self, reranker: Reranker) -> Callable[[Sequence[bytes]], Numbers]:
        """From content keys to rows of (raw score, tokens before truncation)."""

        def score(keys: Sequence[bytes]) -> Numbers:
            pairs = [self.texts[key] for key in keys]
            return np.column_stack([reranker.score(pairs), reranker.count_tokens(pairs)]).astype(np.float64)

        return score

    def outcome(
        self, retrieved: Candidates, rows: Mapping[bytes, Numbers], max_length: int
    ) -> tuple[Candidates, Scoring]:
        """The candidates of these queries with their scores, and how those came about.

        Args:
            retrieved: Candidates of at least these queries.
            rows: What :meth:`scorer` gave, by content key.
            max_length: The reranker's, in tokens.
        """
        scored = {
            query_id: tuple(
                replace(one, rerank_score=float(rows[keys[one.doc_id]][0])) if one.doc_id in keys else one
                for one in retrieved[query_id]
            )
            for query_id, keys in self.keys.items()
        }
        truncated = sum(float(rows[key][1]) > max_length for key in self.texts)
        return scored, Scoring(len(self.texts), truncated, max_length, count_ties(scored))


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
    plan: Plan, items: Mapping[bytes, Any], compute: Callable[[Sequence[bytes]], Numbers], label: str
) -> tuple[dict[bytes, Numbers], int]:
    """The value of each item, and how many had to be computed."""
    chunks = in_chunks(plan, list(items), compute, label)
    values = next(chunks)
    known = len(values)
    for fresh in chunks:
        values.update(fresh)
    return values, len(values) - known


def in_chunks(
    plan: Plan, keys: Sequence[bytes], compute: Callable[[Sequence[bytes]], Numbers], label: str
) -> Generator[dict[bytes, Numbers]]:
    """First what the cache knows of these keys; then, chunk by chunk, what was computed and is remembered by then."""
    known = plan.cache.get(keys)
    missing = [key for key in keys if key not in known]
    yield known
    for chunk, rows in plan.executor.map(compute, missing, label):
        _check(rows, len(chunk), label)
        fresh = dict(zip(chunk, rows, strict=True))
        plan.cache.put(fresh.items())
        yield fresh


def _check(rows: Numbers, expected: int, label: str) -> None:
    """Refuse what a model returned, before anything of it is remembered."""
    if len(rows) != expected:
        raise ModelError(f"asked for {expected} {label}, the model returned {len(rows)} results")
    if not np.isfinite(rows).all():
        raise ModelError(
            f"the model returned a value that is not finite for {label}; nothing of it was kept. Half precision "
            "can overflow: try dtype float32"
        )


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
