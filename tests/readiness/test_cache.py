"""What was computed before: looked at, and left as it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.readiness.cache import cache
from evalkit.readiness.outcome import Check, looked
from evalkit.stores.cache import SqliteCache
from tests.readiness.conftest import PATIENCE_S


def look(file: Path) -> list[Check]:
    """What is found; whatever is found, the file stays as it is and nothing lies beside it."""
    before = file.read_bytes()
    found = list(looked("cache", lambda: cache(build_plan(compose_config([f"cache.path={file}"])))))
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def filled(file: Path) -> Path:
    remembered = SqliteCache(file)
    remembered.put([(b"key", np.ones(3))])
    remembered.close()
    return file


def test_what_was_computed_before_is_read(filled: Path) -> None:
    assert look(filled) == [Check("cache", "ok", "what was computed before can be read")]


def test_an_empty_file_stays_empty(file: Path) -> None:
    file.touch()
    assert look(file) == [Check("cache", "ok", f"{file} is empty, and will be filled")]


@pytest.mark.parametrize("version", [0, 7])
def test_another_programs_database_is_a_fault(file: Path, version: int) -> None:
    """Opening it as a cache would turn it into one with a write-ahead log."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE other (x)")
        connection.execute(f"PRAGMA user_version = {version}")
    (check,) = look(file)
    assert (check.status, check.found) == ("fault", f"{file} is another program's database")


def test_what_is_no_database_is_a_fault(file: Path) -> None:
    file.write_bytes(b"something else" * 100)
    (check,) = look(file)
    assert check.status == "fault"
    assert "another program's file" in check.found


def test_without_a_file_there_is_nothing_to_look_at(file: Path) -> None:
    assert list(cache(build_plan(compose_config([f"cache.path={file}"])))) == []


@pytest.mark.usefixtures("hurry")
def test_a_cache_that_another_process_keeps_locked_is_a_fault_in_time(filled: Path) -> None:
    plan = build_plan(compose_config([f"cache.path={filled}"]))
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = monotonic()
        (check,) = cache(plan)
        assert monotonic() - began < 10 * PATIENCE_S
        other.execute("ROLLBACK")
    assert (check.status, check.found) == ("fault", f"{filled} gave no answer within {PATIENCE_S} s")
