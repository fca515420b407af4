"""How long one query takes in each stage, warm: what the gain costs. Scores that are remembered are never measured."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain

import numpy as np

from evalkit.errors import StoreError
from evalkit.ports import AskedByQuery, CountsPairTokens, FoundScores, Notes, Pair, Reranker
from evalkit.record import Latency, StageTwoLatency
from evalkit.stage_one import Retrieval
from evalkit.stage_two import as_read
from evalkit.stages import Plan, key_of
from evalkit.types import Candidates, Dataset

_LOG = logging.getLogger("evalkit.latency")

LEAST_QUERIES = 3
"""Probed even where the time limit has passed."""

_SETTINGS = ("embedder", "reranker", "vector_store", "retrieval", "long_documents")
"""Their settings change the speed, also where they leave every number as it is, such as the number of threads."""


def latency_of(
    plan: Plan,
    retrieval: Retrieval,
    dataset: Dataset,
    candidates: Candidates,
    machine: Mapping[str, str | int],
    *,
    loaded: bool,
) -> Latency | None:
    """The latency of both stages: measured where the models are loaded anyway, else the last measurement.

    Args:
        plan: The reranker, and what the probe may spend.
        retrieval: Its stores are open and filled.
        dataset: The texts.
        candidates: Of the evaluated queries.
        machine: Where this runs, as in the provenance.
        loaded: Whether this run scored pairs.

    Returns:
        None where the probe is off, or nothing is remembered of these models, this store, corpus and machine.
    """
    if not plan.latency.queries or not retrieval.arms or isinstance(plan.reranker, FoundScores):
        return None
    place = "{processor}, {cores} cores, {platform}".format(**machine)
    settings = {role: plan.config.get(role) for role in _SETTINGS}
    key = key_of(
        "latency",
        *plan.fingerprints.values(),
        plan.store.description,
        dataset.corpus_digest,
        settings,
        place,
    )
    if not loaded:
        return recall(plan.notes, key, plan.design.top_ks)
    _LOG.info("timing both stages, one query at a time, for about %d s at most", plan.latency.time_limit_s)
    latency = measure(plan, retrieval, plan.reranker, dataset, candidates, place)
    remember(plan.notes, key, latency)
    return latency


def measure(
    plan: Plan,
    retrieval: Retrieval,
    reranker: Reranker,
    dataset: Dataset,
    candidates: Candidates,
    machine: str,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Time stage 1 and, for every top-k, stage 2, query by query in a seeded order.

    One more pass, over the last query in that order and the largest top-k, warms up and is not counted. The top-k take
    turns in random order, so that none profits from its place.

    Args:
        plan: What the probe may spend.
        retrieval: Answers the queries; its stores are open and filled.
        reranker: Scores their pairs.
        dataset: The texts.
        candidates: Of at least one query; one without any is not probed.
        machine: Where this runs.
        clock: Seconds.
    """
    generator = np.random.default_rng([plan.design.seed, 8])
    questions = {query.id: query.text for query in dataset.queries}
    contents = {document.id: document.content for document in dataset.documents}
    query_ids = [query_id for query_id, found in candidates.items() if found]
    order = [query_ids[place] for place in generator.permutation(len(query_ids))]
    depth = max(plan.design.top_ks)
    stage1_s: list[float] = []
    stage2 = {top_k: _Spent() for top_k in sorted(plan.design.top_ks)}

    def pairs_of(query_id: str) -> list[list[Pair]]:
        """Of each candidate the pairs that are scored for it: one, or one per window of a long document."""
        whole = [(questions[query_id], contents[one.doc_id]) for one in candidates[query_id][:depth]]
        return as_read(plan.long, reranker, whole)

    def seconds(work: Callable[..., object], given: object) -> float:
        begin = clock()
        work(given)
        return clock() - begin

    def retrieve(query_id: str) -> None:
        retrieval.ask(questions[query_id], depth)

    retrieve(order[-1])
    reranker.score(list(chain.from_iterable(pairs_of(order[-1]))))
    started = clock()
    for query_id in order[: plan.latency.queries]:
        if len(stage1_s) >= LEAST_QUERIES and clock() - started >= plan.latency.time_limit_s:
            break
        stage1_s.append(seconds(retrieve, query_id))
        pairs = pairs_of(query_id)
        for top_k in generator.permutation(list(stage2)).tolist():
            scored = list(chain.from_iterable(pairs[:top_k]))
            before = _billed(reranker)
            stage2[top_k].seconds.append(seconds(reranker.score, scored))
            stage2[top_k].add(scored, reranker, before)
    p50_ms, p95_ms = _percentiles_ms(stage1_s)
    return Latency(
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        device=reranker.device,
        n_queries=len(stage1_s),
        stage1_p50_ms=p50_ms,
        stage1_p95_ms=p95_ms,
        store=plan.store.description,
        in_process=plan.store.in_process,
        stage2=tuple(spent.on(top_k, reranker) for top_k, spent in stage2.items()),
    )


def remember(notes: Notes | None, key: bytes, latency: Latency) -> None:
    """Keep a measurement, and of older ones under that key the top-k that it lacks.

    A place that cannot be used is named in a warning: it costs no result.

    Args:
        notes: Where; None forgets it.
        key: Stands for models, store, corpus and machine.
        latency: Just measured.
    """
    if notes is None:
        return
    fresh = {one.top_k for one in latency.stage2}
    older = [
        replace(former, stage2=left)
        for former in _known(notes, key)
        if (left := tuple(one for one in former.stage2 if one.top_k not in fresh))
    ]
    try:
        notes.put(key, {"measurements": [asdict(one) for one in (latency, *older)]})
    except StoreError as error:
        _LOG.warning("the latency will not be shown by later runs. %s", error)


def recall(notes: Notes | None, key: bytes, top_ks: Sequence[int]) -> Latency | None:
    """What earlier runs measured of these top-k, as one; None where that is nothing.

    Args:
        notes: Where measurements are remembered, if anywhere.
        key: Stands for models, store, corpus and machine.
        top_ks: Of this run's sweep.
    """
    known = [] if notes is None else _known(notes, key)
    found = {one.top_k: (one, latency) for latency in known for one in latency.stage2 if one.top_k in top_ks}
    if not found:
        return None
    sources = [latency for _, latency in found.values()]
    return replace(
        max(sources, key=lambda latency: latency.measured),
        measured=min(latency.measured for latency in sources),
        n_queries=min(latency.n_queries for latency in sources),
        stage2=tuple(found[top_k][0] for top_k in sorted(found)),
        stored=True,
    )


def _known(notes: Notes, key: bytes) -> list[Latency]:
    """Earlier measurements, the newest first; those that cannot be read are left out with a warning."""
    from pydantic import TypeAdapter, ValidationError

    try:
        note = notes.get(key)
        if note is None:
            return []
        measurements: list[Latency] = TypeAdapter(list[Latency]).validate_python(note.get("measurements"))
    except StoreError as error:
        _LOG.warning("no earlier latency can be shown. %s", error)
    except ValidationError:
        _LOG.warning("no earlier latency can be shown: its note was changed, or is of another version of evalkit")
    else:
        return measurements
    return []


def _percentiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile in milliseconds, interpolated linearly."""
    p50, p95 = 1000 * np.percentile(seconds, [50, 95])
    return float(p50), float(p95)


@dataclass(slots=True)
class _Spent:
    """What one top-k took of each probed query: seconds; and of all, pairs, and tokens and bills where known."""

    seconds: list[float] = field(default_factory=list)
    pairs: int = 0
    tokens: int | None = 0
    billed: float | None = 0.0

    def add(self, scored: Sequence[Pair], reranker: Reranker, before: float | None) -> None:
        """Count pairs that were scored, for money too: ``before`` is what had been billed until then."""
        self.pairs += len(scored)
        read = _tokens_read(scored, reranker)
        self.tokens = None if self.tokens is None or read is None else self.tokens + read
        billed = _billed(reranker)
        if self.billed is None or before is None or billed is None:
            self.billed = None
        else:
            self.billed += billed - before

    def on(self, top_k: int, reranker: Reranker) -> StageTwoLatency:
        p50_ms, p95_ms = _percentiles_ms(self.seconds)
        cost = currency = None
        if isinstance(reranker, AskedByQuery) and self.billed is not None:
            # Money last: sums of it would show their rounding.
            cost, currency = reranker.cost(1000 * self.billed / len(self.seconds)), reranker.currency
        return StageTwoLatency(
            top_k,
            p50_ms,
            p95_ms,
            pairs_per_second=self.pairs / sum(self.seconds),
            tokens_per_pair=None if self.tokens is None else self.tokens / self.pairs,
            cost_per_1000_queries=cost,
            currency=currency,
        )


def _tokens_read(scored: Sequence[Pair], reranker: Reranker) -> int | None:
    if not isinstance(reranker, CountsPairTokens):
        return None
    return int(np.minimum(reranker.count_tokens(scored), reranker.max_length).sum())


def _billed(reranker: Reranker) -> float | None:
    return reranker.billed if isinstance(reranker, AskedByQuery) else None
