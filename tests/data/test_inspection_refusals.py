"""Everything that loading refuses one at a time, planted and found at once."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.grouping import FamilyRule
from evalkit.errors import ConfigError, DataError
from evalkit.inspection.inspect import inspect
from tests.conftest import BeirWriter, beir
from tests.data.inspections import ALL_GERMAN, ANY, DE, DOCUMENTS, JUDGMENTS, QUERIES, append, look, names, only, sound


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    return sound(write_beir)


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


def test_rows_that_cannot_be_used_may_be_what_judgments_point_at(folder: Path) -> None:
    append(folder / "corpus.jsonl", '{"_id": "x1", "text": ')
    append(folder / "qrels" / "test.tsv", "q1\tx1\t1", "q9\td1\t1")
    found = look(folder)
    assert only(found, "dangling-positives").what.endswith("not in the corpus, or in rows that cannot be used")
    assert only(found, "unknown-queries").what.endswith("not among the queries")


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


def test_a_misspelt_path_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="beyond: no such folder"):
        inspect(beir(tmp_path / "beyond"), FamilyRule(), ANY)


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
