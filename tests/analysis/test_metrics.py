"""Metrics: equal to pytrec_eval per query, to trec_eval's own output, and to hand calculations."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import pytrec_eval

from evalkit.analysis.metrics import KNOWN, judged_share, mean, measure, parse_metrics
from evalkit.data.judgments import read_judgments
from evalkit.errors import ConfigError
from evalkit.types import Metric, Qrels, Run
from tests.runs import read_run

PAIRS = {
    "recall@5": "recall_5",
    "ndcg@5": "ndcg_cut_5",
    "ndcg@10": "ndcg_cut_10",
    "hit_rate@5": "success_5",
    "mrr": "recip_rank",
    "map": "map",
    "precision@5": "P_5",
    "r-precision": "Rprec",
    "recall@50": "recall_50",
}
"""evalkit's name -> trec_eval's. mrr@10 has no counterpart there: see the hand calculation."""


def second_implementation(scores: Mapping[str, Mapping[str, float]], qrels: Qrels) -> Mapping[str, Mapping[str, float]]:
    evaluator = pytrec_eval.RelevanceEvaluator({query: dict(grades) for query, grades in qrels.items()}, PAIRS.values())
    return evaluator.evaluate({query: dict(documents) for query, documents in scores.items()})  # type: ignore[no-any-return]


def raw_scores(path: Path) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        query, _, document, _, score = line.split()[:5]
        scores.setdefault(query, {})[document] = float(score)
    return scores


def assert_agrees(run: Run, scores: Mapping[str, Mapping[str, float]], qrels: Qrels) -> None:
    ours = measure(run, qrels, parse_metrics(list(PAIRS)))
    theirs = second_implementation(scores, qrels)
    compared = 0
    for text, name in PAIRS.items():
        for query, value in ours[Metric.parse(text)].items():
            expected = theirs[query][name] if query in theirs else 0.0
            assert value == pytest.approx(expected, abs=1e-9), (text, query)
            compared += 1
    assert compared >= len(PAIRS)


def test_agrees_with_pytrec_eval_on_trec_evals_own_fixtures(shared_data: Path) -> None:
    folder = shared_data / "trec_eval-fixtures"
    qrels = read_judgments(folder / "qrels.test").grades
    assert_agrees(read_run(folder / "results.test"), raw_scores(folder / "results.test"), qrels)


def test_agrees_with_trec_evals_printed_values(shared_data: Path) -> None:
    """``out.test.aq`` is what trec_eval prints for these files: four digits, per query."""
    folder = shared_data / "trec_eval-fixtures"
    ours = measure(
        read_run(folder / "results.test"),
        read_judgments(folder / "qrels.test").grades,
        parse_metrics(["map", "mrr", "r-precision", "precision@5", "precision@10"]),
    )
    names = {"map": "map", "recip_rank": "mrr", "Rprec": "r-precision", "P5": "precision@5", "P10": "precision@10"}
    compared = 0
    for line in (folder / "out.test.aq").read_text().splitlines():
        name, query, value = line.split()
        metric = names.get(name.replace("_", "") if name.startswith("P_") else name)
        if metric is None or query not in ours[Metric.parse(metric)]:
            continue
        assert ours[Metric.parse(metric)][query] == pytest.approx(float(value), abs=5.01e-5), (name, query)
        compared += 1
    assert compared == 3 * len(names)


def data_sets() -> list[str]:
    from tests.conftest import SHARED

    return sorted(path.parent.parent.name for path in SHARED.glob("*/runs/bm25.trec"))


@pytest.mark.parametrize("name", data_sets() or ["absent"])
def test_agrees_with_pytrec_eval_and_the_published_means_on_real_runs(shared_data: Path, name: str) -> None:
    folder = shared_data / name
    qrels = read_judgments(folder / "qrels" / "test.tsv").grades
    run = read_run(folder / "runs" / "bm25.trec")
    assert_agrees(run, raw_scores(folder / "runs" / "bm25.trec"), qrels)
    published = json.loads((folder / "reference_metrics.json").read_text())["metrics"]["bm25"]
    names = {
        "ndcg_cut_10": "ndcg@10",
        "recall_5": "recall@5",
        "recall_10": "recall@10",
        "recall_50": "recall@50",
        "recip_rank": "mrr",
        "map": "map",
    }
    ours = measure(run, qrels, parse_metrics(list(names.values())))
    for theirs, text in names.items():
        assert mean(ours[Metric.parse(text)]) == pytest.approx(published[theirs], abs=5.01e-6), text
    assert published["queries_averaged"] == len(ours[Metric("map")])


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_pytrec_eval_on_runs_full_of_ties(seed: int, tmp_path: Path) -> None:
    """Scores of three values over 60 documents, graded and negative judgments."""
    chance = random.Random(seed)
    documents = [f"d{number}" for number in range(60)]
    qrels = {f"q{n}": {d: chance.choice([-1, 0, 0, 1, 2, 3]) for d in chance.sample(documents, 20)} for n in range(30)}
    scores = {query: {d: float(chance.choice([1, 2, 3])) for d in chance.sample(documents, 40)} for query in qrels}
    path = tmp_path / "ties.trec"
    path.write_text("".join(f"{q} Q0 {d} 0 {s} t\n" for q, found in scores.items() for d, s in found.items()))
    assert_agrees(read_run(path), scores, qrels)


def test_a_constant_run_gets_no_gift_from_ties() -> None:
    """Ranx alone breaks ties as it likes above about 15 items; the relevant document stands last here."""
    documents = tuple(f"d{number:02}" for number in range(30))
    values = measure(Run("constant", {"q": documents}), {"q": {"d29": 1}}, parse_metrics(["ndcg@10", "recall@5"]))
    assert [found["q"] for found in values.values()] == [0.0, 0.0]


def test_hand_calculation() -> None:
    """Relevant: b (grade 2) at rank 2, d (grade 1) at rank 4, x not retrieved."""
    run = Run("hand", {"q": ("a", "b", "c", "d", "e")})
    values = measure(
        run,
        {"q": {"b": 2, "d": 1, "x": 1}},
        parse_metrics(["recall@5", "ndcg@5", "mrr@10", "mrr@1", "hit_rate@5"]),
    )
    dcg = 2 / math.log2(3) + 1 / math.log2(5)
    ideal = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    expected = [2 / 3, dcg / ideal, 1 / 2, 0.0, 1.0]
    assert [found["q"] for found in values.values()] == pytest.approx(expected, abs=1e-12)


def test_recall_counts_all_positives_even_when_there_are_more_than_the_cutoff() -> None:
    documents = tuple(f"d{number}" for number in range(8))
    values = measure(Run("perfect", {"q": documents}), {"q": dict.fromkeys(documents, 1)}, [Metric("recall", 5)])
    assert values[Metric("recall", 5)]["q"] == 0.625


def test_unanswered_queries_score_zero_and_queries_without_positives_do_not_count() -> None:
    qrels = {"answered": {"a": 1}, "unanswered": {"a": 1}, "empty": {"a": 1}, "nothing relevant": {"a": 0}}
    values = measure(Run("r", {"answered": ("a",), "empty": ()}), qrels, [Metric("recall", 5)])[Metric("recall", 5)]
    assert values == {"answered": 1.0, "unanswered": 0.0, "empty": 0.0}
    assert mean(values) == pytest.approx(1 / 3)


def test_a_run_that_answers_nothing_scores_zero() -> None:
    assert measure(Run("r", {}), {"q": {"a": 1}}, [Metric("map")]) == {Metric("map"): {"q": 0.0}}


def test_judged_share_is_the_mean_over_queries_of_the_judged_part_of_the_top() -> None:
    run = Run("r", {"q1": ("a", "b", "c", "d", "e", "f"), "q2": ("a", "b")})
    assert judged_share(run, {"q1": {"a": 1, "c": 0, "f": 1}, "q2": {"b": 1}}) == pytest.approx((2 / 5 + 1 / 2) / 2)


def test_the_known_names_are_ranxs_without_those_that_are_no_share() -> None:
    import inspect

    from ranx.metrics import metric_switch

    offered = set(re.findall(r'metric == "([^"]+)"', inspect.getsource(metric_switch)))
    assert offered - set(KNOWN) == {"hits", "dcg", "dcg_burges", "bpref"}
    assert set(KNOWN) <= offered


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_metric_can_be_measured(name: str) -> None:
    text = "rbp.95" if name == "rbp" else name
    values = measure(Run("r", {"q": ("a", "b")}), {"q": {"a": 1, "b": 0}}, parse_metrics([text]))
    assert values[Metric.parse(text)]["q"] > 0


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        ([], "no metric is configured"),
        (["recal@5"], "unknown metric 'recal'. Did you mean recall?"),
        (["recall@5", "recall@5"], "configured twice"),
        (["recall@0"], "is not a metric"),
        (["Recall at 5"], "is not a metric"),
        (["rbp@10"], "or rbp.95"),
        (["rbp.0"], "looks at nothing"),
        (["bpref"], "unknown metric 'bpref'"),
        (["recall@5-l2"], "is not a metric"),
    ],
)
def test_unusable_metrics_are_refused(texts: list[str], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_metrics(texts)
    assert what in str(caught.value)
