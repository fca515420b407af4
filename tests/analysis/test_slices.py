"""The gain by attributes of queries and of documents."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.analysis.comparison import Values
from evalkit.analysis.parts import Rankings
from evalkit.analysis.slices import slices
from evalkit.parts import SliceGain
from evalkit.result import Evidence, ValuesOf
from evalkit.types import Metric
from tests.analysis.evidence import RECALL, design_of
from tests.analysis.rankings import NO_RANKINGS, ranked


def evidence_of(attributes: ValuesOf, families: dict[str, str] | None = None) -> Evidence:
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
        NO_RANKINGS,
        *values_of(dense, dense | dict.fromkeys(GERMAN[:8], 1.0)),
    )
    german, french = found
    assert (german.of, german.attribute, german.value) == ("query", "lang", "de")
    assert (german.metric, german.top_k) == (RECALL, 50)
    assert german.delta_points == pytest.approx(100 * 8 / 12)
    assert (german.n_queries, german.n_units, german.headroom_points, german.note) == (12, 12, 100, "")
    assert 0 < german.ci_low < german.ci_high < 100
    assert (german.p_value, german.p_adjusted) == pytest.approx((2 / 2**8, 4 / 2**8))
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
        NO_RANKINGS,
        *values_of(dense, dict.fromkeys(attributes, 1.0)),
    )
    assert (found[0].n_queries, found[0].n_units, found[0].p_value) == pytest.approx((12, 4, 2 / 2**4))
    assert found[0].note == "too small to tell: 4 independent queries or families, fewer than 10"
    assert found[1].note == ""


def test_an_attribute_with_one_value_over_all_queries_is_left_out() -> None:
    design = design_of(slices=("lang",))
    same: ValuesOf = {key: {"lang": ("de",)} for key in GERMAN}
    unmoved = values_of(*[dict.fromkeys(GERMAN + FRENCH, 0.0)] * 2)
    assert slices(evidence_of(same), design, NO_RANKINGS, *unmoved) == ()
    some: ValuesOf = {key: {"lang": ("de",)} if key in GERMAN else {} for key in GERMAN + FRENCH}
    (found,) = slices(evidence_of(some), design, NO_RANKINGS, *unmoved)
    assert (found.value, found.n_queries) == ("de", 12)


def test_a_query_with_two_values_lies_in_two_slices_and_attributes_keep_their_order() -> None:
    attributes: ValuesOf = {
        "q1": {"topic": ("tax", "law"), "lang": ("de",)},
        "q2": {"topic": ("tax",), "lang": ("fr",)},
    }
    found = slices(
        evidence_of(attributes),
        design_of(slices=("topic", "lang", "unknown")),
        NO_RANKINGS,
        *values_of({"q1": 0.0, "q2": 0.5}, {"q1": 1.0, "q2": 0.5}),
    )
    assert [(one.attribute, one.value, one.n_queries, one.delta_points) for one in found] == [
        ("topic", "law", 1, 100), ("topic", "tax", 2, 50), ("lang", "de", 1, 100), ("lang", "fr", 1, 0),
    ]  # fmt: skip


# --- attributes of documents ------------------------------------------------------------------------

FIRST = Metric("recall", 1)
DOCUMENTS: ValuesOf = {
    "m1": {"kind": ("mail",)}, "m2": {"kind": ("mail",)}, "n1": {"kind": ("note",)}, "n2": {"kind": ("note",)},
    "both": {"kind": ("mail", "note")}, "none": {}, "p1": {"kind": ("plan",)},
}  # fmt: skip
RANKINGS: Rankings = (
    ranked("dense", a="m1 n1 m2 none both p1", b="n2 n1 m1"),
    ranked("rerank@3", a="m2 n1 m1 none both p1", b="n1 n2 m1"),
    ranked("oracle@3", a="m2 m1 n1 none both p1", b="n1 n2 m1"),
)
QRELS = {"a": {"m2": 1, "both": 2, "none": 1, "gone": 1, "n1": 0}, "b": {"n1": 1}}


def of_documents(documents: ValuesOf, families: dict[str, str] | None = None, **asked: Any) -> dict[str, SliceGain]:
    """Value -> slice, for rankings of which the first document counts; the queries' own values are not looked at."""
    evidence = Evidence({}, QRELS, families or {}, {}, documents)
    design = design_of(3, (3,), FIRST, **{"document_slices": ("kind",), **asked})
    unmoved = {FIRST: dict.fromkeys(QRELS, 0.0)}
    found = slices(evidence, design, RANKINGS, {"dense": unmoved, "rerank@3": unmoved}, {"rerank@3": unmoved})
    assert all(one.of == "document" for one in found)
    return {one.value: one for one in found}


def test_documents_that_share_a_value_are_ranked_alone_and_their_positives_are_r() -> None:
    """Mail, of query "a" alone: m2 and both are relevant. The first is m1, then m2: from 0 to 1/2.

    Notes: of "a", n1 stands before both, which is relevant: 0 and 0, and a perfect reranker of three leaves it there.
    Of "b", n2 is the first and then n1, which is relevant: 0 and 1. In all from 0 to 1/2.
    No plan is relevant to anybody, "none" has no kind, and "gone" is no part of the corpus.
    """
    found = of_documents(DOCUMENTS)
    assert list(found) == ["mail", "note"]
    mail, note = found["mail"], found["note"]
    assert (mail.attribute, mail.metric, mail.top_k) == ("kind", FIRST, 3)
    assert (mail.n_queries, mail.baseline_mean, mail.candidate_mean, mail.delta_points) == (1, 0, 0.5, 50)
    assert mail.headroom_points == 50
    assert (note.n_queries, note.baseline_mean, note.candidate_mean, note.delta_points) == (2, 0, 0.5, 50)
    assert note.headroom_points == 50


def test_families_of_the_queries_are_the_units_of_a_slice_of_documents() -> None:
    found = of_documents(DOCUMENTS, {"a": "rent", "b": "rent"})
    assert [(one.n_queries, one.n_units) for one in found.values()] == [(1, 1), (2, 1)]


def test_a_value_that_all_documents_share_makes_no_slice() -> None:
    assert of_documents({key: {"kind": ("mail",)} for key in DOCUMENTS}) == {}
    some: ValuesOf = {key: {"kind": ("mail",)} if key != "none" else {} for key in DOCUMENTS}
    assert list(of_documents(some)) == ["mail"]


def test_an_attribute_that_no_document_has_makes_no_slice() -> None:
    assert of_documents(DOCUMENTS, document_slices=("topic",)) == {}


def test_slices_of_queries_come_first_and_p_is_corrected_over_both_kinds() -> None:
    """Eight queries gain, on notes alone; of seven of them the topic is tax.

    p is 2 / 2**8 for notes, 2 / 2**7 for tax, 1 for law and for mail: Holm multiplies the first by 4, the second by 3.
    """
    names = [f"q{number}" for number in range(8)]
    attributes: ValuesOf = {name: {"topic": ("law",) if name == "q7" else ("tax",)} for name in names}
    kinds: ValuesOf = {"n1": {"kind": ("note",)}, "n2": {"kind": ("note",)}, "m1": {"kind": ("mail",)}}
    evidence = Evidence({}, {name: {"n1": 1, "m1": 1} for name in names}, {}, attributes, kinds)
    dense = ranked("dense", **dict.fromkeys(names, "n2 n1 m1"))
    reranked = ranked("rerank@3", **dict.fromkeys(names, "n1 n2 m1"))
    whole = {run: {FIRST: dict.fromkeys(names, value)} for run, value in (("dense", 0.0), ("rerank@3", 0.5))}
    design = design_of(3, (3,), FIRST, slices=("topic",), document_slices=("kind",))
    found = slices(evidence, design, (dense, reranked, reranked), whole, {"rerank@3": whole["rerank@3"]})
    assert [(one.of, one.attribute, one.value, one.n_queries, one.p_adjusted) for one in found] == [
        ("query", "topic", "law", 1, 1), ("query", "topic", "tax", 7, pytest.approx(3 * 2 / 2**7)),
        ("document", "kind", "mail", 8, 1), ("document", "kind", "note", 8, pytest.approx(4 * 2 / 2**8)),
    ]  # fmt: skip
