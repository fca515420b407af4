"""The language table, by hand: each cell ranks the documents of one language alone, and these alone are its R."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pytest

from evalkit.analysis.assess import assess
from evalkit.analysis.languages import languages
from evalkit.parts import LanguageBias, LanguageGain, Languages
from evalkit.record import Sequential
from evalkit.result import Evidence, ValuesOf
from evalkit.types import Candidates, Metric, Qrels, Run
from tests.analysis.evidence import RECALL, design_of, listed, made, scoring_of, subject_of
from tests.analysis.rankings import ranked

FIRST, TWO = Metric("recall", 1), Metric("recall", 2)
DOCUMENTS = ("g1", "g2", "g3", "f1", "f2", "f3", "n1")
LANGS = {"g": "de", "f": "fr", "e": "en", "a": "de", "b": "de", "c": "fr", "d": None}
"""Language by the first letter of an id: of documents g, f, e and n, of queries a, b, c and d."""


def told(*ids: str, **langs: tuple[str, ...]) -> ValuesOf:
    """Attributes of these ids: ``lang`` by their first letter, or as it is given here."""
    by_letter = {one: (lang,) for one in ids if (lang := LANGS.get(one[0]))}
    return {one: {"lang": found} if (found := {**by_letter, **langs}.get(one)) else {} for one in (*ids, *langs)}


def evidence_of(
    qrels: Qrels,
    dense: Run,
    families: Mapping[str, str] | None = None,
    queries: ValuesOf | None = None,
    documents: ValuesOf | None = None,
) -> Evidence:
    """Judgments and candidates in the order of dense, with languages by first letters where none are given."""
    candidates: Candidates = {
        query_id: listed(ranking, [0.0] * len(ranking)) for query_id, ranking in dense.rankings.items()
    }
    return Evidence(
        candidates,
        qrels,
        families or {},
        told(*qrels) if queries is None else queries,
        told(*DOCUMENTS) if documents is None else documents,
    )


def by_cell(found: Languages | None) -> dict[tuple[str, str | None], LanguageGain]:
    assert found is not None
    cells = {(gain.query_lang, gain.document_lang): gain for gain in found.gains}
    assert len(cells) == len(found.gains)
    return cells


def by_lang(found: Languages | None) -> dict[str | None, LanguageBias]:
    assert found is not None
    rows = {row.query_lang: row for row in found.bias}
    assert len(rows) == len(found.bias)
    return rows


def numbers(gain: LanguageGain) -> tuple[float, ...]:
    return (gain.n_queries, gain.baseline_mean, gain.candidate_mean, gain.headroom_points, gain.candidates)


# --- cells and pooled rows --------------------------------------------------------------------------

QRELS = {
    "a": {"g2": 1, "f2": 1, "f3": 2, "n1": 1, "gone": 1, "g1": 0},
    "b": {"g2": 1, "f1": -1},
    "c": {"f2": 1},
    "d": {"g1": 1},
}
"""n1 names no language, "gone" is no part of the corpus, and query "d" names no language either."""

DENSE = ranked("dense", a="g1 f1 g2 f2 n1 f3", b="g2 g1 f1 n1 g3 f2", c="f1 f2 g1 g2 f3 n1", d="g1 f1 g2 f2 n1 f3")
RERANKED = ranked(
    "rerank@4", a="f2 g2 f1 g1 n1 f3", b="g1 g2 n1 f1 g3 f2", c="f2 f1 g2 g1 f3 n1", d="f1 g1 g2 f2 n1 f3"
)
PERFECT = ranked("oracle@4", a="g2 f2 g1 f1 n1 f3", b="g2 g1 f1 n1 g3 f2", c="f2 f1 g1 g2 f3 n1", d="g1 f1 g2 f2 n1 f3")


@pytest.fixture(scope="module")
def table() -> Languages:
    """Four queries, of which the first document counts at the decision top-k 4."""
    found = languages(evidence_of(QRELS, DENSE), design_of(4, (4,), FIRST), (DENSE, RERANKED, PERFECT))
    assert found is not None
    return found


def test_a_cell_ranks_the_documents_of_its_language_alone_and_takes_their_positives_for_r(table: Languages) -> None:
    """Queries (number, dense, reranked, headroom, candidates of the language among the first four).

    de on de: "a" has g2 behind g1, then before it: 0 and 1. "b" loses it: 1 and 0. A perfect ranking has both.
    de on fr: only "a", which has f2 and f3: f1 stands first, then f2: 0 and 1/2, as good as it gets.
    fr on fr: "c" has f2 behind f1, then before it.
    fr on de: nothing is relevant to "c" there, so that there is no such cell.
    """
    cells = {(gain.query_lang, gain.document_lang): numbers(gain) for gain in table.cells}
    assert cells == {
        ("de", "de"): (2, 0.5, 0.5, 50, 2), ("de", "fr"): (1, 0, 0.5, 50, 2), ("fr", "fr"): (1, 0, 1, 100, 2),
    }  # fmt: skip
    assert {(gain.metric, gain.top_k) for gain in table.gains} == {(FIRST, 4)}


def test_a_pooled_row_ranks_all_documents_and_takes_all_positives_for_r(table: Languages) -> None:
    """Five are relevant to "a", n1 and "gone" among them: g1, then f2 stands first: 0 and 1/5. "b" goes from 1 to 0."""
    found = by_cell(table)
    assert numbers(found["de", None]) == pytest.approx((2, 0.5, 0.1, 100 * (0.6 - 0.5), 4))
    assert numbers(found["fr", None]) == (1, 0, 1, 100, 4)
    assert found["de", None].delta_points == pytest.approx(-40)


def test_cells_come_by_document_language_and_pooled_rows_last(table: Languages) -> None:
    assert [(gain.query_lang, gain.document_lang) for gain in table.gains] == [
        ("de", "de"), ("de", "fr"), ("fr", "fr"), ("de", None), ("fr", None),
    ]  # fmt: skip


def test_a_query_that_names_no_language_is_in_no_row(table: Languages) -> None:
    """The four queries of pooled rows and biases are a, b and c."""
    assert sum(gain.n_queries for gain in table.gains if gain.document_lang is None) == 3
    assert by_lang(table)[None].n_queries == 3


def test_candidates_are_counted_up_to_the_decision_top_k_only() -> None:
    """Of f1, f2 and f3, "a" has two and "b" one among the first four, and all of "a" among six."""
    qrels = {"a": {"f2": 1}, "b": {"f1": 1}}
    for top_k, mean in ((4, 1.5), (6, 2.5)):
        found = languages(evidence_of(qrels, DENSE), design_of(top_k, (top_k,), FIRST), (DENSE, RERANKED, PERFECT))
        assert by_cell(found)["de", "fr"].candidates == mean


def test_the_ideal_ranking_of_a_cell_holds_its_own_positives_alone() -> None:
    """nDCG@2 of "a" on fr: f2 is relevant, alone of these; it moves from rank 2 to 1: from 1 / log2(3) to 1.

    In the pooled ranking g1 and g2 are relevant too: dense g1 f1 is 1 and reranked f2 f1 too, of 1 + 1 / log2(3).
    """
    ndcg, qrels = Metric("ndcg", 2), {"a": {"f2": 1, "g1": 1, "g2": 1}}
    dense, reranked = ranked("dense", a="g1 f1 f2 g2"), ranked("rerank@4", a="f2 f1 g1 g2")
    found = by_cell(languages(evidence_of(qrels, dense), design_of(4, (4,), ndcg), (dense, reranked, reranked)))
    cell, pooled = found["de", "fr"], found["de", None]
    assert (cell.baseline_mean, cell.candidate_mean) == pytest.approx((1 / math.log2(3), 1))
    assert (pooled.baseline_mean, pooled.candidate_mean) == pytest.approx((1 / (1 + 1 / math.log2(3)),) * 2)


def test_what_is_in_several_languages_counts_in_each() -> None:
    """The query asks in de and fr, twice in de; f1 is in de and fr too, so that it is ranked in both columns."""
    dense, reranked = ranked("dense", a="g1 f1 f2"), ranked("rerank@3", a="f1 f2 g1")
    evidence = evidence_of(
        {"a": {"f1": 1}},
        dense,
        queries=told(a=("de", "fr", "de")),
        documents=told("g1", "f2", f1=("de", "fr")),
    )
    found = by_cell(languages(evidence, design_of(3, (3,), FIRST), (dense, reranked, reranked)))
    assert {key: numbers(gain) for key, gain in found.items()} == {
        ("de", "de"): (1, 0, 1, 100, 2), ("fr", "de"): (1, 0, 1, 100, 2), ("de", "fr"): (1, 1, 1, 0, 2),
        ("fr", "fr"): (1, 1, 1, 0, 2), ("de", None): (1, 0, 1, 100, 3), ("fr", None): (1, 0, 1, 100, 3),
    }  # fmt: skip


def test_a_query_without_candidates_finds_nothing() -> None:
    """As in the metrics: "a" goes from 0 to 1, and "b" stays at 0 in the cell and in the pooled row."""
    dense, reranked = ranked("dense", a="g1 g2 f1"), ranked("rerank@3", a="g2 g1 f1")
    evidence = evidence_of({"a": {"g2": 1}, "b": {"g1": 1}}, dense)
    found = languages(evidence, design_of(3, (3,), FIRST), (dense, reranked, reranked))
    assert {key: numbers(gain) for key, gain in by_cell(found).items()} == {
        ("de", "de"): (2, 0, 0.5, 50, 1), ("de", None): (2, 0, 0.5, 50, 1.5),
    }  # fmt: skip
    assert by_lang(found)["de"].n_queries == 1


# --- certainty --------------------------------------------------------------------------------------

MOVES: Mapping[str, tuple[str, str, Mapping[str, int]]] = {
    "a": ("g1 f1 f2", "g1 f2 f1", {"f2": 1}),
    "b": ("g1 f1", "g1 f1", {"g1": 1}),
    "c": ("g1 g2 f1", "g2 g1 f1", {"g1": 1}),
}
"""First letter of a query -> dense, reranked, relevant: gains on fr behind a document in de, keeps, and loses on de."""


def moved(families: Mapping[str, str] | None = None, resamples: int = 400, **counts: int) -> Languages:
    """The table of so many queries of each kind, of which the first document counts."""
    named = [f"{letter}{number}" for letter, count in counts.items() for number in range(count)]
    dense = ranked("dense", **{query_id: MOVES[query_id[0]][0] for query_id in named})
    reranked = ranked("rerank@3", **{query_id: MOVES[query_id[0]][1] for query_id in named})
    qrels = {query_id: MOVES[query_id[0]][2] for query_id in named}
    design = design_of(3, (3,), FIRST, resamples=resamples)
    found = languages(evidence_of(qrels, dense, families), design, (dense, reranked, reranked))
    assert found is not None
    return found


def test_p_is_adjusted_over_all_cells_and_pooled_rows_together() -> None:
    """Of all sign patterns two reach what eight gains or seven losses add up to.

    de on fr: 2 / 2**8. fr on de, and fr pooled: 2 / 2**7, twice that. de on de and de pooled: nothing moves, 1.
    Holm over these five: 5 x the smallest; then 4 x and 3 x the next two, of which the second may not be under the
    first.
    """
    found = {key: (gain.p_value, gain.p_adjusted) for key, gain in by_cell(moved(a=8, b=3, c=7)).items()}
    assert found["de", "fr"] == pytest.approx((2 / 256, 5 * 2 / 256))
    assert found["fr", "de"] == found["fr", None] == pytest.approx((4 / 256, 4 * 4 / 256))
    assert found["de", "de"] == found["de", None] == (1, 1)


def test_the_unit_of_a_cell_is_the_family_as_far_as_it_lies_in_it() -> None:
    """Eight queries of three families gain on fr: p is 2 / 2**3. Those of "b" belong to these, but not to the cell."""
    families = {f"a{number}": f"family {number % 3}" for number in range(8)}
    families |= {f"b{number}": f"family {number}" for number in range(3)}
    found = by_cell(moved(families, a=8, b=3))
    assert (found["de", "fr"].n_queries, found["de", "fr"].n_units) == (8, 3)
    assert found["de", "fr"].p_value == pytest.approx(2 / 2**3)
    assert found["de", "fr"].note == "too small to tell: 3 independent queries or families, fewer than 10"
    assert (found["de", None].n_queries, found["de", None].n_units) == (11, 3)


def test_the_interval_of_a_cell_is_that_of_its_own_units() -> None:
    """All of five gain 1: as shares of what lies between -1 and 1, Clopper and Pearson's bound is 0.025 ** (1 / 5)."""
    gain = by_cell(moved(a=5, b=30, resamples=10_000))["de", "fr"]
    assert gain.ci_low == pytest.approx(100 * (2 * 0.025 ** (1 / 5) - 1), abs=2)
    assert gain.ci_high == pytest.approx(100)


# --- one language, or none --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queries", "documents"),
    [
        ({}, ("g1", "g2", "f1")),
        ({"a": ("de",)}, ("n1",)),
        ({}, ()),
        ({"a": ("de",)}, ("g1", "g2")),
        ({"a": ("de",)}, ("g1",)),
        ({"a": ("de",)}, ("f1", "f2")),
    ],
    ids=[
        "queries name none", "documents name none", "nobody names one", "one and the same",
        "one and the same, where it is named", "no relevant document names one",
    ],
)  # fmt: skip
def test_there_is_no_table_of_less_than_two_languages(
    queries: dict[str, tuple[str, ...]], documents: tuple[str, ...]
) -> None:
    dense = ranked("dense", a="g1 g2 f1 n1")
    evidence = evidence_of({"a": {"g1": 1}}, dense, queries=told(**queries), documents=told(*documents))
    assert languages(evidence, design_of(4, (4,), FIRST), (dense, dense, dense)) is None


def test_questions_in_one_language_about_documents_in_another_are_one_cell() -> None:
    """The pooled ranking would be the same, so that it is left out: p is corrected for nothing."""
    names = [f"a{number}" for number in range(8)]
    dense = ranked("dense", **dict.fromkeys(names, "e1 e2"))
    reranked = ranked("rerank@2", **dict.fromkeys(names, "e2 e1"))
    evidence = evidence_of({name: {"e2": 1} for name in names}, dense, documents=told("e1", "e2"))
    found = languages(evidence, design_of(2, (2,), FIRST), (dense, reranked, reranked))
    assert found is not None
    (gain,) = found.gains
    assert (gain.query_lang, gain.document_lang) == ("de", "en")
    assert numbers(gain) == (8, 0, 1, 100, 2)
    assert (gain.p_value, gain.p_adjusted) == pytest.approx((2 / 2**8, 2 / 2**8))
    assert found.bias == ()
    assert found.cells == found.gains


# --- the asker's own language -----------------------------------------------------------------------

OWN_DENSE = ranked("dense", a="n1 f1 g1 f2 g2", b="f1 f2 g1", c="f1 g1 f2", d="g1 f1")
OWN_RERANKED = ranked("rerank@5", a="g1 n1 g2 f1 f2", b="f1 g1 f2", c="g1 f1 f2", d="f1 g1")
OWN_QRELS = {"a": {"g1": 1, "f1": 2, "f2": 0, "n1": 1, "gone": 1}, "b": {"g1": 1}, "c": {"f1": 1}, "d": {"g1": 1}}


def own(**changes: str) -> dict[str | None, LanguageBias]:
    """Of which the first two documents count."""
    queries = told(*OWN_QRELS, **{query_id: (lang,) for query_id, lang in changes.items()})
    evidence = evidence_of(OWN_QRELS, OWN_DENSE, queries=queries)
    return by_lang(languages(evidence, design_of(5, (5,), TWO), (OWN_DENSE, OWN_RERANKED, OWN_RERANKED)))


def test_bias_is_the_share_of_the_top_in_the_language_of_the_asker_beside_that_of_the_relevant_ones() -> None:
    """Shares of relevant, dense and reranked; n1 names no language, and leaves its place to the next.

    "a" in de: g1 and f1 are relevant, 1/2; f1 g1 is 1/2 and g1 g2 is 1. "b" in de: 1; f1 f2 is 0 and f1 g1 is 1/2.
    "c" in fr: 1; f1 g1 and g1 f1 are 1/2.
    """
    found = own()
    shares = {lang: (row.relevant_share, row.dense_share, row.reranked_share) for lang, row in found.items()}
    assert shares["de"] == pytest.approx((0.75, 0.25, 0.75))
    assert shares["fr"] == pytest.approx((1, 0.5, 0.5))
    assert shares[None] == pytest.approx((2.5 / 3, 1 / 3, 2 / 3))
    points = {lang: (row.cutoff, row.n_queries, row.delta_points) for lang, row in found.items()}
    assert points == {"de": (2, 2, 50), "fr": (2, 1, 0), None: (2, 3, pytest.approx(100 / 3))}
    assert list(found) == ["de", "fr", None]
    assert all(-100 <= row.ci_low <= row.delta_points <= row.ci_high <= 100 for row in found.values())


def test_who_asks_in_a_language_of_no_document_cannot_be_favoured() -> None:
    """Neither in a row, nor in that of all; a single row is not repeated for all."""
    assert {lang: row.n_queries for lang, row in own(d="it").items()} == {"de": 2, "fr": 1, None: 3}
    assert {lang: row.n_queries for lang, row in own(c="it").items()} == {"de": 2}


def test_a_query_whose_relevant_documents_name_no_language_tells_nothing_of_bias() -> None:
    evidence = evidence_of({"a": {"n1": 1}, "b": {"g1": 1}}, OWN_DENSE)
    found = languages(evidence, design_of(5, (5,), TWO), (OWN_DENSE, OWN_RERANKED, OWN_RERANKED))
    assert by_lang(found)["de"].n_queries == 1
    assert by_lang(found)["de"].dense_share == 0


def test_a_query_in_two_languages_owns_the_documents_in_both() -> None:
    evidence = evidence_of({"a": {"g1": 1}}, OWN_DENSE, queries=told(a=("de", "fr")))
    found = by_lang(languages(evidence, design_of(5, (5,), TWO), (OWN_DENSE, OWN_RERANKED, OWN_RERANKED)))
    assert [(row.relevant_share, row.dense_share, row.reranked_share, row.n_queries) for row in found.values()] == [
        (1, 1, 1, 1)
    ] * 3


def test_where_the_metric_has_no_cutoff_the_first_five_documents_count() -> None:
    dense, reranked = ranked("dense", a="f1 f2 f3 g1 g2 g3"), ranked("rerank@6", a="g1 g2 g3 f1 f2 f3")
    found = languages(
        evidence_of({"a": {"g1": 1}}, dense), design_of(6, (6,), Metric("mrr")), (dense, reranked, reranked)
    )
    row = by_lang(found)["de"]
    assert (row.cutoff, row.dense_share, row.reranked_share) == (5, 2 / 5, 3 / 5)


@pytest.mark.parametrize("families", [{}, {f"a{number}": f"family {number % 4}" for number in range(8)}])
def test_families_are_the_units_of_the_bias_interval(families: dict[str, str]) -> None:
    """All rise from 0 to 1: between -1 and 1, Clopper and Pearson's bound of four families is 0.025 ** (1 / 4)."""
    names = [f"a{number}" for number in range(8 if families else 4)]
    dense = ranked("dense", **dict.fromkeys(names, "f1 g1"))
    reranked = ranked("rerank@2", **dict.fromkeys(names, "g1 f1"))
    evidence = evidence_of({name: {"g1": 1} for name in names}, dense, families)
    found = languages(evidence, design_of(2, (2,), FIRST, resamples=10_000), (dense, reranked, reranked))
    row = by_lang(found)["de"]
    assert (row.n_queries, row.delta_points, row.ci_high) == pytest.approx((len(names), 100, 100))
    assert row.ci_low == pytest.approx(100 * (2 * 0.025 ** (1 / 4) - 1), abs=2)


# --- from candidates, by a second implementation ----------------------------------------------------

FOUR = ("de", "fr", "it", "en")


def in_four_languages() -> Evidence:
    """Eighty seeded queries; every ninth document names no language."""
    found = made(80, seed=3, depth=30, n_documents=200)
    return replace(
        found,
        families={query_id: f"f{place // 4}" for place, query_id in enumerate(found.qrels)},
        attributes={query_id: {"lang": (FOUR[place % 4],)} for place, query_id in enumerate(found.qrels)},
        document_attributes={
            f"d{number}": {"lang": (FOUR[number % 4],)} if number % 9 else {} for number in range(200)
        },
    )


def recall_by_hand(ranking: list[str], positives: set[str]) -> float:
    return sum(doc_id in positives for doc_id in ranking[:5]) / len(positives)


def test_every_cell_agrees_with_a_second_implementation_on_made_up_candidates() -> None:
    evidence = in_four_languages()
    found = by_cell(assess(evidence, design_of(20, (10, 20, 30), RECALL), subject_of(200, 80), scoring_of()).languages)
    expected = {}
    for query_lang, document_lang in product(FOUR, (*FOUR, None)):
        kept = {
            f"d{number}" for number in range(200) if document_lang is None or (
                number % 9 and FOUR[number % 4] == document_lang
            )
        }  # fmt: skip
        rows = []
        for place, (query_id, grades) in enumerate(evidence.qrels.items()):
            positives = grades.keys() & kept
            if FOUR[place % 4] != query_lang or not positives:
                continue
            pool = evidence.candidates[query_id]
            head = sorted(pool[:20], key=lambda one: -(one.rerank_score or 0.0))
            perfect = sorted(pool[:20], key=lambda one: one.doc_id not in positives)
            lists = [[one.doc_id for one in ranking if one.doc_id in kept] for ranking in (
                pool, [*head, *pool[20:]], [*perfect, *pool[20:]],
            )]  # fmt: skip
            rows.append(
                [*(recall_by_hand(one, positives) for one in lists), sum(one.doc_id in kept for one in pool[:20])]
            )
        expected[query_lang, document_lang] = [sum(column) / len(rows) for column in zip(*rows, strict=True)], len(rows)
    assert found.keys() == expected.keys()
    assert len(found) == 20
    for key, ((dense, reranked, perfect, candidates), count) in expected.items():
        gain = found[key]
        assert gain.n_queries == count
        assert (gain.baseline_mean, gain.candidate_mean, gain.candidates) == pytest.approx(
            (dense, reranked, candidates)
        )
        assert gain.delta_points == pytest.approx(100 * (reranked - dense))
        assert gain.headroom_points == pytest.approx(100 * (perfect - dense))


def test_pooled_rows_are_the_slices_by_language() -> None:
    """Two ways to the same numbers, but for the number of tests that p is corrected for."""
    found = assess(
        in_four_languages(), design_of(20, (10, 20), RECALL, slices=("lang",)), subject_of(200, 80), scoring_of()
    )
    cells = by_cell(found.languages)
    assert len(found.slices) == 4
    for one in found.slices:
        pooled = cells[one.value, None]
        for name in ("baseline_mean", "candidate_mean", "ci_low", "ci_high", "p_value", "headroom_points", "n_units"):
            assert getattr(pooled, name) == getattr(one, name)


def test_after_an_early_stop_there_is_no_table() -> None:
    ended = Sequential("above", 13.0, 90.0, 80, 1600, 90, 1800, 0)
    evidence, design = in_four_languages(), design_of(20, (20,), RECALL)
    assert assess(evidence, design, subject_of(200, 80), scoring_of()).languages is not None
    assert assess(evidence, design, subject_of(200, 80), scoring_of(), sequential=ended).languages is None


@pytest.mark.parametrize(
    ("movable", "won", "told"),
    [(8, 4, "cannot tell: 8 of 24 queries have more than 1 of these documents"), (8, 0, ""), (24, 12, "")],
    ids=["few can change, and nothing shows", "few can change, but all of them lost", "all can change"],
)
def test_a_cell_in_which_few_queries_can_change_says_so_unless_something_shows(
    movable: int, won: int, told: str
) -> None:
    """Two German candidates that the reranker swaps, for some; for the others one, which is first whatever happens."""
    ids = [f"a{number:02}" for number in range(24)]
    moving, winning = set(ids[:movable]), set(ids[:won])
    dense = Run("dense", {one: ("g1", "g2", "f1") if one in moving else ("g1", "f1", "f2") for one in ids})
    swapped = Run("reranked", {one: ("g2", "g1", "f1") if one in moving else ("g1", "f1", "f2") for one in ids})
    evidence = evidence_of({one: {"g2" if one in winning else "g1": 1} for one in ids}, dense)
    found = languages(evidence, design_of(top_k=3, top_ks=[3], metric=FIRST), (dense, swapped, dense))
    assert found is not None
    (cell,) = [row for row in found.gains if row.document_lang == "de"]
    assert cell.delta_points == pytest.approx(100 * (won - (movable - won)) / 24)
    assert cell.note.startswith(told)
    assert bool(cell.note) == bool(told)
