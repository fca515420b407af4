"""The flow: dataset -> candidates -> raw scores -> runs -> metrics -> verdict.

Everything after the raw scores (:func:`evalkit.analysis.assess.assess`) is a pure function of evidence and design.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from evalkit.analysis.assess import assess
from evalkit.analysis.expectation import check_sweep
from evalkit.analysis.grouping import attributes_of, unknown_keys
from evalkit.exhibits import Example, Texts
from evalkit.latency import latency_of
from evalkit.probes import NOT_REPLAYED, check_replay, check_store
from evalkit.provenance import capture
from evalkit.result import EvalResult, Evidence, Subject
from evalkit.sequential import rerank_until_decided
from evalkit.stages import Log, Plan, key_of, rerank, retrieve
from evalkit.types import Candidates, Dataset, Document, Fingerprint


def evaluate(plan: Plan) -> EvalResult:
    """Run the whole flow once.

    Raises:
        EvalkitError: Bad configuration, bad data, an unusable model or store.
    """
    check_sweep(plan.design)
    if plan.sequential:
        plan = replace(plan, design=replace(plan.design, top_ks=(plan.design.expectation.top_k,)))
    design, log = plan.design, Log()
    with log.phase("load"):
        dataset = plan.source.load()
    check_sweep(design, len(dataset.documents) - int(plan.exclude_self))
    unknown = unknown_keys(dataset, plan.family, design)
    subject = replace(describe(dataset), warnings=(*dataset.warnings, *unknown))
    fingerprints = {"embedder": plan.embedder.fingerprint, "reranker": plan.reranker.fingerprint}
    provenance = capture(fingerprints, plan.config, plan.command)
    families, sequential = plan.family.families(dataset.queries), None
    with closing(plan.cache), closing(plan.store):
        retrieved = retrieve(plan, dataset, log)
        if plan.sequential:
            candidates, scoring, sequential = rerank_until_decided(plan, dataset, retrieved, families, log)
        else:
            candidates, scoring = rerank(plan, dataset, retrieved, log)
        with log.phase("probe"):
            loaded = log.computed["pairs"] > 0
            replayed = check_replay(plan.reranker, candidates, dataset, design.seed) if loaded else NOT_REPLAYED
            observed = [*check_store(plan.store, dataset, design.seed), replayed]
        with log.phase("latency"):
            latency = latency_of(plan, dataset, candidates, provenance.machine, loaded=loaded)
    queries = [query for query in dataset.queries if query.id in candidates]
    evidence = Evidence(
        candidates=candidates,
        qrels={query.id: dataset.qrels[query.id] for query in queries},
        families={query.id: families[query.id] for query in queries if query.id in families},
        attributes=attributes_of(queries, design.slices),
        document_attributes=attributes_of(_met(dataset, candidates), design.document_slices),
    )
    with log.phase("measure"):
        assessment = assess(evidence, design, subject, scoring, observed, sequential)
    return EvalResult(
        run_id=_run_id(provenance.created, dataset.digest, fingerprints, plan.config),
        dataset=subject,
        evidence=evidence,
        design=design,
        assessment=assessment,
        scoring=scoring,
        timings=log.timings,
        computed=log.computed,
        provenance=provenance,
        latency=latency,
        sequential=sequential,
        texts=_texts(dataset, assessment.examples),
    )


def _met(dataset: Dataset, candidates: Candidates) -> list[Document]:
    """The documents that are candidates of an evaluated query, or judged for one."""
    met = {one.doc_id for found in candidates.values() for one in found}
    met.update(doc_id for query_id in candidates for doc_id in dataset.qrels[query_id])
    return [document for document in dataset.documents if document.id in met]


def _texts(dataset: Dataset, examples: Sequence[Example]) -> Texts:
    """What the examples' queries and documents say."""
    asked = {one.query_id for one in examples}
    shown = {placed.doc_id for one in examples for placed in (one.gold, one.rival) if placed is not None}
    return Texts(
        queries={query.id: query.text for query in dataset.queries if query.id in asked},
        documents={document.id: document.content for document in dataset.documents if document.id in shown},
    )


def describe(dataset: Dataset) -> Subject:
    """The data set in numbers, without its texts."""
    return Subject(
        name=dataset.name,
        digest=dataset.digest,
        corpus_digest=dataset.corpus_digest,
        qrels_digest=key_of(dataset.qrels).hex(),
        n_documents=len(dataset.documents),
        n_queries=len(dataset.queries),
        languages=dataset.languages,
        dangling=dataset.dangling,
        unjudged=dataset.unjudged,
        without_positives=dataset.without_positives,
        warnings=dataset.warnings,
    )


def _run_id(created: str, digest: str, fingerprints: Mapping[str, Fingerprint], config: Mapping[str, Any]) -> str:
    stamp = created.partition("+")[0].replace("-", "").replace(":", "").replace("T", "-")
    return f"{stamp}-{key_of(digest, fingerprints, config).hex()[:6]}"
