"""``evalkit export``: a model that torch runs as a folder that an ONNX back end reads."""

from __future__ import annotations

import json
import re
import shlex
import signal
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.checks import path
from evalkit.commands.words import split
from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.errors import ConfigError
from evalkit.models.batching import MAX_BATCHED_DRIFT
from evalkit.models.export import GRAPH, INT8_GRAPH, OPSET, Check, Exporter
from evalkit.models.onnx import OnnxEmbedder, OnnxReranker
from evalkit.models.torch_runtime import TorchRuntime
from evalkit.models.weights import Weights
from evalkit.new_folder import check_free, written_whole
from evalkit.readiness.settings import held


def run(arguments: Namespace) -> int:
    """Write the graph beside its final place, check it there, then rename the folder.

    Raises:
        ConfigError: The model or the folder cannot be taken.
        ModelError: The model cannot be loaded or exported, or the graph gives other numbers.
        SinkError: The folder cannot be written.
    """
    named, overrides = split(arguments.words)
    if named is not None:
        raise ConfigError(f"found {named}; expected overrides that name a model, and the new folder behind --to")
    if find_spec("onnx") is None:
        raise ConfigError("onnx is not installed; run: pip install 'evalkit-rerank[export]'")
    folder = path("--to", arguments.to).resolve()
    check_free(folder)
    plan = build_plan(compose_config(overrides))
    model = getattr(plan, arguments.role)
    weights = _weights(arguments.role, model)
    with _terminated_as_interrupted(), written_whole(folder) as staging:
        exporter = Exporter(arguments.role, model, weights, plan.config[arguments.role], staging)
        checks = {GRAPH: exporter.write()}
        if arguments.int8:
            checks[INT8_GRAPH] = exporter.write_int8()
        exporter.record(checks)
        # Tensors in a file of their own come out readable to their owner alone.
        for file in staging.iterdir():
            file.chmod(0o644)
    _say(folder, arguments.role, checks, exporter.overrides)
    return 0


def _weights(role: str, model: object) -> Weights:
    """What torch loads the model from."""
    if model is None:
        raise ConfigError(f"there is no {role} to export: stage 1 searches words alone; leave retrieval out")
    weights = held(model, Weights)  # type: ignore[type-abstract] # a protocol is what is looked for
    if len(weights) != 1 or not held(model, TorchRuntime):
        ready = isinstance(model, OnnxEmbedder | OnnxReranker)
        found = "which reads an ONNX graph already" if ready else "which torch does not run"
        raise ConfigError(
            f"{role} is {type(model).__name__}, {found}; expected a model that torch runs, such as {role}=flag_folder "
            f"{role}.weights.path=FOLDER"
        )
    return weights[0]


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the process as Ctrl-C does, so that nothing half written stays behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(folder: Path, role: str, checks: Mapping[str, Check], overrides: Mapping[str, Any]) -> None:
    check = checks[GRAPH]
    print(f"written   {folder / GRAPH}: float32, opset {OPSET}")
    print(
        f"checked   {check.items} items in four languages against torch: largest difference {check.difference:.1e}, "
        f"allowed {check.allowed:.1e}; a result may move by {check.batch_drift:.1e} with its batch"
    )
    if INT8_GRAPH in checks:
        check = checks[INT8_GRAPH]
        alone = ", so each item runs alone" if check.batch_drift > MAX_BATCHED_DRIFT else ""
        print(f"written   {folder / INT8_GRAPH}: int8")
        print(
            f"checked   largest difference from float32 {check.difference:.1e}, of results up to {check.largest:.1e}; "
            f"a result may move by {check.batch_drift:.1e} with its batch{alone}"
        )
    print(f"use       {shlex.join(words_for(role, folder, overrides))}")


def words_for(role: str, folder: Path, overrides: Mapping[str, Any]) -> list[str]:
    """The Hydra overrides under which an ONNX back end reads the folder.

    Args:
        role: ``embedder`` or ``reranker``.
        folder: Where graph and tokenizer lie.
        overrides: Further settings, by name.
    """
    settings = {"weights.path": str(folder), **overrides}
    return [f"{role}=onnx_folder", *(f"{role}.{name}={_hydra(value)}" for name, value in settings.items())]


def _hydra(value: Any) -> str:
    """A value as Hydra reads it back, whatever signs a text holds."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if not isinstance(value, str):
        return json.dumps(value)
    # What would be an interpolation stays text behind a backslash, before which further ones count double.
    literal = re.sub(r"(\\*)\$\{", lambda found: f"{found[1] * 2}\\${{", value)
    return QuotedString(literal, Quote.double).with_quotes()
