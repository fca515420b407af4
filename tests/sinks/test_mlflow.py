"""What arrives in a real MLflow store on SQLite."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as LoggedRun

from evalkit.delivery import deliver
from evalkit.errors import SinkError
from evalkit.pipeline import evaluate
from evalkit.result import EvalResult
from evalkit.sinks.files import FilesSink
from evalkit.sinks.markdown import MarkdownSink
from evalkit.sinks.mlflow import MlflowSink, metric_name
from evalkit.types import Metric
from tests.conftest import beir, plan_of, write_folder

Logged = tuple[MlflowClient, EvalResult, Path]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> EvalResult:
    documents = {f"d{number}": f"word{number} text" for number in range(12)}
    judgments = [("q", "d3", 1), ("r", "d5", 1)]
    folder = write_folder(tmp_path_factory.mktemp("data") / "beir", documents, {"q": "word3", "r": "word5"}, judgments)
    config = {"sweep": {"top_k": [1, 6, 10]}, "long": "x" * 900, "uri": "http://user:hunter2@host/"}
    return evaluate(plan_of(beir(folder), config=config))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store that several tests read lies, and its artifacts."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def logged(result: EvalResult, place: Path) -> Logged:
    """A client of the store, the result, and its folder; tests only read."""
    sink = MlflowSink(f"sqlite:///{place}/store/mlflow.db", str(place / "artifacts"), "trial")
    folder = deliver(result, {"files": FilesSink(), "md": MarkdownSink(), "mlflow": sink}, place / "reports")
    return MlflowClient(f"sqlite:///{place}/store/mlflow.db"), result, folder


def runs(client: MlflowClient) -> tuple[LoggedRun, list[LoggedRun]]:
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    found = list(client.search_runs([experiment.experiment_id]))
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    return parent, [run for run in found if run is not parent]


def test_one_parent_and_one_child_per_system(logged: Logged) -> None:
    client, result, _ = logged
    parent, children = runs(client)
    assert parent.info.run_name == result.run_id
    assert {child.info.run_name for child in children} == {"dense", "rerank@1", "rerank@6", "rerank@10"}
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}


def test_children_share_metric_names_so_that_they_can_be_compared(
    logged: Logged,
) -> None:
    client, result, _ = logged
    _, children = runs(client)
    assert len({frozenset(child.data.metrics) for child in children}) == 1
    ten = next(child for child in children if child.info.run_name == "rerank@10")
    found = result.assessment.comparison(Metric("recall", 5), 10)
    assert ten.data.metrics["recall_at_5"] == found.candidate_mean
    assert ten.data.metrics["recall_at_5_delta_points"] == found.delta_points
    assert ten.data.params["top_k"] == "10"


def test_the_parent_shows_gain_and_certainty_over_top_k(logged: Logged) -> None:
    client, result, _ = logged
    parent, _ = runs(client)
    rows = [result.assessment.comparison(Metric("recall", 5), top_k) for top_k in (1, 6, 10)]
    for name, expected in {
        "delta_points": {row.top_k: row.delta_points for row in rows},
        "ci_low": {row.top_k: row.ci_low for row in rows},
        "ci_high": {row.top_k: row.ci_high for row in rows},
        "p_value": {row.top_k: row.p_adjusted for row in rows},
    }.items():
        history = client.get_metric_history(parent.info.run_id, f"recall_at_5_{name}")
        assert {point.step: point.value for point in history} == expected, name


def test_what_an_early_stop_leaves_unknown_is_not_sent(result: EvalResult, tmp_path: Path) -> None:
    unknown = tuple(
        replace(found, ci_low=None, ci_high=None, p_adjusted=None) for found in result.assessment.comparisons
    )
    early = replace(result, assessment=replace(result.assessment, comparisons=unknown))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "report").mkdir()
    MlflowSink(uri, str(tmp_path / "artifacts"), "trial").write(early, tmp_path / "report")
    sent = set(runs(MlflowClient(uri))[0].data.metrics)
    assert {"recall_at_5_delta_points", "gain_points", "gain_points_ci_low"} <= sent
    assert not sent & {"recall_at_5_ci_low", "recall_at_5_ci_high", "recall_at_5_p_value"}


def test_tags_make_results_searchable(logged: Logged) -> None:
    client, result, _ = logged
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    found = client.search_runs([experiment.experiment_id], f"tags.verdict = '{result.assessment.verdict.status}'")
    assert len(found) == 5
    parent, _ = runs(client)
    assert parent.data.tags["dataset_digest"] == result.dataset.digest
    assert (parent.data.tags["status"], parent.data.tags["conclusive"]) == ("ok", "false")
    assert result.assessment.verdict.reason in parent.data.tags["mlflow.note.content"]
    assert parent.data.tags["reranker"] == "overlap (testing)"


def test_parameters_come_from_the_config_without_secrets(logged: Logged) -> None:
    client, _, _ = logged
    parent, _ = runs(client)
    assert parent.data.params["sweep.top_k"] == "[1, 6, 10]"
    assert len(parent.data.params["long"]) == 500
    assert parent.data.params["uri"] == "http://host/"


def test_the_folder_is_uploaded_and_the_data_set_is_an_input(logged: Logged, place: Path) -> None:
    client, result, folder = logged
    parent, _ = runs(client)
    listed = {entry.path for entry in client.list_artifacts(parent.info.run_id)}
    assert listed == {path.name for path in folder.iterdir()}
    assert (place / "artifacts").is_dir()
    (used,) = parent.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("beir", result.dataset.digest[:36])
    assert json.loads(used.dataset.profile) == {"num_queries": 2, "num_documents": 12, "num_judgments": 2}


def test_a_second_result_joins_the_experiment(result: EvalResult, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "report").mkdir()
    for run_id, artifacts in (("first", str(tmp_path / "artifacts")), ("again", None)):
        MlflowSink(uri, artifacts, "trial").write(replace(result, run_id=run_id), tmp_path / "report")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 10


def test_a_stale_run_id_in_the_environment_changes_nothing(
    result: EvalResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    folder = deliver(result, {"files": FilesSink()}, tmp_path / "reports")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowSink(uri, str(tmp_path / "artifacts"), "trial").write(result, folder)
    parent, children = runs(MlflowClient(uri))
    assert parent.info.run_id != "0" * 32
    assert len(children) == 4


def test_a_run_that_breaks_off_is_marked_as_failed(
    result: EvalResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MlflowClient, "log_artifacts", full)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(SinkError, match=r"No space left on device.*result is complete in"):
        MlflowSink(uri, str(tmp_path / "artifacts"), "trial").write(result, tmp_path)
    assert runs(MlflowClient(uri))[0].info.status == "FAILED"


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/nowhere/m.db", "postgresql://u:hunter2@127.0.0.1:9/x", "nonsense://x"]
)
def test_a_store_that_cannot_be_used_is_one_message_without_secrets(
    result: EvalResult, tmp_path: Path, uri: str
) -> None:
    with pytest.raises(SinkError) as caught:
        MlflowSink(uri, None, "trial").write(result, tmp_path)
    assert "The result is complete in" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("text", "name"), [("recall@5", "recall_at_5"), ("rbp.95", "rbp.95"), ("map", "map")])
def test_metric_names_are_ones_that_mlflow_allows(text: str, name: str) -> None:
    assert metric_name(Metric.parse(text)) == name
