"""A result against a kept one: drops by hand, what cannot be compared, and how often chance alone raises an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.analysis.regression import Baseline, regression
from evalkit.baseline import read, write
from evalkit.errors import ConfigError
from evalkit.findings import Control
from evalkit.rules import Rules, Ruling
from evalkit.types import Metric
from tests.analysis.evidence import RECALL
from tests.hits import GAINING, result_by, stopped

ANY = Rules(tolerance_points=0.0)
BOTH = Rules(allow_changed=("embedder", "reranker"))
OTHER_EMBEDDER = Rules(tolerance_points=0.0, allow_changed=("embedder",))


def kept(reranked: Sequence[float], dense: Sequence[float] | None = None, **changes: Any) -> Baseline:
    """A baseline of these values; dense is 0.5 throughout where none is given."""
    before = [0.5] * len(reranked) if dense is None else dense
    parts: dict[str, Any] = {
        "run_id": "20260101-000000-aaaaaa",
        "created": "2026-01-01T00:00:00+00:00",
        "dataset": "made",
        "digest": "d" * 64,
        "qrels_digest": "e" * 64,
        "metric": RECALL,
        "top_k": 10,
        "fingerprints": {"embedder": {"weights": "words"}, "reranker": {"weights": "overlap", "max_length": 512}},
        "families": {},
        "dense": {f"q{place}": float(value) for place, value in enumerate(before)},
        "reranked": {f"q{place}": float(value) for place, value in enumerate(reranked)},
    }
    return Baseline(**{**parts, **changes})


def lost(count: int, of: int = 100, won: int = 0) -> Ruling:
    """The ruling where so many queries fell from 1 to 0, and so many rose."""
    before = [1.0] * count + [0.0] * (of - count)
    after = [0.0] * count + [1.0] * won + [0.0] * (of - count - won)
    return regression(kept(after), kept(before), ANY)


# --- drops by hand -----------------------------------------------------------------------------------


def test_five_losses_are_a_drop_and_four_could_be_chance() -> None:
    """Of the 32 patterns of five signs one is as low, 1/32 = 0.031; of the 16 of four, 1/16 = 0.0625."""
    assert lost(5).status == "failed"
    assert "recall@5 of rerank@10 (p = 0.031)" in lost(5).message
    assert "recall@5 of rerank@10 by -5.0 points" in lost(5).message
    assert lost(4).status == "passed"


def test_wins_make_up_for_losses() -> None:
    """Seven losses and two wins: 1 + 9 + 36 of 512 patterns have at most two wins, 46/512 = 0.09."""
    assert lost(7).status == "failed"
    assert lost(7, won=2).status == "passed"


@pytest.mark.parametrize(("tolerance", "status"), [(0.0, "failed"), (4.9, "failed"), (5.0, "passed"), (6.0, "passed")])
def test_a_drop_up_to_the_tolerance_is_none(tolerance: float, status: str) -> None:
    """Five points, p = 0.031."""
    before, after = [1.0] * 5 + [0.0] * 95, [0.0] * 100
    found = regression(kept(after), kept(before), Rules(tolerance_points=tolerance))
    assert found.status == status
    assert f"tolerance_points={tolerance:g}" in found.message


def test_families_are_drawn_together() -> None:
    """Ten losses are 1/1024 alone; in two families, two signs, 1/4."""
    before, after = [1.0] * 10 + [0.0] * 90, [0.0] * 100
    families = {f"q{place}": f"f{place // 5}" for place in range(10)}
    assert regression(kept(after), kept(before), ANY).status == "failed"
    grouped = regression(kept(after, families=families), kept(before, families=families), ANY)
    assert grouped.status == "passed"


def test_a_better_embedder_hides_no_loss_of_gain() -> None:
    """Dense rises in six queries and reranked stays: the gain drops by 6 points, p = 1/64 = 0.016."""
    before = kept([1.0] * 100, [0.0] * 6 + [1.0] * 94)
    after = kept([1.0] * 100, [1.0] * 100, fingerprints={**before.fingerprints, "embedder": {"weights": "better"}})
    found = regression(after, before, OTHER_EMBEDDER)
    assert found.status == "failed"
    assert "recall@5 of rerank@10 by +0.0 and the gain over stage 1 by -6.0 points" in found.message
    assert "beyond chance: the gain over stage 1 (p = 0.016)" in found.message


def test_a_worse_embedder_fails_by_the_metric_although_the_gain_grows() -> None:
    """Both lose six queries, dense four more: the metric drops by 6 points, the gain grows by 4."""
    before = kept([1.0] * 100, [1.0] * 100)
    after = kept([0.0] * 6 + [1.0] * 94, [0.0] * 10 + [1.0] * 90)
    found = regression(after, before, ANY)
    assert "by -6.0 and the gain over stage 1 by +4.0 points" in found.message
    assert "beyond chance: recall@5 of rerank@10 (p = " in found.message
    assert found.status == "failed"


def test_a_gain_may_turn_round_by_two_whole_steps() -> None:
    """From 0 and 1 to 1 and 0, dense and reranked: the gain of that query falls from +1 to -1."""
    before, after = kept([1.0] * 8, [0.0] * 8), kept([0.0] * 8, [1.0] * 8)
    found = regression(after, before, ANY)
    assert "by -100.0 and the gain over stage 1 by -200.0 points" in found.message
    assert found.status == "failed"


def test_a_pass_says_which_drop_would_have_been_found() -> None:
    """Nothing differs: five of 100 have to drop, which a drop of 6.72 gives four times out of five.

    Beyond 10 more it is 10 + 0.84162 x 1.96.
    """
    values = [1.0, 0.0] * 50
    assert "about 6.7 points would have been found" in regression(kept(values), kept(values), ANY).message
    beyond = regression(kept(values), kept(values), Rules(tolerance_points=10.0))
    assert "about 11.6 points would have been found" in beyond.message


def test_a_pass_says_it_of_both_where_dense_changed_too() -> None:
    """One query of dense rose by 0.5. A gain moves in steps of 2, and is known half as well.

    Half its change is -0.25, squared 0.0625: 2 x 2.48647 x (0.0625 + 3.8415)**0.5 / 100 is 9.83 points.
    """
    values = [1.0, 0.0] * 50
    found = regression(kept(values, [1.0] + [0.5] * 99), kept(values), ANY)
    assert "about 6.7 and 9.8 points would have been found" in found.message


# --- what cannot be compared ---------------------------------------------------------------------------

SAME = [1.0, 0.0] * 10


def test_the_order_of_the_queries_does_not_matter() -> None:
    side = kept(SAME)
    turned = replace(side, reranked=dict(reversed(side.reranked.items())), dense=dict(reversed(side.dense.items())))
    assert regression(turned, side, ANY) == regression(side, side, ANY)
    assert regression(turned, side, ANY).status == "passed"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"digest": "f" * 64}, "data set made dddddddddddd in the baseline, made ffffffffffff here"),
        ({"qrels_digest": "f" * 64}, "judgments eeeeeeeeeeee in the baseline, ffffffffffff here"),
        ({"metric": Metric("ndcg", 10)}, "metric recall@5 in the baseline, ndcg@10 here"),
        ({"top_k": 30}, "top-k 10 in the baseline, 30 here"),
        ({"families": {"q1": "f", "q2": "f"}}, "query families 0 of 0 queries in the baseline, 1 of 2 queries here"),
    ],
)
def test_another_question_is_not_comparable(changes: dict[str, Any], what: str) -> None:
    """Whatever the numbers: here every query is lost."""
    found = regression(kept([0.0] * 20, **changes), kept([1.0] * 20), Rules(allow_changed=("embedder", "reranker")))
    assert found.status == "error"
    assert found.message == (
        f"not comparable with 20260101-000000-aaaaaa of 2026-01-01T00:00:00+00:00: {what}. Keep a new baseline from a "
        "run as it should be: evalkit baseline"
    )


def test_other_queries_are_counted_and_not_named() -> None:
    found = regression(kept([1.0] * 22), replace(kept([1.0] * 21), dense={}, reranked={"other": 1.0, "q0": 1.0}), ANY)
    assert "1 queries of the baseline are not here, 21 of 22 are new" in found.message
    assert "q0" not in found.message


@pytest.mark.parametrize(
    ("model", "fingerprint", "what"),
    [
        ("reranker", {"weights": "overlap", "max_length": 256}, "reranker.max_length 512 in the baseline, 256 here"),
        ("reranker", {"weights": "overlap"}, "reranker.max_length 512 in the baseline, absent here"),
        ("embedder", {"weights": "words", "pooling": None}, "embedder.pooling absent in the baseline, None here"),
        ("embedder", {"weights": "other"}, "embedder.weights 'words' in the baseline, 'other' here"),
    ],
)
def test_a_changed_model_is_not_comparable_unless_it_is_allowed(
    model: str, fingerprint: dict[str, Any], what: str
) -> None:
    before = kept(SAME)
    after = replace(before, fingerprints={**before.fingerprints, model: fingerprint})
    refused = regression(after, before, ANY)
    assert refused.status == "error"
    assert f": {what}. Keep a new baseline" in refused.message
    assert refused.message.endswith(f"Where the change is what you want to try: gate.allow_changed=[{model}]")
    accepted = regression(after, before, Rules(allow_changed=(model,)))
    assert accepted.status == "warned"
    assert accepted.message.endswith(f"Allowed to differ: {what}.")


def test_one_allowed_model_does_not_allow_the_other() -> None:
    before = kept(SAME)
    after = replace(before, fingerprints={"embedder": {"weights": "a"}, "reranker": {"weights": "b"}})
    found = regression(after, before, Rules(allow_changed=("reranker",)))
    assert found.status == "error"
    assert "reranker.weights" not in found.message
    assert found.message.endswith("gate.allow_changed=[reranker,embedder]")


def test_an_allowed_change_of_models_is_held_all_the_same() -> None:
    before = kept([1.0] * 20)
    after = kept([0.0] * 20, fingerprints={**before.fingerprints, "reranker": {"weights": "worse"}})
    found = regression(after, before, Rules(allow_changed=("reranker",)))
    assert found.status == "failed"
    assert "Allowed to differ: reranker.weights 'overlap' in the baseline, 'worse' here" in found.message


# --- taken from a result -------------------------------------------------------------------------------


def test_a_baseline_keeps_the_decision_of_a_result() -> None:
    result = result_by(GAINING, families={"q0": "f", "q1": "f"})
    found = Baseline.of(result, result.assessment.verdict.expectation)
    dense, reranked = GAINING
    assert list(found.dense.values()) == [float(value) for value in dense]
    assert list(found.reranked.values()) == [float(value) for value in reranked]
    assert (found.metric, found.top_k, found.system) == (RECALL, 10, "rerank@10")
    assert found.families == {"q0": "f", "q1": "f"}
    assert found.gain_points == pytest.approx(15)
    assert (found.dataset, found.digest, found.run_id) == ("made", result.dataset.digest, result.run_id)
    assert regression(found, found, Rules()).status == "passed"


def kept_with(**config: Any) -> Baseline:
    """Of one result whose run was configured so."""
    result = result_by()
    told = replace(result.provenance, config={**result.provenance.config, **config})
    return Baseline.of(replace(result, provenance=told), result.assessment.verdict.expectation)


CUT = {"stage1": "cut", "stage2": "cut", "overlap": 64}


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (
            {"long_documents": CUT | {"stage2": "windows"}},
            "long_documents.stage2 'cut' in the baseline, 'windows' here",
        ),
        (
            {"long_documents": CUT | {"stage1": "windows"}},
            "long_documents.stage1 'cut' in the baseline, 'windows' here",
        ),
        ({"retrieval": {"exclude_self": True}}, "retrieval.exclude_self False in the baseline, True here"),
    ],
)
def test_what_becomes_of_documents_must_be_the_same_whatever_models_may_differ(
    changed: dict[str, Any], what: str
) -> None:
    found = regression(kept_with(**{"long_documents": CUT, **changed}), kept_with(long_documents=CUT), BOTH)
    assert found.status == "error"
    assert what in found.message
    assert "gate.allow_changed" not in found.message


def test_the_overlap_of_windows_counts_where_there_are_any() -> None:
    windows = CUT | {"stage2": "windows"}
    narrow, wide = (kept_with(long_documents=windows | {"overlap": overlap}) for overlap in (32, 64))
    assert "long_documents.overlap 64 in the baseline, 32 here" in regression(narrow, wide, BOTH).message
    narrow, wide = (kept_with(long_documents=CUT | {"overlap": overlap}) for overlap in (32, 64))
    assert regression(narrow, wide, BOTH).status == "passed"


def test_a_run_file_is_held_by_its_digest_and_not_by_its_place(tmp_path: Path) -> None:
    """The digest is the fingerprint of the embedder; what is kept can be written and read."""
    here, there = (kept_with(retrieval={"exclude_self": False, "run": {"path": path}}) for path in ("a", "b"))
    assert regression(here, there, Rules()).status == "passed"
    write(here, tmp_path / "made.json")
    assert read(tmp_path / "made.json") == here


def test_nothing_is_kept_of_an_invalid_result_or_one_that_stopped_early() -> None:
    result = result_by()
    expectation = result.assessment.verdict.expectation
    failed = (Control("labels", "failed", "no better than chance"),)
    with pytest.raises(ConfigError, match="is invalid, so that nothing can be held against it"):
        Baseline.of(replace(result, assessment=replace(result.assessment, controls=failed)), expectation)
    with pytest.raises(ConfigError, match="a sequential run, whose estimates are biased where it stops early"):
        Baseline.of(stopped(result), expectation)


# --- how often it is wrong -----------------------------------------------------------------------------


def alarms(worse_by: float, pairs: int, tolerance: float, seed: int = 0) -> float:
    """Share of simulated pairs that fail: 80 queries, dense and reranked drawn twice from the same questions.

    A question is hit by chance, with a probability of its own; the second reranker misses ``worse_by`` of its hits.
    """
    rng = np.random.default_rng(seed)
    failed = 0
    for _ in range(pairs):
        easy = rng.beta(0.6, 0.4, 80)
        first, second = (kept(rng.random(80) < easy, rng.random(80) < easy * 0.8) for _ in range(2))
        missed = rng.random(80) < worse_by
        values = zip(second.reranked.items(), missed, strict=True)
        second = replace(second, reranked={key: 0.0 if miss else value for (key, value), miss in values})
        failed += regression(second, first, Rules(tolerance_points=tolerance), resamples=300).status == "failed"
    return failed / pairs


def test_without_a_change_at_most_one_in_twenty_is_called_a_drop() -> None:
    """400 pairs: 5 % and three standard errors are 8.3 %. Without the test of significance it would be half."""
    assert 0 < alarms(0.0, 400, tolerance=0.0) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert alarms(0.0, 200, tolerance=5.0, seed=1) <= 0.05


def test_a_large_drop_is_found() -> None:
    assert alarms(0.35, 100, tolerance=1.0) >= 0.9
