"""Finished results, made without a model, and their folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit import manifest
from evalkit.analysis.assess import assess
from evalkit.analysis.derive import count_ties
from evalkit.delivery import deliver
from evalkit.findings import Control
from evalkit.ports import Sink
from evalkit.provenance import capture
from evalkit.record import Latency, Provenance, Scoring, StageTwoLatency
from evalkit.result import Design, EvalResult, Evidence, Subject
from evalkit.sinks.files import FilesSink
from evalkit.sinks.markdown import MarkdownSink
from evalkit.stages import key_of
from evalkit.types import Metric
from tests.analysis.evidence import RECALL, design_of, made

SINKS: Mapping[str, Sink] = {"files": FilesSink(), "markdown": MarkdownSink()}
METRICS = (RECALL, Metric("ndcg", 10))
OBSERVED = (Control("store_complete", "passed", "expected 900 documents; found 0 missing"),)
LATENCY = Latency(
    "2026-01-02T03:04:05+00:00", "a processor, 2 cores, a platform", "cpu", 20, 10.0, 12.5, "a store", True,
    (StageTwoLatency(6, 20.0, 25.0, 300.0, 90.5), StageTwoLatency(10, 40.0, 50.0, 250.0, 90.5)),
)  # fmt: skip


def control_of(result: EvalResult, name: str) -> Control:
    """The one control of that name."""
    (found,) = [control for control in result.assessment.controls if control.name == name]
    return found


def evidence_of(n_queries: int = 30, seed: int = 0, skill: float = 2.0) -> Evidence:
    """Ten candidates per query, of 100 tokens; of three queries two translate one question; two languages."""
    found = made(n_queries, seed=seed, depth=10, n_documents=900, skill=skill)
    query_ids = list(found.qrels)
    families = {query_id: f"f{place // 3}" for place, query_id in enumerate(query_ids) if place % 3}
    attributes = {query_id: {"lang": ("de" if place % 2 else "fr",)} for place, query_id in enumerate(query_ids)}
    candidates = {
        query_id: tuple(replace(one, tokens=100) for one in listed) for query_id, listed in found.candidates.items()
    }
    return replace(found, candidates=candidates, families=families, attributes=attributes)


def bilingual(evidence: Evidence) -> Evidence:
    """The same with documents in two languages by their number; every seventh names none."""
    met = {one.doc_id for found in evidence.candidates.values() for one in found}
    met.update(doc_id for grades in evidence.qrels.values() for doc_id in grades)
    told = {
        doc_id: {"lang": ("de" if int(doc_id[1:]) % 2 else "fr",)} if int(doc_id[1:]) % 7 else {}
        for doc_id in sorted(met)
    }
    return replace(evidence, document_attributes=told)


def result_of(
    evidence: Evidence | None = None, design: Design | None = None, run_id: str = "20260102-030405-abcdef", **parts: Any
) -> EvalResult:
    """What an evaluation makes of this evidence and design."""
    evidence = evidence or evidence_of()
    design = design or design_of(top_k=10, top_ks=(6, 10), metrics=METRICS, slices=("lang",), resamples=200)
    subject = Subject(
        name="made",
        digest="1" * 64,
        corpus_digest="2" * 64,
        qrels_digest=key_of(evidence.qrels).hex(),
        n_documents=900,
        n_queries=len(evidence.qrels),
        languages=("de", "fr"),
    )
    scored = sum(one.rerank_score is not None for found in evidence.candidates.values() for one in found)
    truncated = sum((one.tokens or 0) > 512 for found in evidence.candidates.values() for one in found)
    scoring = Scoring(scored, truncated, 512, count_ties(evidence.candidates))
    observed = parts.pop("observed", OBSERVED)
    return EvalResult(
        run_id=run_id,
        dataset=subject,
        evidence=evidence,
        design=design,
        assessment=assess(evidence, design, subject, scoring, observed),
        scoring=scoring,
        timings={"load": 0.5, "rerank": 12.25},
        computed={"documents": 900, "queries": 30, "pairs": 300},
        provenance=parts.pop("provenance", provenance_of()),
        **{"latency": LATENCY, **parts},
    )


def provenance_of(**fingerprints: Any) -> Provenance:
    known = {"embedder": {"backend": "testing", "dimension": 8}, "reranker": {"backend": "testing", "quantised": False}}
    config = {
        "statistics": {"family": "family", "family_pattern": None},
        "sweep": {"sequential": False},
        "retrieval": {"exclude_self": False},
    }
    return capture({role: {**values, **fingerprints.get(role, {})} for role, values in known.items()}, config)


def stored(result: EvalResult, reports: Path) -> Path:
    """The folder of a result, complete and sealed."""
    return deliver(result, SINKS, reports)


def edit(folder: Path, change: Callable[[Any], None], *, seal: bool = True) -> None:
    """Change result.json in place, and seal the folder as if a run had written it so."""
    path = folder / "result.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    if seal:
        manifest.seal(folder)


def edit_table(folder: Path, name: str, change: Callable[[Any], Any], *, seal: bool = True) -> None:
    """Change a table in place: ``change`` takes a data frame and returns the new one."""
    import pandas as pd

    change(pd.read_parquet(folder / name)).to_parquet(folder / name, index=False)
    if seal:
        manifest.seal(folder)
