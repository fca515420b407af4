"""Whether the data set can be read, and how much of it there is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from evalkit.data.hub import HubDataset
from evalkit.data.ir_datasets import IrDatasets
from evalkit.data.source import Source
from evalkit.errors import DataError
from evalkit.readiness.hub import fetchable, offline
from evalkit.readiness.outcome import Check, broken_off
from evalkit.stages import Plan

_PATIENCE_S = 2.0


class Amount(NamedTuple):
    """How many documents and queries there are, as far as they were counted."""

    documents: int = 0
    queries: int = 0


def dataset(plan: Plan) -> tuple[Check, Amount]:
    """The data set as a run would read it; of a large one the beginning, and of the hub's nothing that is not here."""
    try:
        return _here(plan)
    except Exception as error:
        return broken_off("dataset", error), Amount()


def _here(plan: Plan) -> tuple[Check, Amount]:
    try:
        with offline():
            return _read(plan.source)
    except DataError as error:
        settings = plan.config.get("dataset", {})
        # Such an error blames no file, as there is none.
        if isinstance(plan.source, HubDataset) and error.path is None:
            return fetchable("dataset", settings["repo"], settings["revision"], "dataset"), Amount()
        raise


def _read(source: Any) -> tuple[Check, Amount]:
    if isinstance(source, IrDatasets):
        source.queries()
        found = f"{source.name} is in the catalogue of ir_datasets"
        advice = "what IR_DATASETS_HOME lacks will be fetched when the run starts"
        return Check("dataset", "warning", found, advice), Amount()
    if not isinstance(source, Source):
        found = f"{type(source).__name__} can only be loaded, which was not tried"
        return Check("dataset", "warning", found, "the run will tell"), Amount()
    documents, whole = _counted(source.documents())
    if not whole:
        found = f"{source.name}: the first {documents} documents can be read"
        return Check("dataset", "ok", found, "evalkit data check reads all of it"), Amount(documents)
    read = source.load()
    amount = Amount(documents, len(read.queries))
    return Check("dataset", "ok", f"{read.name}: {documents} documents, {amount.queries} queries"), amount


def _counted(documents: Iterable[object]) -> tuple[int, bool]:
    """How many there are, and whether that is all: somebody is waiting."""
    ends, count = time.monotonic() + _PATIENCE_S, 0
    for count, _ in enumerate(documents, start=1):
        if time.monotonic() > ends:
            return count, False
    return count, True
