"""What MLflow keeps beside the numbers: the result folder without texts, and a table of every query."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from evalkit import manifest
from evalkit.result import EvalResult
from evalkit.sinks.html import REPORT, TEXTS, page
from evalkit.sinks.table import shown
from evalkit.types import System

QUERIES = "per_query.json"

TABLES = {"mlflow.loggedArtifacts": json.dumps([{"path": QUERIES, "type": "table"}])}
"""The tag by which MLflow's UI knows that the file is an evaluation table."""


def without_texts(result: EvalResult, folder: Path, copy: Path) -> Path:
    """The files that the run wrote, without the texts of queries and documents, under a manifest of their own.

    What a user added to the folder stays there.
    """
    copy.mkdir()
    for name in manifest.listed(folder):
        if name not in (TEXTS, REPORT) and (folder / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, copy / name)
    if (folder / REPORT).exists():
        (copy / REPORT).write_text(page(result, include_texts=False), encoding="utf-8")
    manifest.seal(copy)
    return copy


def write_queries(result: EvalResult, systems: Sequence[System], folder: Path) -> Path:
    """Write the evaluation table into a folder: one row per query and system, ids and metrics only.

    Side by side, the UI compares the second column of several runs, so a table of one system has its metrics first.
    """
    found, judged = result.assessment, result.assessment.verdict.expectation.metric
    metrics = [judged, *(metric for metric in found.metrics["dense"] if metric != judged)]
    place = 1 if len(systems) > 1 else len(metrics) + 1
    columns = ["query_id", *map(str, metrics)]
    columns.insert(place, "system")
    rows = []
    for query_id in result.evidence.qrels:
        for system in systems:
            values = found.per_query[system.name]
            row: list[str | float] = [query_id, *(round(values[metric][query_id], 4) for metric in metrics)]
            row.insert(place, shown(result, system))
            rows.append(row)
    path = folder / QUERIES
    document = {"columns": columns, "data": rows}
    path.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return path
