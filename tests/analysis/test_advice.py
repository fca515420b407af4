"""Each piece of advice follows from evidence that is made up here, and is absent without it.

The band is +12 to +18 points of recall@5 at top-k 50.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from evalkit.analysis.advice import advise
from evalkit.analysis.assess import assess
from evalkit.findings import Attribution, Comparison, Control, Expectation, Status, Verdict
from evalkit.parts import LanguageBias, LanguageGain, Languages
from evalkit.record import Scoring
from evalkit.result import Evidence, ValuesOf
from evalkit.types import Metric
from tests.analysis.evidence import RECALL, design_of, listed, scoring_of, subject_of
from tests.analysis.gains import bias_of, cell_of, gain_of

EXPECTED = Expectation(RECALL, 50, 12, 18)
FATES = Attribution(
    metric=RECALL,
    top_k=50,
    kept_points=45,
    promoted_points=8,
    demoted_points=5,
    missed_by_reranker_points=12,
    missed_by_stage1_points=24,
    capped_points=6,
    delta_points=3,
)
"""Dense has 50 points of recall, 24 lie beyond its first 50 candidates."""

ROOM = gain_of(3, headroom_points=20, captured=0.15)
NO_ROOM = gain_of(6, headroom_points=8, captured=0.75)
PASSED = Control("direction", "passed", "relevant above others in 80 % of their pairs")


def advice(
    status: Status = "below",
    *,
    comparisons: Sequence[Comparison] = (NO_ROOM,),
    fates: Attribution = FATES,
    checks: Sequence[Control] = (PASSED,),
    scoring: Scoring | None = None,
    judged: tuple[float, float] = (0.9, 0.9),
    needed: int | None = None,
    expected: Expectation = EXPECTED,
    languages: Languages | None = None,
    out_of_reach: float = 0.0,
) -> list[str]:
    """The advice for this evidence; Judged@5 of dense and of the decision's system."""
    gain = comparisons[0].delta_points
    verdict = Verdict(expected, status, gain, gain - 1, gain + 1, True, "a reason", queries_needed=needed)
    shares: Mapping[str, float] = {"dense": judged[0], "rerank@50": judged[1]}
    found = advise(
        verdict,
        comparisons,
        [replace(fates, top_k=10), fates],
        checks,
        scoring or scoring_of(),
        shares,
        languages,
        out_of_reach,
    )
    assert replace(found, advice=()) == verdict, "advice changes nothing else"
    return list(found.advice)


# --- what the status alone says ---------------------------------------------------------------------


def test_a_promise_that_was_kept_needs_no_advice() -> None:
    """Even where pairs were cut, the reranker left half of the room, and labels are missing."""
    found = gain_of(14, headroom_points=40, captured=0.35)
    assert advice("met", comparisons=[found], scoring=scoring_of(100, 50), judged=(0.9, 0.5)) == []


def test_an_invalid_result_is_to_be_mended_and_nothing_else() -> None:
    (found,) = advice("invalid", scoring=scoring_of(100, 50), judged=(0.9, 0.5))
    assert found.startswith("Mend what failed")


def test_more_than_promised_sends_to_the_baseline() -> None:
    (found,) = advice("above", comparisons=[gain_of(40, baseline_mean=0.123)])
    assert "Stage 1 starts at 0.123" in found


@pytest.mark.parametrize("status", ["below", "met", "above"])
def test_an_open_verdict_says_how_many_queries_would_settle_it(status: Status) -> None:
    assert advice(status, needed=626)[-1] == ("About 626 queries like these would settle the verdict; there are 100.")
    assert not any("settle" in line for line in advice(status))


# --- no room for the promise ------------------------------------------------------------------------


def test_a_headroom_smaller_than_the_promise_is_said_first() -> None:
    assert advice()[0].startswith("+12 points cannot be reached at top-k 50: the headroom is 8.0 points")


@pytest.mark.parametrize("headroom", [12.0, 30.0])
def test_where_the_promise_fits_stage_1_is_not_blamed(headroom: float) -> None:
    text = " ".join(advice(comparisons=[gain_of(3, headroom_points=headroom, captured=0.1)]))
    assert "cannot be reached" not in text
    assert "Raise" not in text
    assert "starves" not in text


def test_the_smallest_top_k_with_room_is_recommended() -> None:
    deeper = [gain_of(7, top_k=top_k, headroom_points=room) for top_k, room in ((200, 40), (100, 20), (75, 11))]
    found = advice(comparisons=[NO_ROOM, *deeper])
    assert found[1:] == ["Raise the decision top-k: at 100 the headroom is 20.0 points."]


def test_a_stage_1_that_has_no_more_to_offer_is_named() -> None:
    found = advice(comparisons=[NO_ROOM, gain_of(7, top_k=100, headroom_points=9)])
    assert len(found) == 2
    assert "Stage 1 starves the reranker: 24.0 points lie beyond its first 50 documents" in found[1]
    assert "Raise top-k beyond 100; if the headroom of 9.0 points there hardly grows" in found[1]


@pytest.mark.parametrize(("lost", "ended"), [(0, False), (12, False), (12.1, True), (24, True)])
def test_where_lists_end_before_it_a_larger_top_k_is_no_way_out(lost: float, ended: bool) -> None:
    """24 points lie beyond the first 50 candidates; more than half of them are of lists that end before the 100th."""
    (_, found) = advice(comparisons=[NO_ROOM, gain_of(7, top_k=100, headroom_points=9)], out_of_reach=lost)
    assert "24.0 points lie beyond its first 50 documents" in found
    assert ("Raise top-k" in found) is not ended
    assert ("no larger top-k would bring" in found) is (lost > 0)
    assert (f" {lost:.1f} of them no larger top-k would bring, as it finds fewer than 100" in found) is (lost > 0)
    assert ("retrieval=hybrid" in found) is ended
    assert not (ended and re.search("prompts|chunking", found))


def test_a_dense_retrieval_that_leaves_no_room_at_any_depth_is_praised() -> None:
    """5 points are left to a perfect reranker of these candidates and 2 lie beyond them: 7, whatever top-k is."""
    tight = replace(NO_ROOM, headroom_points=5)
    found = advice(
        comparisons=[tight, gain_of(7, top_k=100, headroom_points=20)],
        fates=replace(FATES, kept_points=85, missed_by_stage1_points=2),
    )
    assert len(found) == 2
    assert "Stage 1 is already strong" in found[1]
    assert "7.0 points to any reranker at any top-k" in found[1]


def test_points_of_recall_say_nothing_of_the_room_on_another_metric() -> None:
    ndcg = Metric("ndcg", 10)
    strong = replace(FATES, metric=Metric("recall", 10), kept_points=95, demoted_points=0, missed_by_stage1_points=5)
    found = advice(comparisons=[replace(NO_ROOM, metric=ndcg)], fates=strong, expected=Expectation(ndcg, 50, 12, 18))
    assert not any("already strong" in line for line in found)
    assert "5.0 points lie beyond" in found[1]


# --- what the reranker left -------------------------------------------------------------------------


def test_a_reranker_that_leaves_the_room_unused_is_named_with_what_it_did() -> None:
    (found,) = advice(comparisons=[ROOM])
    assert (
        "captured 15 % of the headroom of 20.0 points: it promoted 8.0, demoted 5.0 that stage 1 had found, and left "
        "12.0 among the candidates" in found
    )


@pytest.mark.parametrize(("captured", "blamed"), [(0.49, True), (0.5, False), (None, False)])
def test_where_there_is_no_room_only_a_reranker_under_half_of_it_is_named(captured: float | None, blamed: bool) -> None:
    found = advice(comparisons=[replace(NO_ROOM, captured=captured)])
    assert any("captured" in line for line in found) is blamed


def test_a_loss_is_not_called_a_negative_share() -> None:
    (found,) = advice(comparisons=[gain_of(-4, headroom_points=20, captured=-0.2)])
    assert "captured nothing of the headroom of 20.0 points" in found


def test_scores_no_better_than_chance_are_passed_on_from_the_control() -> None:
    warned = Control("direction", "warned", "orders candidates no better than chance")
    assert "orders candidates no better than chance" in advice(checks=[warned])
    other = Control("short_lists", "warned", "found fewer candidates")
    assert advice(checks=[PASSED, other]) == advice(checks=[PASSED])


@pytest.mark.parametrize(("truncated", "said"), [(4, False), (5, True), (60, True)])
def test_cut_pairs_are_a_likely_cause_from_5_percent_on(truncated: int, said: bool) -> None:
    found = [line for line in advice(scoring=scoring_of(100, truncated)) if "were cut" in line]
    assert bool(found) is said
    if said:
        assert found[0].startswith(f"{truncated} % of the pairs are longer than the reranker's 512 tokens")


def test_pairs_that_were_read_in_windows_were_not_cut() -> None:
    assert advice(scoring=replace(scoring_of(100, 60), windows=180)) == advice()


def test_a_run_without_pairs_has_none_that_were_cut() -> None:
    assert advice(scoring=scoring_of(0, 0)) == advice()


# --- which languages it leaves behind ----------------------------------------------------------------


def by_language(*gains: LanguageGain, bias: Sequence[LanguageBias] = (), status: Status = "below") -> list[str]:
    """What is said about languages, all else being as in ``advice()``."""
    found, without = advice(status, languages=Languages(gains, tuple(bias))), advice(status)
    assert [line for line in found if line in without] == without
    return [line for line in found if line not in without]


def test_cells_that_lost_for_certain_are_named_the_worst_first() -> None:
    assert by_language(cell_of("de", "fr", -3.14), cell_of("de", "de", 9), cell_of("it", "fr", -12)) == [
        "Reranking loses for certain in it -> fr (-12.0 points), de -> fr (-3.1 points), language of the query -> of "
        "the documents: the reranker may not have been trained for these languages. Take one that was, or keep the "
        "order of stage 1 there."
    ]


@pytest.mark.parametrize(
    "cell",
    [
        cell_of("de", "fr", -3, p_adjusted=0.05),
        cell_of("de", "fr", -3, ci_high=0.0),
        cell_of("de", "fr", -3, note="too small to tell: 8 independent queries or families, fewer than 10"),
        cell_of("de", "fr", 3),
        cell_of("de", None, -3, note="too small to tell"),
    ],
    ids=["by the adjusted p", "by the interval", "by its number", "it gains", "all documents, by its note"],
)
def test_what_is_not_certain_is_not_named(cell: LanguageGain) -> None:
    assert by_language(cell) == []


def test_rows_of_the_pooled_ranking_that_lost_come_first() -> None:
    gains = (cell_of("de", "fr", -30), cell_of("de", None, -2), cell_of("it", None, -9), cell_of("it", "fr", -40))
    (found,) = by_language(*gains)
    assert found.startswith(
        "Reranking loses for certain in it -> all documents (-9.0 points), de -> all documents (-2.0 points), it -> fr "
        "(-40.0 points), de -> fr (-30.0 points), language of the query"
    )


def test_of_many_cells_the_four_worst_are_named_and_the_others_counted() -> None:
    (found,) = by_language(*(cell_of("de", f"l{number}", -float(number)) for number in range(2, 9)))
    assert (
        "in de -> l8 (-8.0 points), de -> l7 (-7.0 points), de -> l6 (-6.0 points), de -> l5 (-5.0 points), and 3 more"
        in found
    )


def test_more_of_the_askers_own_language_than_is_relevant_is_named() -> None:
    """From 40 to 54 and 60 %, where 30 % of the relevant documents are in it; over all queries en takes that back."""
    rows = [bias_of("de", 9, 19), bias_of("en", -16, -4), bias_of("fr", 15, 25), bias_of(None, -3, 3)]
    assert by_language(bias=rows) == [
        "Reranking prefers documents in the asker's own language: their share of the top 5 rose for queries in fr from "
        "40 % to 60 % (of the relevant ones 30 %), de from 40 % to 54 % (of the relevant ones 30 %). The reranker may "
        "not have been trained on pairs across these languages."
    ]


def test_of_many_languages_that_are_preferred_four_are_named_and_the_others_counted() -> None:
    (found,) = by_language(bias=[bias_of(f"l{number}", number, number + 2) for number in range(1, 7)])
    assert [found.index(f"l{number} from") for number in (6, 5, 4, 3)] == sorted(
        found.index(f"l{number} from") for number in range(3, 7)
    )
    assert "(of the relevant ones 30 %), and 2 more. The reranker" in found


@pytest.mark.parametrize(
    "bias",
    [
        [],
        [bias_of("de", 0, 20)],
        [bias_of("de", -20, -5)],
        [bias_of("de", 15, 25, relevant_share=0.6)],
        [bias_of("de", -5, 25), bias_of("fr", -1, 25), bias_of(None, 5, 25)],
    ],
    ids=["one language", "not certain", "it fell", "towards the relevant ones", "over all queries alone"],
)
def test_a_share_that_did_not_rise_for_certain_or_rose_rightly_is_not_named(bias: Sequence[LanguageBias]) -> None:
    assert by_language(bias=bias) == []


@pytest.mark.parametrize("status", ["met", "above", "invalid"])
def test_languages_are_advised_on_only_where_the_gain_is_missing(status: Status) -> None:
    assert by_language(cell_of("de", "fr", -12), bias=[bias_of("de", 15, 25)], status=status) == []


# --- what the labels left out -----------------------------------------------------------------------


@pytest.mark.parametrize(("after", "said"), [(0.95, False), (0.86, False), (0.84, True)])
def test_unjudged_documents_on_top_put_the_missing_gain_in_doubt(after: float, said: bool) -> None:
    found = [line for line in advice(judged=(0.9, after)) if "nobody judged" in line]
    assert bool(found) is said
    if said:
        assert "Judged@5 fell from 90 % to 84 %" in found[0]


def test_the_most_useful_comes_first() -> None:
    """Room, then the reranker, what was cut from its pairs, its languages, then labels, then their number."""
    found = advice(
        comparisons=[replace(NO_ROOM, captured=0.2)],
        scoring=scoring_of(100, 50),
        judged=(0.9, 0.5),
        needed=626,
        languages=Languages((cell_of("de", "fr", -12),), (bias_of("de", 15, 25),)),
    )
    starts = [
        "+12 points cannot", "Stage 1 starves", "The reranker captured", "50 % of the pairs", "Reranking loses for",
        "Reranking prefers", "Judged@5", "About",
    ]  # fmt: skip
    assert [line.startswith(start) for line, start in zip(found, starts, strict=True)] == [True] * 8


# --- from candidates to advice ----------------------------------------------------------------------


def assessed(positives: Sequence[int], cutoff: int = 5, lifted: int = 1) -> list[str]:
    """Twelve queries with the same ten candidates and positives, by rank; beyond 10 they are nowhere.

    The reranker puts one document first and leaves all others in their order.
    """
    scores = [9.0 if rank == lifted else -float(rank) for rank in range(1, 11)]
    candidates = {f"q{number}": listed([f"d{rank}" for rank in range(1, 11)], scores) for number in range(12)}
    evidence = Evidence(candidates, {key: {f"d{rank}": 1 for rank in positives} for key in candidates})
    result = assess(evidence, design_of(10, (6, 10), Metric("recall", cutoff)), subject_of(1000, 12), scoring_of())
    assert (result.status, result.verdict.status, result.verdict.delta_points) == ("ok", "below", 0)
    return [line for line in result.verdict.advice if not line.startswith("About")]


def test_positives_that_the_reranker_leaves_where_they_are_are_its_fault() -> None:
    """All 100 points stand at rank 8: a perfect reranker of 10 would gain them, this one changes nothing."""
    (found,) = assessed([8])
    assert "captured nothing of the headroom of 100.0 points" in found
    assert "left 100.0 among the candidates" in found


def test_positives_that_stage_1_never_returned_are_its_fault() -> None:
    first, second = assessed([40])
    assert first.startswith("+12 points cannot be reached at top-k 10: the headroom is 0.0 points")
    assert "Stage 1 starves the reranker: 100.0 points lie beyond its first 10 documents" in second


@pytest.mark.parametrize(
    ("positives", "cutoff", "lifted"),
    [
        ([1], 5, 1),
        # The one place holds a positive before and after, though not the same one: there is no more to gain.
        ([1, 2, 3], 1, 2),
    ],
)
def test_a_dense_retrieval_that_is_perfect_leaves_nothing_to_gain(
    positives: Sequence[int], cutoff: int, lifted: int
) -> None:
    first, second = assessed(positives, cutoff, lifted)
    assert first.startswith("+12 points cannot be reached at top-k 10: the headroom is 0.0 points")
    assert "Stage 1 is already strong: it leaves 0.0 points to any reranker at any top-k" in second


def test_a_reranker_that_puts_the_askers_language_first_is_told_so_by_the_evaluation() -> None:
    """Forty questions in de, each with one answer in fr that dense ranks first of fr and third in all.

    The reranker puts all in de first and turns fr around: in the cell recall@1 goes from 1 to 0, in the top 1 nothing
    is in de at first and all of it afterwards, and no relevant document is.
    """
    scores = {"x1": 0.0, "f1": 1.0, "f2": 2.0, "g1": 9.0, "g2": 8.0, "x2": -1.0}
    candidates, documents = {}, dict[str, dict[str, tuple[str, ...]]]()
    for number in range(40):
        order = [f"{name}-{number}" for name in scores]
        candidates[f"q{number}"] = listed(order, list(scores.values()))
        documents |= {one: {"lang": ({"f": "fr", "g": "de"}[one[0]],)} for one in order if one[0] in "fg"}
    attributes: ValuesOf = {name: {"lang": ("de",)} for name in candidates}
    qrels = {f"q{number}": {f"f1-{number}": 1} for number in range(40)}
    evidence = Evidence(candidates, qrels, {}, attributes, documents)
    result = assess(evidence, design_of(6, (6,), Metric("recall", 1)), subject_of(1000, 40), scoring_of())
    assert (result.verdict.status, result.verdict.delta_points) == ("below", 0)
    lost, own = [line for line in result.verdict.advice if line.startswith("Reranking ")]
    assert lost.startswith("Reranking loses for certain in de -> fr (-100.0 points), language of the query")
    assert "their share of the top 1 rose for queries in de from 0 % to 100 % (of the relevant ones 0 %)." in own
