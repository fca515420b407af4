"""What arrives in a real MLflow store on SQLite, and what happens where it cannot."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as LoggedRun

from evalkit import manifest
from evalkit.composition import compose_config
from evalkit.delivery import deliver
from evalkit.errors import ConfigError, SinkError
from evalkit.exhibits import Texts
from evalkit.result import EvalResult
from evalkit.sinks.html import REPORT, TEXTS, HtmlSink
from evalkit.sinks.mlflow import DEFAULT_EXPERIMENT, DEFAULT_URI, MlflowSink
from evalkit.sinks.tracking.sheets import metric_name
from evalkit.types import Metric
from tests.conftest import NewStore
from tests.results import SINKS, result_of

TEXT = "the client Quorlan hides a numbered account"


def told(result: EvalResult) -> EvalResult:
    """The same with a text for each query and document of its examples."""
    examples = result.assessment.examples
    queries = {one.query_id: TEXT for one in examples}
    return replace(result, texts=Texts(queries, {one.gold.doc_id: TEXT for one in examples}))


@pytest.fixture(scope="module")
def result() -> EvalResult:
    command = (
        "run", "-m", "reports_dir=/elsewhere", "reranker.max_length=256", "++extra.long=" + "x" * 900,
        "dataset=beir", "sinks.mlflow.experiment=trial", "vector_store.url=http://host/",
    )  # fmt: skip
    made = told(result_of())
    return replace(made, provenance=replace(made.provenance, command=command))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store that several tests read lies, and its artifacts."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def folder(result: EvalResult, place: Path) -> Path:
    """The result folder, its report with texts, and a file that a user put there."""
    made = deliver(result, {**SINKS, "html": HtmlSink(True)}, place / "reports")
    (made / "remarks.txt").write_text(TEXT)
    return made


@pytest.fixture(scope="module")
def client(result: EvalResult, place: Path, folder: Path, new_store: NewStore) -> MlflowClient:
    """A client of the store that holds the result; tests only read."""
    uri = new_store(place)
    MlflowSink(uri, str(place / "artifacts"), "trial").write(result, folder)
    return MlflowClient(uri)


def runs(client: MlflowClient, experiment: str = "trial") -> tuple[LoggedRun, list[LoggedRun]]:
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    logged = list(client.search_runs([found.experiment_id]))
    (parent,) = [run for run in logged if "mlflow.parentRunId" not in run.data.tags]
    return parent, [run for run in logged if run is not parent]


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_one_parent_and_one_child_per_system(client: MlflowClient, result: EvalResult) -> None:
    parent, children = runs(client)
    gain = result.assessment.decision.delta_points
    assert parent.info.run_name == f"{gain:+.1f} points, {result.assessment.verdict.status} ({result.run_id})"
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}


def test_the_ui_shows_the_systems_in_the_order_of_the_sweep(client: MlflowClient) -> None:
    """It sorts by date, the newest first."""
    _, children = runs(client)
    newest_first = sorted(children, key=lambda run: -run.info.start_time)
    assert [run.info.run_name for run in newest_first] == ["dense", "rerank@6", "rerank@10"]


def test_the_times_are_those_of_the_evaluation(client: MlflowClient) -> None:
    """12.75 seconds of phases, whenever they were logged."""
    parent, _ = runs(client)
    assert parent.info.end_time - parent.info.start_time == 12_750


def test_tags_make_results_searchable(client: MlflowClient, result: EvalResult) -> None:
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    verdict = result.assessment.verdict
    found = client.search_runs([experiment.experiment_id], f"tags.verdict = '{verdict.status}'")
    assert {run.data.tags["kind"] for run in found} == {"evaluation", "system"}
    # Only one top-k was judged.
    assert {run.data.tags.get("system") for run in found} == {None, "rerank@10"}
    parent, children = runs(client)
    assert parent.data.tags["result_id"] == result.run_id
    assert parent.data.tags["dataset_digest"] == result.dataset.digest
    assert parent.data.tags["interval"] == f"{verdict.ci_low:+.1f} to {verdict.ci_high:+.1f}"
    assert {run.data.tags["status"] for run in (parent, *children)} == {"ok"}
    assert not [run for run in (parent, *children) if "derived_from" in run.data.tags]


def test_the_description_says_the_verdict_and_what_to_do(client: MlflowClient, result: EvalResult) -> None:
    parent, _ = runs(client)
    note = parent.data.tags["mlflow.note.content"]
    verdict = result.assessment.verdict
    assert note.startswith(f"**{verdict.status}**: {verdict.reason}")
    assert verdict.advice
    plain = note.replace("\\", "")
    assert all(f"- {advice}" in plain for advice in verdict.advice)


def test_models_are_named_by_what_stands_behind_the_last_slash(
    result: EvalResult, folder: Path, tmp_path: Path, new_store: NewStore
) -> None:
    weights = {
        "embedder": "a==2.0/data/bge_small sha256:" + "ab" * 32,
        "reranker": "BAAI/bge-reranker-v2-m3@" + "0123456789" * 4,
    }
    prints = {role: {"backend": "testing", "weights": text} for role, text in weights.items()}
    other = replace(result, provenance=replace(result.provenance, fingerprints=prints, derived_from="first"))
    uri = new_store(tmp_path)
    MlflowSink(uri, str(tmp_path / "artifacts"), "trial").write(other, folder)
    parent, children = runs(MlflowClient(uri))
    expected = {"embedder": "bge_small sha256:abababababab", "reranker": "bge-reranker-v2-m3@012345678901"}
    for run in (parent, *children):
        assert {role: run.data.tags[role] for role in expected} == expected
        assert run.data.tags["derived_from"] == "first"
    assert {role: parent.data.params[role] for role in expected} == expected


def test_parameters_are_what_evaluations_differ_in(client: MlflowClient) -> None:
    """Models, what was judged, and what the command line changed, but for places; the rest is in result.json."""
    parent, children = runs(client)
    assert parent.data.params == {
        "dataset": "made",
        "embedder": "unnamed",
        "reranker": "unnamed",
        "metric": "recall@5",
        "top_k": "10",
        "expected": "+12 to +18",
        "decide_on": "estimate",
        "sweep": "6,10",
        "reranker.max_length": "256",
        "vector_store.url": "http://host/",
        "extra.long": "x" * 500,
    }
    assert sorted(int(child.data.params["top_k"]) for child in children) == [0, 6, 10]
    assert {frozenset(child.data.params) for child in children} == {frozenset({"top_k"})}


def test_what_mlflow_does_not_take_at_once_is_sent_in_parts(
    client: MlflowClient,
    result: EvalResult,
    folder: Path,
    tmp_path: Path,
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evalkit.sinks.mlflow.METRICS", 7)
    monkeypatch.setattr("evalkit.sinks.mlflow.PARAMS", 2)
    uri = new_store(tmp_path)
    MlflowSink(uri, str(tmp_path / "artifacts"), "trial").write(result, folder)
    whole, parts = runs(client)[0], runs(MlflowClient(uri))[0]
    assert (parts.data.params, parts.data.metrics) == (whole.data.params, whole.data.metrics)


def test_the_data_set_is_an_input_of_every_run(client: MlflowClient, result: EvalResult) -> None:
    parent, children = runs(client)
    for run in (parent, *children):
        (used,) = run.inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("made", result.dataset.digest[:36])
    counts = json.loads(parent.inputs.dataset_inputs[0].dataset.profile)
    assert counts == {
        "num_queries": 30,
        "num_documents": 900,
        "num_judgments": sum(map(len, result.evidence.qrels.values())),
    }


def test_no_text_is_uploaded(client: MlflowClient, place: Path, folder: Path, result: EvalResult) -> None:
    """The report is drawn without; what a user put into the folder stays there."""
    assert TEXT in (folder / REPORT).read_text()
    parent, _ = runs(client)
    sent = contents(place / "artifacts" / parent.info.run_id / "artifacts")
    assert sent.keys() == (contents(folder).keys() | {"per_query.json"}) - {TEXTS, "remarks.txt"}
    everything = {**contents(place / "artifacts"), "database": (place / "mlflow.db").read_bytes()}
    assert [name for name, data in everything.items() if b"Quorlan" in data] == []
    assert result.assessment.verdict.reason.encode() in sent[REPORT]
    for name in ("result.json", "candidates.parquet"):
        assert sent[name] == (folder / name).read_bytes()


def test_the_uploaded_folder_has_a_manifest_of_its_own(client: MlflowClient, place: Path) -> None:
    parent, _ = runs(client)
    sent = place / "artifacts" / parent.info.run_id / "artifacts"
    assert manifest.problems(sent) == {}
    assert TEXTS not in manifest.listed(sent)


def test_the_report_goes_with_its_texts_where_that_is_asked_for(
    result: EvalResult, folder: Path, tmp_path: Path, new_store: NewStore
) -> None:
    uri = new_store(tmp_path)
    MlflowSink(uri, str(tmp_path / "artifacts"), "trial", include_texts=True).write(result, folder)
    parent, _ = runs(MlflowClient(uri))
    sent = contents(tmp_path / "artifacts" / parent.info.run_id / "artifacts")
    assert contents(folder).items() <= sent.items()
    assert sent.keys() - contents(folder).keys() == {"per_query.json"}


def test_a_setting_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sinks\.mlflow\.include_texts"):
        MlflowSink("sqlite:///m.db", None, "trial", include_texts="no")  # type: ignore[arg-type]


def test_a_second_result_joins_the_experiment(
    result: EvalResult, folder: Path, tmp_path: Path, new_store: NewStore
) -> None:
    uri = new_store(tmp_path)
    for run_id, artifacts in (("first", str(tmp_path / "artifacts")), ("again", None)):
        MlflowSink(uri, artifacts, "trial").write(replace(result, run_id=run_id), folder)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 8


def test_the_same_result_is_logged_once(
    result: EvalResult, folder: Path, tmp_path: Path, new_store: NewStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "evalkit")
    uri = new_store(tmp_path)
    sink = MlflowSink(uri, str(tmp_path / "artifacts"), "trial")
    look = f"evalkit ui sinks.mlflow.tracking_uri={uri} sinks.mlflow.experiment=trial"
    sink.write(result, folder)
    assert caplog.messages == [f"logged, see: {look}"]
    before = contents(tmp_path / "artifacts")
    sink.write(result, folder)
    parent, children = runs(MlflowClient(uri))
    assert len(children) == 3
    assert contents(tmp_path / "artifacts") == before
    reason = f"nothing was sent, as {result.run_id} is there already, as run {parent.info.run_id}: {look}"
    assert caplog.messages[1:] == [reason]


def test_what_broke_off_is_logged_anew(
    result: EvalResult, folder: Path, tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    uri = new_store(tmp_path)
    sink = MlflowSink(uri, str(tmp_path / "artifacts"), "trial")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifacts", full)
        with pytest.raises(SinkError, match=r"No space left on device.*evalkit report --to mlflow "):
            sink.write(result, folder)
    client = MlflowClient(uri)
    broken, _ = runs(client)
    assert broken.info.status == "FAILED"
    sink.write(result, folder)
    parent, children = runs(client)
    assert (parent.info.status, len(children)) == ("FINISHED", 3)
    assert client.get_run(broken.info.run_id).info.lifecycle_stage == "deleted"


def test_a_stale_run_id_in_the_environment_changes_nothing(
    result: EvalResult, folder: Path, tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    uri = new_store(tmp_path)
    MlflowSink(uri, str(tmp_path / "artifacts"), "trial").write(result, folder)
    parent, children = runs(MlflowClient(uri))
    assert parent.info.run_id != "0" * 32
    assert len(children) == 3


def test_a_store_is_made_where_there_is_none(result: EvalResult, folder: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/store/mlflow.db"
    MlflowSink(uri, str(tmp_path / "artifacts"), "trial").write(result, folder)
    assert len(runs(MlflowClient(uri))[1]) == 3


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/nowhere/m.db", "postgresql://u:hunter2@127.0.0.1:9/x", "nonsense://x"]
)
def test_a_store_that_cannot_be_used_is_one_message_without_secrets(
    result: EvalResult, tmp_path: Path, uri: str
) -> None:
    with pytest.raises(SinkError) as caught:
        MlflowSink(uri, None, "trial").write(result, tmp_path)
    message = str(caught.value)
    assert f"The result is complete in {tmp_path}; " in message
    assert f"evalkit report --to mlflow {tmp_path}" in message
    assert "hunter2" not in message


def test_the_command_that_shows_results_is_short_for_the_configured_store(
    result: EvalResult,
    folder: Path,
    tmp_path: Path,
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "evalkit")
    uri = new_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    MlflowSink(uri, str(tmp_path / "artifacts"), "evalkit").write(result, folder)
    assert caplog.messages == ["logged, see: evalkit ui"]


def test_the_default_store_is_the_one_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sink = compose_config([]).sinks.mlflow
    assert (sink.tracking_uri, sink.experiment) == (DEFAULT_URI, DEFAULT_EXPERIMENT)


@pytest.mark.parametrize(("text", "name"), [("recall@5", "recall_at_5"), ("rbp.95", "rbp.95"), ("map", "map")])
def test_metric_names_are_ones_that_mlflow_allows(text: str, name: str) -> None:
    assert metric_name(Metric.parse(text)) == name
