"""``result.json``, parquet tables and TREC runs: what every other program reads."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from evalkit.findings import Fate
from evalkit.result import EvalResult
from evalkit.sinks.document import as_document
from evalkit.sinks.trec import format_run


class FilesSink:
    """Writes what every other program reads: JSON, parquet and TREC runs."""

    publishes = False

    def write(self, result: EvalResult, folder: Path) -> None:
        """Add ``result.json``, six parquet files and ``runs/`` to the folder."""
        document = json.dumps(as_document(result), ensure_ascii=False, indent=2, allow_nan=False)
        (folder / "result.json").write_text(document + "\n", encoding="utf-8")
        candidate_table(result).to_parquet(folder / "candidates.parquet", index=False)
        per_query_table(result).to_parquet(folder / "per_query.parquet", index=False)
        fates_table(result).to_parquet(folder / "attribution.parquet", index=False)
        qrels_table(result).to_parquet(folder / "qrels.parquet", index=False)
        query_table(result).to_parquet(folder / "queries.parquet", index=False)
        document_table(result).to_parquet(folder / "documents.parquet", index=False)
        runs = folder / "runs"
        runs.mkdir()
        for run in result.assessment.runs:
            with (runs / f"{run.name}.trec").open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(format_run(run))


def candidate_table(result: EvalResult) -> pd.DataFrame:
    """query_id, doc_id, stage1_rank, stage1_score, rerank_score, tokens: one row per candidate."""
    rows = [
        (query_id, found.doc_id, found.stage1_rank, found.stage1_score, found.rerank_score, found.tokens)
        for query_id, candidates in result.evidence.candidates.items()
        for found in candidates
    ]
    columns = ["query_id", "doc_id", "stage1_rank", "stage1_score", "rerank_score", "tokens"]
    return pd.DataFrame(rows, columns=columns).astype({"tokens": "Int64"})


def per_query_table(result: EvalResult) -> pd.DataFrame:
    """query_id, system, metric, value: one row per number."""
    rows = [
        (query_id, system, str(metric), value)
        for system, metrics in result.assessment.per_query.items()
        for metric, values in metrics.items()
        for query_id, value in values.items()
    ]
    return pd.DataFrame(rows, columns=["query_id", "system", "metric", "value"])


def fates_table(result: EvalResult) -> pd.DataFrame:
    """query_id, top_k and what became of the query's positives, in documents."""
    return pd.DataFrame(map(asdict, result.assessment.fates), columns=[entry.name for entry in fields(Fate)])


def query_table(result: EvalResult) -> pd.DataFrame:
    """query_id, family or null, attributes as JSON: exactly the evaluated queries, in order."""
    evidence = result.evidence
    rows = [
        (
            query_id,
            evidence.families.get(query_id),
            json.dumps(evidence.attributes.get(query_id, {}), ensure_ascii=False),
        )
        for query_id in evidence.qrels
    ]
    return pd.DataFrame(rows, columns=["query_id", "family", "attributes"], dtype="string")


def document_table(result: EvalResult) -> pd.DataFrame:
    """doc_id, attributes as JSON: the documents that are candidates or judged."""
    rows = [
        (doc_id, json.dumps(attributes, ensure_ascii=False))
        for doc_id, attributes in result.evidence.document_attributes.items()
    ]
    return pd.DataFrame(rows, columns=["doc_id", "attributes"], dtype="string")


def qrels_table(result: EvalResult) -> pd.DataFrame:
    """query_id, doc_id, grade: exactly the evaluated queries."""
    rows = [
        (query_id, doc_id, grade)
        for query_id, grades in result.evidence.qrels.items()
        for doc_id, grade in grades.items()
    ]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "grade"])
