"""Imports run one way, and nothing heavy loads before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "evalkit"
PLUG_INS = {"data", "models", "stores", "executors", "sinks"}
LAYERS = [
    {"errors"},
    {"types", "checks", "new_folder"},
    {"exhibits", "findings", "parts", "record", "manifest", "contrast", "sparse"},
    {"result", "rules"},
    {"ports", "provenance", "published"},
    {"testing", "analysis", *PLUG_INS},
    {"delivery", "inspection", "serving", "stages", "folder"},
    {"stage_one", "stage_two", "own_run"},
    {"latency", "probes", "sequential", "baseline", "remeasure", "locating", "readiness", "training"},
    {"pipeline", "verify"},
    {"composition"},
    {"config"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
HEAVY = {
    "FlagEmbedding", "datasets", "fastapi", "hydra", "ir_datasets", "matplotlib", "mlflow", "numba", "onnx",
    "onnxruntime", "openpyxl", "openvino", "prometheus_client", "qdrant_client", "qdrant_edge", "ranx",
    "sentence_transformers", "starlette", "tokenizers", "torch", "transformers", "uvicorn",
}  # fmt: skip
HYDRA_MAY_LOAD_IN = {"composition", "config"}

FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(tree: ast.Module, *, top_level_only: bool) -> set[str]:
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def parts_imported(tree: ast.Module) -> set[str]:
    return {name.split(".")[1] for name in imports(tree, top_level_only=False) if name.startswith("evalkit.")}


def layer_of(part: str) -> int:
    return next(level for level, parts in enumerate(LAYERS) if part in parts)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_only_go_down(file: Path) -> None:
    part = part_of(file)
    if part == "__init__":
        assert parts_imported(ast.parse(file.read_text())) == set()
        return
    for other in parts_imported(ast.parse(file.read_text())) - {part}:
        assert layer_of(other) < layer_of(part), f"{file} imports evalkit.{other}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_heavy_libraries_are_imported_inside_functions(file: Path) -> None:
    roots = {name.split(".")[0] for name in imports(ast.parse(file.read_text()), top_level_only=True)}
    allowed = {"hydra"} if part_of(file) in HYDRA_MAY_LOAD_IN else set()
    assert roots & HEAVY <= allowed


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_is_longer_than_300_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 300
    assert file.name != "utils.py"


def test_only_config_calls_instantiate() -> None:
    callers = {
        part_of(file)
        for file in FILES
        if "hydra.utils.instantiate" in imports(ast.parse(file.read_text()), top_level_only=False)
    }
    assert callers == {"config"}


def test_the_command_line_opens_without_heavy_libraries() -> None:
    code = "import sys, evalkit.cli; evalkit.cli.main([]); print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    loaded = {name.split(".")[0] for name in output.splitlines()[-1].split()}
    assert loaded & (HEAVY | {"numpy", "pandas"}) == set()


def test_the_folder_of_data_sets_never_becomes_a_package() -> None:
    """It would shadow Hugging Face's ``datasets``, which FlagEmbedding imports."""
    assert not list((ROOT / "datasets").rglob("__init__.py"))
