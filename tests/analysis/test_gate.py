"""What a result is held to: each rule by hand, and what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evalkit.analysis.gate import expectation_of, hold
from evalkit.errors import ConfigError
from evalkit.findings import Control, Expectation
from evalkit.result import EvalResult
from evalkit.rules import Rules, Ruling
from evalkit.types import Metric
from tests.analysis.evidence import RECALL
from tests.analysis.gains import gain_of
from tests.hits import MRR, result_by, stopped

NDCG = Metric("ndcg", 10)


@pytest.fixture(scope="module")
def result() -> EvalResult:
    """100 queries, a gain of 15 points with an interval from about +5 to +26, expected +12 to +18."""
    return result_by()


def gaining(result: EvalResult, points: float, low: float, high: float) -> EvalResult:
    """The same result with a made-up gain at the decision top-k."""
    found = gain_of(points, low, high, top_k=10)
    return replace(result, assessment=replace(result.assessment, comparisons=(found,)))


def ruling(result: EvalResult, name: str, **rules: Any) -> Ruling:
    """What came of one rule, which must be there exactly once."""
    (found,) = [one for one in hold(result, Rules(**rules)) if one.name == name]
    return found


# --- the expectation ---------------------------------------------------------------------------------

BELOW, BELOW_MAYBE = (8, 5, 11), (10, 5, 14)
MET, MET_MAYBE = (15, 13, 17), (15, 11, 19)
ABOVE, ABOVE_MAYBE = (22, 19, 25), (20, 16, 24)


@pytest.mark.parametrize(
    ("gain", "warn", "fail", "strict"),
    [
        (BELOW, "warned", "failed", "failed"),
        (BELOW_MAYBE, "warned", "failed", "failed"),
        (MET, "passed", "passed", "passed"),
        (MET_MAYBE, "passed", "passed", "inconclusive"),
        (ABOVE, "warned", "warned", "warned"),
        (ABOVE_MAYBE, "warned", "warned", "inconclusive"),
    ],
)
def test_what_a_verdict_means_is_the_policys_choice(
    result: EvalResult, gain: tuple[float, float, float], warn: str, fail: str, strict: str
) -> None:
    found = gaining(result, *gain)
    assert ruling(found, "expectation", expectation="warn").status == warn
    assert ruling(found, "expectation", expectation="fail").status == fail
    assert ruling(found, "expectation", expectation="strict").status == strict


def test_the_expectation_says_what_was_found(result: EvalResult) -> None:
    assert ruling(gaining(result, 8, 5, 11), "expectation").message == (
        "below: At top-k 10, recall@5 went from 0.500 to 0.580: +8.0 points (95 % interval +5.0 to +11.0, +16.0 % "
        "relative), below the expected +12 to +18."
    )


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, Expectation(RECALL, 10, 12, 18)),
        ({"min_points": 5.0}, Expectation(RECALL, 10, 5, None)),
        ({"max_points": 30.0}, Expectation(RECALL, 10, 12, 30)),
        ({"min_points": 5.0, "max_points": 9.0}, Expectation(RECALL, 10, 5, 9)),
        ({"decide_on": "lower_bound"}, Expectation(RECALL, 10, 12, 18, "lower_bound")),
        ({"top_k": 6}, Expectation(RECALL, 6, 12, 18)),
        ({"metric": MRR}, Expectation(MRR, 10, 12, 18)),
    ],
)
def test_rules_count_before_what_the_result_stored(
    result: EvalResult, rules: dict[str, Any], expected: Expectation
) -> None:
    assert expectation_of(result, Rules(**rules)) == expected


def test_another_band_is_judged_again(result: EvalResult) -> None:
    assert ruling(result, "expectation", expectation="fail", min_points=16.0).status == "failed"
    assert ruling(result, "expectation", expectation="fail", decide_on="lower_bound").status == "failed"
    assert ruling(result, "expectation", expectation="strict", min_points=5.0).status == "passed"


@pytest.mark.parametrize("rules", [{"top_k": 6}, {"metric": MRR}])
def test_another_decision_than_the_declared_one_is_told(result: EvalResult, rules: dict[str, Any]) -> None:
    found = ruling(result, "expectation", min_points=-20.0, **rules)
    assert found.status == "warned"
    assert "Before the run, recall@5 at top-k 10 was declared" in found.message
    assert "Before the run" not in ruling(result, "expectation", top_k=10).message


@pytest.mark.parametrize("rules", [{"top_k": 50}, {"metric": Metric("recall", 3)}])
def test_what_the_result_does_not_hold_is_one_error_that_lists_what_it_does(
    result: EvalResult, rules: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as caught:
        hold(result, Rules(**rules))
    assert "it holds recall@5, ndcg@10, mrr@5 at top-k 6, 10. evalkit report RESULT" in str(caught.value)


def test_a_band_that_ends_before_it_begins_is_refused(result: EvalResult) -> None:
    with pytest.raises(ConfigError, match="from 12 down to 5 points, with what the result stored; give min_points and"):
        hold(result, Rules(max_points=5.0))


# --- floors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("least", "status"), [(0.64, "passed"), (0.65 + 1e-12, "passed"), (0.66, "failed")])
def test_a_floor_is_held_to_the_mean_of_the_reranked_system(result: EvalResult, least: float, status: str) -> None:
    """65 of 100 queries hit; dense alone would pass none of these."""
    found = ruling(result, "floor recall@5", floors={RECALL: least})
    assert found.status == status
    assert "recall@5 of rerank@10 is 0.6500" in found.message
    assert f"{least:g}" in found.message


def test_a_floor_follows_the_decision_top_k(result: EvalResult) -> None:
    """rerank@6 hits the 45 queries that both hit."""
    assert "recall@5 of rerank@6 is 0.4500" in ruling(result, "floor recall@5", top_k=6, floors={RECALL: 0.5}).message


def test_a_floor_on_a_metric_that_was_not_computed_fails(result: EvalResult) -> None:
    found = ruling(result, "floor map", floors={Metric("map"): 0.1})
    assert found.status == "failed"
    assert (
        "map was not computed, so that nothing was held to 0.1; computed are recall@5, ndcg@10, mrr@5" in found.message
    )


# --- latency -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("budget", "status", "word"), [(62.5, "passed", "within"), (62, "failed", "over")])
def test_the_budget_is_held_to_both_stages(result: EvalResult, budget: float, status: str, word: str) -> None:
    """12.5 ms of stage 1 and 50 ms of stage 2 at top-k 10."""
    found = ruling(result, "latency", latency_p95_ms=budget)
    assert found.status == status
    assert found.message.startswith(f"p95 at top-k 10 is 62.5 ms (stage 1 12.5, stage 2 50.0), {word} the budget of")
    assert "measured 2026-01-02T03:04:05+00:00 on a processor, 2 cores" in found.message


def test_the_budget_follows_the_decision_top_k(result: EvalResult) -> None:
    assert "p95 at top-k 6 is 37.5 ms" in ruling(result, "latency", top_k=6, latency_p95_ms=40.0).message


def test_a_budget_without_any_latency_fails(result: EvalResult) -> None:
    latency = result.latency
    assert latency is not None
    others = replace(latency, stage2=tuple(one for one in latency.stage2 if one.top_k != 10))
    for measured in (None, others):
        found = ruling(replace(result, latency=measured), "latency", latency_p95_ms=1000.0)
        assert found.status == "failed"
        assert "none was measured at top-k 10, so that nothing was held to 1000 ms" in found.message


# --- self-checks, early stops, and all of them together ----------------------------------------------


def test_an_invalid_result_is_held_to_nothing_else(result: EvalResult) -> None:
    checks = (Control("pool", "passed", "fine"), Control("labels", "failed", "no better than chance"))
    invalid = replace(result, assessment=replace(result.assessment, controls=checks))
    rules = Rules(metric=Metric("map"), floors={RECALL: 1.0})
    assert hold(invalid, rules) == (
        Ruling("self-checks", "invalid", "failed, so that no number can be trusted: labels: no better than chance"),
    )


def test_self_checks_that_ask_for_a_look_pass_and_are_told(result: EvalResult) -> None:
    checks = (
        Control("pool", "passed", "fine"),
        Control("ties", "warned", "9 % tie"),
        Control("replay", "skipped", "-"),
    )
    found = ruling(replace(result, assessment=replace(result.assessment, controls=checks)), "self-checks")
    assert (found.status, found.message) == (
        "warned",
        "1 of 3 passed, not possible here: replay; look at ties: 9 % tie",
    )


def test_a_run_that_stopped_early_is_held_to_its_expectation() -> None:
    """The interval of the sequence, 13 to 40, lies above 12 and holds 18."""
    ended = stopped(result_by())
    assert ruling(ended, "expectation", expectation="fail").status == "passed"
    assert ruling(ended, "expectation", expectation="strict").status == "inconclusive"
    assert ruling(ended, "expectation", expectation="strict", max_points=50.0).status == "passed"


@pytest.mark.parametrize("rules", [{"min_points": 5.0}, {"top_k": 10, "metric": MRR}])
def test_a_run_that_stopped_early_answers_no_other_question(rules: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="on which side of 12 points of recall@5 at top-k 10 the gain lies"):
        hold(stopped(result_by()), Rules(**rules))


def test_rules_are_answered_in_order_and_only_where_they_are_asked(result: EvalResult) -> None:
    assert [one.name for one in hold(result, Rules(baseline=None))] == ["self-checks", "expectation"]
    rules = Rules(floors={NDCG: 0.1, RECALL: 0.1}, slices={"lang": 0.0}, latency_p95_ms=1000.0)
    assert [one.name for one in hold(result, rules)] == [
        "self-checks", "expectation", "floor ndcg@10", "floor recall@5", "slice lang", "latency", "baseline",
    ]  # fmt: skip


def test_without_a_baseline_a_line_says_so(result: EvalResult) -> None:
    found = ruling(result, "baseline")
    assert (found.status, found.message) == (
        "skipped",
        "there is none named made yet; evalkit baseline keeps this result as one",
    )
