"""Evidence that several tests of the analysis make: seeded candidates, labels and pseudo scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evalkit.analysis.comparison import Values
from evalkit.analysis.derive import derive, rank_perfectly, systems_of
from evalkit.analysis.metrics import measure
from evalkit.findings import Expectation
from evalkit.record import Scoring
from evalkit.result import Design, Evidence, Subject
from evalkit.types import Candidate, Candidates, Metric, Qrels, Run
from tests.runs import read_run

RECALL = Metric("recall", 5)
DATA_SETS = (
    "debfaq-de", "debfaq-de2en", "debfaq-en", "debfaq-en2de", "debfaq-fr", "debfaq-fr2de", "debfaq-it", "debfaq-it2de",
    "debfaq-pool4", "scifact-en", "xquad-de2en", "xquad-en2de",
)  # fmt: skip


def listed(documents: Sequence[str], scores: Sequence[float | None]) -> tuple[Candidate, ...]:
    """Candidates in this order, stage-1 scores falling from 1 by a hundredth."""
    return tuple(
        Candidate(doc_id, rank, 1 - rank / 100, score)
        for rank, (doc_id, score) in enumerate(zip(documents, scores, strict=True), start=1)
    )


def design_of(top_k: int = 50, top_ks: Sequence[int] = (10, 50), metric: Metric = RECALL, **changes: object) -> Design:
    """A design around one expectation, with few resamples."""
    parts: dict[str, object] = {"metrics": tuple({RECALL, Metric("ndcg", 10), metric}), "resamples": 400, **changes}
    return Design(top_ks=tuple(top_ks), expectation=Expectation(metric, top_k, 12, 18), **parts)  # type: ignore[arg-type]


def subject_of(n_documents: int, n_queries: int, dangling: tuple[tuple[str, str], ...] = ()) -> Subject:
    return Subject("made", "d", "c", "q", n_documents, n_queries, dangling=dangling)


def scoring_of(pairs: int = 100, truncated: int = 0) -> Scoring:
    return Scoring(pairs=pairs, truncated=truncated, max_length=512, ties=0)


def measured(evidence: Evidence, design: Design) -> tuple[dict[str, Run], Values, Values]:
    """Runs, values and oracles as the evaluation makes them."""
    systems = systems_of(design.top_ks)
    runs = {system.name: derive(evidence.candidates, system) for system in systems}
    perfect = {
        system.name: Run(
            system.name,
            {
                key: rank_perfectly(found, system.top_k, evidence.qrels[key])
                for key, found in evidence.candidates.items()
            },
        )
        for system in systems
        if system.top_k is not None
    }
    return (
        runs,
        {name: measure(run, evidence.qrels, design.metrics) for name, run in runs.items()},
        {name: measure(run, evidence.qrels, design.metrics) for name, run in perfect.items()},
    )


def made(
    n_queries: int, seed: int = 0, depth: int = 50, n_documents: int = 1000, skill: float = 2.0, found: float = 0.8
) -> Evidence:
    """Queries with one to three positives, which stage 1 finds with probability ``found``, near the top more often.

    Positives score higher by ``skill`` standard deviations; 0 is a useless reranker.
    """
    rng = np.random.default_rng(seed)
    candidates, qrels = {}, {}
    for query in range(n_queries):
        documents = [f"d{number}" for number in rng.choice(n_documents, depth + 3, replace=False)]
        positives, ranking = documents[: int(rng.integers(1, 4))], documents[3:]
        for positive in positives:
            if rng.random() < found:
                ranking.insert(int(depth * rng.random() ** 3), positive)
        ranking = ranking[:depth]
        noise = rng.normal(size=depth)
        scores = [float(noise[place] + skill * (doc_id in positives)) for place, doc_id in enumerate(ranking)]
        candidates[f"q{query}"] = listed(ranking, scores)
        qrels[f"q{query}"] = dict.fromkeys(positives, 1)
    return Evidence(candidates, qrels)


def real(folder: Path, seed: int = 0, skill: float = 2.0, depth: int = 50) -> Evidence:
    """A BM25 run as stage 1, with seeded pseudo scores that know the labels and lean on the stage-1 rank."""
    run = read_run(folder / "runs" / "bm25.trec")
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query_id, doc_id, grade = line.split("\t")
        qrels.setdefault(query_id, {})[doc_id] = int(grade)
    qrels = {query_id: grades for query_id, grades in qrels.items() if max(grades.values()) >= 1}
    rng = np.random.default_rng(seed)
    candidates = {}
    for query_id, grades in qrels.items():
        ranking = run.rankings.get(query_id, ())[:depth]
        noise = rng.normal(size=len(ranking))
        scores = [
            float(noise[place] + skill * (grades.get(doc_id, 0) >= 1) - place / 25)
            for place, doc_id in enumerate(ranking)
        ]
        candidates[query_id] = listed(ranking, scores)
    return Evidence(candidates, qrels)


def n_documents(folder: Path) -> int:
    return len((folder / "corpus.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n"))


def re_scored(candidates: Candidates, scores: Mapping[str, Sequence[float]]) -> Candidates:
    """The same candidates with other rerank scores."""
    return {
        key: tuple(
            Candidate(one.doc_id, one.stage1_rank, one.stage1_score, score)
            for one, score in zip(found, scores[key], strict=True)
        )
        for key, found in candidates.items()
    }


def positives_of(qrels: Qrels, query_id: str) -> set[str]:
    return {doc_id for doc_id, grade in qrels[query_id].items() if grade >= 1}
