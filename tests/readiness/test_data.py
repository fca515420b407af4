"""The data set, as far as it is looked at before a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.readiness import data
from evalkit.readiness.data import Amount, dataset
from evalkit.readiness.outcome import Check
from evalkit.types import Document, Query
from tests.conftest import BeirWriter, plan_of, write_folder


def looked(*overrides: str) -> tuple[Check, Amount]:
    return dataset(build_plan(compose_config(list(overrides))))


def test_the_shipped_set_is_counted() -> None:
    check, amount = looked()
    assert (check.status, check.found) == ("ok", "swiss_fiduciary: 468 documents, 303 queries")
    assert amount == Amount(468, 303)


def test_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    check, amount = looked("dataset=beir", f"dataset.path={tmp_path / 'none'}")
    assert check.status == "fault"
    assert str(tmp_path / "none") in check.found
    assert amount == Amount()


def test_what_a_run_would_refuse_is_a_fault(write_beir: BeirWriter) -> None:
    folder = write_beir({"d1": "one"}, {"q1": "first?"}, [("q1", "d2", 1)])
    check, _ = looked("dataset=beir", f"dataset.path={folder}")
    assert check.status == "fault"
    assert "d2" in check.found


def test_of_a_large_set_the_beginning_is_read(write_beir: BeirWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_PATIENCE_S", -1.0)
    folder = write_beir({"d1": "one", "d2": "two"}, {"q1": "first?"}, [("q1", "d1", 1)])
    check, amount = looked("dataset=beir", f"dataset.path={folder}")
    assert (check.status, check.found) == ("ok", "beir: the first 1 documents can be read")
    assert amount == Amount(1, 0)


def test_a_name_that_ir_datasets_does_not_know_is_a_fault() -> None:
    pytest.importorskip("ir_datasets")
    check, _ = looked("dataset=ir_datasets", "dataset.id=beir/scifct/test")
    assert check.status == "fault"
    assert "beir/scifact/test" in check.found


def test_what_ir_datasets_would_fetch_is_a_warning() -> None:
    pytest.importorskip("ir_datasets")
    check, _ = looked("dataset=ir_datasets", "dataset.id=beir/scifact/test")
    assert check.status == "warning"


def test_a_set_of_the_hub_is_looked_for_and_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    check, _ = looked("dataset=hub", "dataset.repo=nobody/nothing", f"dataset.revision={'c' * 40}")
    assert check.status == "fault"
    assert "hf download nobody/nothing --repo-type dataset" in check.advice


def test_a_set_of_the_hub_that_is_in_the_cache_is_read_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    snapshot = tmp_path / "datasets--some--set" / "snapshots" / ("c" * 40)
    write_folder(snapshot, {"d1": "one", "d2": "two"}, {"q1": "first?"}, [("q1", "d1", 1)])
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    check, amount = looked("dataset=hub", "dataset.repo=some/set", f"dataset.revision={'c' * 40}")
    assert (check.status, check.found) == ("ok", "set: 2 documents, 1 queries")
    assert amount == Amount(2, 1)


def test_a_source_that_can_only_be_loaded_is_not_loaded() -> None:
    class Closed:
        def load(self) -> tuple[list[Document], list[Query]]:
            raise AssertionError("loaded")

    check, _ = dataset(plan_of(Closed()))  # type: ignore[arg-type]
    assert (check.status, check.found) == ("warning", "Closed can only be loaded, which was not tried")
