"""Positives, hard negatives and the labelling queue, from candidates made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from evalkit.analysis.mined import LeftOut, Mined, MiningRule, Passage, Suspect, TrainingQuery
from evalkit.analysis.mining import mine, spread_of
from evalkit.errors import ConfigError
from evalkit.result import Evidence
from tests.analysis.evidence import listed

Scores = Mapping[str, Sequence[tuple[str, float | None]]]


def evidence_of(
    scores: Scores, qrels: Mapping[str, Mapping[str, int]], families: Mapping[str, str] | None = None
) -> Evidence:
    """Candidates (document, score) by stage-1 rank, for each query."""
    candidates = {
        query_id: listed([doc_id for doc_id, _ in found], [score for _, score in found])
        for query_id, found in scores.items()
    }
    return Evidence(candidates, qrels, families or {})


def mined(evidence: Evidence, contents: Mapping[str, str] | None = None, **changes: Any) -> Mined:
    """Mine; without contents, every document there is says something else."""
    met = {one.doc_id for found in evidence.candidates.values() for one in found}
    met.update(doc_id for grades in evidence.qrels.values() for doc_id in grades)
    return mine(evidence, {doc_id: doc_id for doc_id in met} if contents is None else contents, MiningRule(**changes))


def only(found: Mined) -> TrainingQuery:
    (one,) = found.training
    return one


def ids(passages: Sequence[Passage]) -> str:
    return " ".join(one.doc_id for one in passages)


def queued(found: Mined) -> list[tuple[str, str, str]]:
    return [(one.query_id, one.doc_id, one.reason) for one in found.queue]


FOUR = evidence_of({"q": [("p", 4), ("a", 4), ("b", 0), ("c", 0)]}, {"q": {"p": 1}})
"""Their mean is 2 and every score lies 2 away from it, so one spread is 2 logits."""


def test_the_spread_is_the_deviation_from_each_querys_own_mean() -> None:
    """Means 2 and 2; squared distances 1, 1 and 4, 4, 16: 26 over five scores."""
    scores: Scores = {"q": [("a", 1), ("b", 3), ("c", None)], "r": [("a", 0), ("b", 0), ("c", 6)], "s": [("a", None)]}
    assert spread_of(evidence_of(scores, {})) == pytest.approx(math.sqrt(26 / 5))
    assert spread_of(evidence_of({}, {})) == 0


@pytest.mark.parametrize(
    ("margin", "negatives", "suspects"),
    [(0.0, "b c", "a"), (1.0, "b c", "a"), (1.99, "b c", "a"), (2.0, "", "a b c"), (3.0, "", "a b c")],
)
def test_an_unjudged_document_that_comes_within_the_margin_of_the_positive_is_queued(
    margin: float, negatives: str, suspects: str
) -> None:
    """The positive scores 4, so b and c are reached where 4 - margin x 2 falls to their 0."""
    found = mined(FOUR, margin=margin)
    assert " ".join(ids(one.negatives) for one in found.training) == negatives
    assert queued(found) == [("q", doc_id, "score") for doc_id in suspects.split()]
    assert found.left_out == LeftOut(without_negative=int(not negatives))
    assert found.spread == 2


def test_the_lowest_positive_is_what_unjudged_documents_are_held_against() -> None:
    """Scores 6, 2, 2, -2: mean 2, squares 16, 0, 0, 16, a spread of sqrt(8); the threshold is 2 - sqrt(8) / 2 = 0.6."""
    evidence = evidence_of({"q": [("high", 6), ("low", 2), ("u", 2), ("n", -2)]}, {"q": {"low": 1, "high": 2}})
    found = mined(evidence)
    assert queued(found) == [("q", "u", "score")]
    assert only(found) == TrainingQuery("q", (Passage("low", 2), Passage("high", 6)), (Passage("n", -2, judged=False),))


def test_where_all_score_alike_every_unjudged_document_is_suspected() -> None:
    found = mined(evidence_of({"q": [("p", 1), ("u", 1), ("n", 1)]}, {"q": {"p": 1, "n": 0}}))
    assert queued(found) == [("q", "u", "score")]
    assert ids(only(found).negatives) == "n"


JUDGED = evidence_of(
    {"q": [("u1", -8), ("n1", 1), ("p", 2), ("u2", -7), ("n2", 9), ("n3", None)]},
    {"q": {"p": 1, "n1": 0, "n2": -1, "n3": 0, "elsewhere": 0}},
)


def test_judged_negatives_stand_first_and_the_highest_score_first_among_each() -> None:
    """A judged candidate without a score comes last of those; one that stage 1 did not find is no hard negative."""
    assert only(mined(JUDGED)).negatives == (
        Passage("n2", 9),
        Passage("n1", 1),
        Passage("n3", None),
        Passage("u2", -7, judged=False),
        Passage("u1", -8, judged=False),
    )


def test_a_judged_negative_that_scores_above_a_positive_stays_and_is_counted() -> None:
    found = mined(JUDGED)
    assert found.queue == ()
    assert only(found).hardest == 1


def test_no_judged_negative_is_above_positives_that_have_no_score() -> None:
    found = mined(evidence_of({"q": [("n", 9)]}, {"q": {"p": 1, "n": 0}}))
    assert only(found) == TrainingQuery("q", (Passage("p", None),), (Passage("n", 9),))
    assert only(found).hardest == 0


def test_the_number_of_negatives_is_a_limit() -> None:
    found = mined(JUDGED, negatives=2)
    assert ids(only(found).negatives) == "n2 n1"
    assert found.left_out == LeftOut(surplus=3)


def test_a_window_of_ranks_keeps_unjudged_negatives_out_and_judged_ones_in() -> None:
    """Of the unjudged, u1 is on rank 1 and u2 on rank 4."""
    assert ids(only(mined(JUDGED, first_rank=2)).negatives) == "n2 n1 n3 u2"
    found = mined(JUDGED, first_rank=1, last_rank=3)
    assert ids(only(found).negatives) == "n2 n1 n3 u1"
    assert found.left_out == LeftOut(outside=1)
    assert ids(only(mined(JUDGED, first_rank=1, last_rank=4)).negatives) == "n2 n1 n3 u2 u1"


def test_suspects_are_queued_whatever_the_ranks() -> None:
    assert queued(mined(FOUR, first_rank=3)) == [("q", "a", "score")]


def test_all_positives_are_kept_scored_or_not_if_the_corpus_holds_them() -> None:
    evidence = evidence_of({"q": [("p1", 4), ("n", 0)]}, {"q": {"p2": 1, "p1": 3, "gone": 1, "n": 0}})
    found = mined(evidence, {"p1": "p1", "p2": "p2", "n": "n"})
    assert only(found).positives == (Passage("p2", None), Passage("p1", 4))


def test_a_query_without_a_positive_at_hand_is_left_out() -> None:
    evidence = evidence_of(
        {"q": [("n", 4), ("u", 1)], "r": [("n", 4), ("p", 5)]}, {"q": {"gone": 1}, "r": {"p": 1, "n": 0}}
    )
    found = mined(evidence, {"n": "n", "u": "u", "p": "p"})
    assert (only(found).query_id, found.queries, found.queue) == ("r", 2, ())
    assert found.left_out == LeftOut(without_positive=1)


def test_without_a_scored_positive_no_unjudged_document_is_a_negative() -> None:
    """There is nothing to hold it against; judged ones need no score."""
    evidence = evidence_of({"q": [("u", -9), ("n", 2)], "r": [("u", -9)]}, {"q": {"p": 1, "n": 0}, "r": {"p": 1}})
    found = mined(evidence)
    assert only(found) == TrainingQuery("q", (Passage("p", None),), (Passage("n", 2),))
    assert found.queue == ()
    assert found.left_out == LeftOut(without_negative=1, unheld=2)


def test_an_unjudged_document_without_a_score_is_no_negative() -> None:
    evidence = evidence_of({"q": [("p", 4), ("n", 0), ("deep", None)]}, {"q": {"p": 1, "n": 0}})
    found = mined(evidence)
    assert ids(only(found).negatives) == "n"
    assert found.left_out == LeftOut(unheld=1)


def test_what_says_the_same_as_a_positive_is_never_a_negative() -> None:
    """Its score is far below here, and one of the two was even judged: labels contradict each other."""
    evidence = evidence_of(
        {"q": [("p", 4), ("twin", -9), ("other", -9), ("judged", -9)]}, {"q": {"p": 1, "unfound": 1, "judged": 0}}
    )
    contents = {"p": "A", "unfound": "B", "twin": "A", "judged": "B", "other": "C"}
    found = mined(evidence, contents, margin=0)
    assert ids(only(found).negatives) == "other"
    assert queued(found) == [("q", "twin", "same_text"), ("q", "judged", "contradiction")]


def test_of_negatives_that_say_the_same_one_is_kept() -> None:
    evidence = evidence_of({"q": [("p", 4), ("u1", -9), ("u2", -8), ("n", -20)]}, {"q": {"p": 1, "n": 0}})
    found = mined(evidence, {"p": "A", "u1": "B", "u2": "B", "n": "C"}, margin=0)
    assert ids(only(found).negatives) == "n u2"
    assert found.left_out == LeftOut(repeated=1)
    assert ids(only(mined(evidence, {"p": "A", "u1": "B", "u2": "B", "n": "B"}, margin=0)).negatives) == "n"


def test_what_answers_another_query_of_the_family_is_no_negative_unless_it_was_judged() -> None:
    scores: Scores = {"de": [("d", 4), ("f", -9), ("i", -9), ("u", -9)], "fr": [("f", 4), ("d", -9), ("u", -9)]}
    qrels = {"de": {"d": 1, "i": 0}, "fr": {"f": 1, "i": 1}}
    found = mined(evidence_of(scores, qrels, {"de": "one", "fr": "one"}))
    assert [ids(one.negatives) for one in found.training] == ["i u", "u"]
    assert queued(found) == [("de", "f", "family"), ("fr", "d", "family")]
    strangers = mined(evidence_of(scores, qrels, {"de": "one", "fr": "two"}))
    assert [ids(one.negatives) for one in strangers.training] == ["i f u", "d u"]


def test_the_query_itself_is_no_negative_and_no_positive_where_the_run_left_it_out() -> None:
    evidence = evidence_of({"q": [("q", 9), ("p", 4), ("n", 0)]}, {"q": {"p": 1, "n": 0}})
    found = mined(evidence)
    assert ids(only(found).negatives) == "n"
    assert found.queue == ()
    alike = replace(evidence, qrels={"q": {"q": 1, "p": 1, "n": 0}})
    assert ids(only(mined(alike)).positives) == "q p"
    assert ids(only(mined(alike, exclude_self=True)).positives) == "p"


def test_with_scores_only_what_has_none_is_left_out() -> None:
    evidence = evidence_of(
        {"q": [("p", 4), ("n", 0), ("deep", None)], "r": [("n", 0)], "s": [("p", 4), ("deep", None)]},
        {"q": {"p": 1, "p2": 1, "n": 0, "deep": 0}, "r": {"p": 1, "n": 0}, "s": {"p": 1, "deep": 0}},
    )
    found = mined(evidence, scored_only=True)
    assert only(found) == TrainingQuery("q", (Passage("p", 4),), (Passage("n", 0),))
    assert found.left_out == LeftOut(without_positive=1, without_negative=1, unscored=4)


def test_the_queue_begins_with_what_beats_every_positive_by_most() -> None:
    """The leads are 3 - 5 = -2 and 6 - 5 = 1 for q, 9 - 1 = 8 for r; nothing is known for s."""
    evidence = evidence_of(
        {
            "s": [("twin", 7)],
            "q": [("a", 3), ("p", 5), ("b", 6), ("low", -9)],
            "r": [("n", -9), ("p", 1), ("c", 9), ("deep", None)],
        },
        {"s": {"unfound": 1}, "q": {"p": 1, "low": 1}, "r": {"p": 1}},
    )
    contents = {name: name for name in ("a", "b", "c", "n", "p", "low", "unfound", "deep")} | {"twin": "unfound"}
    found = mined(evidence, contents)
    assert found.queue == (
        Suspect("r", "c", "score", 3, 1, 1 - 3 / 100, 9, 8),
        Suspect("q", "b", "score", 3, 1, 1 - 3 / 100, 6, 1),
        Suspect("q", "a", "score", 1, 3, 1 - 1 / 100, 3, -2),
        Suspect("s", "twin", "same_text", 1, 1, 1 - 1 / 100, 7, None),
    )


def test_equal_leads_keep_the_order_of_the_data_set_and_of_stage_1() -> None:
    found = mined(
        evidence_of({"r": [("b", 4), ("a", 4), ("p", 4)], "q": [("p", 4), ("c", 4)]}, {"r": {"p": 1}, "q": {"p": 1}})
    )
    assert queued(found) == [("r", "b", "score"), ("r", "a", "score"), ("q", "c", "score")]


def test_positives_and_negatives_are_those_of_all_queries() -> None:
    found = mined(
        evidence_of(
            {"q": [("p", 4), ("n", 0)], "r": [("p", 4), ("n", 0), ("u", -9)]},
            {"q": {"p": 1, "n": 0}, "r": {"p": 1, "n": 0}},
        )
    )
    assert (ids(found.positives), ids(found.negatives)) == ("p p", "n n u")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": -0.1}, r"margin is -0\.1; expected a number of spreads of at least 0"),
        ({"margin": math.nan}, "margin is nan"),
        ({"margin": True}, "margin is True"),
        ({"negatives": 0}, "negatives is 0; expected a whole number of at least 1"),
        ({"first_rank": 0}, "the first rank is 0; expected a whole number of at least 1"),
        ({"first_rank": 5, "last_rank": 4}, "the last rank is 4; expected a whole number of at least 5, or null"),
        ({"scored_only": "no"}, "scored_only is 'no'; expected true or false"),
        ({"exclude_self": 1}, "exclude_self is 1; expected true or false"),
    ],
)
def test_an_impossible_rule_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MiningRule(**changes)
