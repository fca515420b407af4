"""What is said about a data set before a run: numbers by hand, and in step with what loading keeps."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.analysis.grouping import FamilyRule
from evalkit.findings import Expectation
from evalkit.inspection.corpus import Corpus
from evalkit.inspection.facts import Cell, Some
from evalkit.types import Document, Metric
from tests.conftest import BeirWriter, beir, write_folder
from tests.data.inspections import ALL_GERMAN, DE, DOCUMENTS, JUDGMENTS, QUERIES, append, look, names, only, sound


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    return sound(write_beir)


# --- numbers --------------------------------------------------------------------------------------


def test_a_sound_data_set_has_no_finding(folder: Path) -> None:
    found = look(folder)
    assert found.findings == ()
    assert not found.refused
    assert found.name == "beir"


def test_sizes_and_coverage_by_hand(folder: Path) -> None:
    """d4 is never judged; q1 and q2 have one positive each."""
    facts = look(folder).facts
    assert (facts.sizes.documents, facts.sizes.queries, facts.sizes.selected, facts.sizes.evaluated) == (4, 2, 2, 2)
    assert list(facts.sizes.judgments.items()) == [(2, 1), (1, 1), (0, 1)]
    assert facts.coverage.never_judged == 1
    assert facts.coverage.positives == {1: 2}
    assert facts.coverage.n_positives == 2


def test_filters_and_limit_are_those_of_a_run(write_beir: BeirWriter) -> None:
    metadata = {**ALL_GERMAN, "q2": {"lang": "fr"}}
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata=metadata)
    sizes = look(folder, filters={"lang": "fr"}).facts.sizes
    assert (sizes.queries, sizes.selected, sizes.evaluated, sizes.judgments) == (2, 1, 1, {2: 1})
    assert look(folder, limit=1).facts.sizes.evaluated == 1


def test_a_recall_that_many_positives_cap_by_hand(write_beir: BeirWriter) -> None:
    """Seven positives leave 5/7 at best, one leaves 1: (5/7 + 1) / 2 = 0.857."""
    documents = {f"d{number}": f"Text Nummer {number}" for number in range(7)}
    judgments = [("q1", doc_id, 1) for doc_id in documents] + [("q2", "d0", 1)]
    folder = write_beir(documents, QUERIES, judgments, metadata=dict.fromkeys((*documents, *QUERIES), DE))
    found = look(folder)
    assert names(found) == [("note", "capped-recall")]
    assert (found.findings[0].count, found.findings[0].total) == (1, 2)
    assert "0.857" in found.findings[0].advice
    assert found.facts.coverage.best_recall(5) == pytest.approx((5 / 7 + 1) / 2)
    assert look(folder, expectation=Expectation(Metric("recall", 10), 50, 0, None)).findings == ()
    assert look(folder, expectation=Expectation(Metric("ndcg", 5), 50, 0, None)).findings == ()


# --- languages ------------------------------------------------------------------------------------


def test_positives_by_both_languages_by_hand(write_beir: BeirWriter) -> None:
    """q1 (de) -> d1 (de and fr) and d2 (none); q2 (none) -> d2 (none)."""
    folder = write_beir(
        DOCUMENTS,
        QUERIES,
        [("q1", "d1", 1), ("q1", "d2", 1), ("q2", "d2", 2), ("q2", "d1", 0)],
        metadata={"q1": DE, "d1": {"lang": ["de", "fr"]}, "d3": DE, "d4": {"lang": ""}},
    )
    found = look(folder)
    spoken = found.facts.languages
    assert (spoken.documents, spoken.documents_without) == ({"de": 2, "fr": 1}, 2)
    assert (spoken.queries, spoken.queries_without) == ({"de": 1}, 1)
    assert set(spoken.cells) == {Cell("de", "de", 1), Cell("de", "fr", 1), Cell("de", None, 1), Cell(None, None, 1)}
    assert names(found) == [("warning", "documents-without-language"), ("warning", "queries-without-language")]
    assert "dataset.lang={queries: de}" in found.findings[1].advice


def test_where_nothing_declares_a_language_that_is_a_note(write_beir: BeirWriter) -> None:
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS)
    assert names(look(folder)) == [("note", "documents-without-language"), ("note", "queries-without-language")]
    assert look(folder, lang={"documents": "de", "queries": "de"}).findings == ()


@pytest.mark.parametrize("pattern", ["^([a-z]{2})-", "^q(x?)"])
def test_a_pattern_that_finds_no_language_is_not_answered_as_if_none_were_set(
    write_beir: BeirWriter, pattern: str
) -> None:
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS)
    found = look(folder, lang={"documents": "de", "queries": pattern})
    assert names(found) == [("warning", "queries-without-language")]
    assert (found.findings[0].count, found.findings[0].total) == (2, 2)
    assert found.findings[0].advice.startswith(
        "the pattern dataset.lang.queries finds a language in none of these 2 ids; correct it, or set dataset.lang="
    )


def test_a_pattern_is_held_only_to_the_ids_without_a_language(write_beir: BeirWriter) -> None:
    """q1 says its language itself, and the pattern finds that of d1, d2 and d3 alone."""
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata={"q1": DE, "q2": DE})
    found = look(folder, lang={"documents": "^(d)[123]$", "queries": "^(xx)"})
    assert names(found) == [("warning", "documents-without-language")]
    assert (found.findings[0].count, found.findings[0].total) == (1, 4)
    assert "in none of these 1 ids" in found.findings[0].advice


# --- families and power ---------------------------------------------------------------------------


def test_families_are_units(write_beir: BeirWriter) -> None:
    """Three queries of family f, one of g, one without: three units."""
    queries = {f"q{number}": f"Frage {number}?" for number in range(5)}
    families = dict(zip(queries, ["f", "f", "f", "g", None], strict=True))
    metadata = {key: {**DE, "family": family} for key, family in families.items()}
    judgments = [(key, "d1", 1) for key in queries]
    found = look(write_beir(DOCUMENTS, queries, judgments, metadata={**dict.fromkeys(DOCUMENTS, DE), **metadata}))
    grouped = found.facts.families
    assert (grouped.families, grouped.members, grouped.largest, grouped.units) == (2, 4, 3, 3)
    assert found.power is not None
    assert found.power.units == 3


@pytest.mark.parametrize(
    ("rule", "setting"),
    [
        (FamilyRule("question"), "statistics.family"),
        (FamilyRule(None, "^([a-z]{2})-"), "statistics.family_pattern"),
        (FamilyRule("family"), None),
        (FamilyRule(None, "^(q)"), None),
    ],
)
def test_a_setting_that_finds_no_family_is_named(folder: Path, rule: FamilyRule, setting: str | None) -> None:
    found = look(folder, rule)
    assert found.facts.families.unmatched == setting
    assert names(found) == ([("warning", "no-family")] if setting else [])


def test_queries_that_are_probably_translations_are_pointed_out(write_beir: BeirWriter) -> None:
    """q2 (fr) has the positives of q1 (de); q4 (fr) has others."""
    langs = {"q1": "de", "q2": "fr", "q4": "fr"}
    queries = {key: f"{key}?" for key in langs}
    judgments = [("q1", "d1", 1), ("q1", "d2", 1), ("q2", "d2", 2), ("q2", "d1", 1), ("q4", "d1", 1), ("q4", "d2", 0)]
    metadata = {**dict.fromkeys(DOCUMENTS, DE), **{key: {"lang": lang} for key, lang in langs.items()}}
    folder = write_beir(DOCUMENTS, queries, judgments, metadata=metadata)
    found = look(folder)
    assert names(found) == [("warning", "likely-translations")]
    assert found.findings[0].examples == ("q2",)
    named_by = {key: {**entry, "family": "f"} for key, entry in metadata.items()}
    assert look(write_beir(DOCUMENTS, queries, judgments, folder="named", metadata=named_by)).findings == ()
    same = {**metadata, "q2": DE}
    assert look(write_beir(DOCUMENTS, queries, judgments, folder="same", metadata=same)).findings == ()


def test_what_eighty_questions_can_tell_by_hand(tmp_path: Path) -> None:
    """1.96 x 35 / sqrt(80) = 7.67 and 2.8016 x 35 / sqrt(80) = 10.96; 12 points need (2.8016 x 35 / 12)**2 = 66.8."""
    queries = {f"q{number}": f"Frage {number}?" for number in range(80)}
    metadata = dict.fromkeys((*DOCUMENTS, *queries), DE)
    folder = write_folder(tmp_path / "80", DOCUMENTS, queries, [(key, "d1", 1) for key in queries], metadata)
    twelve = Expectation(Metric("recall", 5), 50, 12, 18)
    found = look(folder, expectation=twelve)
    assert found.power is not None
    assert found.power.half_width_points == pytest.approx(7.67, abs=0.005)
    assert found.power.detectable_points == pytest.approx(10.96, abs=0.005)
    assert found.findings == ()
    few = only(look(folder, expectation=twelve, limit=66), "too-few-queries")
    assert (few.level, few.count) == ("warning", 66)
    assert "about 67 queries" in few.advice
    assert look(folder, expectation=twelve, limit=67).findings == ()


# --- large and hostile ----------------------------------------------------------------------------


def test_of_a_large_corpus_a_sample_and_the_positives_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.inspection.corpus.SAMPLE", 50)
    documents = [Document(f"d{number}", f"text {number}") for number in range(1000)]
    corpus = Corpus.of(iter(documents), judged={"d3", "d7"}, positives={"d7"})
    assert corpus.count == 1000
    assert corpus.contents == {"d7": "text 7"}
    assert len(set(corpus.sample)) == 50
    # Each half of the corpus is drawn from: the chance that one is not is 2**-49.
    assert {int(text.split()[1]) >= 500 for text in corpus.sample} == {True, False}
    assert corpus.sample == Corpus.of(iter(documents), set(), set()).sample


def test_ids_are_cut_where_they_may_be_texts_and_few_are_shown() -> None:
    some = Some.of(iter(["a" * 41, "b\nc", "d", "e", "f"]))
    assert some == Some(5, (f"{'a' * 40}…", "b c", "d"))


def test_nothing_that_is_said_holds_a_text(folder: Path) -> None:
    planted = "the client Quorlan hides a numbered account"
    long = f"{planted} {'very ' * 20}"
    append(
        folder / "corpus.jsonl",
        json.dumps({"_id": "t1", "text": planted}),
        json.dumps({"_id": "t2", "text": planted.upper()}),
        json.dumps({"_id": "t1", "text": planted}),
        json.dumps({"text": planted}),
        planted,
        json.dumps({"_id": "t3", "text": planted, "metadata": long}),
    )
    append(
        folder / "queries.jsonl",
        json.dumps({"_id": "p1", "text": planted}),
        json.dumps({"_id": "p2", "text": planted}),
        json.dumps({"_id": "p3", "text": [planted]}),
    )
    append(folder / "qrels" / "test.tsv", "p1\tt1\t1", "p2\tt2\t1", f"q1\td2\t{planted}", f"q1\td2\t1\t{planted}")
    found = look(folder)
    assert {"copied-questions", "contradictory-questions", "unjudged-twins"} <= {name for _, name in names(found)}
    assert "quorlan" not in json.dumps(asdict(found)).casefold()


GRADES = st.dictionaries(
    st.sampled_from([f"q{number}" for number in range(5)]),
    st.dictionaries(st.sampled_from([f"d{number}" for number in range(7)]), st.integers(-1, 2), max_size=4),
    min_size=1,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(grades=GRADES, texts=st.lists(st.sampled_from(["", "one", "ONE ", "two"]), min_size=5, max_size=5))
def test_what_is_counted_is_what_loading_keeps(
    tmp_path_factory: pytest.TempPathFactory, grades: dict[str, dict[str, int]], texts: list[str]
) -> None:
    """Random judgments of four queries and five documents, one more query and two more documents missing."""
    documents = {f"d{number}": text for number, text in enumerate(texts)}
    queries = {f"q{number}": f"{number}?" for number in range(4)}
    rows = [(query_id, doc_id, grade) for query_id, found in grades.items() for doc_id, grade in found.items()]
    # So that there is always something to evaluate.
    rows.append(("q0", "d7", 1))
    folder = write_folder(tmp_path_factory.mktemp("random") / "beir", documents, queries, rows)
    facts = look(folder, on_dangling="keep").facts
    loaded = beir(folder, on_dangling="keep").load()
    assert facts.sizes.evaluated == len(loaded.queries)
    assert facts.coverage.unjudged.count == len(loaded.unjudged)
    assert facts.coverage.without_positives.count == len(loaded.without_positives)
    assert facts.coverage.dangling.count == len(loaded.dangling)
    assert facts.texts.empty.count == sum(not document.content for document in loaded.documents)
    judged = {doc_id for found in loaded.qrels.values() for doc_id in found}
    assert facts.coverage.never_judged == sum(document.id not in judged for document in loaded.documents)
    folded = {document.id: document.content.casefold().strip() for document in loaded.documents}
    twins = [
        (query_id, doc_id)
        for query_id, found in loaded.qrels.items()
        for doc_id, grade in found.items()
        if grade >= 1 and folded.get(doc_id)
        if any(folded[other] == folded[doc_id] and other not in found for other in folded)
    ]
    assert facts.texts.twins.count == len(twins)
    assert ("unknown-queries" in {name for _, name in names(look(folder, on_dangling="keep"))}) == any(
        query_id not in queries for query_id, _, _ in rows
    )
