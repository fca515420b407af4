"""Values refuse what makes no sense and say why."""

from __future__ import annotations

import math

import pytest

from evalkit.errors import ConfigError, DataError, EvalkitError, ModelError
from evalkit.result import Expectation
from evalkit.types import Candidate, Document, Metric, Query, Run, System


@pytest.mark.parametrize("text", ["recall@5", "ndcg@10", "map", "hit_rate@5", "r-precision", "rbp.95", "f1@3"])
def test_a_metric_parses_back_to_itself(text: str) -> None:
    assert str(Metric.parse(text)) == text


def test_equal_metrics_are_one_key() -> None:
    assert {Metric.parse("recall@5"): 1}[Metric("recall", 5)] == 1


@pytest.mark.parametrize(
    "text",
    ["", "@5", "recall@", "recall@05", "recall @5", "recall@5-l2", "Recall@5", "rbp", "rbp@5", "rbp.95@5", "rbp.950"],
)
def test_other_texts_are_not_metrics(text: str) -> None:
    with pytest.raises(ConfigError, match="such as recall@5"):
        Metric.parse(text)


def test_models_read_title_and_text() -> None:
    assert Document("d", "text", "title").content == "title text"
    assert Document("d", "text").content == "text"


def test_ids_and_questions_are_never_empty() -> None:
    with pytest.raises(DataError, match="empty id"):
        Document("", "text")
    with pytest.raises(DataError, match="'q' has no text"):
        Query("q", " \n")


def test_a_run_ranks_a_document_once() -> None:
    with pytest.raises(DataError, match="'q'"):
        Run("r", {"q": ("a", "b", "a")})


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_scores_are_finite(score: float) -> None:
    with pytest.raises(ModelError, match="finite number"):
        Candidate("d", 1, score)
    with pytest.raises(ModelError, match="finite number"):
        Candidate("d", 1, 0.5, score)


def test_systems_are_named_after_their_top_k() -> None:
    assert System("dense").name == "dense"
    assert System("reranked", 50).name == "rerank@50"
    for stage, top_k in (("dense", 5), ("reranked", None), ("reranked", 0)):
        with pytest.raises(ConfigError):
            System(stage, top_k)  # type: ignore[arg-type]


@pytest.mark.parametrize("top_k", [1, 3, 5])
def test_a_decision_top_k_at_or_below_the_cutoff_is_refused(top_k: int) -> None:
    """The top 5 holds the same documents before and after: the delta is 0 whatever the reranker does."""
    with pytest.raises(ConfigError, match="choose a top_k above 5"):
        Expectation(Metric("recall", 5), top_k, 12, 18)


def test_a_band_is_not_upside_down() -> None:
    with pytest.raises(ConfigError, match="swap them"):
        Expectation(Metric("recall", 5), 50, 18, 12)


def test_exit_codes_follow_the_family_of_the_error() -> None:
    assert EvalkitError.exit_code == ConfigError.exit_code == DataError.exit_code == 2


@pytest.mark.parametrize(
    ("text", "unmoved"), [("recall@5", 5), ("hit_rate@3", 3), ("ndcg@10", 1), ("mrr@10", 1), ("map", 1)]
)
def test_metrics_that_count_alone_need_more_candidates_than_their_cutoff(text: str, unmoved: int) -> None:
    """The order within the top 5 is nothing to recall@5; two candidates swapped change nDCG@10."""
    metric = Metric.parse(text)
    assert metric.unmoved == unmoved
    assert Expectation(metric, unmoved + 1, 12, 18).top_k == unmoved + 1
    with pytest.raises(ConfigError, match=f"choose a top_k above {unmoved}"):
        Expectation(metric, unmoved, 12, 18)
