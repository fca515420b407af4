"""The flow: dataset -> candidates -> raw scores -> runs -> metrics -> verdict.

Everything after the raw scores (:func:`assess`) is a pure function of candidates, qrels and config.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evalkit.analysis.comparison import compare
from evalkit.analysis.derive import count_ties, derive, order_hits, rank_perfectly, systems_of
from evalkit.analysis.expectation import check_sweep, judge
from evalkit.analysis.metrics import judged_share, mean, measure
from evalkit.errors import ModelError
from evalkit.ports import Cache, DatasetSource, Embedder, Executor, Numbers, Reranker, VectorStore
from evalkit.provenance import capture
from evalkit.result import Comparison, EvalResult, Expectation, Scoring, Verdict
from evalkit.types import Candidates, Dataset, Fingerprint, Metric, PerQuery, Qrels, Run, System

SEARCH_MARGIN = 16
"""Extra hits asked of the store: engines do not agree on which of several tied documents to return."""


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
class _Log:
    """Seconds per phase and models' work, as they come about."""

    timings: dict[str, float] = field(default_factory=dict)
    computed: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Assessment:
    """What follows from candidates and qrels alone."""

    systems: tuple[System, ...]
    runs: tuple[Run, ...]
    per_query: Mapping[str, Mapping[Metric, PerQuery]]
    metrics: Mapping[str, Mapping[Metric, float]]
    judged: Mapping[str, float]
    comparisons: tuple[Comparison, ...]
    verdict: Verdict


def evaluate(plan: Plan) -> EvalResult:
    """Run the whole flow once.

    Raises:
        EvalkitError: Bad configuration, bad data, an unusable model or store.
    """
    check_sweep(plan.top_ks, plan.metrics, plan.expectation)
    log = _Log()
    with log.phase("load"):
        dataset = plan.source.load()
    check_sweep(plan.top_ks, plan.metrics, plan.expectation, len(dataset.documents))
    fingerprints = {"embedder": plan.embedder.fingerprint, "reranker": plan.reranker.fingerprint}
    provenance = capture(fingerprints, plan.config)
    with closing(plan.cache), closing(plan.store):
        retrieved = retrieve(plan, dataset, log)
        candidates, scoring = rerank(plan, dataset, retrieved, log)
    with log.phase("measure"):
        assessment = assess(candidates, dataset.qrels, plan.top_ks, plan.metrics, plan.expectation)
    return EvalResult(
        run_id=_run_id(provenance.created, dataset.digest, fingerprints, plan.config),
        status="ok",
        dataset=dataset,
        systems=assessment.systems,
        candidates=candidates,
        runs=assessment.runs,
        per_query=assessment.per_query,
        metrics=assessment.metrics,
        judged=assessment.judged,
        comparisons=assessment.comparisons,
        verdict=assessment.verdict,
        scoring=scoring,
        timings=log.timings,
        computed=log.computed,
        provenance=provenance,
    )


def retrieve(plan: Plan, dataset: Dataset, log: _Log) -> Candidates:
    """Stage 1, once, at the largest top-k."""
    texts = {document.id: document.content for document in dataset.documents}
    prefix = _key(plan.embedder.fingerprint, "vector")
    store = plan.store
    store.open(_collection(dataset, plan.embedder.fingerprint))
    with log.phase("embed_documents"):
        missing = store.missing(list(texts))
        if store.persistent:
            for chunk, vectors in plan.executor.map(
                lambda ids: plan.embedder.embed_documents([texts[doc_id] for doc_id in ids]), missing, "documents"
            ):
                store.add(chunk, vectors)
            log.computed["documents"] = len(missing)
        else:
            keys = {doc_id: _key(prefix, "document", texts[doc_id]) for doc_id in missing}
            vectors_of, log.computed["documents"] = _remembered(
                plan, {key: texts[doc_id] for doc_id, key in keys.items()}, plan.embedder.embed_documents, "documents"
            )
            if missing:
                store.add(missing, np.stack([vectors_of[keys[doc_id]] for doc_id in missing]).astype(np.float32))
    with log.phase("embed_queries"):
        query_keys = {query.id: _key(prefix, "query", query.text) for query in dataset.queries}
        query_texts = {query_keys[query.id]: query.text for query in dataset.queries}
        query_vectors, log.computed["queries"] = _remembered(plan, query_texts, plan.embedder.embed_queries, "queries")
    with log.phase("search"):
        depth = max(plan.top_ks)
        limit = min(len(texts), depth + int(plan.exclude_self) + SEARCH_MARGIN)
        matrix = np.stack([query_vectors[query_keys[query.id]] for query in dataset.queries]).astype(np.float32)
        hits = store.search(matrix, limit)
        return {
            query.id: order_hits(
                ((doc_id, score) for doc_id, score in found if not (plan.exclude_self and doc_id == query.id)), depth
            )
            for query, found in zip(dataset.queries, hits, strict=True)
        }


def rerank(plan: Plan, dataset: Dataset, retrieved: Candidates, log: _Log) -> tuple[Candidates, Scoring]:
    """Stage 2: score each unique pair once, whatever the number of top-k values."""
    documents = {document.id: document.content for document in dataset.documents}
    queries = {query.id: query.text for query in dataset.queries}
    prefix = _key(plan.reranker.fingerprint, "pair")
    with log.phase("rerank"):
        keys = {
            (query_id, candidate.doc_id): _key(prefix, queries[query_id], documents[candidate.doc_id])
            for query_id, found in retrieved.items()
            for candidate in found
        }
        pairs = {key: (queries[query_id], documents[doc_id]) for (query_id, doc_id), key in keys.items()}
        # Long pairs first: neighbours of one length waste no padding, and memory runs out early or not at all.
        pairs = dict(sorted(pairs.items(), key=lambda entry: -len(entry[1][0]) - len(entry[1][1])))
        outcome, log.computed["pairs"] = _remembered(plan, pairs, lambda chunk: _score(plan.reranker, chunk), "pairs")
    scored = {
        query_id: tuple(
            replace(candidate, rerank_score=float(outcome[keys[query_id, candidate.doc_id]][0])) for candidate in found
        )
        for query_id, found in retrieved.items()
    }
    limit = plan.reranker.max_length
    truncated = sum(float(value[1]) > limit for value in outcome.values())
    return scored, Scoring(len(pairs), truncated, limit, count_ties(scored))


def assess(
    candidates: Candidates, qrels: Qrels, top_ks: Sequence[int], metrics: Sequence[Metric], expectation: Expectation
) -> Assessment:
    """Derive the runs, measure, compare and judge: pure, and needs no model."""
    systems = systems_of(top_ks)
    runs = tuple(derive(candidates, system) for system in systems)
    per_query = {run.name: measure(run, qrels, metrics) for run in runs}
    comparisons = []
    for system in systems:
        if system.top_k is None:
            continue
        perfect = {
            query_id: rank_perfectly(found, system.top_k, qrels.get(query_id, {}))
            for query_id, found in candidates.items()
        }
        oracle = measure(Run(f"oracle@{system.top_k}", perfect), qrels, metrics)
        comparisons += [
            compare(metric, system, per_query["dense"][metric], per_query[system.name][metric], oracle[metric])
            for metric in metrics
        ]
    decisive = next(
        found for found in comparisons if found.metric == expectation.metric and found.top_k == expectation.top_k
    )
    return Assessment(
        systems=systems,
        runs=runs,
        per_query=per_query,
        metrics={name: {metric: mean(found) for metric, found in values.items()} for name, values in per_query.items()},
        judged={run.name: judged_share(run, qrels) for run in runs},
        comparisons=tuple(comparisons),
        verdict=judge(decisive, expectation),
    )


def _remembered(
    plan: Plan, items: Mapping[bytes, Any], compute: Callable[[Sequence[Any]], Numbers], label: str
) -> tuple[dict[bytes, Numbers], int]:
    """The value of each item: from the cache where it is known, else computed and remembered chunk by chunk."""
    known = plan.cache.get(list(items))
    missing = [key for key in items if key not in known]
    for chunk, rows in plan.executor.map(lambda keys: compute([items[key] for key in keys]), missing, label):
        if len(rows) != len(chunk):
            raise ModelError(f"asked for {len(chunk)} {label}, the model returned {len(rows)} results")
        if not np.isfinite(rows).all():
            raise ModelError(
                f"the model returned a value that is not finite for {label}; nothing of it was kept. Half "
                "precision can overflow: try dtype float32"
            )
        fresh = dict(zip(chunk, rows, strict=True))
        plan.cache.put(fresh.items())
        known.update(fresh)
    return known, len(missing)


def _score(reranker: Reranker, pairs: Sequence[tuple[str, str]]) -> Numbers:
    """Columns: raw score, tokens before truncation."""
    return np.column_stack([reranker.score(pairs), reranker.count_tokens(pairs)]).astype(np.float64)


def _key(*parts: str | bytes | Fingerprint) -> bytes:
    """SHA-256 over parts, each preceded by its length, so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode() if isinstance(part, str) else _canonical(part)
        total.update(len(raw).to_bytes(8, "big"))
        total.update(raw)
    return total.digest()


def _canonical(mapping: Mapping[str, Any]) -> bytes:
    return repr(sorted((key, repr(value)) for key, value in mapping.items())).encode()


def _collection(dataset: Dataset, embedder: Fingerprint) -> str:
    return _key(embedder, dataset.corpus_digest).hex()[:24]


def _run_id(created: str, digest: str, fingerprints: Mapping[str, Fingerprint], config: Mapping[str, Any]) -> str:
    stamp = created.partition("+")[0].replace("-", "").replace(":", "").replace("T", "-")
    return f"{stamp}-{_key(digest, _canonical(fingerprints), _canonical(config)).hex()[:6]}"
