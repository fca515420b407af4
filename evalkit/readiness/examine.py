"""All that is looked at before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evalkit.analysis.expectation import check_sweep
from evalkit.checks import path
from evalkit.own_run import check_plan
from evalkit.ports import Sink
from evalkit.provenance import without_credentials
from evalkit.readiness import servers, weights
from evalkit.readiness.cache import cache
from evalkit.readiness.data import Amount, dataset
from evalkit.readiness.machine import folder, gpu, machine
from evalkit.readiness.outcome import Check, attempted, looked
from evalkit.readiness.settings import models, settings_of, used
from evalkit.readiness.software import software
from evalkit.readiness.tracking import tracking
from evalkit.stages import Plan

# Measured with vectors of 1024 numbers in the cache and in the result folders of the bundled sets, rounded up.
_BYTES_PER_DOCUMENT, _BYTES_PER_PAIR = 8_000, 500


def examine(plan: Plan, sinks: Mapping[str, Sink], reports: Path) -> Iterator[Check]:
    """Look at everything that a run of this plan needs, without loading a model, sending a text or changing anything.

    Args:
        plan: Built, not opened.
        sinks: By name.
        reports: Where results would land.
    """
    yield from looked("packages", lambda: software(used(plan)))
    yield attempted("design", lambda: _design(plan))
    parts = models(plan)
    yield from looked("memory", lambda: machine(sum(map(weights.bytes_of, parts.values()))))
    yield from looked("gpu", lambda: gpu([settings_of(part, plan.config) for part in parts.values()]))
    data, amount = dataset(plan)
    yield data
    yield from inputs(plan)
    yield from looked("folders", lambda: _folders(plan, reports, amount))
    yield from looked("vector store", lambda: servers.vector_store(plan.store, plan.config.get("vector_store", {})))
    yield from looked("mlflow", lambda: tracking(sinks))
    yield from looked("secrets", lambda: _secrets(plan.config))


def inputs(plan: Plan) -> Iterator[Check]:
    """The models and the files of other systems."""
    for name, part in models(plan).items():
        yield from looked(f"{name} server", partial(servers.model, name, part, settings_of(part, plan.config)))
        yield from looked(f"{name} weights", partial(weights.model, name, part))


def _design(plan: Plan) -> str:
    check_sweep(plan.design)
    check_plan(plan)
    top_ks = ", ".join(map(str, plan.design.top_ks))
    return f"top-k {top_ks}; {plan.design.expectation.metric} at {plan.design.expectation.top_k} decides"


def _folders(plan: Plan, reports: Path, amount: Amount) -> Iterator[Check]:
    pairs = amount.queries * max(plan.design.top_ks, default=0)
    vectors = amount.documents * _BYTES_PER_DOCUMENT
    yield folder("reports_dir", reports, pairs * _BYTES_PER_PAIR)
    yield folder("cache_dir", path("cache_dir", plan.config["cache_dir"]), pairs * _BYTES_PER_PAIR + vectors)
    yield from looked("cache", lambda: cache(plan))
    if "path" in plan.config.get("vector_store", {}):
        yield folder("vector_store.path", path("vector_store.path", plan.config["vector_store"]["path"]), vectors)


def _secrets(config: Mapping[str, Any]) -> Iterator[Check]:
    """What looks like a secret in the configuration; it is cut out of everything that is written."""
    found = ", ".join(_differing(config, without_credentials(config)))
    if not found:
        yield Check("secrets", "ok", "none in the configuration")
        return
    advice = "put it into the environment: a command line is seen by others on the machine, and kept by the shell"
    yield Check("secrets", "warning", f"what looks like one stands in {found}", advice)


def _differing(given: Any, without: Any, name: str = "") -> Iterator[str]:
    if isinstance(given, Mapping):
        for key, value in given.items():
            yield from _differing(value, without[key], f"{name}.{key}".removeprefix("."))
    elif given != without:
        yield name
