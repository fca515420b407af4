"""``evalkit export``: a model that torch runs as a folder that an ONNX back end reads."""

from __future__ import annotations

import shutil
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.commands.words import split
from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.data.export import check_free
from evalkit.errors import ConfigError, SinkError
from evalkit.models.batching import MAX_BATCHED_DRIFT
from evalkit.models.export import GRAPH, INT8_GRAPH, OPSET, Check, Exporter
from evalkit.models.weights import Weights
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
    folder = Path(arguments.to).expanduser().resolve()
    check_free(folder)
    plan = build_plan(compose_config(overrides))
    model = getattr(plan, arguments.role)
    weights = held(model, Weights)  # type: ignore[type-abstract] # a protocol is what is looked for
    if len(weights) != 1:
        raise ConfigError(
            f"{arguments.role} is {type(model).__name__}, which holds no weights; expected one that torch runs, such "
            f"as {arguments.role}=flag_folder"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            exporter = Exporter(arguments.role, model, weights[0], plan.config[arguments.role], staging)
            checks = {GRAPH: exporter.write()}
            if arguments.int8:
                checks[INT8_GRAPH] = exporter.write_int8()
            exporter.record(checks)
            staging.chmod(0o755)
            # Tensors in a file of their own come out readable to their owner alone.
            for path in staging.iterdir():
                path.chmod(0o644)
            staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise SinkError(
            f"cannot write {folder}: {error.strerror or error}; name a folder that you can write"
        ) from error
    _say(folder, arguments.role, checks, exporter.overrides)
    return 0


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
    named = [f"{role}.{name}={_word(value)}" for name, value in overrides.items()]
    print(f"use       {role}=onnx_folder {role}.weights.path={folder} {' '.join(named)}")


def _word(value: Any) -> str:
    """A value as the command line takes it."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if text.isalnum() else f"'\"{text}\"'"
