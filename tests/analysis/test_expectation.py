"""The promised gain against the measured one."""

from __future__ import annotations

import pytest

from evalkit.analysis.comparison import compare
from evalkit.analysis.expectation import check_sweep, judge
from evalkit.errors import ConfigError
from evalkit.result import Comparison, Expectation
from evalkit.types import Metric, System

RECALL = Metric("recall", 5)
EXPECTED = Expectation(RECALL, 50, 12, 18)


def gain_of(points: float, headroom: float = 40.0) -> Comparison:
    before = 0.5
    return compare(
        RECALL, System("reranked", 50), {"q": before}, {"q": before + points / 100}, {"q": before + headroom / 100}
    )


@pytest.mark.parametrize(
    ("points", "status"), [(-3.0, "below"), (11.9, "below"), (12.5, "met"), (17.9, "met"), (18.1, "above")]
)
def test_the_flag_follows_the_estimate(points: float, status: str) -> None:
    assert judge(gain_of(points), EXPECTED).status == status


def test_the_edges_belong_to_the_band() -> None:
    """Values that binary fractions hold exactly."""
    expected = Expectation(RECALL, 50, 12.5, 25)
    assert judge(gain_of(12.5), expected).status == "met"
    assert judge(gain_of(25), expected).status == "met"


@pytest.mark.parametrize("n", [50, 100, 200, 250, 300])
def test_a_gain_on_the_edge_is_in_the_band_whatever_floating_point_makes_of_it(n: int) -> None:
    """Exact gains of 12 and 18 points at many baselines: (a + gain) / n - a / n is not gain / n."""
    for gain in (12, 18):
        hits = gain * n // 100
        assert hits * 100 == gain * n
        for before in range(n - hits):
            dense = {f"q{place}": float(place < before) for place in range(n)}
            after = {f"q{place}": float(place < before + hits) for place in range(n)}
            found = compare(RECALL, System("reranked", 50), dense, after, after)
            assert judge(found, EXPECTED).status == "met", (n, gain, before)


def test_the_reason_gives_points_and_percent_and_room() -> None:
    reason = judge(gain_of(6.5, headroom=13), EXPECTED).reason
    assert "+6.5 points (+13.0 % relative), below the expected +12 to +18" in reason
    assert "headroom was 13.0 points, of which 50 % was captured" in reason
    assert "cannot be reached" not in reason


def test_an_unreachable_band_is_said() -> None:
    assert "even a perfect reranker would gain only 7.0 points" in judge(gain_of(3, headroom=7), EXPECTED).reason


def test_no_interval_no_claim_of_certainty() -> None:
    verdict = judge(gain_of(30), EXPECTED)
    assert (verdict.conclusive, verdict.ci_low, verdict.ci_high) == (False, None, None)


@pytest.mark.parametrize(
    ("top_ks", "metrics", "documents", "what"),
    [
        ((10, 20), (RECALL,), None, "expectation.top_k is 50, which sweep.top_k [10, 20] does not hold"),
        ((50,), (Metric("map"),), None, "expectation.metric is recall@5, which is not computed"),
        ((10, 50), (RECALL,), 40, "the decision top-k 50 is larger than the corpus of 40 documents"),
        ((50, 100), (RECALL,), 60, "top-k 100 is larger than the corpus of 60 documents"),
        ((0, 50), (RECALL,), None, "distinct whole numbers of at least 1"),
        ((50, 50), (RECALL,), None, "distinct whole numbers of at least 1"),
        ((), (RECALL,), None, "distinct whole numbers of at least 1"),
    ],
)
def test_a_sweep_that_cannot_answer_is_refused(
    top_ks: tuple[int, ...], metrics: tuple[Metric, ...], documents: int | None, what: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_sweep(top_ks, metrics, EXPECTED, documents)
    assert what in str(caught.value)


def test_a_sweep_that_can_answer_passes() -> None:
    check_sweep((1, 10, 50), (RECALL,), EXPECTED, 50)
    assert EXPECTED.top_k == 50
