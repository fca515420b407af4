"""MLflow's store: there, not there, of something else, and left as it is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from evalkit.composition import compose_config
from evalkit.config import build_sinks
from evalkit.readiness import tracking
from evalkit.readiness.outcome import Check
from tests.conftest import NewStore
from tests.readiness.conftest import PATIENCE_S


def looked(uri: str) -> list[Check]:
    return list(tracking.tracking(build_sinks(compose_config([f"sinks.mlflow.tracking_uri={uri}"]))))


def test_a_tracking_store_that_is_not_there_will_be_made(tmp_path: Path) -> None:
    (check,) = looked(f"sqlite:///{tmp_path}/mlflow.db")
    assert (check.status, check.found) == ("ok", f"sqlite:///{tmp_path}/mlflow.db will be made")
    assert list(tmp_path.iterdir()) == []


def test_a_tracking_store_that_is_there_is_read(tmp_path: Path, new_store: NewStore) -> None:
    uri = new_store(tmp_path)
    assert looked(uri) == [Check("mlflow", "ok", f"{uri} can be read")]


def test_a_tracking_store_of_something_else_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"no database" * 100)
    (check,) = looked(f"sqlite:///{file}")
    assert check.status == "fault"
    assert "sinks.mlflow=null" in check.advice


def test_a_tracking_server_that_is_not_there_is_a_fault(closed: int) -> None:
    (check,) = looked(f"http://user:sesame@127.0.0.1:{closed}")
    assert check.status == "fault"
    assert check.found.startswith(f"http://127.0.0.1:{closed} cannot be used")
    assert "sesame" not in str(check)


def test_without_mlflow_no_store_is_looked_at() -> None:
    sinks: dict[str, Any] = build_sinks(compose_config(["sinks.mlflow=null"]))
    assert list(tracking.tracking(sinks)) == []


def test_an_empty_store_is_left_empty(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.touch()
    assert looked(f"sqlite:///{file}") == [Check("mlflow", "ok", f"sqlite:///{file} will be filled")]
    assert file.stat().st_size == 0


def test_a_store_of_another_version_is_left_as_it_is(
    tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that MLflow 1.29 made it, and lacks a table of a later one: the client would bring it up to date."""
    monkeypatch.chdir(tmp_path)
    uri = new_store(tmp_path)
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DROP TABLE jobs")
        connection.execute("UPDATE alembic_version SET version_num = '97727af70f4d'")
    before = file.read_bytes()
    (check,) = looked(uri)
    assert check.status == "warning"
    assert check.found == f"{uri} is not of this version of MLflow, and a run would bring it up to date"
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_database_behind_another_driver_is_connected_to_and_not_filled(tmp_path: Path) -> None:
    """Another driver of SQLite stands for the databases that there is no way to open for reading only."""
    file = tmp_path / "other.db"
    file.touch()
    (check,) = looked(f"sqlite+pysqlite:///{file}")
    assert check.status == "ok"
    assert file.stat().st_size == 0


def test_a_database_whose_driver_is_not_installed_is_a_fault() -> None:
    (check,) = looked("mssql+driverofnobody://user:sesame@127.0.0.1/x")
    assert check.status == "fault"
    assert "driverofnobody" in check.found
    assert "sesame" not in str(check)


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("kind", ["silent", "dripping"])
def test_a_tracking_server_that_gives_no_answer_is_a_fault_in_time(kind: str, request: pytest.FixtureRequest) -> None:
    uri = f"http://127.0.0.1:{request.getfixturevalue(kind)}"
    began = monotonic()
    (check,) = looked(uri)
    assert monotonic() - began < 10 * PATIENCE_S
    assert (check.status, check.found) == ("fault", f"{uri} cannot be used: gave no answer within {PATIENCE_S} s")


def test_a_tracking_server_is_tried_once(closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own pauses between tries add up to more than anybody waits; afterwards the user's setting counts."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    (check,) = looked(f"http://127.0.0.1:{closed}")
    assert "gave no answer" not in check.found
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"
