"""The queries that won and lost most, from rankings made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.analysis.derive import derive, systems_of
from evalkit.analysis.examples import MOST, examples
from evalkit.exhibits import Example, Placed
from evalkit.findings import Expectation
from evalkit.result import Evidence
from evalkit.types import Metric
from tests.analysis.evidence import listed

EXPECTED = Expectation(Metric("recall", 2), 4, 12, 18)

SAME, TURNED = (4.0, 3.0, 2.0, 1.0, None), (1.0, 2.0, 3.0, 4.0, None)
"""Scores of the candidates a to e, of which the first four are reranked: to the same order, and to d, c, b, a."""

Values = Mapping[str, float]


def shown(
    scores: Mapping[str, Sequence[float | None]],
    qrels: Mapping[str, Mapping[str, int]],
    values: tuple[Values, Values] | None = None,
) -> tuple[Example, ...]:
    """The examples of these queries; without values, those of recall@2, counted here."""
    candidates = {query: listed("abcde"[: len(found)], found) for query, found in scores.items()}
    runs = {system.name: derive(candidates, system) for system in systems_of((4,))}
    before, after = values or (
        {query: recall(runs[name].rankings[query], grades) for query, grades in qrels.items()}
        for name in ("dense", "rerank@4")
    )
    told = {"dense": {EXPECTED.metric: before}, "rerank@4": {EXPECTED.metric: after}}
    return examples(Evidence(candidates, qrels), EXPECTED, runs, told)


def recall(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    relevant = {doc_id for doc_id, grade in grades.items() if grade >= 1}
    return len(relevant.intersection(ranking[:2])) / len(relevant)


def test_a_winner_shows_its_relevant_document_beside_what_stood_first_before() -> None:
    (one,) = shown({"q": TURNED}, {"q": {"d": 1}})
    assert one == Example("q", 0.0, 1.0, Placed("d", 4, 1), Placed("a", 1, 4))
    assert one.change == 1.0


def test_a_loser_shows_its_relevant_document_beside_what_stands_first_afterwards() -> None:
    (one,) = shown({"q": TURNED}, {"q": {"a": 1}})
    assert one == Example("q", 1.0, 0.0, Placed("a", 1, 4), Placed("d", 4, 1))
    assert one.change == -1.0


def test_a_query_that_did_not_change_is_no_example() -> None:
    assert shown({"same": SAME, "within": (3.0, 4.0, 2.0, 1.0)}, {"same": {"a": 1}, "within": {"a": 1}}) == ()


def test_a_change_of_rounding_is_none() -> None:
    assert shown({"q": TURNED}, {"q": {"a": 1}}, ({"q": 0.3}, {"q": 0.1 + 0.2})) == ()


def test_winners_stand_first_and_each_kind_by_the_size_of_its_change() -> None:
    """Of equal changes, the order of the data set decides."""
    qrels = {
        "loses half": {"a": 1, "e": 1},
        "wins half": {"d": 1, "e": 1},
        "loses all": {"a": 1},
        "wins all": {"d": 1},
        "wins all, later": {"c": 1},
        "loses all, later": {"b": 1},
    }
    order = [one.query_id for one in shown(dict.fromkeys(qrels, TURNED), qrels)]
    assert order == ["wins all", "wins all, later", "wins half", "loses all", "loses all, later", "loses half"]


def test_only_the_largest_changes_of_each_kind_are_kept() -> None:
    names = [f"{kind}{number}" for number in range(MOST + 3) for kind in ("won", "lost")]
    qrels = {name: {"d" if name.startswith("won") else "a": 1} for name in names}
    order = [one.query_id for one in shown(dict.fromkeys(names, TURNED), qrels)]
    assert order == [f"{kind}{number}" for kind in ("won", "lost") for number in range(MOST)]


def test_the_relevant_document_that_moved_furthest_is_shown() -> None:
    """Document c rises by one rank, d by three."""
    (one,) = shown({"q": TURNED}, {"q": {"c": 3, "d": 1}})
    assert one.gold == Placed("d", 4, 1)


def test_a_relevant_document_that_was_not_found_has_no_rank() -> None:
    (one,) = shown({"q": TURNED}, {"q": {"z": 1}}, ({"q": 0.0}, {"q": 0.5}))
    assert one.gold == Placed("z", None, None)


def test_what_was_judged_not_relevant_may_be_the_rival() -> None:
    (one,) = shown({"q": TURNED}, {"q": {"d": 1, "a": 0}})
    assert one.rival == Placed("a", 1, 4)


def test_where_every_candidate_is_relevant_there_is_no_rival() -> None:
    qrels = {"q": dict.fromkeys("abcd", 1)}
    (one,) = shown({"q": TURNED[:4]}, qrels, ({"q": 0.5}, {"q": 0.0}))
    assert one.rival is None


def test_a_value_that_a_stored_table_has_lost_counts_as_nothing() -> None:
    """Verification tells of it; the page can still be drawn."""
    (one,) = shown({"q": TURNED}, {"q": {"d": 1}}, ({}, {"q": 1.0}))
    assert (one.dense_value, one.reranked_value) == (0.0, 1.0)
