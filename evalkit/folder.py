"""A result folder back to values: the inverse of ``sinks.files``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.analysis.derive import derive, systems_of
from evalkit.errors import DataError
from evalkit.findings import (
    Attribution,
    Comparison,
    Control,
    Expectation,
    Fate,
    Knee,
    SliceGain,
    Verdict,
    WhatIf,
)
from evalkit.record import Latency, Provenance, Scoring, Sequential
from evalkit.result import Assessment, Design, EvalResult, Evidence, Subject
from evalkit.sinks.document import SCHEMA_VERSION
from evalkit.types import Candidate, Metric


def locate(named: str | None, reports: Path) -> Path:
    """The result folder that a command speaks of: the named one, or the newest under ``reports``.

    Raises:
        DataError: There is none.
    """
    if named is not None:
        path = Path(named).expanduser()
        folder = path.parent if path.name == "result.json" else path
        if not (folder / "result.json").is_file():
            raise DataError(
                "holds no result.json; expected a result folder, such as reports/<dataset>/<run id>", folder
            )
        return folder
    found = [path.parent for path in reports.glob("*/*/result.json") if not path.parent.name.startswith(".")]
    if not found:
        raise DataError("holds no result; start one with evalkit run, or name a result folder", reports)
    return max(found, key=lambda folder: folder.name)


def read_result(folder: Path) -> EvalResult:
    """Read a result folder.

    Raises:
        DataError: A file is missing, damaged, or of another schema version.
    """
    document = _document(folder / "result.json")
    evidence = _evidence(folder)
    expectation = document["expectation"]
    verdict = _value(
        Verdict,
        {**expectation, "expectation": {name: expectation.get(name) for name in Expectation.__slots__}},
        folder,
    )
    asked = document["design"]
    design = Design(
        top_ks=tuple(asked["top_ks"]),
        metrics=tuple(map(Metric.parse, asked["metrics"])),
        expectation=verdict.expectation,
        slices=tuple(asked["slices"]),
        resamples=asked["resamples"],
        seed=asked["seed"],
    )
    systems = systems_of(design.top_ks)
    timings = document["timings"]
    return EvalResult(
        run_id=document["run_id"],
        dataset=_value(Subject, document["dataset"], folder),
        evidence=evidence,
        design=design,
        assessment=Assessment(
            systems=systems,
            runs=tuple(derive(evidence.candidates, system) for system in systems),
            per_query=_per_query(folder),
            metrics={
                name: {Metric.parse(metric): value for metric, value in values.items()}
                for name, values in document["metrics"].items()
            },
            judged={name: values["judged@5"] for name, values in document["judged"].items()},
            comparisons=_value(tuple[Comparison, ...], document["comparisons"], folder),
            verdict=verdict,
            fates=_value(tuple[Fate, ...], _rows(folder / "attribution.parquet"), folder),
            attribution=_value(tuple[Attribution, ...], document["attribution"], folder),
            knee=_value(Knee, document["knee"], folder),
            slices=_value(tuple[SliceGain, ...], document["slices"], folder),
            controls=_value(tuple[Control, ...], document["controls"], folder),
            what_ifs=_value(tuple[WhatIf, ...], document["what_ifs"], folder),
        ),
        scoring=_value(Scoring, document["scoring"], folder),
        timings=timings["seconds"],
        computed=timings["computed"],
        provenance=_value(Provenance, document["provenance"], folder),
        latency=_value(Latency | None, document["latency"], folder),
        sequential=_value(Sequential | None, document["sequential"], folder),
    )


class _Document(dict[str, Any]):
    """``result.json``; a name that is missing is the file's fault."""

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise DataError(f"has no {key!r}; it was written by another version of evalkit, or changed since", self._path)


def _document(path: Path) -> _Document:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError("no such file; expected a result folder, such as reports/<dataset>/<run id>", path) from error
    except ValueError as error:
        raise DataError(f"not JSON ({error}); the file is damaged", path) from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(f"has schema version {version}; this evalkit reads version {SCHEMA_VERSION}", path)
    return _Document(values, path)


def _evidence(folder: Path) -> Evidence:
    candidates: dict[str, list[Candidate]] = {}
    for row in _rows(folder / "candidates.parquet"):
        candidates.setdefault(row["query_id"], []).append(
            Candidate(row["doc_id"], row["stage1_rank"], row["stage1_score"], row["rerank_score"])
        )
    grades: dict[str, dict[str, int]] = {}
    for row in _rows(folder / "qrels.parquet"):
        grades.setdefault(row["query_id"], {})[row["doc_id"]] = row["grade"]
    queries = _rows(folder / "queries.parquet")
    return Evidence(
        candidates={query_id: tuple(found) for query_id, found in candidates.items()},
        qrels=grades,
        families={row["query_id"]: row["family"] for row in queries if row["family"] is not None},
        attributes={
            row["query_id"]: {name: tuple(values) for name, values in json.loads(row["attributes"]).items()}
            for row in queries
        },
    )


def _per_query(folder: Path) -> dict[str, dict[Metric, dict[str, float]]]:
    found: dict[str, dict[Metric, dict[str, float]]] = {}
    for row in _rows(folder / "per_query.parquet"):
        by_metric = found.setdefault(row["system"], {})
        by_metric.setdefault(Metric.parse(row["metric"]), {})[row["query_id"]] = row["value"]
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        return list(parquet.read_table(path).to_pylist())
    except FileNotFoundError as error:
        raise DataError("no such file; the result folder is incomplete", path) from error
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"cannot be read as parquet ({str(error).splitlines()[0]})", path) from error


def _value(kind: Any, value: Any, folder: Path) -> Any:
    """A value of that type from its plain form."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{place}: {first['msg']}; the file was changed, or is of another version", folder / "result.json"
        ) from error
