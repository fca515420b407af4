"""Texts that make numbers worse: empty, repeated, given away or too long."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.errors import ModelError
from evalkit.inspection.facts import Lengths
from evalkit.inspection.leaks import copied, named
from evalkit.inspection.lengths import lengths
from evalkit.inspection.survey import Measure
from evalkit.ports import Pair
from evalkit.testing import FunctionReranker, WordEmbedder
from tests.conftest import BeirWriter
from tests.data.inspections import ALL_GERMAN, DE, DOCUMENTS, JUDGMENTS, QUERIES, append, look, names, only, sound


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    return sound(write_beir)


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


# --- lengths --------------------------------------------------------------------------------------


class Counting(WordEmbedder):
    """Counts words, and one for its prompt."""

    max_length = 5

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return np.array([len(text.split()) + 1 for text in texts], dtype=np.int64)


class Absent(Counting):
    """Its tokenizer cannot be had."""

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:  # noqa: ARG002 - part of the port
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


def test_no_fingerprint_is_read_which_would_read_all_weights() -> None:
    def reading(_: object) -> None:
        raise AssertionError("the fingerprint was read")

    models = [
        type(base.__name__, (base,), {"fingerprint": property(reading)})() for base in (Counting, FunctionReranker)
    ]
    assert [model.unknown for model in lengths(models[0], models[1], [words(1)], [])] == [None, None]


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


def test_where_words_alone_are_searched_nothing_is_told_of_an_embedder() -> None:
    (only_one,) = lengths(None, FunctionReranker(max_length=4), [words(1)], [])
    assert only_one.role == "reranker"
