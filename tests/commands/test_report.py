"""``evalkit report``: drawn again, or measured again without a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as LoggedRun

from evalkit import manifest
from evalkit.cli import main
from evalkit.folder import read_result
from evalkit.record import Sequential
from evalkit.types import Metric
from evalkit.verify import verify
from tests.conftest import NewStore
from tests.results import edit, edit_table, result_of, stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stored(result_of(), tmp_path / "reports")


def siblings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.parent.iterdir() if path != folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_complete_folder_stays_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(folder)
    assert main(["report", str(folder)]) == 0
    assert contents(folder).items() >= before.items()
    assert manifest.problems(folder) == {}
    shown = capsys.readouterr().out
    assert read_result(folder).assessment.verdict.reason in shown
    assert f"result  {folder}" in shown


def test_what_is_missing_is_drawn_again_byte_for_byte(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(folder)
    for name in ("report.md", "runs/rerank@6.trec"):
        (folder / name).unlink()
    assert main(["report", str(folder)]) == 0
    assert contents(folder).items() >= before.items()
    drawn = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("drawn   "))
    assert "report.md" in drawn
    assert "runs/rerank@6.trec" in drawn
    assert verify(folder).files == len(before) - 1


def test_once_everything_is_drawn_nothing_is_left_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder)]) == 0
    before = contents(folder)
    capsys.readouterr()
    assert main(["report", str(folder)]) == 0
    assert contents(folder) == before
    assert "drawn   nothing, as no file is missing" in capsys.readouterr().out


def test_an_edited_drawing_is_kept_and_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "report.md").write_text("with my remarks")
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.md").read_text() == "with my remarks"
    assert "note: report.md was changed after the run and stays as it is; delete it" in capsys.readouterr().out


def test_a_drawing_that_comes_out_otherwise_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "report.md").write_text("as an older version drew it")
    manifest.seal(folder)
    (folder / "report.md").unlink()
    assert main(["report", str(folder)]) == 0
    assert "note: report.md is not byte for byte what the run drew" in capsys.readouterr().out


def test_the_design_that_it_has_is_no_new_measurement(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder), "expectation.top_k=10", "statistics.resamples=200"]) == 0
    assert siblings(folder) == []
    assert "drawn   " in capsys.readouterr().out


def test_an_override_changes_one_thing_and_leaves_the_stored_rest(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stored sweep, metrics, slices and resamples are none of the configuration's defaults."""
    before, first = contents(folder), read_result(folder)
    assert main(["report", str(folder), "expectation.min_points=3", "expectation.max_points=null"]) == 0
    assert contents(folder) == before
    (made,) = siblings(folder)
    assert made.name.startswith(f"{folder.name}-")
    again = read_result(made)
    assert again.run_id == made.name
    assert again.provenance.derived_from == folder.name
    expected = replace(first.design.expectation, min_points=3, max_points=None)
    assert again.design == replace(first.design, expectation=expected)
    assert again.evidence == first.evidence
    assert again.assessment.comparisons == first.assessment.comparisons
    assert again.assessment.verdict.status == "met"
    assert verify(made).n_queries == 30
    shown = capsys.readouterr().out
    assert "within the expected +3 or more" in shown
    assert f"measured again without a model from `{folder.name}`." in (made / "report.md").read_text()
    assert f"measured again without a model from {folder}" in shown


def test_metrics_sweep_and_decision_can_change_together(folder: Path) -> None:
    overrides = ["metrics.names=[recall@3,mrr@10]", "sweep.top_k=[4,8]", "expectation.metric=recall@3"]
    assert main(["report", str(folder), *overrides, "expectation.top_k=8"]) == 0
    again = read_result(siblings(folder)[0])
    assert [system.name for system in again.assessment.systems] == ["dense", "rerank@4", "rerank@8"]
    assert set(again.assessment.metrics["dense"]) == {Metric("recall", 3), Metric("mrr", 10)}
    config = json.loads((siblings(folder)[0] / "result.json").read_text())["provenance"]["config"]
    assert config["sweep"] == {"sequential": False, "top_k": [4, 8]}
    assert config["statistics"]["resamples"] == 200


def test_a_whole_group_is_taken_from_the_configuration(folder: Path) -> None:
    assert main(["report", str(folder), "metrics=default", "statistics.slices=[]"]) == 0
    again = read_result(siblings(folder)[0])
    assert list(map(str, again.design.metrics)) == ["recall@5", "ndcg@5", "ndcg@10", "mrr@10", "hit_rate@5"]
    assert again.design.slices == again.assessment.slices == ()


def test_a_new_measurement_of_a_new_measurement_names_the_first_run(folder: Path) -> None:
    assert main(["report", str(folder), "expectation.min_points=3"]) == 0
    (second,) = siblings(folder)
    assert main(["report", str(second), "expectation.min_points=4"]) == 0
    third = next(path for path in siblings(folder) if path != second)
    assert third.name.startswith(f"{folder.name}-")
    assert read_result(third).provenance.derived_from == folder.name


def test_a_folder_out_of_its_place_is_measured_into_reports_dir(folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "attachment")
    assert main(["report", str(moved), "expectation.min_points=3", f"reports_dir={tmp_path / 'new'}"]) == 0
    assert len(list((tmp_path / "new" / "made").iterdir())) == 1


def test_mlflow_is_told_only_where_it_is_named(folder: Path, tmp_path: Path) -> None:
    reports = f"reports_dir={tmp_path / 'reports'}"
    assert main(["report", str(folder), "expectation.min_points=3", reports]) == 0
    assert not (tmp_path / "reports" / "mlflow.db").exists()
    assert main(["report", str(folder), "expectation.min_points=4", "sinks.mlflow.experiment=again", reports]) == 0
    assert (tmp_path / "reports" / "mlflow.db").exists()


def logged(store: str) -> list[LoggedRun]:
    """The evaluations in a store."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("evalkit")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.kind = 'evaluation'"))


def test_a_stored_result_is_sent_as_it_is(folder: Path, tmp_path: Path, new_store: NewStore) -> None:
    """Nothing is drawn in the folder, not even what is missing."""
    store = new_store(tmp_path / "reports")
    (folder / "report.md").unlink()
    before = contents(folder)
    assert main(["report", "--to", "mlflow", str(folder), f"reports_dir={tmp_path / 'reports'}"]) == 0
    (run,) = logged(store)
    assert run.data.tags["result_id"] == folder.name
    assert run.data.metrics["gain_points"] == pytest.approx(
        read_result(folder).assessment.decision.delta_points, abs=0.005
    )
    assert contents(folder) == before
    assert siblings(folder) == []


def test_a_result_is_sent_once(
    folder: Path, tmp_path: Path, new_store: NewStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest one, where none is named."""
    store = new_store(tmp_path / "reports")
    for _ in range(2):
        assert main(["report", f"reports_dir={tmp_path / 'reports'}", "--to=mlflow"]) == 0
    (run,) = logged(store)
    assert f"nothing was sent, as {folder.name} is there already, as run {run.info.run_id}" in caplog.messages[-1]


def test_a_result_that_could_not_be_sent_is_sent_later(
    folder: Path, tmp_path: Path, new_store: NewStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that the first message names."""
    place = f"reports_dir={tmp_path / 'reports'}"
    away = "sinks.mlflow.tracking_uri=http://127.0.0.1:9"
    assert main(["report", "--to", "mlflow", str(folder), place, away]) == 2
    message = capsys.readouterr().err
    assert f"The result is complete in {folder}" in message
    command = message.partition("evalkit report --to mlflow ")[2].partition(". ")[0]
    assert command == f"{folder} {away}"
    store = new_store(tmp_path / "reports")
    assert main(["report", "--to", "mlflow", str(folder), place]) == 0
    assert len(logged(store)) == 1


def test_a_result_is_sent_to_the_store_beside_it_wherever_the_command_is_given(
    folder: Path, tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store(folder.parent.parent)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(["report", "--to", "mlflow", str(folder)]) == 0
    assert len(logged(store)) == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("expectation.min_points=3", "--to mlflow sends a result as it is; found expectation.min_points=3. Measure it"),
        ("sinks.mlflow=null", "sinks.mlflow is null, so there is no place to send the result to"),
    ],
)
def test_what_cannot_be_sent_is_said(folder: Path, word: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--to", "mlflow", str(folder), word]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert siblings(folder) == []


def test_what_was_changed_is_not_sent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_table(folder, "candidates.parquet", lambda table: table.assign(stage1_score=0.0), seal=False)
    assert main(["report", "--to", "mlflow", str(folder)]) == 5
    assert "candidates.parquet was changed after the run" in capsys.readouterr().err


REFUSED = {
    "a larger top-k": (["sweep.top_k=[10,20]"], "sweep.top_k asks for 20, but only the first 10 candidates"),
    "a deeper metric": (["metrics.names=[recall@5,recall@20]"], "recall@20 looks deeper than the 10 candidates"),
    "an unknown metric": (["metrics.names=[recal@5]"], "unknown metric 'recal'. Did you mean recall?"),
    "other slices": (["statistics.slices=[kind]"], "statistics.slices names kind, which this result does not hold"),
    "another data set": (["dataset=beir"], "dataset=beir cannot be answered from a stored result"),
    "another model": (["reranker=onnx_folder"], "reranker=onnx_folder cannot be answered from a stored result"),
    "an experiment": (["experiment=bge_m3"], "it needs the data or a model, so use evalkit run"),
    "a model's setting": (["reranker.max_length=64"], "these can change: metrics.names, sweep.top_k, expectation."),
    "an early stop": (["sweep.sequential=true"], "sweep.sequential=true cannot be answered"),
    "families in the data": (["statistics.family=topic"], "is in the data and not in the result"),
    "no decision": (["expectation.top_k=7"], "expectation.top_k is 7, which sweep.top_k [6, 10] does not hold"),
    "a misspelt name": (["expectation.min=3"], "the configuration has no key 'expectation.min'"),
    "a new name": (["+expectation.least=3"], "+expectation.least=3 cannot be answered"),
    "no number": (["expectation.min_points=many"], "expectation.min_points is 'many'; expected a number of points"),
    "several runs": (["sweep.top_k=6,10"], "sweep.top_k=6,10"),
    "no result": (["elsewhere"], "found two results"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_answered_is_one_message_and_exit_code_2(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides, message = REFUSED[name]
    assert main(["report", str(folder), *overrides]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("evalkit: ") == 1
    assert siblings(folder) == []


@pytest.mark.parametrize("overrides", [[], ["expectation.min_points=3"]], ids=["drawn", "measured"])
def test_nothing_is_made_of_evidence_that_was_changed(
    folder: Path, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It would come out under a manifest of its own, and verify."""
    edit_table(
        folder, "candidates.parquet", lambda table: table.assign(rerank_score=-table["rerank_score"]), seal=False
    )
    assert main(["report", str(folder), *overrides]) == 5
    assert f"{folder}: candidates.parquet was changed after the run. Nothing is drawn" in capsys.readouterr().err
    assert siblings(folder) == []


def test_an_invalid_result_stays_invalid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def failed(document: dict[str, list[dict[str, str]]]) -> None:
        document["controls"][0]["status"] = "failed"

    edit(folder, failed)
    assert main(["report", str(folder), "expectation.min_points=3"]) == 5
    (made,) = siblings(folder)
    assert f"the result in {made} is invalid" in capsys.readouterr().err
    assert read_result(made).assessment.status == "invalid"


def test_an_early_stop_is_not_asked_another_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = replace(result_of(), sequential=Sequential("above", 13.0, 90.0, 30, 300, 60, 600, 0))
    folder = stored(replace(result, design=replace(result.design, top_ks=(10,))), tmp_path)
    assert main(["report", str(folder), "expectation.min_points=3"]) == 2
    assert "stopped early, when its own question was decided" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", denied)
    assert main(["report", str(folder)]) == 2
    assert f"cannot write {folder}: Permission denied" in capsys.readouterr().err
