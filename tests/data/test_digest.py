"""What a data set's digest stands for: every content and the selection, but no accident of how a file is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from evalkit.types import Dataset
from tests.conftest import beir

Row = dict[str, Any]

CORPUS: list[Row] = [
    {"_id": "d1", "title": "Rent", "text": "in Bern", "metadata": {"lang": "de", "tags": {"year": 2024, "kind": "a"}}},
    {"_id": "d2", "title": "Wages", "text": "in Chur", "metadata": {"lang": "de", "year": 2025}},
]
QUERIES: list[Row] = [
    {"_id": "q1", "text": "what rent", "metadata": {"lang": "de", "family": "f1"}},
    {"_id": "q2", "text": "what wages", "metadata": {"lang": "de", "family": "f2"}},
]
QRELS = ["q1\td1\t1", "q1\td2\t0", "q2\td2\t2"]

Writer = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Write rows exactly as they are given, key order included."""

    def files(corpus: Sequence[Row] = CORPUS, queries: Sequence[Row] = QUERIES, qrels: Sequence[str] = QRELS) -> Path:
        (tmp_path / "qrels").mkdir(exist_ok=True)
        for name, rows in (("corpus", corpus), ("queries", queries)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        (tmp_path / "qrels" / "test.tsv").write_text("\n".join(qrels) + "\n", "utf-8")
        return tmp_path

    return files


def changed(rows: Sequence[Row], number: int, **fields: Any) -> list[Row]:
    copies = deepcopy(list(rows))
    copies[number].update(fields)
    return copies


def load(folder: Path, **options: Any) -> Dataset:
    return beir(folder, **options).load()


# --- content --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "Tax"},
        {"title": ""},
        {"text": "in Thun"},
        {"title": "Wages in", "text": "Chur"},
        {"metadata": {"lang": "fr", "year": 2025}},
        {"metadata": {"lang": "de", "year": "2025"}},
        {"metadata": {"lang": "de", "year": 2025, "source": "x"}},
        {"metadata": {"lang": "de"}},
        {"metadata": {}},
    ],
    ids=str,
)
def test_any_change_of_a_document_changes_both_digests(write: Writer, fields: Row) -> None:
    """Title and text count apart, although models read "Wages in Chur" either way."""
    before = load(write())
    after = load(write(corpus=changed(CORPUS, 1, **fields)))
    assert after.corpus_digest != before.corpus_digest
    assert after.digest != before.digest


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "which wages"},
        {"metadata": {"lang": "fr", "family": "f2"}},
        {"metadata": {"lang": "de", "family": "f1"}},
        {"metadata": {"lang": "de"}},
        {"metadata": {}},
    ],
    ids=str,
)
def test_any_change_of_a_question_changes_the_digest_and_leaves_that_of_the_corpus(write: Writer, fields: Row) -> None:
    before = load(write())
    after = load(write(queries=changed(QUERIES, 1, **fields)))
    assert after.digest != before.digest
    assert after.corpus_digest == before.corpus_digest


@pytest.mark.parametrize(
    "qrels",
    [
        ["q1\td1\t2", "q1\td2\t0", "q2\td2\t2"],
        ["q1\td1\t1", "q2\td2\t2"],
        ["q1\td1\t1", "q1\td2\t0", "q2\td2\t2", "q2\td1\t0"],
        ["q1\td1\t1", "q1\td2\t0", "q2\td1\t2"],
    ],
    ids=["another grade", "a judgment less", "an irrelevant judgment more", "another document"],
)
def test_any_change_of_a_judgment_changes_the_digest_and_leaves_that_of_the_corpus(
    write: Writer, qrels: list[str]
) -> None:
    before = load(write())
    after = load(write(qrels=qrels))
    assert after.digest != before.digest
    assert after.corpus_digest == before.corpus_digest


def test_another_id_changes_the_digest(write: Writer) -> None:
    before = load(write())
    renamed = load(write(corpus=changed(CORPUS, 0, _id="d9"), qrels=["q1\td9\t1", "q1\td2\t0", "q2\td2\t2"]))
    assert renamed.corpus_digest != before.corpus_digest
    asked = load(write(queries=changed(QUERIES, 0, _id="q9"), qrels=["q9\td1\t1", "q9\td2\t0", "q2\td2\t2"]))
    assert asked.digest != before.digest


def test_contents_that_change_places_between_two_ids_change_the_digest(write: Writer) -> None:
    """The same texts and the same ids, but each question now has the other's judgments."""
    before = load(write())
    contents = [{key: value for key, value in row.items() if key != "_id"} for row in QUERIES]
    swapped = [{"_id": "q1", **contents[1]}, {"_id": "q2", **contents[0]}]
    assert load(write(queries=swapped)).digest != before.digest


# --- selection ------------------------------------------------------------------------------------


def test_a_filter_that_every_question_passes_is_still_part_of_the_digest(write: Writer) -> None:
    plain, filtered = load(write()), load(write(), filters={"lang": "de"})
    assert filtered.queries == plain.queries
    assert filtered.digest != plain.digest
    assert filtered.corpus_digest == plain.corpus_digest


def test_a_filter_that_every_document_passes_is_still_part_of_the_digest(write: Writer) -> None:
    plain, filtered = load(write()), load(write(), corpus_filter={"lang": "de"})
    assert filtered.documents == plain.documents
    assert filtered.digest != plain.digest
    assert filtered.corpus_digest == plain.corpus_digest


def test_the_same_filter_on_questions_and_on_documents_are_two_selections(write: Writer) -> None:
    assert load(write(), filters={"lang": "de"}).digest != load(write(), corpus_filter={"lang": "de"}).digest


def test_the_seed_counts_only_where_a_sample_is_drawn(write: Writer) -> None:
    assert load(write(), seed=1).digest == load(write(), seed=2).digest
    assert load(write(), seed=1, limit=2).digest != load(write(), seed=2, limit=2).digest


# --- how it is written ----------------------------------------------------------------------------


def backwards(value: Any) -> Any:
    """Objects with their keys the other way round, at every depth."""
    if isinstance(value, dict):
        return {key: backwards(entry) for key, entry in reversed(value.items())}
    return value


def test_the_order_of_keys_changes_neither_digest(write: Writer) -> None:
    before = load(write())
    after = load(write(corpus=[backwards(row) for row in CORPUS], queries=[backwards(row) for row in QUERIES]))
    assert list(after.documents[0].metadata) == ["tags", "lang"]
    assert list(after.queries[0].metadata) == ["family", "lang"]
    assert (after.digest, after.corpus_digest) == (before.digest, before.corpus_digest)


def test_the_order_of_filters_does_not_change_the_digest(write: Writer) -> None:
    one = load(write(), filters={"lang": "de", "family": "f1"})
    other = load(write(), filters={"family": "f1", "lang": "de"})
    assert one.digest == other.digest


def test_the_order_of_judgments_does_not_change_the_digest(write: Writer) -> None:
    assert load(write(qrels=QRELS[::-1])).digest == load(write()).digest


def test_the_order_of_entries_changes_neither_digest(write: Writer) -> None:
    before, after = load(write()), load(write(corpus=CORPUS[::-1], queries=QUERIES[::-1]))
    assert after.documents == before.documents[::-1]
    assert (after.digest, after.corpus_digest) == (before.digest, before.corpus_digest)


# --- sample ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_sampled_questions_stand_in_the_order_of_the_file(write: Writer, seed: int) -> None:
    """The file's order is neither sorted nor reversed: 0, 7, 14, 1, 8, ... modulo 20."""
    in_file = [f"q{number * 7 % 20:02}" for number in range(20)]
    folder = write(
        queries=[{"_id": query_id, "text": f"question {query_id}"} for query_id in in_file],
        qrels=[f"{query_id}\td1\t1" for query_id in sorted(in_file)],
    )
    dataset = load(folder, limit=9, seed=seed)
    sampled = [query.id for query in dataset.queries]
    assert len(set(sampled)) == 9
    places = [in_file.index(query_id) for query_id in sampled]
    assert places == sorted(places)
    assert list(dataset.qrels) == sampled
