"""The gain by attributes of queries."""

from __future__ import annotations

import pytest

from evalkit.analysis.comparison import Values
from evalkit.analysis.slices import slices
from evalkit.result import Evidence
from tests.analysis.evidence import RECALL, design_of


def evidence_of(attributes: dict[str, dict[str, tuple[str, ...]]], families: dict[str, str] | None = None) -> Evidence:
    return Evidence({}, {query_id: {"d": 1} for query_id in attributes}, families or {}, attributes)


def values_of(dense: dict[str, float], reranked: dict[str, float]) -> tuple[Values, Values]:
    perfect = dict.fromkeys(dense, 1.0)
    return {"dense": {RECALL: dense}, "rerank@50": {RECALL: reranked}}, {"rerank@50": {RECALL: perfect}}


GERMAN = [f"de{number}" for number in range(12)]
FRENCH = [f"fr{number}" for number in range(12)]


def test_a_gain_is_split_by_language_and_corrected_over_all_slices() -> None:
    """German: 8 of 12 rise from 0 to 1, so 66.7 points and p = 2 / 2**8; French: nothing changes, so p = 1.

    Holm over the two: the smaller is doubled, the larger stays. Headroom is 100 points in both.
    """
    attributes = {key: {"lang": ("de" if key in GERMAN else "fr",)} for key in GERMAN + FRENCH}
    dense = dict.fromkeys(attributes, 0.0)
    found = slices(
        evidence_of(attributes),
        design_of(slices=("lang",)),
        *values_of(dense, dense | dict.fromkeys(GERMAN[:8], 1.0)),
    )
    german, french = found
    assert (german.attribute, german.value, german.metric, german.top_k) == ("lang", "de", RECALL, 50)
    assert german.delta_points == pytest.approx(100 * 8 / 12)
    assert (german.n_queries, german.n_units, german.headroom_points, german.note) == (12, 12, 100, "")
    assert 0 < german.ci_low < german.ci_high < 100
    assert (german.p_value, german.p_adjusted) == (pytest.approx(2 / 2**8), pytest.approx(4 / 2**8))
    assert (french.value, french.delta_points, french.p_value, french.p_adjusted) == ("fr", 0, 1, 1)
    assert french.ci_low <= 0 <= french.ci_high
    assert french.note == (
        "too small to tell: reranking changed 0 of 12 independent queries or families, so that no p under 1 was "
        "possible"
    )


def test_a_slice_of_few_families_says_so_however_many_queries_it_has() -> None:
    """Twelve queries of four families: flipping four signs, p cannot get under 2 / 2**4."""
    attributes = {key: {"lang": ("de" if key in GERMAN else "fr",)} for key in GERMAN + FRENCH}
    families = {key: f"family {place % 4}" for place, key in enumerate(GERMAN)}
    dense = dict.fromkeys(attributes, 0.0)
    found = slices(
        evidence_of(attributes, families),
        design_of(slices=("lang",)),
        *values_of(dense, dict.fromkeys(attributes, 1.0)),
    )
    assert (found[0].n_queries, found[0].n_units, found[0].p_value) == (12, 4, pytest.approx(2 / 2**4))
    assert found[0].note == "too small to tell: 4 independent queries or families, fewer than 10"
    assert found[1].note == ""


def test_an_attribute_with_one_value_over_all_queries_is_left_out() -> None:
    same = {key: {"lang": ("de",)} for key in GERMAN}
    assert slices(evidence_of(same), design_of(slices=("lang",)), *values_of(*[dict.fromkeys(same, 0.0)] * 2)) == ()
    some = {key: {"lang": ("de",)} if key in GERMAN else {} for key in GERMAN + FRENCH}
    (found,) = slices(evidence_of(some), design_of(slices=("lang",)), *values_of(*[dict.fromkeys(some, 0.0)] * 2))
    assert (found.value, found.n_queries) == ("de", 12)


def test_a_query_with_two_values_lies_in_two_slices_and_attributes_keep_their_order() -> None:
    attributes = {
        "q1": {"topic": ("tax", "law"), "lang": ("de",)},
        "q2": {"topic": ("tax",), "lang": ("fr",)},
    }
    found = slices(
        evidence_of(attributes),
        design_of(slices=("topic", "lang", "unknown")),
        *values_of({"q1": 0.0, "q2": 0.5}, {"q1": 1.0, "q2": 0.5}),
    )
    assert [(one.attribute, one.value, one.n_queries, one.delta_points) for one in found] == [
        ("topic", "law", 1, 100), ("topic", "tax", 2, 50), ("lang", "de", 1, 100), ("lang", "fr", 1, 0),
    ]  # fmt: skip
