"""The gains that MLflow shows, against numbers worked out by hand.

Ten candidates d1 to d10 by stage-1 rank. Query "one" has the positive d6; the reranker scores d3 highest and
d6 second. Query "two" has the positives d1 and d9; the reranker scores d9 highest and d1 lowest. All other
documents keep their order, so that the systems rank

    dense      one: d1 ... d10                     two: d1 ... d10
    rerank@1   as dense
    rerank@6   one: d3 d6 d1 d2 d4 d5 | d7 ...     two: d2 d3 d4 d5 d6 d1 | d7 d8 d9 d10
    rerank@10  one: d3 d6 d1 d2 d4 ...             two: d9 d2 ... d8 d10 d1
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as LoggedRun

from evalkit import manifest
from evalkit.analysis.assess import assess
from evalkit.analysis.metrics import parse_metrics
from evalkit.record import Latency, Provenance, StageTwoLatency
from evalkit.result import EvalResult, Evidence, Subject
from evalkit.sinks.mlflow import MlflowSink
from evalkit.sinks.tracking.sheets import evaluation, systems
from evalkit.types import Candidate
from tests.analysis.evidence import RECALL, design_of, scoring_of
from tests.conftest import NewStore
from tests.hits import stopped

METRICS = parse_metrics(["recall@5", "mrr@10", "ndcg@10"])
TOP_KS = (1, 6, 10)
SYSTEMS = ("dense", "rerank@1", "rerank@6", "rerank@10")


def gain(rank: int) -> float:
    """What a positive on this rank adds to the DCG."""
    return 1 / math.log2(rank + 1)


IDEAL = gain(1) + gain(2)
MEANS = {
    "recall_at_5": {
        "dense": (0 + 1 / 2) / 2,
        "rerank@1": (0 + 1 / 2) / 2,
        "rerank@6": (1 + 0) / 2,
        "rerank@10": (1 + 1 / 2) / 2,
    },
    "mrr_at_10": {
        "dense": (1 / 6 + 1) / 2,
        "rerank@1": (1 / 6 + 1) / 2,
        "rerank@6": (1 / 2 + 1 / 6) / 2,
        "rerank@10": (1 / 2 + 1) / 2,
    },
    "ndcg_at_10": {
        "dense": (gain(6) + (gain(1) + gain(9)) / IDEAL) / 2,
        "rerank@1": (gain(6) + (gain(1) + gain(9)) / IDEAL) / 2,
        "rerank@6": (gain(2) + (gain(6) + gain(9)) / IDEAL) / 2,
        "rerank@10": (gain(2) + (gain(1) + gain(10)) / IDEAL) / 2,
    },
}
GAINS = {
    "recall_at_5": {1: 0.0, 6: 25.0, 10: 50.0},
    "mrr_at_10": {1: 0.0, 6: -25.0, 10: 100 / 6},
    "ndcg_at_10": {
        1: 0.0,
        6: 50 * (gain(2) - gain(6) + (gain(6) - gain(1)) / IDEAL),
        10: 50 * (gain(2) - gain(6) + (gain(10) - gain(9)) / IDEAL),
    },
}
HEADROOM = {1: 0.0, 6: 50.0, 10: 75.0}
"""Of recall@5: within 6, d6 can come first for "one", and d1 is first for "two"; within 10, d9 can follow d1."""
JUDGED = {"dense": 0.1, "rerank@1": 0.1, "rerank@6": 0.1, "rerank@10": 0.2}
LATENCY = {"dense": (0.0, 0.0), "rerank@1": (5.0, 6.0), "rerank@6": (20.0, 24.0), "rerank@10": (40.0, 47.25)}
POINTS, SHARE = 0.005, 0.00005
"""Half of the last decimal that is sent, of points and of fractions."""


def ranked(*, first: str, second: str = "", last: str = "") -> tuple[Candidate, ...]:
    """Ten candidates; those named get a rerank score above or below all others."""
    named = {first: 99.0, second: 98.0, last: -99.0}
    return tuple(
        Candidate(doc_id, place, 1 - place / 20, named.get(doc_id, -float(place)))
        for place, doc_id in enumerate((f"d{number}" for number in range(1, 11)), start=1)
    )


@pytest.fixture(scope="module")
def result() -> EvalResult:
    evidence = Evidence(
        candidates={"one": ranked(first="d3", second="d6"), "two": ranked(first="d9", last="d1")},
        qrels={"one": {"d6": 1}, "two": {"d1": 1, "d9": 1}},
    )
    design, scoring = design_of(10, TOP_KS, RECALL, metrics=METRICS), scoring_of(pairs=20)
    subject = Subject("by-hand", "0" * 64, "1" * 64, "2" * 64, n_documents=10, n_queries=2)
    stage2 = tuple(StageTwoLatency(top_k, *LATENCY[f"rerank@{top_k}"], 100.0, 90.0) for top_k in TOP_KS)
    return EvalResult(
        run_id="20260101-000000-abcdef",
        dataset=subject,
        evidence=evidence,
        design=design,
        assessment=assess(evidence, design, subject, scoring),
        scoring=scoring,
        timings={},
        computed={},
        provenance=Provenance(
            created="2026-01-01T00:00:00+00:00",
            versions={},
            machine={},
            fingerprints={role: {"backend": "testing", "model": role} for role in ("embedder", "reranker")},
            config={},
        ),
        latency=Latency("2026-01-01T00:00:00+00:00", "here", "cpu", 2, 9.5, 12.0, "a store", True, stage2),
    )


@pytest.fixture(scope="module")
def store(result: EvalResult, tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> MlflowClient:
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "report").mkdir()
    manifest.seal(folder / "report")
    uri = new_store(folder)
    MlflowSink(uri, str(folder / "artifacts"), "trial").write(result, folder / "report")
    return MlflowClient(uri)


@pytest.fixture(scope="module")
def logged(store: MlflowClient) -> dict[str, LoggedRun]:
    """System -> run; the evaluation's is ``evaluation``."""
    experiment = store.get_experiment_by_name("trial")
    assert experiment is not None
    found = store.search_runs([experiment.experiment_id])
    return {run.data.tags.get("system", "evaluation"): run for run in found}


def numbers(result: EvalResult) -> dict[str, dict[str, float]]:
    """System -> metric -> value, as they would be sent."""
    return {sheet.name: {name: value for name, value, _ in sheet.points} for sheet in systems(result)}


def curve(store: MlflowClient, logged: dict[str, LoggedRun], name: str) -> dict[int, float]:
    history = store.get_metric_history(logged["evaluation"].info.run_id, f"over_top_k/{name}")
    points = {point.step: point.value for point in history}
    assert len(points) == len(history)
    return points


@pytest.mark.parametrize("metric", GAINS)
@pytest.mark.parametrize("top_k", TOP_KS)
def test_a_child_shows_the_gain_of_its_own_top_k_on_every_metric(
    logged: dict[str, LoggedRun], metric: str, top_k: int
) -> None:
    shown = logged[f"rerank@{top_k}"].data.metrics
    assert shown[f"{metric}_delta_points"] == pytest.approx(GAINS[metric][top_k], abs=POINTS)


def test_a_child_shows_its_gain_on_the_judged_metric_under_one_name(logged: dict[str, LoggedRun]) -> None:
    gains = {name: run.data.metrics["gain_points"] for name, run in logged.items()}
    # The evaluation repeats the top-k that was judged.
    assert gains == {"dense": 0, "rerank@1": 0, "rerank@6": 25, "rerank@10": 50, "evaluation": 50}
    relative = {name: run.data.metrics["gain_relative_percent"] for name, run in logged.items()}
    assert relative == {"dense": 0, "rerank@1": 0, "rerank@6": 100, "rerank@10": 200, "evaluation": 200}


def test_dense_gains_nothing_over_itself_for_certain(logged: dict[str, LoggedRun]) -> None:
    shown = logged["dense"].data.metrics
    zero = [*(f"{metric}_delta_points" for metric in GAINS), "gain_points_low", "gain_points_high", "headroom_points"]
    assert {name: shown[name] for name in zero} == dict.fromkeys(zero, 0.0)


def test_the_interval_is_that_of_the_comparison(logged: dict[str, LoggedRun], result: EvalResult) -> None:
    for name, top_k in (("rerank@6", 6), ("rerank@10", 10), ("evaluation", 10)):
        found = result.assessment.comparison(RECALL, top_k)
        assert found.ci_low is not None
        assert found.ci_high is not None
        shown = logged[name].data.metrics
        assert (shown["gain_points_low"], shown["gain_points_high"]) == pytest.approx(
            (found.ci_low, found.ci_high), abs=POINTS
        )
        assert shown["p_value"] == pytest.approx(found.p_adjusted, abs=SHARE)


@pytest.mark.parametrize("metric", MEANS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_child_shows_the_mean_of_its_own_system(logged: dict[str, LoggedRun], metric: str, system: str) -> None:
    assert logged[system].data.metrics[metric] == pytest.approx(MEANS[metric][system], abs=SHARE)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_child_shows_what_it_can_be_plotted_against(logged: dict[str, LoggedRun], system: str) -> None:
    """Numbers, so that the UI sorts and plots them."""
    shown = logged[system].data.metrics
    assert shown["judged_at_5"] == pytest.approx(JUDGED[system])
    assert shown["top_k"] == int(system.partition("@")[2] or 0)
    assert logged[system].data.params["top_k"] == str(int(shown["top_k"]))
    assert (shown["rerank_p50_ms"], shown["rerank_p95_ms"]) == LATENCY[system]


def test_what_is_plotted_is_there_for_every_system(result: EvalResult) -> None:
    shared = frozenset.intersection(*map(frozenset, numbers(result).values()))
    assert {"top_k", "gain_points", "gain_points_low", "gain_points_high", "rerank_p50_ms", "rerank_p95_ms"} <= shared
    assert set(MEANS) <= shared


def test_mlflow_chooses_the_gain_over_top_k_for_its_plots(logged: dict[str, LoggedRun]) -> None:
    """It takes the parameters that differ, and the first metric by name."""
    systems_ = [run for name, run in logged.items() if name != "evaluation"]
    assert {min(run.data.metrics) for run in logged.values()} == {"gain_points"}
    assert {frozenset(run.data.params) for run in systems_} == {frozenset({"top_k"})}


def test_points_for_time_are_gain_by_latency(logged: dict[str, LoggedRun]) -> None:
    """25 points for 20 ms, 50 for 40 ms."""
    shown = {name: logged[name].data.metrics["points_per_100_ms"] for name in ("rerank@6", "rerank@10", "evaluation")}
    assert shown == {"rerank@6": 125, "rerank@10": 125, "evaluation": 125}
    stage1 = logged["evaluation"].data.metrics
    assert (stage1["stage1_p50_ms"], stage1["stage1_p95_ms"], stage1["n_queries"]) == (9.5, 12.0, 2)


@pytest.mark.parametrize("metric", MEANS)
def test_the_parent_shows_means_with_top_k_as_the_step_from_dense(
    store: MlflowClient, logged: dict[str, LoggedRun], metric: str
) -> None:
    means = {int(system.partition("@")[2] or 0): MEANS[metric][system] for system in SYSTEMS}
    assert curve(store, logged, metric) == pytest.approx(means, abs=SHARE)


def test_the_parent_shows_gain_headroom_and_latency_over_top_k(
    store: MlflowClient, logged: dict[str, LoggedRun]
) -> None:
    assert curve(store, logged, "gain_points") == {0: 0, **GAINS["recall_at_5"]}
    assert curve(store, logged, "headroom_points") == {0: 0, **HEADROOM}
    assert curve(store, logged, "rerank_p95_ms") == {0: 0.0, 1: 6.0, 6: 24.0, 10: 47.25}
    assert curve(store, logged, "gain_points_low").keys() == {0, *TOP_KS}


def test_what_was_not_measured_is_not_sent(result: EvalResult) -> None:
    untimed = numbers(replace(result, latency=None))
    assert not [name for found in untimed.values() for name in found if name.endswith("_ms")]
    part = replace(result, latency=replace(result.latency, stage2=result.latency.stage2[:2]))  # type: ignore[type-var,union-attr]
    assert {name for name, found in numbers(part).items() if "rerank_p50_ms" in found} == set(SYSTEMS) - {"rerank@10"}


def test_what_an_early_stop_leaves_unknown_is_not_sent(result: EvalResult) -> None:
    """Only the interval of the sequence is known, and it is the verdict's."""
    early = stopped(result)
    assert not [name for found in numbers(early).values() for name in found if name.endswith(("_low", "_high"))]
    assert not [name for found in numbers(early).values() if "p_value" in found for name in found]
    sheet = evaluation(early)
    sent = {name: value for name, value, step in sheet.points if step == 0 and "/" not in name}
    assert (sent["gain_points_low"], sent["gain_points_high"]) == (13.0, 40.0)
    assert sheet.tags["interval"] == "+13.0 to +40.0"
