"""``evalkit ui``: the address of the runs table, and a server on this machine only."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from evalkit.cli import main
from tests.conftest import NewStore

Started = list[tuple[str, list[str], dict[str, str]]]


@pytest.fixture
def started(home: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """What the command became: program, arguments, environment."""
    assert home
    calls: Started = []
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    return calls


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


@pytest.fixture
def experiment(home: Path, new_store: NewStore) -> str:
    """Its id; it is the second one of a store in the folder ``kept``."""
    (home / "kept").mkdir()
    client = MlflowClient(new_store(home / "kept"))
    client.create_experiment("another")
    return str(client.create_experiment("evalkit"))


@pytest.fixture
def kept(home: Path, experiment: str) -> str:
    """The override that finds the store; its path is another one in every test, as MLflow keeps stores open."""
    assert experiment
    return f"reports_dir={home}/kept"


def test_the_address_of_the_experiment_is_printed_and_served(
    home: Path, experiment: str, kept: str, port: int, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ui", "--port", str(port), kept]) == 0
    shown = f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    assert capsys.readouterr().out.splitlines()[0] == f"mlflow  {shown}&viewStateShareKey=evalkit"
    ((program, words, variables),) = started
    assert program == words[0] == sys.executable
    assert words[1:4] == ["-m", "mlflow", "server"]
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--port") + 1] == str(port)
    assert variables["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{home}/kept/mlflow.db"
    assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_the_environment_names_the_store(
    home: Path, experiment: str, port: int, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert experiment
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/kept/mlflow.db")
    assert main(["ui", f"--port={port}"]) == 0
    ((_, _, variables),) = started
    assert variables["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{home}/kept/mlflow.db"


def test_no_store_yet_is_said(started: Started, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui"]) == 2
    message = capsys.readouterr().err
    assert "no result was logged to MLflow yet: there is no reports/mlflow.db. evalkit run makes it" in message
    assert not started
    assert not list(home.iterdir())


def test_a_store_without_the_experiment_is_said(
    home: Path, kept: str, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ui", kept, "sinks.mlflow.experiment=mine"]) == 2
    message = capsys.readouterr().err
    assert f"MLflow at sqlite:///{home}/kept/mlflow.db has no experiment 'mine'; evalkit run logs to it" in message
    assert not started


def test_a_file_that_is_no_store_is_said(home: Path, started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "mlflow.db").write_text("no database, " * 100)
    assert main(["ui", f"reports_dir={home}"]) == 2
    assert f"MLflow at sqlite:///{home}/mlflow.db cannot be read: " in capsys.readouterr().err
    assert not started


def test_a_taken_port_is_said(kept: str, taken: int, started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", kept, f"--port={taken}"]) == 2
    captured = capsys.readouterr()
    assert re.search(rf"port {taken} of 127\.0\.0\.1 cannot be used: .*evalkit ui --port \d+", captured.err)
    assert captured.out == ""
    assert not started


@pytest.mark.parametrize("number", ["70000", "-1"])
def test_a_number_that_is_no_port_is_said(
    kept: str, number: str, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ui", kept, f"--port={number}"]) == 2
    assert f"port {number} of 127.0.0.1 cannot be used" in capsys.readouterr().err
    assert not started


def test_a_server_is_not_started_a_second_time(
    started: Started, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*_: object) -> Any:
        return type("Experiment", (), {"experiment_id": "7"})

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", found)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@mlflow.example/")
    assert main(["ui"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("mlflow  http://mlflow.example/#/experiments/7/runs?")
    assert "hunter2" not in captured.out + captured.err
    assert not started


def test_a_server_that_does_not_answer_is_said(
    started: Started, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert main(["ui"]) == 2
    message = capsys.readouterr().err
    assert "MLflow at http://127.0.0.1:9 cannot be read: " in message
    assert "hunter2" not in message
    assert not started


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sinks.mlflow=null", "sinks.mlflow is switched off"),
        ("sinks.mlflow.tracking_uri=null", "sinks.mlflow.tracking_uri is null; expected text"),
        ("reports/made/20260102-030405-abcdef", "expected overrides only"),
    ],
)
def test_what_shows_nothing_is_said(
    word: str, message: str, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ui", word]) == 2
    assert message in capsys.readouterr().err
    assert not started
