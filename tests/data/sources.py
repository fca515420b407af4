"""Sources with the defaults of their YAML, some of them changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from evalkit.data.hub import HubDataset
from evalkit.data.ir_datasets import IrDatasets
from evalkit.data.source import Source
from evalkit.data.table import Table
from evalkit.data.trec_files import TrecFiles
from evalkit.errors import EvalkitError
from evalkit.types import Dataset

CONF = Path(__file__).parents[2] / "conf" / "dataset"


def defaults(option: str, **changes: Any) -> dict[str, Any]:
    """What the YAML says, but for ``_target_`` and what is changed; a mapping is changed key by key."""
    node: Any = OmegaConf.merge(OmegaConf.load(CONF / f"{option}.yaml"), {})
    values: dict[str, Any] = {
        str(key): None if OmegaConf.is_missing(node, key) else OmegaConf.to_container(node)[key]  # type: ignore[call-overload]
        for key in node
        if key != "_target_"
    }
    for key, value in changes.items():
        merged = isinstance(value, dict) and isinstance(values[key], dict)
        values[key] = {**values[key], **value} if merged else value
    return values


def trec(folder: Path, **changes: Any) -> TrecFiles:
    """Of ``topics``, ``collection`` and ``qrels`` in a folder, unless changed."""
    paths = {name: str(folder / name) for name in ("topics", "collection", "qrels")}
    return TrecFiles(**defaults("trec", **{**paths, **changes}))


def table(path: Path, **changes: Any) -> Table:
    return Table(**defaults("table", path=str(path), **changes))


def hub(path: Path | None, **changes: Any) -> HubDataset:
    """Of a folder; with None of ``owner/name`` at a commit."""
    place = {"path": str(path)} if path else {"repo": "owner/name", "revision": "c" * 40}
    return HubDataset(**defaults("hub", **{**place, **changes}))


def ir(name: str, **changes: Any) -> IrDatasets:
    return IrDatasets(**defaults("ir_datasets", id=name, **changes))


def error_of(source: Source) -> str:
    """The message of the one error that loading ends with; it has one line."""
    with pytest.raises(EvalkitError) as caught:
        source.load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def documents_of(dataset: Dataset) -> dict[str, str]:
    """Id -> what models read."""
    return {document.id: document.content for document in dataset.documents}


def queries_of(dataset: Dataset) -> dict[str, str]:
    return {query.id: query.text for query in dataset.queries}


def qrels_of(dataset: Dataset) -> dict[str, dict[str, int]]:
    return {query_id: dict(grades) for query_id, grades in dataset.qrels.items()}
