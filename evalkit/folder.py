"""A result folder back to values: the inverse of ``sinks.files``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from evalkit.analysis.controls import require_candidates
from evalkit.analysis.derive import derive, systems_of
from evalkit.analysis.examples import examples
from evalkit.analysis.expectation import check_sweep
from evalkit.analysis.metrics import parse_metrics
from evalkit.errors import DataError, EvalkitError
from evalkit.exhibits import Texts
from evalkit.findings import Attribution, Comparison, Control, Expectation, Fate, Knee, Verdict, WhatIf
from evalkit.parts import Languages, LengthGain, SliceGain
from evalkit.record import Latency, Provenance, Scoring, Sequential, StageOne
from evalkit.result import Assessment, Design, EvalResult, Evidence, Subject
from evalkit.sinks.document import SCHEMA_VERSION
from evalkit.sinks.html import TEXTS
from evalkit.types import Candidate, Metric

RESULT = "result.json"
TABLES = (
    "candidates.parquet",
    "qrels.parquet",
    "queries.parquet",
    "documents.parquet",
    "per_query.parquet",
    "attribution.parquet",
)

_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "candidates.parquet": {
        "query_id": "string",
        "doc_id": "string",
        "stage1_rank": "int64",
        "stage1_score": "float64",
        "rerank_score": "float64",
        "tokens": "int64",
    },
    "qrels.parquet": {"query_id": "string", "doc_id": "string", "grade": "int64"},
    "queries.parquet": {"query_id": "string", "family": "string", "attributes": "string"},
    "documents.parquet": {"doc_id": "string", "attributes": "string"},
    "per_query.parquet": {"query_id": "string", "system": "string", "metric": "string", "value": "float64"},
    "attribution.parquet": {entry.name: "string" if entry.name == "query_id" else "int64" for entry in fields(Fate)},
}
_MAY_BE_NULL = ("rerank_score", "tokens", "family")


@dataclass(frozen=True, slots=True)
class _Timings:
    """That block of ``result.json``."""

    seconds: dict[str, float]
    computed: dict[str, int]


def read_document(folder: Path) -> dict[str, Any]:
    """``result.json`` as plain values; in one of before stage 1 had a name, that was dense.

    Raises:
        DataError: It is missing, damaged, or of another schema version.
    """
    path = folder / RESULT
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise DataError("cannot be read; expected a result folder, such as reports/<dataset>/<run id>", path) from error
    except ValueError as error:
        raise DataError(f"not JSON ({error}); the file is damaged", path) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(f"has schema version {version}; this evalkit reads version {SCHEMA_VERSION}", path)
    return {"stage_one": asdict(StageOne()), **document}


def read_result(folder: Path) -> EvalResult:
    """Read a result folder; the rankings are derived from the candidates again.

    Raises:
        DataError: A file is missing, damaged, or of another schema version.
        ControlError: The candidates cannot be ranked: one is missing, has no score, or is there twice.
    """
    read = _Reader(folder)
    verdict = read.verdict()
    design = read.design(verdict.expectation)
    subject: Subject = read.block("dataset", Subject)
    evidence = _evidence(folder, subject.unanswered)
    require_candidates(evidence, max(design.top_ks), subject.unanswered)
    systems = systems_of(design.top_ks)
    runs = {system.name: derive(evidence.candidates, system) for system in systems}
    per_query = _per_query(folder)
    timings: _Timings = read.block("timings", _Timings)
    judged: dict[str, dict[str, float]] = read.block("judged", dict[str, dict[str, float]])
    return EvalResult(
        run_id=read.block("run_id", str),
        dataset=subject,
        evidence=evidence,
        design=design,
        assessment=Assessment(
            systems=systems,
            runs=tuple(runs.values()),
            per_query=per_query,
            metrics=read.block("metrics", dict[str, dict[Metric, float]]),
            judged={name: share for name, shares in judged.items() for share in shares.values()},
            comparisons=read.block("comparisons", tuple[Comparison, ...]),
            verdict=verdict,
            fates=tuple(Fate(*row) for row in _rows(folder, "attribution.parquet")),
            attribution=read.block("attribution", tuple[Attribution, ...]),
            knee=read.block("knee", Knee),
            slices=read.block("slices", tuple[SliceGain, ...]),
            languages=read.block("languages", Languages | None),
            lengths=read.block("lengths", tuple[LengthGain, ...]),
            controls=read.block("controls", tuple[Control, ...]),
            what_ifs=read.block("what_ifs", tuple[WhatIf, ...]),
            examples=examples(evidence, verdict.expectation, runs, per_query),
        ),
        scoring=read.block("scoring", Scoring),
        timings=timings.seconds,
        computed=timings.computed,
        provenance=read.block("provenance", Provenance),
        stage_one=read.block("stage_one", StageOne),
        latency=read.block("latency", Latency | None),
        sequential=read.block("sequential", Sequential | None),
        texts=_texts(folder),
    )


def _texts(folder: Path) -> Texts | None:
    """What the examples say, where the run kept it."""
    from pydantic import TypeAdapter, ValidationError

    path = folder / TEXTS
    if not path.exists():
        return None
    try:
        return TypeAdapter(Texts).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError("cannot be read; expected the texts of a report, or no such file", path) from error


class _Reader:
    """The blocks of ``result.json``, each checked against the type that it came from."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESULT
        self._document = read_document(folder)

    def block(self, name: str, kind: Any) -> Any:
        """A block as a value of that type."""
        if name not in self._document:
            raise self._changed(f"has no {name!r}")
        return self._value(name, kind, self._document[name])

    def verdict(self) -> Verdict:
        """The verdict, with its expectation taken out from beside it."""
        flat = self.block("expectation", dict[str, Any])
        expected = {entry.name: flat[entry.name] for entry in fields(Expectation) if entry.name in flat}
        verdict: Verdict = self._value("expectation", Verdict, {**flat, "expectation": expected})
        return verdict

    def design(self, expectation: Expectation) -> Design:
        """The design, with the expectation that stands in a block of its own."""
        asked = self.block("design", dict[str, Any])
        others = {entry.name: asked[entry.name] for entry in fields(Design) if entry.name in asked}
        plain = {entry.name: getattr(expectation, entry.name) for entry in fields(Expectation)}
        plain["metric"] = str(expectation.metric)
        design: Design = self._value("design", Design, {**others, "expectation": plain})
        try:
            check_sweep(design)
            parse_metrics(list(map(str, design.metrics)))
        except EvalkitError as error:
            raise self._changed(f"design: {error}") from error
        return design

    def _changed(self, reason: str) -> DataError:
        return DataError(f"{reason}; the file was changed, or is of another version of evalkit", self._path)

    def _value(self, name: str, kind: Any, value: Any) -> Any:
        from pydantic import TypeAdapter, ValidationError

        try:
            # As JSON, in which an array is strictly a tuple, but a text is no number.
            return TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, (name, *first["loc"])))
            reason = f"{place}: {first['msg'].lower()}, found {_found(value, first['loc'])!r:.60}"
        except EvalkitError as error:
            reason = f"{name}: {error}"
        raise self._changed(reason)


def _found(value: Any, place: tuple[int | str, ...]) -> Any:
    """What stands at a place of a plain structure, as far as that exists."""
    for key in place:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return value
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def _evidence(folder: Path, unanswered: Sequence[str]) -> Evidence:
    qrels: dict[str, dict[str, int]] = {}
    count = 0
    for query_id, doc_id, grade in _rows(folder, "qrels.parquet"):
        qrels.setdefault(query_id, {})[doc_id] = grade
        count += 1
    if count > sum(map(len, qrels.values())):
        raise DataError("judges a document twice for one query; the file was changed", folder / "qrels.parquet")
    if not all(any(grade >= 1 for grade in grades.values()) for grades in qrels.values()):
        raise DataError("judges nothing relevant for some query; the file was changed", folder / "qrels.parquet")
    candidates: dict[str, list[Candidate]] = {}
    try:
        for query_id, *values in _rows(folder, "candidates.parquet"):
            candidates.setdefault(query_id, []).append(Candidate(*values))
    except EvalkitError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(str(error), folder / "candidates.parquet") from error
    queries = list(_rows(folder, "queries.parquet"))
    if [row[0] for row in queries] != list(qrels):
        raise DataError("holds other queries than qrels.parquet, or in another order", folder / "queries.parquet")
    documents = list(_rows(folder, "documents.parquet"))
    if len(dict(documents)) < len(documents):
        raise DataError("describes a document twice; the file was changed", folder / "documents.parquet")
    met = {one.doc_id for found in candidates.values() for one in found}.union(*qrels.values())
    unmet = sum(doc_id not in met for doc_id, _ in documents)
    if unmet:
        raise DataError(
            f"describes {unmet} documents that are neither candidates nor judged; the file was changed",
            folder / "documents.parquet",
        )
    if candidates.keys() - qrels.keys():
        raise DataError("holds queries that qrels.parquet does not judge", folder / "candidates.parquet")
    for query_id in unanswered:
        candidates.setdefault(query_id, [])
    return Evidence(
        candidates={query_id: tuple(candidates[query_id]) for query_id in qrels if query_id in candidates},
        qrels=qrels,
        families={query_id: family for query_id, family, _ in queries if family is not None},
        attributes={query_id: _attributes(text, folder / "queries.parquet") for query_id, _, text in queries},
        document_attributes={doc_id: _attributes(text, folder / "documents.parquet") for doc_id, text in documents},
    )


def _attributes(text: str, path: Path) -> dict[str, tuple[str, ...]]:
    try:
        return {name: tuple(map(str, values)) for name, values in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError("attributes are not JSON lists by name; the file was changed", path) from error


def _per_query(folder: Path) -> dict[str, dict[Metric, dict[str, float]]]:
    found: dict[str, dict[Metric, dict[str, float]]] = {}
    metrics: dict[str, Metric] = {}
    path = folder / "per_query.parquet"
    for query_id, system, text, value in _rows(folder, path.name):
        try:
            metric = metrics[text] if text in metrics else metrics.setdefault(text, Metric.parse(text))
        except EvalkitError as error:
            raise DataError(str(error), path) from error
        values = found.setdefault(system, {}).setdefault(metric, {})
        if query_id in values:
            raise DataError(f"holds {metric} of {system} twice for one query; the file was changed", path)
        values[query_id] = value
    return found


def _rows(folder: Path, name: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, with the columns and types that a run writes."""
    import pyarrow
    from pyarrow import parquet

    path, columns = folder / name, _COLUMNS[name]
    try:
        table = parquet.read_table(path)
        if table.column_names != list(columns):
            raise DataError(
                f"has the columns {', '.join(table.column_names)}; expected {', '.join(columns)}: the file was changed",
                path,
            )
        cells = [table.column(column).cast(kind) for column, kind in columns.items()]
    except FileNotFoundError as error:
        raise DataError("no such file; the result folder is incomplete", path) from error
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"cannot be read as parquet ({str(error).splitlines()[0]}); it is damaged", path) from error
    for column, cell in zip(columns, cells, strict=True):
        if cell.null_count and column not in _MAY_BE_NULL:
            raise DataError(f"has no {column} in {cell.null_count} rows; the file was changed", path)
    return zip(*(cell.to_pylist() for cell in cells), strict=True)
