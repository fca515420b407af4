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

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as LoggedRun

from evalkit.analysis.assess import assess
from evalkit.analysis.metrics import parse_metrics
from evalkit.record import Provenance
from evalkit.result import EvalResult, Evidence, Subject
from evalkit.sinks.mlflow import MlflowSink
from evalkit.types import Candidate
from tests.analysis.evidence import RECALL, design_of, scoring_of

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
HEADROOMS = {
    # Within 6, d6 can come first for "one", and d1 is first for "two"; within 10, d9 can follow d1.
    "recall_at_5": {1: 0.0, 6: 50.0, 10: 75.0},
    "mrr_at_10": {1: 0.0, 6: 500 / 12, 10: 500 / 12},
    "ndcg_at_10": {1: 0.0, 6: 50 * (1 - gain(6)), 10: 50 * (1 - gain(6) + 1 - (gain(1) + gain(9)) / IDEAL)},
}
JUDGED = {"dense": 0.1, "rerank@1": 0.1, "rerank@6": 0.1, "rerank@10": 0.2}


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
    )


@pytest.fixture(scope="module")
def store(result: EvalResult, tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    (folder / "report").mkdir()
    MlflowSink(uri, str(folder / "artifacts"), "trial").write(result, folder / "report")
    return MlflowClient(uri)


@pytest.fixture(scope="module")
def logged(store: MlflowClient) -> dict[str, LoggedRun]:
    """Run name -> run; the parent's name is the result's id."""
    experiment = store.get_experiment_by_name("trial")
    assert experiment is not None
    return {run.info.run_name: run for run in store.search_runs([experiment.experiment_id])}


@pytest.fixture(scope="module")
def parent_id(result: EvalResult, logged: dict[str, LoggedRun]) -> str:
    return str(logged[result.run_id].info.run_id)


@pytest.mark.parametrize("metric", GAINS)
@pytest.mark.parametrize("top_k", TOP_KS)
def test_a_child_shows_the_gain_of_its_own_top_k_on_every_metric(
    logged: dict[str, LoggedRun], metric: str, top_k: int
) -> None:
    shown = logged[f"rerank@{top_k}"].data.metrics
    assert shown[f"{metric}_delta_points"] == pytest.approx(GAINS[metric][top_k])


def test_dense_gains_nothing_over_itself(logged: dict[str, LoggedRun]) -> None:
    shown = logged["dense"].data.metrics
    assert {metric: shown[f"{metric}_delta_points"] for metric in GAINS} == dict.fromkeys(GAINS, 0.0)


@pytest.mark.parametrize("metric", MEANS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_child_shows_the_mean_of_its_own_system(logged: dict[str, LoggedRun], metric: str, system: str) -> None:
    assert logged[system].data.metrics[metric] == pytest.approx(MEANS[metric][system])


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_child_shows_how_much_of_its_top_5_is_judged(logged: dict[str, LoggedRun], system: str) -> None:
    assert logged[system].data.metrics["judged_at_5"] == pytest.approx(JUDGED[system])


@pytest.mark.parametrize("metric", GAINS)
def test_the_parent_shows_mean_gain_and_headroom_with_top_k_as_the_step(
    store: MlflowClient, parent_id: str, metric: str
) -> None:
    means = {top_k: MEANS[metric][f"rerank@{top_k}"] for top_k in TOP_KS}
    for suffix, expected in (("", means), ("_delta_points", GAINS[metric]), ("_headroom_points", HEADROOMS[metric])):
        history = store.get_metric_history(parent_id, metric + suffix)
        assert {point.step: point.value for point in history} == pytest.approx(expected), suffix
        assert len(history) == len(TOP_KS)


def test_the_parent_shows_the_gain_that_was_judged(store: MlflowClient, parent_id: str) -> None:
    """recall@5 at top-k 10: from 0.25 to 0.75."""
    (point,) = store.get_metric_history(parent_id, "gain_points")
    assert (point.step, point.value) == (0, pytest.approx(50.0))
