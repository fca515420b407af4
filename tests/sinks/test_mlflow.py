"""What arrives in a real MLflow store on SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from tests.conftest import BeirWriter, beir, plan_of

Finder = Callable[[str], list[LoggedRun]]


@pytest.fixture
def result(write_beir: BeirWriter) -> EvalResult:
    documents = {f"d{number}": f"word{number} text" for number in range(12)}
    folder = write_beir(documents, {"q": "word3", "r": "word5"}, [("q", "d3", 1), ("r", "d5", 1)])
    config = {"sweep": {"top_k": [1, 6, 10]}, "long": "x" * 900, "uri": "http://user:hunter2@host/"}
    return evaluate(plan_of(beir(folder), config=config))


@pytest.fixture
def logged(result: EvalResult, tmp_path: Path) -> tuple[MlflowClient, EvalResult, Path]:
    sink = MlflowSink(f"sqlite:///{tmp_path}/store/mlflow.db", str(tmp_path / "artifacts"), "trial")
    folder = deliver(result, {"files": FilesSink(), "md": MarkdownSink(), "mlflow": sink}, tmp_path / "reports")
    return MlflowClient(f"sqlite:///{tmp_path}/store/mlflow.db"), result, folder


def runs(client: MlflowClient) -> tuple[LoggedRun, list[LoggedRun]]:
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    found = list(client.search_runs([experiment.experiment_id]))
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    return parent, [run for run in found if run is not parent]


def test_one_parent_and_one_child_per_system(logged: tuple[MlflowClient, EvalResult, Path]) -> None:
    client, result, _ = logged
    parent, children = runs(client)
    assert parent.info.run_name == result.run_id
    assert {child.info.run_name for child in children} == {"dense", "rerank@1", "rerank@6", "rerank@10"}
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}


def test_children_share_metric_names_so_that_they_can_be_compared(
    logged: tuple[MlflowClient, EvalResult, Path],
) -> None:
    client, result, _ = logged
    _, children = runs(client)
    assert len({frozenset(child.data.metrics) for child in children}) == 1
    ten = next(child for child in children if child.info.run_name == "rerank@10")
    assert ten.data.metrics["recall_at_5"] == result.metrics["rerank@10"][Metric("recall", 5)]
    assert ten.data.metrics["recall_at_5_delta_points"] == result.comparison(Metric("recall", 5), 10).delta_points
    assert ten.data.params["top_k"] == "10"


def test_the_parent_shows_the_gain_over_top_k(logged: tuple[MlflowClient, EvalResult, Path]) -> None:
    client, result, _ = logged
    parent, _ = runs(client)
    history = client.get_metric_history(parent.info.run_id, "recall_at_5_delta_points")
    assert {point.step: point.value for point in history} == {
        top_k: result.comparison(Metric("recall", 5), top_k).delta_points for top_k in (1, 6, 10)
    }


def test_tags_make_results_searchable(logged: tuple[MlflowClient, EvalResult, Path]) -> None:
    client, result, _ = logged
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    found = client.search_runs([experiment.experiment_id], f"tags.verdict = '{result.verdict.status}'")
    assert len(found) == 5
    parent, _ = runs(client)
    assert parent.data.tags["dataset_digest"] == result.dataset.digest
    assert result.verdict.reason in parent.data.tags["mlflow.note.content"]
    assert parent.data.tags["reranker"] == "overlap (testing)"


def test_parameters_come_from_the_config_without_secrets(logged: tuple[MlflowClient, EvalResult, Path]) -> None:
    client, _, _ = logged
    parent, _ = runs(client)
    assert parent.data.params["sweep.top_k"] == "[1, 6, 10]"
    assert len(parent.data.params["long"]) == 500
    assert parent.data.params["uri"] == "http://host/"


def test_the_folder_is_uploaded_and_the_data_set_is_an_input(
    logged: tuple[MlflowClient, EvalResult, Path], tmp_path: Path
) -> None:
    client, result, folder = logged
    parent, _ = runs(client)
    listed = {entry.path for entry in client.list_artifacts(parent.info.run_id)}
    assert listed == {path.name for path in folder.iterdir()}
    assert (tmp_path / "artifacts").is_dir()
    (used,) = parent.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("beir", result.dataset.digest[:36])
    assert json.loads(used.dataset.profile) == {"num_queries": 2, "num_documents": 12, "num_judgments": 2}


def test_a_second_result_joins_the_experiment(logged: tuple[MlflowClient, EvalResult, Path], tmp_path: Path) -> None:
    client, result, folder = logged
    MlflowSink(f"sqlite:///{tmp_path}/store/mlflow.db", None, "trial").write(replace(result, run_id="again"), folder)
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
