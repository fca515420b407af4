"""What is said about a data set before a run: every planted fault, by hand, and in step with what loading refuses."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evalkit.analysis.grouping import FamilyRule
from evalkit.errors import ConfigError, DataError, ModelError
from evalkit.findings import Expectation
from evalkit.inspection.corpus import Corpus
from evalkit.inspection.facts import Cell, Lengths, Some
from evalkit.inspection.inspect import inspect
from evalkit.inspection.leaks import copied, named
from evalkit.inspection.lengths import lengths
from evalkit.inspection.outcome import Finding, Inspection
from evalkit.inspection.survey import Measure
from evalkit.ports import Pair
from evalkit.testing import FunctionReranker, WordEmbedder
from evalkit.types import Document, Metric
from tests.conftest import BeirWriter, beir, write_folder

ANY = Expectation(Metric("recall", 5), 50, 0, None)
"""Any number of queries is enough for it."""

DE = {"lang": "de"}
DOCUMENTS = {
    "d1": "Der Lohn im Mai.",
    "d2": "Die Miete in Bern.",
    "d3": "Die Steuer in Thun.",
    "d4": "Der Bus nach Chur.",
}
QUERIES = {"q1": "Was verdient man?", "q2": "Was kostet es?"}
JUDGMENTS = [("q1", "d1", 1), ("q1", "d3", 0), ("q2", "d2", 2)]
ALL_GERMAN = dict.fromkeys((*DOCUMENTS, *QUERIES), DE)


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    """Two queries, four documents, three judgments, and nothing wrong with them."""
    return write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata=ALL_GERMAN)


def look(
    folder: Path,
    rule: FamilyRule | None = None,
    expectation: Expectation = ANY,
    measure: Measure | None = None,
    **options: Any,
) -> Inspection:
    """Inspect a folder; loading must refuse it exactly where there is an error."""
    found = inspect(beir(folder, **options), rule or FamilyRule("family"), expectation, measure)
    if found.refused:
        with pytest.raises(DataError):
            beir(folder, **options).load()
    else:
        beir(folder, **options).load()
    return found


def names(found: Inspection) -> list[tuple[str, str]]:
    return [(finding.level, finding.name) for finding in found.findings]


def only(found: Inspection, name: str) -> Finding:
    (finding,) = [finding for finding in found.findings if finding.name == name]
    return finding


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.writelines(f"{line}\n" for line in lines)


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


# --- what loading refuses -------------------------------------------------------------------------


def test_positives_that_are_not_in_the_corpus_are_all_counted(folder: Path) -> None:
    append(folder / "qrels" / "test.tsv", "q1\tx1\t1", "q1\tx2\t2", "q2\tx1\t1", "q2\tx3\t1", "q2\tx4\t0")
    found = look(folder)
    dangling = only(found, "dangling-positives")
    assert (dangling.level, dangling.count, dangling.total) == ("error", 4, 6)
    assert dangling.examples == ("q1 → x1", "q1 → x2", "q2 → x1")
    assert only(found, "dangling-others").count == 1
    kept = look(folder, on_dangling="keep")
    assert names(kept) == [("warning", "dangling-positives"), ("note", "dangling-others")]


def test_positives_that_corpus_filter_leaves_out_are_said_to_be_so(write_beir: BeirWriter) -> None:
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata={**ALL_GERMAN, "d2": {"lang": "fr"}})
    found = look(folder, corpus_filter=DE)
    assert found.facts.sizes.documents == 3
    assert "corpus_filter" in only(found, "dangling-positives").what


def test_judged_queries_that_do_not_exist(folder: Path) -> None:
    append(folder / "qrels" / "test.tsv", "q8\td1\t1", "q9\td1\t0")
    found = look(folder)
    assert names(found) == [("error", "unknown-queries")]
    assert found.findings[0].examples == ("q8", "q9")
    assert names(look(folder, on_dangling="keep")) == [("warning", "unknown-queries")]


def test_ids_that_appear_again_are_all_counted_with_their_lines(folder: Path) -> None:
    append(folder / "corpus.jsonl", *(json.dumps({"_id": "d1", "text": "x", "metadata": DE}) for _ in range(5)))
    append(folder / "queries.jsonl", json.dumps({"_id": "q2", "text": "x", "metadata": DE}))
    found = look(folder)
    assert names(found) == [("error", "repeated-ids"), ("error", "repeated-ids")]
    documents, queries = found.findings
    assert documents.count == 5
    assert documents.examples[0] == "corpus.jsonl:5: id 'd1' was used in line 1 already"
    assert len(documents.examples) == 3
    assert queries.examples == ("queries.jsonl:3: id 'q2' was used in line 2 already",)
    assert found.facts.sizes.documents == 4


def test_queries_without_a_text_are_not_also_called_unknown(folder: Path) -> None:
    append(folder / "queries.jsonl", '{"_id": "q3", "text": "  "}', '{"_id": "q4", "text": ""}')
    append(folder / "qrels" / "test.tsv", "q3\td1\t1")
    found = look(folder)
    assert names(found) == [("error", "empty-queries")]
    assert found.findings[0].count == 2


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("corpus.jsonl", "{broken", "corpus.jsonl:5: not JSON"),
        ("corpus.jsonl", '{"_id": "d9"}', "corpus.jsonl:5: no text"),
        ("queries.jsonl", '["q9"]', "queries.jsonl:3: a JSON list"),
        ("queries.jsonl", '{"text": "What?"}', "queries.jsonl:3: no _id"),
        ("qrels/test.tsv", "q1\td2\tmaybe", "test.tsv:5: the grade is 'maybe'"),
        ("qrels/test.tsv", "q1\td2", "test.tsv:5: 2 columns"),
        ("qrels/test.tsv", "\td2\t1", "test.tsv:5: an id is empty"),
    ],
)
def test_a_row_that_cannot_be_used_is_passed_over_and_named(folder: Path, name: str, line: str, message: str) -> None:
    append(folder / name, line)
    found = look(folder)
    assert names(found) == [("error", "unfit-rows")]
    assert found.findings[0].count == 1
    assert found.findings[0].examples[0].startswith(message)
    assert (found.facts.sizes.documents, found.facts.sizes.evaluated) == (4, 2)


def test_judgments_that_contradict_an_earlier_row_are_all_counted(folder: Path) -> None:
    append(folder / "qrels" / "test.tsv", "q1\td1\t2", "q2\td2\t0", "q1\td1\t1")
    found = look(folder)
    assert names(found) == [("error", "contradictory-judgments"), ("note", "repeated-judgments")]
    assert found.findings[0].count == 2
    assert found.findings[0].examples[0].startswith("test.tsv:5: query 'q1' and document 'd1' have grade 2 here and 1")


def test_everything_that_is_wrong_is_said_at_once(folder: Path) -> None:
    append(folder / "corpus.jsonl", "{broken", '{"_id": "d1", "text": "again"}')
    append(folder / "queries.jsonl", '{"_id": "q3", "text": ""}', '{"_id": "q1", "text": "again"}')
    append(folder / "qrels" / "test.tsv", "q1\td1\t2", "q1\tx1\t1", "q9\td1\t1", "q1\td2\tyes")
    assert sorted(name for level, name in names(look(folder)) if level == "error") == [
        "contradictory-judgments", "dangling-positives", "empty-queries", "repeated-ids", "repeated-ids", "unfit-rows",
        "unfit-rows", "unknown-queries",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_one_error_and_nothing_follows_from_it(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert [pair for pair in names(look(folder)) if pair[0] == "error"] == [("error", "unreadable")]


def test_a_file_that_breaks_off_is_looked_at_as_far_as_it_goes(folder: Path) -> None:
    rows = "".join(json.dumps({"_id": f"n{number}", "text": f"{number} {'x' * 99}"}) + "\n" for number in range(5000))
    packed = gzip.compress((folder / "corpus.jsonl").read_bytes() + rows.encode())
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    found = look(folder)
    assert [pair for pair in names(found) if pair[0] == "error"] == [("error", "unreadable")]
    assert "corpus.jsonl.gz: cannot be read after line" in found.findings[0].examples[0]
    assert 4 < found.facts.sizes.documents < 5004


def test_a_file_of_unfit_rows_is_not_called_empty(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text("{broken\n{broken\n")
    errors = [finding for finding in look(folder).findings if finding.level == "error"]
    assert [(finding.name, finding.count) for finding in errors] == [("unfit-rows", 2)]


def test_an_empty_file_is_called_empty(folder: Path) -> None:
    (folder / "queries.jsonl").write_text("")
    (message,) = only(look(folder), "unreadable").examples
    assert message.startswith("queries.jsonl: the file is empty")


@pytest.mark.parametrize(
    ("options", "name", "advice"),
    [
        ({"filters": {"lang": "it"}}, "no-queries", "dataset.filters"),
        ({"corpus_filter": {"lang": "it"}, "on_dangling": "keep"}, "no-documents", "dataset.corpus_filter"),
    ],
)
def test_a_filter_that_leaves_nothing_is_an_error(
    folder: Path, options: dict[str, Any], name: str, advice: str
) -> None:
    finding = only(look(folder, **options), name)
    assert finding.level == "error"
    assert advice in finding.advice


def test_without_any_positive_there_is_nothing_to_evaluate(write_beir: BeirWriter) -> None:
    found = look(write_beir(DOCUMENTS, QUERIES, [("q1", "d1", 0)], metadata=ALL_GERMAN))
    assert names(found) == [
        ("error", "no-queries"), ("warning", "unjudged-queries"), ("warning", "queries-without-positives"),
    ]  # fmt: skip
    assert found.power is None


def test_a_name_that_cannot_name_a_folder_is_refused_as_a_run_refuses_it(folder: Path) -> None:
    for attempt in (lambda source: source.load(), lambda source: inspect(source, FamilyRule(), ANY)):
        with pytest.raises(ConfigError, match="cannot name a folder"):
            attempt(beir(folder, name="a/b"))


# --- what makes numbers worse ---------------------------------------------------------------------


def test_queries_that_are_not_evaluated_are_told_apart(folder: Path) -> None:
    append(
        folder / "queries.jsonl",
        *(f'{{"_id": "{key}", "text": "{key}?", "metadata": {{"lang": "de"}}}}' for key in "xyz"),
    )
    append(folder / "qrels" / "test.tsv", "z\td1\t0", "z\td2\t-1")
    found = look(folder)
    assert names(found) == [
        ("warning", "unjudged-queries"), ("warning", "queries-without-positives"), ("note", "negative-grades"),
    ]  # fmt: skip
    assert found.findings[0].examples == ("x", "y")
    assert found.findings[1].examples == ("z",)


def test_empty_documents_and_the_positives_among_them(write_beir: BeirWriter) -> None:
    folder = write_beir({**DOCUMENTS, "d1": "  ", "d4": ""}, QUERIES, JUDGMENTS, metadata=ALL_GERMAN)
    found = look(folder)
    assert names(found) == [("warning", "empty-documents")]
    assert (found.findings[0].count, found.findings[0].examples) == (2, ("d1", "d4"))
    assert "1 positives are among them" in found.findings[0].what


def test_documents_that_differ_in_white_space_and_case_only_are_twins(write_beir: BeirWriter) -> None:
    """d1 has two twins, t1 judged and t2 not; d2 has one, judged; n1 and n2 answer nothing."""
    documents = {
        **DOCUMENTS,
        "t1": "DER  lohn im\nmai.",
        "t2": " der Lohn im Mai.",
        "t3": "Die MIETE in Bern.",
        "n1": "Nichts",
        "n2": "nichts",
    }
    judgments = [*JUDGMENTS, ("q1", "t1", 0), ("q2", "t3", 1)]
    found = look(write_beir(documents, QUERIES, judgments, metadata=dict.fromkeys((*documents, *QUERIES), DE)))
    assert names(found) == [("warning", "unjudged-twins"), ("note", "identical-documents")]
    assert (found.findings[0].count, found.findings[0].examples) == (1, ("q1 → d1",))
    assert (found.findings[1].count, found.findings[1].examples) == (4, ("t1", "t2", "t3"))


def test_a_title_counts_as_text(folder: Path) -> None:
    append(
        folder / "corpus.jsonl",
        json.dumps({"_id": "t1", "title": "Der Lohn", "text": "im Mai.", "metadata": DE}),
        json.dumps({"_id": "t2", "title": "Der Lohn", "text": "", "metadata": DE}),
    )
    found = look(folder)
    assert only(found, "identical-documents").examples == ("t1",)
    assert found.facts.texts.empty.count == 0


def test_identical_questions_and_those_that_are_judged_otherwise(write_beir: BeirWriter) -> None:
    """q3 repeats q1 with its judgments, q4 with others, q5 without any."""
    queries = {**QUERIES, "q3": "was  VERDIENT man?", "q4": "Was verdient man?", "q5": "Was verdient man?"}
    judgments = [*JUDGMENTS, ("q3", "d1", 1), ("q3", "d3", 0), ("q4", "d2", 1)]
    found = look(write_beir(DOCUMENTS, queries, judgments, metadata=dict.fromkeys((*DOCUMENTS, *queries), DE)))
    assert only(found, "identical-questions").examples == ("q3", "q4", "q5")
    assert only(found, "contradictory-questions").examples == ("q4",)


@pytest.mark.parametrize(
    ("doc_id", "question", "expected"),
    [
        ("d7", "What does D7 say?", True),
        ("d7", "What does d77 say?", False),
        ("kb/17-a", "see kb/17-a, please", True),
        ("rent-law", "Is rent-law strict?", True),
        ("rent", "What is the rent?", False),
        ("2024", "What changed in 2024?", False),
        ("20241", "What is case 20241 about?", True),
        ("20241", "What is case 202417 about?", False),
        ("§", "What is § 5?", False),
    ],
)
def test_a_question_names_its_answer(doc_id: str, question: str, expected: bool) -> None:
    assert named(doc_id, question) is expected


@pytest.mark.parametrize(
    ("question", "document", "expected"),
    [
        ("The rent is due monthly.", "Note: the RENT is\ndue monthly, in advance.", True),
        ("The rent is due monthly.", "The rent was due monthly.", False),
        ("rent is due month", "The rent is due monthly.", False),
        ("rent is due", "The rent is due monthly.", False),
    ],
    ids=["copied", "another word", "part of a word", "three words"],
)
def test_a_question_stands_in_its_answer(question: str, document: str, expected: bool) -> None:
    assert copied(question, document) is expected


def test_leaks_are_found_between_a_query_and_its_positives_only(write_beir: BeirWriter) -> None:
    """q1 names d1, which answers it, q2 names d3, which does not; q2 copies d2, which answers it."""
    queries = {"q1": "Was steht in d1?", "q2": "die Miete in Bern d3"}
    documents = {**DOCUMENTS, "d2": "Die Miete in Bern: d3 und mehr."}
    found = look(write_beir(documents, queries, JUDGMENTS, metadata=ALL_GERMAN))
    assert names(found) == [("warning", "named-answers"), ("warning", "copied-questions")]
    assert [finding.examples for finding in found.findings] == [("q1 → d1",), ("q2 → d2",)]


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
    """q2 (fr) has the positives of q1 (de); q3 (de) has them too, but in q1's language; q4 (fr) has others."""
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


# --- lengths --------------------------------------------------------------------------------------


class Counting(WordEmbedder):
    """Counts words, and one for its prompt."""

    max_length = 5

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return np.array([len(text.split()) + 1 for text in texts], dtype=np.int64)


class Absent(Counting):
    """Its tokenizer cannot be had."""

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        raise ModelError("no tokenizer here")


class Found:
    """Scores that another system gave."""

    fingerprint: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    missing = "error"

    def scores(self) -> dict[str, dict[str, float]]:
        return {}


def words(count: int) -> str:
    return " ".join(["wort"] * count)


def test_texts_that_are_longer_than_a_model_reads_by_hand() -> None:
    """Documents of 3, 4, 5 words are 4, 5, 6 tokens for the embedder; a query of 2 words makes pairs of 5, 6, 7."""
    documents = [words(3), words(4), words(5)]
    pairs: list[Pair] = [(words(2), document) for document in documents]
    embedder, reranker = lengths(Counting(), FunctionReranker(max_length=4), documents, pairs)
    assert embedder == Lengths("embedder", 5, documents=3, long_documents=1, pairs=3, long_pairs=1)
    assert reranker == Lengths("reranker", 4, documents=3, long_documents=1, pairs=3, long_pairs=3)


def test_of_very_many_pairs_a_sample_is_counted() -> None:
    pairs: list[Pair] = [(words(1), words(2))] * 10_001
    assert [model.pairs for model in lengths(Counting(), FunctionReranker(), [words(1)], pairs)] == [10_000, 10_000]


def test_where_no_tokenizer_can_be_had_nothing_is_estimated() -> None:
    for embedder, reason in ((Absent(), "no tokenizer here"), (WordEmbedder(), "it does not tell")):
        found = lengths(embedder, FunctionReranker(), [words(1)], [])[0]
        assert (found.documents, found.long_documents, found.pairs) == (0, 0, 0)
        assert found.unknown is not None
        assert found.unknown.startswith(reason)
    assert lengths(Counting(), Found(), [words(1)], [])[1].unknown is not None  # type: ignore[arg-type]


def measuring(*found: Lengths) -> Measure:
    return lambda documents, pairs: found  # noqa: ARG005 - what would be counted


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (Lengths("embedder", 512, 100, 90, 100, 6), "warning"),
        (Lengths("embedder", 512, 100, 90, 100, 5), "note"),
        (Lengths("reranker", 512, 100, 90, 100, 0), "note"),
        (Lengths("reranker", 512, 100, 0, 100, 0), None),
    ],
)
def test_a_limit_is_a_warning_where_one_positive_in_twenty_is_longer(
    folder: Path, found: Lengths, level: str | None
) -> None:
    findings = look(folder, measure=measuring(found)).findings
    assert [finding.level for finding in findings] == ([level] if level else [])


def test_lengths_that_are_unknown_are_said_to_be(folder: Path) -> None:
    (finding,) = look(folder, measure=measuring(Lengths("reranker", 512, unknown="not here"))).findings
    assert (finding.level, finding.name, finding.examples) == ("note", "unknown-lengths", ("not here",))


def test_a_model_gets_the_contents_of_documents_and_of_judged_positives(folder: Path) -> None:
    asked: list[tuple[list[str], list[Pair]]] = []

    def measure(documents: Sequence[str], pairs: Sequence[Pair]) -> tuple[Lengths, ...]:
        asked.append((list(documents), list(pairs)))
        return ()

    look(folder, measure=measure)
    assert asked == [(list(DOCUMENTS.values()), [(QUERIES["q1"], DOCUMENTS["d1"]), (QUERIES["q2"], DOCUMENTS["d2"])])]


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
    if not any(grade >= 1 and query_id in queries for query_id, _, grade in rows):
        rows.append(("q0", "d6", 1)) if ("q0", "d6") not in {row[:2] for row in rows} else rows.append(("q0", "d7", 1))
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
