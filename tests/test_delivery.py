"""One result to every sink: whole or not at all, and never lost."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from evalkit.delivery import deliver
from evalkit.errors import SinkError
from evalkit.pipeline import evaluate
from evalkit.result import EvalResult
from tests.conftest import BeirWriter, beir, plan_of


@pytest.fixture
def result(write_beir: BeirWriter) -> EvalResult:
    documents = {f"d{number}": f"word{number} text" for number in range(12)}
    return evaluate(plan_of(beir(write_beir(documents, {"q": "word3"}, [("q", "d3", 1)]))))


class Recording:
    """Writes a file, or fails, and remembers what it was given."""

    def __init__(self, publishes: bool, failure: Exception | None = None) -> None:
        self.publishes = publishes
        self.failure = failure
        self.folder: Path | None = None
        self.run_id = ""

    def write(self, result: EvalResult, folder: Path) -> None:
        self.folder, self.run_id = folder, result.run_id
        (folder / f"{id(self)}").write_text("done")
        if self.failure is not None:
            raise self.failure


def test_the_folder_is_named_by_data_set_and_run(result: EvalResult, tmp_path: Path) -> None:
    folder = deliver(result, {"a": Recording(publishes=False)}, tmp_path / "reports")
    assert folder == tmp_path / "reports" / "beir" / result.run_id
    assert [path.name for path in folder.parent.iterdir()] == [result.run_id]


def test_the_manifest_names_every_file_that_was_there_when_the_folder_was_complete(
    result: EvalResult, tmp_path: Path
) -> None:
    """Publishers come later: what they put beside the result is not part of it."""
    writers = {name: Recording(publishes=False) for name in ("one", "two")}
    folder = deliver(result, {**writers, "late": Recording(publishes=True)}, tmp_path / "reports")
    listed = json.loads((folder / "manifest.json").read_text())
    digest = sha256(b"done").hexdigest()
    assert listed == {"algorithm": "sha256", "files": {f"{id(writer)}": digest for writer in writers.values()}}
    assert len(list(folder.iterdir())) == 4


def test_a_sink_that_fails_leaves_no_half_folder(result: EvalResult, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        deliver(result, {"a": Recording(publishes=False, failure=ZeroDivisionError())}, tmp_path / "reports")
    assert list((tmp_path / "reports" / "beir").iterdir()) == []


def test_publishers_see_the_complete_folder_even_when_one_of_them_fails(result: EvalResult, tmp_path: Path) -> None:
    writer, broken, healthy = Recording(False), Recording(True, SinkError("out of reach")), Recording(True)
    with pytest.raises(SinkError, match="out of reach"):
        deliver(result, {"broken": broken, "writer": writer, "healthy": healthy}, tmp_path / "reports")
    assert healthy.folder is not None
    assert healthy.folder == broken.folder
    assert healthy.folder.name == result.run_id
    assert (healthy.folder / f"{id(writer)}").is_file()


def test_even_a_bug_in_one_publisher_does_not_silence_the_others(result: EvalResult, tmp_path: Path) -> None:
    healthy = Recording(True)
    with pytest.raises(ZeroDivisionError):
        deliver(result, {"a": Recording(True, ZeroDivisionError()), "b": healthy}, tmp_path / "reports")
    assert healthy.run_id == result.run_id


def test_two_results_of_one_second_both_survive(result: EvalResult, tmp_path: Path) -> None:
    sink = Recording(publishes=False)
    first = deliver(result, {"a": sink}, tmp_path / "reports")
    second = deliver(result, {"a": sink}, tmp_path / "reports")
    assert second.name == f"{first.name}-2" == sink.run_id


def test_a_place_that_cannot_be_written_is_named(result: EvalResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="set reports_dir to a folder that you can write"):
        deliver(result, {}, tmp_path / "file")
