"""The views and tables that MLflow's UI reads, in the form in which it keeps them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from evalkit import manifest
from evalkit.findings import Expectation
from evalkit.result import EvalResult
from evalkit.sinks.mlflow import MlflowSink
from evalkit.sinks.tracking import views
from evalkit.sinks.tracking.sheets import evaluation, systems
from evalkit.types import Metric
from tests.conftest import NewStore
from tests.results import result_of

KINDS = {"metrics": "points", "params": "params", "tags": "tags"}


@pytest.fixture(scope="module")
def result() -> EvalResult:
    return result_of()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a run that wrote nothing."""
    path = tmp_path_factory.mktemp("empty")
    manifest.seal(path)
    return path


def states(result: EvalResult) -> dict[str, Any]:
    """View -> what it sets."""
    prefix = "mlflow.sharedViewState."
    found = {}
    for name, value in views.experiment_tags(result).items():
        if name.startswith(prefix):
            # The UI refuses one that lacks any of the three.
            envelope = json.loads(value)
            assert (type(envelope["name"]), type(envelope["createdAt"])) == (str, int)
            found[name.removeprefix(prefix)] = json.loads(envelope["state"])
    return found


def logged(result: EvalResult, kind: str) -> tuple[set[str], set[str]]:
    """Names of this kind that the evaluation has, and those that some system has."""

    def names(sheet: Any) -> set[str]:
        found = getattr(sheet, KINDS[kind])
        return {name for name, *_ in found} if kind == "metrics" else set(found)

    return names(evaluation(result)), set().union(*map(names, systems(result)))


def test_an_address_opens_the_runs_table_with_the_columns_of_a_view() -> None:
    shown = views.address("http://127.0.0.1:5000/", "3")
    assert shown == (
        "http://127.0.0.1:5000/#/experiments/3/runs?workflowType=machine_learning&viewStateShareKey=evalkit"
    )


@pytest.mark.parametrize(("view", "of"), [(views.EVALUATIONS, 0), (views.SYSTEMS, 1)])
def test_every_column_of_a_view_is_one_that_is_logged(result: EvalResult, view: str, of: int) -> None:
    """A misspelt one would be missing without a word."""
    state = states(result)[view]
    assert set(state["selectedColumns"]) <= set(state["columnOrder"]) == set(state["columnWidths"])
    for column in state["selectedColumns"]:
        kind, _, name = column.partition(".")
        assert name.strip("`") in logged(result, kind)[of], column


def test_the_first_columns_tell_the_story(result: EvalResult) -> None:
    columns = [column.partition(".")[2].strip("`") for column in states(result)[views.EVALUATIONS]["selectedColumns"]]
    assert columns[:6] == ["verdict", "metric", "top_k", "gain_points", "gain_points_low", "gain_points_high"]
    assert columns[6:8] == ["recall_at_5", "ndcg_at_10"]


@pytest.mark.parametrize(
    ("judged", "shown"), [(Metric("ndcg", 10), ["ndcg_at_10"]), (Metric("recall", 5), ["recall_at_5", "ndcg_at_10"])]
)
def test_the_judged_metric_is_shown_once(result: EvalResult, judged: Metric, shown: list[str]) -> None:
    verdict = replace(result.assessment.verdict, expectation=Expectation(judged, 10, 12, 18))
    other = replace(result, assessment=replace(result.assessment, verdict=verdict))
    columns = states(other)[views.EVALUATIONS]["selectedColumns"]
    assert [column for column in columns if "_at_" in column] == [f"metrics.`{name}`" for name in shown]


def test_charts_plot_what_is_logged_and_stand_in_a_section(result: EvalResult) -> None:
    state = states(result)[views.SYSTEMS]
    metrics = logged(result, "metrics")[1]
    sections = {section["uuid"] for section in state["compareRunSections"]}
    for chart in state["compareRunCharts"]:
        assert chart["metricSectionId"] in sections
        axes = [chart[axis]["key"] for axis in ("xaxis", "yaxis") if axis in chart]
        assert {*axes, *chart.get("selectedMetrics", []), *([chart["metricKey"]] if "metricKey" in chart else [])} <= (
            metrics
        )
    scatter = [chart for chart in state["compareRunCharts"] if chart["type"] == "SCATTER"]
    assert [(chart["xaxis"]["key"], chart["yaxis"]["key"]) for chart in scatter] == [
        ("top_k", "gain_points"),
        ("rerank_p50_ms", "gain_points"),
    ]


def test_a_view_that_a_user_changed_stays_and_one_that_is_missing_comes_back(
    result: EvalResult, folder: Path, tmp_path: Path, new_store: NewStore
) -> None:
    uri = new_store(tmp_path)
    client = MlflowClient(uri)
    mine = "mlflow.sharedViewState.evalkit"
    experiment = client.create_experiment("trial", (tmp_path / "artifacts").as_uri(), tags={mine: "changed"})
    MlflowSink(uri, None, "trial").write(result, folder)
    tags = client.get_experiment(experiment).tags
    assert tags[mine] == "changed"
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert {**views.experiment_tags(result), mine: "changed"}.items() <= tags.items()


def test_the_table_of_every_query_is_one_that_mlflow_knows(
    result: EvalResult, folder: Path, tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read back with MLflow's own reader; each child has its part, so that the UI can set them side by side."""
    uri = new_store(tmp_path)
    MlflowSink(uri, str(tmp_path / "artifacts"), "trial").write(result, folder)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    runs = {run.data.tags.get("system"): run for run in client.search_runs([experiment.experiment_id])}
    assert all("mlflow.loggedArtifacts" in run.data.tags for run in runs.values())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tables = {
        system: client.load_table(experiment.experiment_id, "per_query.json", [run.info.run_id])
        for system, run in runs.items()
    }
    whole = tables.pop(None)
    assert list(whole.columns) == ["query_id", "system", "recall@5", "ndcg@10"]
    # A query's systems stand together.
    assert list(whole["query_id"][:4]) == [*[next(iter(result.evidence.qrels))] * 3, list(result.evidence.qrels)[1]]
    assert len(whole) == 3 * 30
    for system, part in tables.items():
        assert list(part.columns) == ["query_id", "recall@5", "ndcg@10", "system"]
        assert set(part["system"]) == {system}
        same = whole[whole["system"] == system].reset_index(drop=True)
        pd.testing.assert_frame_equal(part[same.columns], same)
        for metric in ("recall@5", "ndcg@10"):
            expected = result.assessment.per_query[str(system)][Metric.parse(metric)]
            assert dict(zip(part["query_id"], part[metric], strict=True)) == pytest.approx(expected, abs=0.00005)
