"""How a result came about: its scoring, its latency, its stop, its software and machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.checks import unfit, whole_number
from evalkit.types import Fingerprint


@dataclass(frozen=True, slots=True)
class Scoring:
    """How stage 2 came about.

    Attributes:
        pairs: Unique (query, document) pairs that were needed.
        truncated: Pairs longer than the reranker's max_length; None where it does not count tokens.
        max_length: That limit, in tokens, special tokens included; None there, and where scores came from a file.
        ties: Candidates whose score equals that of another candidate of the same query.
        windows: Windows in which the pairs beyond that limit were read; 0 where these were cut.
    """

    pairs: int
    truncated: int | None
    max_length: int | None
    ties: int
    windows: int = 0


@dataclass(frozen=True, slots=True)
class LongDocuments:
    """What becomes of documents that are longer than a model reads.

    Attributes:
        stage1: ``cut`` embeds their beginning; ``windows`` embeds them in windows, and the best one counts.
        stage2: The same of the reranker.
        overlap: Tokens that a window shares with the one before.
    """

    stage1: Literal["cut", "windows"] = "cut"
    stage2: Literal["cut", "windows"] = "windows"
    overlap: int = 64

    def __post_init__(self) -> None:
        for name in ("stage1", "stage2"):
            if getattr(self, name) not in ("cut", "windows"):
                raise unfit(f"long_documents.{name}", getattr(self, name), "cut or windows")
        whole_number("long_documents.overlap", self.overlap, 0)


@dataclass(frozen=True, slots=True)
class Fusion:
    """Reciprocal rank fusion of two searches.

    Attributes:
        k: Added to every rank, so that the first ones do not decide alone.
        depth: Documents that each search contributes.
    """

    k: int = 60
    depth: int = 100

    def __post_init__(self) -> None:
        whole_number("retrieval.fusion.k", self.k, 1)
        whole_number("retrieval.fusion.depth", self.depth, 1)


@dataclass(frozen=True, slots=True)
class StageOne:
    """How the candidates were retrieved, in words for readers; programs know it as the system ``dense``.

    Attributes:
        label: What tables and plots call it: ``dense``, the label of a sparse encoder, ``hybrid``, or ``own run``.
        method: The same in full, such as ``hybrid of dense and bm25 (RRF, k=60)``.
    """

    label: str = "dense"
    method: str = "dense"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers come from.

    Attributes:
        created: Start of the run, ISO 8601, UTC.
        versions: Package -> version.
        machine: Processor, cores, platform.
        fingerprints: ``embedder``, ``sparse`` and ``reranker``, those that took part -> fingerprint.
        config: The resolved configuration, without secrets.
        command: The words behind ``evalkit`` that started the run, without secrets; empty where it was no command.
        derived_from: The run whose evidence was measured again; None for a run of its own.
    """

    created: str
    versions: Mapping[str, str]
    machine: Mapping[str, str | int]
    fingerprints: Mapping[str, Fingerprint]
    config: Mapping[str, Any]
    command: tuple[str, ...] = ()
    derived_from: str | None = None

    @property
    def settings(self) -> dict[str, Fingerprint]:
        """What beside the models changes candidates or scores: ``retrieval`` and ``long_documents``.

        A run made elsewhere has the embedder's fingerprint, wherever its file lies, a sparse encoder one of its own,
        and an overlap changes nothing where there are no windows.
        """
        retrieval, long = (self.config.get(name) or {} for name in ("retrieval", "long_documents"))
        idle = () if "windows" in long.values() else ("overlap",)
        fusion = {f"fusion_{name}": value for name, value in (retrieval.get("fusion") or {}).items()}
        return {
            "retrieval": {
                **{name: value for name, value in retrieval.items() if name not in ("run", "sparse", "fusion")},
                **fusion,
            },
            "long_documents": {name: value for name, value in long.items() if name not in idle},
        }


@dataclass(frozen=True, slots=True)
class LatencyBudget:
    """What the latency probe may spend.

    Attributes:
        queries: Queries that are probed, at most; 0 switches the probe off.
        time_limit_s: Seconds after which no further query is begun, once three were probed; warming up is not counted.
    """

    queries: int = 0
    time_limit_s: int = 60

    def __post_init__(self) -> None:
        whole_number("latency.queries", self.queries, 0)
        whole_number("latency.time_limit_s", self.time_limit_s, 1)


@dataclass(frozen=True, slots=True)
class StageTwoLatency:
    """Latency of reranking one query's candidates, warm.

    Attributes:
        top_k: Candidates per query, at most.
        p50_ms, p95_ms: Percentiles over the probed queries, in milliseconds, interpolated linearly.
        pairs_per_second: Pairs / seconds, over all of them; each window of a long document is a pair.
        tokens_per_pair: Mean tokens of a pair, as far as the model reads it; None where it does not count them.
        cost_per_1000_queries: What the service billed for them, by its price; None where that is not known.
        currency: Of that cost.
    """

    top_k: int
    p50_ms: float
    p95_ms: float
    pairs_per_second: float
    tokens_per_pair: float | None
    cost_per_1000_queries: float | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """A warm probe, one query at a time, never on remembered scores.

    Where earlier runs measured one part of the sweep each, ``measured`` is the oldest date and ``n_queries`` the
    smallest number among them.

    Attributes:
        measured: When, ISO 8601, UTC.
        machine: Where: processor, cores, platform.
        device: What the reranker ran on.
        n_queries: Queries that were probed.
        stage1_p50_ms, stage1_p95_ms: Stage 1 of one query, from its text on, searched exactly, at the largest top-k.
        store: The vector store that was searched.
        in_process: That store lives in this process and is not your server.
        stage2: One entry per top-k.
        stored: Measured by an earlier run; this one loaded no model.
    """

    measured: str
    machine: str
    device: str
    n_queries: int
    stage1_p50_ms: float
    stage1_p95_ms: float
    store: str
    in_process: bool
    stage2: tuple[StageTwoLatency, ...]
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Sequential:
    """A run that stops as soon as its anytime-valid interval excludes the band's lower edge.

    Attributes:
        side: On which side of that edge the gain lies; None where the queries ran out first.
        ci_low, ci_high: The confidence sequence's interval when it stopped, in points.
        spent_queries, spent_pairs: What was scored, or had been; the windows of long pairs are not counted.
        total_queries, total_pairs: What a full pass at the decision top-k takes.
        seed: Of the order of the queries.
    """

    side: Literal["above", "below"] | None
    ci_low: float
    ci_high: float
    spent_queries: int
    spent_pairs: int
    total_queries: int
    total_pairs: int
    seed: int
