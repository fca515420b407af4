"""The flow: dataset -> candidates -> raw scores -> runs -> metrics -> verdict.

Everything after the raw scores (:func:`evalkit.analysis.assess.assess`) is a pure function of evidence and design.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from evalkit.analysis.assess import assess
from evalkit.analysis.expectation import check_sweep
from evalkit.analysis.grouping import attributes_of, unknown_keys
from evalkit.exhibits import Example, Texts
from evalkit.findings import Control
from evalkit.latency import latency_of
from evalkit.own_run import check_plan, found_candidates, found_scores, unanswered
from evalkit.ports import FoundRun, FoundScores
from evalkit.probes import NO_STORE, NOT_REPLAYED, check_replay, check_store
from evalkit.provenance import capture
from evalkit.record import Scoring, Sequential
from evalkit.result import EvalResult, Evidence, Subject
from evalkit.sequential import rerank_until_decided
from evalkit.stage_one import Retrieval, check_retrieval, retrieve, stage_one_of
from evalkit.stage_two import rerank
from evalkit.stages import Log, Plan, key_of
from evalkit.types import Candidates, Dataset, Document, Fingerprint


def evaluate(plan: Plan) -> EvalResult:
    """Run the whole flow once.

    Raises:
        EvalkitError: Bad configuration, bad data, an unusable model or store.
    """
    check_sweep(plan.design)
    check_plan(plan)
    check_retrieval(plan)
    if plan.sequential:
        plan = replace(plan, design=replace(plan.design, top_ks=(plan.design.expectation.top_k,)))
    design, log = plan.design, Log()
    with log.phase("load"):
        dataset = plan.source.load()
    check_sweep(design, len(dataset.documents) - int(plan.exclude_self))
    unknown = unknown_keys(dataset, plan.family, design)
    subject = replace(describe(dataset), warnings=(*dataset.warnings, *unknown))
    provenance = capture(plan.fingerprints, plan.config, plan.command)
    families = plan.family.families(dataset.queries)
    with closing(plan.cache), closing(plan.store), closing(Retrieval.of(plan, dataset, log)) as retrieval:
        retrieved, notes = _stage_one(plan, retrieval, dataset, log)
        reranked = _stage_two(plan, dataset, retrieved, families, log)
        candidates, scoring, sequential = reranked.candidates, reranked.scoring, reranked.sequential
        subject = replace(
            subject,
            warnings=(*subject.warnings, *notes, *reranked.notes),
            # A dense search answers every query, or the self-checks say that it did not.
            unanswered=unanswered(candidates) if plan.embedder is None or not retrieval.arms else (),
        )
        loaded = log.computed["pairs"] > 0
        with log.phase("probe"):
            observed = [*_check_store(plan, retrieval), _check_scores(plan, dataset, candidates, loaded=loaded)]
        with log.phase("latency"):
            latency = latency_of(plan, retrieval, dataset, candidates, provenance.machine, loaded=loaded)
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
        run_id=_run_id(provenance.created, dataset.digest, plan.fingerprints, plan.config),
        dataset=subject,
        evidence=evidence,
        design=design,
        assessment=assessment,
        scoring=scoring,
        timings=log.timings,
        computed=log.computed,
        provenance=provenance,
        stage_one=stage_one_of(plan),
        latency=latency,
        sequential=sequential,
        texts=_texts(dataset, assessment.examples),
    )


@dataclass(frozen=True, slots=True)
class _Reranked:
    """What stage 2 gave, and what a careful reader should know of it."""

    candidates: Candidates
    scoring: Scoring
    sequential: Sequential | None = None
    notes: tuple[str, ...] = ()


def _stage_one(plan: Plan, retrieval: Retrieval, dataset: Dataset, log: Log) -> tuple[Candidates, tuple[str, ...]]:
    """Candidates, and what a careful reader should know of them."""
    if isinstance(plan.embedder, FoundRun):
        return found_candidates(plan, plan.embedder, dataset, log)
    return retrieve(plan, retrieval, dataset, log), ()


def _stage_two(plan: Plan, dataset: Dataset, retrieved: Candidates, families: Mapping[str, str], log: Log) -> _Reranked:
    if isinstance(plan.reranker, FoundScores):
        candidates, scoring, notes = found_scores(plan, plan.reranker, retrieved, log)
        return _Reranked(candidates, scoring, notes=notes)
    if plan.sequential:
        return _Reranked(*rerank_until_decided(plan, plan.reranker, dataset, retrieved, families, log))
    return _Reranked(*rerank(plan, plan.reranker, dataset, retrieved, log))


def _check_store(plan: Plan, retrieval: Retrieval) -> tuple[Control, ...]:
    return check_store(retrieval.arms, plan.design.seed) if retrieval.arms else NO_STORE


def _check_scores(plan: Plan, dataset: Dataset, candidates: Candidates, *, loaded: bool) -> Control:
    if isinstance(plan.reranker, FoundScores) or not loaded:
        return NOT_REPLAYED
    return check_replay(plan, plan.reranker, candidates, dataset)


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
