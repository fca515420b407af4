"""``evalkit doctor``: what it prints, and when it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.cli import main

pytestmark = pytest.mark.usefixtures("home")

Lines = pytest.CaptureFixture[str]


def looked(capsys: Lines, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and the checks by name."""
    code = main(["doctor", "--json", *words])
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert document["status"] == ("fault" if code else "ready")
    return code, {check["name"]: check for check in document["checks"]}


def test_the_default_run_can_start_and_nothing_is_left_behind(home: Path, capsys: Lines) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "a run can start"
    assert {line.split()[0] for line in lines[:-1]} == {"ok"}
    assert "ok       dataset           swiss_fiduciary: 468 documents, 303 queries" in lines
    assert list(home.iterdir()) == []


def test_everything_that_is_looked_at_has_a_name_that_stays(capsys: Lines) -> None:
    code, checks = looked(capsys)
    assert code == 0
    assert list(checks) == [
        *("python", "packages", "extra embedded", "design", "cores", "memory", "dataset"),
        *("embedder weights", "embedder", "reranker weights", "reranker"),
        *("reports_dir", "cache_dir", "vector store", "mlflow", "secrets"),
    ]


@pytest.mark.parametrize(
    ("overrides", "name", "what"),
    [
        (["sweep.top_k=[10]"], "design", "expectation.top_k"),
        (["dataset=beir", "dataset.path=none"], "dataset", "none"),
        (["reranker=onnx_folder", "reranker.weights.path=none"], "reranker weights", "there is no folder none"),
        (["retrieval=run_file", "retrieval.run.path=none"], "embedder", "retrieval.run.path"),
        (["reports_dir=taken/x"], "reports_dir", "Not a directory"),
        (["cache_dir=taken"], "cache_dir", "Not a directory"),
        (["vector_store=edge", "vector_store.path=taken"], "vector_store.path", "Not a directory"),
        (["cache.path=taken"], "cache", "another program's file"),
        (["vector_store=server", "vector_store.url=http://127.0.0.1:9"], "vector store", "127.0.0.1:9"),
        (["embedder.threads=0"], "configuration", "embedder.threads is 0"),
        (["embeder=x"], "configuration", "embeder"),
    ],
)
def test_what_is_amiss_is_a_fault_beside_all_that_is_not(
    home: Path, capsys: Lines, overrides: list[str], name: str, what: str
) -> None:
    (home / "taken").write_bytes(b"something else" * 100)
    code, checks = looked(capsys, *overrides)
    assert code == 2
    assert {key for key, check in checks.items() if check["status"] == "fault"} == {name}
    assert what in checks[name]["found"]
    assert checks["packages"]["status"] == "ok"


def test_a_secret_is_a_warning_and_is_not_said(capsys: Lines) -> None:
    code, checks = looked(capsys, "+vendor_api_key=sesame")
    assert code == 0
    assert checks["secrets"]["status"] == "warning"
    assert checks["secrets"]["found"] == "what looks like one stands in vendor_api_key"
    assert "sesame" not in str(checks)


def test_a_cache_that_is_there_is_opened(home: Path, capsys: Lines) -> None:
    (home / "taken").touch()
    code, checks = looked(capsys, "cache.path=taken")
    assert code == 0
    assert checks["cache"]["status"] == "ok"


def test_a_fault_is_told_with_what_to_do(home: Path, capsys: Lines) -> None:
    (home / "taken").touch()
    assert main(["doctor", "reports_dir=taken/x"]) == 2
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("fault")]
    assert line.split(maxsplit=2)[2] == "taken/x cannot be written (Not a directory); set reports_dir to another folder"
    assert lines[-1] == "a run cannot start: mend what is marked as fault"


def test_only_overrides_are_taken(capsys: Lines) -> None:
    assert main(["doctor", "bge_m3"]) == 2
    assert "found bge_m3; expected overrides such as experiment=bge_m3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "names"),
    [("reports_dir", {"reports_dir", "mlflow"}), ("cache_dir", {"cache_dir", "cache"}), ("cache.path", {"cache"})],
)
def test_a_name_that_is_longer_than_any_can_be_is_a_fault(capsys: Lines, setting: str, names: set[str]) -> None:
    """Of every file that would lie there."""
    code, checks = looked(capsys, f"{setting}={'x' * 300}")
    assert code == 2
    faults = {name: check["found"] for name, check in checks.items() if check["status"] == "fault"}
    assert set(faults) == names
    assert all("File name too long" in found for found in faults.values())


@pytest.mark.parametrize("setting", ["reports_dir", "cache_dir"])
def test_a_home_folder_that_nobody_has_is_a_fault(capsys: Lines, setting: str) -> None:
    code, checks = looked(capsys, f'{setting}="~nosuchuser/x"')
    assert code == 2
    assert "this machine knows no such home folder" in checks["configuration"]["found"]


@pytest.mark.parametrize(
    ("library", "overrides", "names"),
    [
        ("torch", ["reranker=flag_folder", "reranker.weights.path=model"], {"gpu", "reranker"}),
        ("mlflow", ["sinks.mlflow.tracking_uri=http://127.0.0.1:9"], {"mlflow"}),
        ("huggingface_hub", ["reranker=bge_reranker_v2_m3"], {"reranker weights"}),
        ("huggingface_hub", [], set()),
    ],
)
def test_a_library_that_is_installed_and_broken_is_a_fault_where_it_is_needed(
    home: Path, library: str, overrides: list[str], names: set[str]
) -> None:
    """In a process of its own, since this one has imported the library; what is looked at otherwise is not lost."""
    package = home / "broken" / library
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise OSError('libx.so: undefined symbol')")
    (home / "model").mkdir()
    (home / "model" / "model.safetensors").touch()
    code = "import sys; from evalkit.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json", *overrides],
        env={**os.environ, "PYTHONPATH": str(home / "broken")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    faults = {name: check["found"] for name, check in checks.items() if check["status"] == "fault"}
    assert set(faults) == names
    assert all("could not be looked at (OSError: libx.so: undefined symbol)" in faults[name] for name in names)
    assert done.returncode == (2 if faults else 0)
    assert checks["secrets"]["status"] == "ok"
