"""Baselines on disk: one JSON file each, committed beside the code that it guards."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.analysis.metrics import EPSILON, mean
from evalkit.analysis.regression import Baseline
from evalkit.errors import ConfigError, DataError, EvalkitError, SinkError
from evalkit.rules import AUTO
from evalkit.types import Fingerprint, Metric

SCHEMA_VERSION = 1

FOLDER = "baselines"
"""Below the reports, and the only part of them that is committed."""

_OTHERWISE = f"write it again with evalkit baseline, or take back the committed file; version {SCHEMA_VERSION} is read"


@dataclass(frozen=True, slots=True)
class _Data:
    """That block of the file."""

    name: str
    digest: str
    qrels_digest: str


@dataclass(frozen=True, slots=True)
class _Document:
    """The file; rows of ``queries`` are query id, family or null, dense value, reranked value."""

    run_id: str
    created: str
    dataset: _Data
    metric: Metric
    top_k: int
    fingerprints: Mapping[str, Fingerprint]
    means: Mapping[str, float]
    queries: tuple[tuple[str, str | None, float, float], ...]
    stage_one: str | None = None


def path_of(reports: Path, name: str) -> Path:
    """The file of a baseline.

    Raises:
        ConfigError: The name is no plain word, or means something else in ``gate.baseline``.
    """
    if not name or name.startswith(".") or set(name) & set("/\\\0") or name in (AUTO, "null"):
        raise ConfigError(
            f"a baseline cannot be named {name!r}; expected the name of a file in {reports / FOLDER}, without folder "
            "and ending"
        )
    return reports / FOLDER / f"{name}.json"


def find(reports: Path, asked: str | None, dataset: str) -> Baseline | None:
    """The baseline that a gate asks for.

    Args:
        reports: Where results and baselines lie.
        asked: A name; ``auto`` for the one named like the data set, if there is one; None for none.
        dataset: Name of the data set.

    Raises:
        ConfigError: There is no baseline of that name.
        DataError: The file is damaged or of another version.
    """
    if asked is None:
        return None
    path = reports / FOLDER / f"{dataset}.json" if asked == AUTO else path_of(reports, asked)
    if path.is_file():
        return read(path)
    if asked == AUTO:
        return None
    known = sorted(file.stem for file in path.parent.glob("*.json"))
    raise ConfigError(
        f"there is no baseline {asked!r} in {path.parent}; it holds {', '.join(known) or 'none'}. Make one with "
        f"evalkit baseline --name {asked}"
    )


def write(baseline: Baseline, path: Path) -> None:
    """Write the file, or replace it, in one step.

    Raises:
        SinkError: It cannot be written; what was there stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as scratch:
            draft = Path(scratch, path.name)
            draft.write_text(_text(baseline), encoding="utf-8")
            draft.replace(path)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}; make its folder writable") from error


def read(path: Path) -> Baseline:
    """Read a file that ``write`` wrote.

    Raises:
        DataError: It is missing, damaged, contradicts itself, or is of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); expected a baseline", path) from error
    except ValueError as error:
        raise DataError(f"not JSON ({error}); {_OTHERWISE}", path) from error
    version = content.pop("schema_version", None) if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(f"has schema version {version}; {_OTHERWISE}", path)
    document = _validated(content, path)
    rows = document.queries
    baseline = Baseline(
        run_id=document.run_id,
        created=document.created,
        dataset=document.dataset.name,
        digest=document.dataset.digest,
        qrels_digest=document.dataset.qrels_digest,
        metric=document.metric,
        top_k=document.top_k,
        fingerprints=document.fingerprints,
        families={query_id: family for query_id, family, _, _ in rows if family is not None},
        dense={query_id: value for query_id, _, value, _ in rows},
        reranked={query_id: value for query_id, _, _, value in rows},
        stage_one=document.stage_one,
    )
    if not rows or len(baseline.dense) < len(rows):
        raise DataError(f"holds {'a query twice' if rows else 'no query'}; {_OTHERWISE}", path)
    if not all(0 <= value <= 1 + EPSILON for row in rows for value in row[2:]):
        raise DataError(f"holds a value that is no fraction from 0 to 1; {_OTHERWISE}", path)
    for name, value in _means(baseline).items():
        if not math.isclose(document.means.get(name, math.nan), value, abs_tol=EPSILON):
            raise DataError(f"means.{name} is not the mean of its queries: one of them was changed; {_OTHERWISE}", path)
    return baseline


def _text(baseline: Baseline) -> str:
    """JSON with one line per query, so that a diff shows which changed; full precision."""
    head = {
        "schema_version": SCHEMA_VERSION,
        "run_id": baseline.run_id,
        "created": baseline.created,
        "dataset": {"name": baseline.dataset, "digest": baseline.digest, "qrels_digest": baseline.qrels_digest},
        "metric": str(baseline.metric),
        "top_k": baseline.top_k,
        "stage_one": baseline.stage_one,
        "fingerprints": {model: dict(values) for model, values in baseline.fingerprints.items()},
        "means": _means(baseline),
    }
    rows = [
        [query_id, baseline.families.get(query_id), value, baseline.reranked[query_id]]
        for query_id, value in baseline.dense.items()
    ]
    lines = ",\n".join(f"    {json.dumps(row, ensure_ascii=False, allow_nan=False)}" for row in rows)
    opening = json.dumps(head, ensure_ascii=False, allow_nan=False, indent=2).removesuffix("\n}")
    return f'{opening},\n  "queries": [\n{lines}\n  ]\n}}\n'


def _means(baseline: Baseline) -> dict[str, float]:
    return {"dense": mean(baseline.dense), "reranked": mean(baseline.reranked)}


def _validated(content: dict[str, Any], path: Path) -> _Document:
    from pydantic import TypeAdapter, ValidationError

    try:
        # As JSON, in which an array is strictly a tuple, but a text is no number.
        return TypeAdapter(_Document).validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
    except EvalkitError as error:
        reason = str(error)
    raise DataError(f"{reason}; {_OTHERWISE}", path)
