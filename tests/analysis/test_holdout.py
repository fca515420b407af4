"""Queries that stay away from training: whole families, and on the same side for ever."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from evalkit.analysis.holdout import hold_out
from evalkit.errors import ConfigError

QUERIES = {f"q{number}": number for number in range(2000)}
"""Each asks something else."""


def test_the_side_follows_from_the_digest_of_seed_and_name() -> None:
    """Counted again here: the first eight bytes of the SHA-256 of a JSON list, as a fraction."""
    families = {query_id: f"f{number % 500}" for query_id, number in QUERIES.items() if number < 1000}

    def fraction(kind: str, name: str) -> float:
        written = f'[7, "{kind}", "{name}"]'
        return int(hashlib.sha256(written.encode()).hexdigest()[:16], 16) / 2**64

    expected = [
        query_id
        for query_id in QUERIES
        if (fraction("family", families[query_id]) if query_id in families else fraction("query", query_id)) < 0.3
    ]
    assert list(hold_out(families, QUERIES, 0.3, 7)) == expected
    assert 0.25 < len(expected) / len(QUERIES) < 0.35


def test_families_are_never_torn_apart() -> None:
    families = {query_id: f"f{number // 4}" for query_id, number in QUERIES.items()}
    sizes = Counter(families[query_id] for query_id in hold_out(families, QUERIES, 0.5, 0))
    assert set(sizes.values()) == {4}
    assert 200 < len(sizes) < 300


def test_equal_questions_are_never_torn_apart_and_tie_their_families() -> None:
    """q0 and q1 are a family, q1 asks what q2 asks, and q3 is of the family of q2: all four stay together."""
    families = {"q0": "a", "q1": "a", "q2": "b", "q3": "b"}
    questions = {"q0": "w", "q1": "same", "q2": "same", "q3": "z"} | {f"other{n}": str(n) for n in range(50)}
    sides = {frozenset(set(hold_out(families, questions, 0.5, seed)) & {"q0", "q1", "q2", "q3"}) for seed in range(20)}
    assert sides == {frozenset(), frozenset({"q0", "q1", "q2", "q3"})}


def test_a_family_stays_on_its_side_when_the_data_grows() -> None:
    few = {query_id: number for query_id, number in QUERIES.items() if number >= 1000}
    assert hold_out({}, few, 0.5, 0) == tuple(one for one in hold_out({}, QUERIES, 0.5, 0) if one in few)


def test_another_seed_holds_out_others() -> None:
    assert hold_out({}, QUERIES, 0.5, 0) == hold_out({}, QUERIES, 0.5, 0)
    assert hold_out({}, QUERIES, 0.5, 0) != hold_out({}, QUERIES, 0.5, 1)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 50.0, float("nan"), True])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=r"expected a share between 0 and 1, such as 0\.5"):
        hold_out({}, QUERIES, share, 0)


def test_a_split_with_an_empty_side_is_refused() -> None:
    one_family = dict.fromkeys(QUERIES, "f")
    with pytest.raises(ConfigError, match=r"leaves no query to (mine|hold out), of 2000 in 1 families"):
        hold_out(one_family, QUERIES, 0.5, 0)
