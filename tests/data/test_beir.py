"""BEIR folders: what is read, what is selected, and every messy input that public data sets held."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from evalkit.errors import ConfigError, DataError
from tests.conftest import BeirWriter, beir

DOCUMENTS = {"d1": "one", "d2": "two", "d3": "three"}
QUERIES = {"q1": "first?", "q2": "second?"}
JUDGMENTS = [("q1", "d1", 1), ("q1", "d3", 0), ("q2", "d2", 2)]


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    return write_beir(DOCUMENTS, QUERIES, JUDGMENTS)


def qrels_of(folder: Path, text: str | bytes) -> None:
    (folder / "qrels" / "test.tsv").write_bytes(text.encode() if isinstance(text, str) else text)


def error_of(folder: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        beir(folder, **options).load()
    return str(caught.value)


def test_reads_documents_queries_and_judgments(folder: Path) -> None:
    dataset = beir(folder).load()
    assert [(document.id, document.text) for document in dataset.documents] == list(DOCUMENTS.items())
    assert [(query.id, query.text) for query in dataset.queries] == list(QUERIES.items())
    assert dataset.qrels == {"q1": {"d1": 1, "d3": 0}, "q2": {"d2": 2}}
    assert dataset.name == "beir"


def test_gzipped_files_give_the_same_data_set(folder: Path) -> None:
    plain = beir(folder).load()
    for file in (folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "test.tsv"):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert beir(folder).load() == plain


def test_title_and_text_are_what_models_read(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "T", "text": "one"}\n{"_id": "d2", "text": "two"}\n{"_id": "d3", "text": "x"}\n'
    )
    assert [document.content for document in beir(folder).load().documents] == ["T one", "two", "x"]


# --- digest ---------------------------------------------------------------------------------------


def test_the_order_of_lines_does_not_change_the_digest(folder: Path) -> None:
    before = beir(folder).load().digest
    for name in ("corpus.jsonl", "queries.jsonl"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(reversed(lines)))
    assert beir(folder).load().digest == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "corpus.jsonl").write_text(
            (folder / "corpus.jsonl").read_text().replace("three", "drei")
        ),
        lambda folder: (folder / "queries.jsonl").write_text(
            (folder / "queries.jsonl").read_text().replace("first", "erste")
        ),
        lambda folder: qrels_of(folder, "q1\td1\t1\nq1\td3\t0\nq2\td2\t1\n"),
    ],
    ids=["document", "query", "grade"],
)
def test_any_change_of_content_changes_the_digest(folder: Path, change: object) -> None:
    before = beir(folder).load().digest
    change(folder)  # type: ignore[operator]
    assert beir(folder).load().digest != before


def test_filters_and_limit_change_the_digest_but_not_the_corpus_digest(write_beir: BeirWriter) -> None:
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata={"q1": {"lang": "de"}, "q2": {"lang": "fr"}})
    sets = [beir(folder, **options).load() for options in ({}, {"filters": {"lang": "de"}}, {"limit": 1})]
    assert len({dataset.digest for dataset in sets}) == 3
    assert len({dataset.corpus_digest for dataset in sets}) == 1


# --- selection ------------------------------------------------------------------------------------


def test_filters_select_queries_and_leave_the_corpus_whole(write_beir: BeirWriter) -> None:
    folder = write_beir(
        DOCUMENTS, QUERIES, JUDGMENTS, metadata={"q1": {"lang": "de"}, "q2": {"lang": "fr"}, "d1": {"lang": "de"}}
    )
    dataset = beir(folder, filters={"lang": "fr"}).load()
    assert [query.id for query in dataset.queries] == ["q2"]
    assert dict(dataset.qrels) == {"q2": {"d2": 2}}
    assert len(dataset.documents) == 3


def test_a_list_in_a_filter_means_any_of_them(write_beir: BeirWriter) -> None:
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata={"q1": {"lang": "de"}, "q2": {"lang": "fr"}})
    assert len(beir(folder, filters={"lang": ["de", "fr"]}).load().queries) == 2


def test_a_list_in_the_metadata_matches_by_any_of_its_values(write_beir: BeirWriter) -> None:
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata={"q1": {"lang": ["de", "fr"]}, "q2": {"lang": "it"}})
    assert [query.id for query in beir(folder, filters={"lang": "fr"}).load().queries] == ["q1"]
    assert [query.id for query in beir(folder, filters={"lang": ["de", "it"]}).load().queries] == ["q1", "q2"]
    assert beir(folder).load().languages == ("de", "fr", "it")


@pytest.mark.parametrize(("found", "wanted"), [("2020", 2020), (True, 1), (1, True)])
def test_a_filter_asks_for_the_same_type_and_shows_what_it_found(
    write_beir: BeirWriter, found: object, wanted: object
) -> None:
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata={"q1": {"x": found}, "q2": {"x": found}})
    assert f"found {{'x': [{found!r}]}}" in error_of(folder, filters={"x": wanted})


def test_a_filter_that_matches_nothing_names_the_values_found(write_beir: BeirWriter) -> None:
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata={"q1": {"lang": "de"}, "q2": {"lang": "fr"}})
    assert "{'lang': ['de', 'fr']}" in error_of(folder, filters={"lang": "it"})


def test_corpus_filter_leaves_positives_dangling_and_r_keeps_counting_them(write_beir: BeirWriter) -> None:
    folder = write_beir(
        DOCUMENTS,
        QUERIES,
        [("q1", "d1", 1), ("q1", "d2", 1), ("q2", "d1", 1)],
        metadata={"d1": {"lang": "de"}, "d2": {"lang": "fr"}},
    )
    assert "corpus_filter" in error_of(folder, corpus_filter={"lang": "de"})
    dataset = beir(folder, corpus_filter={"lang": "de"}, on_dangling="keep").load()
    assert [document.id for document in dataset.documents] == ["d1"]
    assert dataset.dangling == (("q1", "d2"),)
    assert dict(dataset.qrels["q1"]) == {"d1": 1, "d2": 1}


def test_limit_takes_the_same_sample_under_a_seed_whatever_the_order_of_lines(write_beir: BeirWriter) -> None:
    queries = {f"q{number}": f"question {number}" for number in range(40)}
    judgments = [(query_id, "d1", 1) for query_id in queries]
    forward = write_beir(DOCUMENTS, queries, judgments, folder="forward")
    backward = write_beir(DOCUMENTS, dict(reversed(queries.items())), judgments, folder="backward")
    first, second = (
        {query.id for query in beir(path, limit=10, seed=3).load().queries} for path in (forward, backward)
    )
    assert first == second
    assert len(first) == 10
    assert {query.id for query in beir(forward, limit=10, seed=4).load().queries} != first


def test_limit_counts_evaluated_queries_only(write_beir: BeirWriter) -> None:
    queries = {f"q{number}": f"question {number}" for number in range(20)}
    folder = write_beir(DOCUMENTS, queries, [("q3", "d1", 1), ("q5", "d1", 1), ("q7", "d1", 0)])
    dataset = beir(folder, limit=2).load()
    assert {query.id for query in dataset.queries} == {"q3", "q5"}
    assert dataset.without_positives == ("q7",)
    assert len(dataset.unjudged) == 17


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0}, {"limit": True}, {"limit": 2.5}, {"limit": "abc"}, {"seed": [1]}, {"on_dangling": "ignore"},
        {"filters": "abc"}, {"corpus_filter": [1]}, {"name": 5},
    ],
)  # fmt: skip
def test_impossible_options_are_refused_by_the_constructor(folder: Path, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        beir(folder, **options)


# --- messy judgments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "q1\td1\t1\nq1\td3\t0\nq2\td2\t2\n",
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td3\t0\nq2\td2\t2\n",
        "q1 0 d1 1\nq1 0 d3 0\nq2 0 d2 2\n",
        "q1\t0\td1\t1\nq1\t0\td3\t0\nq2\t0\td2\t2\n",
        "q1\td1\t1\r\nq1\td3\t0\r\nq2\td2\t2\r\n",
        "\ufeffq1\td1\t1\nq1\td3\t0\n\nq2\td2\t2.0\n",
        "q1\td1\t1\nq1\td3\t0\nq2\td2\t2\nq2\td2\t2\n",
    ],
    ids=["no header", "header", "trec spaces", "trec tabs", "crlf", "bom blank float", "repeated row"],
)
def test_judgments_are_read_in_every_common_form(folder: Path, text: str) -> None:
    qrels_of(folder, text)
    assert beir(folder).load().qrels == {"q1": {"d1": 1, "d3": 0}, "q2": {"d2": 2}}


def test_repeated_rows_are_counted_once_and_said(folder: Path) -> None:
    qrels_of(folder, "q1\td1\t1\nq1\td1\t1\nq2\td2\t2\n")
    assert beir(folder).load().warnings == ("1 judgments repeat an earlier row and were counted once",)


def test_negative_grades_are_kept_and_said(folder: Path) -> None:
    qrels_of(folder, "q1\td1\t1\nq1\td3\t-1\nq2\td2\t2\n")
    dataset = beir(folder).load()
    assert dataset.qrels["q1"]["d3"] == -1
    assert "1 judgments have a negative grade" in dataset.warnings[0]


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", "test.tsv: ", "no judgment"),
        ("query-id\tcorpus-id\tscore\n", "test.tsv: ", "no judgment"),
        ("q1\td1\n", "test.tsv:1: ", "2 columns; expected 3"),
        ("q1\td1\t1\nq1\td2\n", "test.tsv:2: ", "2 columns; the rows before have 3"),
        ("q1\td1\t1\nq1\td2\tyes\n", "test.tsv:2: ", "the grade is 'yes'; expected a whole number"),
        ("q1\td1\t1x\n", "test.tsv:1: ", "the grade is '1x'"),
        ("q1\td1\t1_0\n", "test.tsv:1: ", "the grade is '1_0'"),
        ("q1\td1\t99999999999999999999\n", "test.tsv:1: ", "the grade is a text of 20 characters"),
        ("q1\td1\t0.5\n", "test.tsv:1: ", "the grade is '0.5'"),
        ("q1\td1\t1\nq1\td1\t2\n", "test.tsv:2: ", "grade 2 here and 1 in line 1"),
        ("q1\td1\t1\n\td1\t2\n", "test.tsv:2: ", "an id is empty"),
        ("q1\td1\t1\nq2\tnowhere\t1\n", "test.tsv:2: ", "document 'nowhere', relevant to query 'q2', is not in"),
        ("q1\td1\t1\nq9\td2\t1\n", "test.tsv:2: ", "query 'q9' is judged but is not among the queries"),
        (b"q1\td1\t1\nq\xff\td2\t1\n", "test.tsv:2: ", "not UTF-8 (byte 0xff)"),
    ],
)
def test_broken_judgments_are_refused_with_file_and_line(
    folder: Path, text: str | bytes, place: str, what: str
) -> None:
    qrels_of(folder, text)
    message = error_of(folder)
    assert place in message
    assert what in message


def test_dangling_judgments_are_kept_when_asked(folder: Path) -> None:
    qrels_of(folder, "q1\td1\t1\nq2\tnowhere\t1\nq2\td2\t1\nq9\td2\t1\n")
    dataset = beir(folder, on_dangling="keep").load()
    assert dataset.dangling == (("q2", "nowhere"),)
    assert dict(dataset.qrels) == {"q1": {"d1": 1}, "q2": {"nowhere": 1, "d2": 1}}
    assert dataset.warnings == ("1 judged queries are not among the queries and were left out",)


def test_irrelevant_judgments_of_absent_documents_do_no_harm(folder: Path) -> None:
    qrels_of(folder, "q1\td1\t1\nq1\tgone\t0\nq2\td2\t1\n")
    assert beir(folder).load().dangling == ()


def test_no_query_with_a_relevant_document_is_refused(folder: Path) -> None:
    qrels_of(folder, "q1\td1\t0\nq2\td2\t0\n")
    assert "no query to evaluate" in error_of(folder)


# --- messy corpus and queries ---------------------------------------------------------------------


def test_ids_with_odd_characters_survive(write_beir: BeirWriter) -> None:
    odd = ["<urn:x>", "two words", "Zürich/§ 5", "日本", "a%20b"]
    folder = write_beir(dict.fromkeys(odd, "text"), {"q <1>": "ask"}, [("q <1>", identifier, 1) for identifier in odd])
    assert list(beir(folder).load().qrels["q <1>"]) == odd


def test_a_line_separator_inside_a_string_does_not_split_the_line(folder: Path) -> None:
    rows = [{"_id": "d1", "text": "a\u0085b\u2028c"}, {"_id": "d2", "text": "x"}, {"_id": "d3", "text": "y"}]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    assert beir(folder).load().documents[0].text == "a\u0085b\u2028c"


def test_numbers_as_ids_are_read_as_text(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": 1, "text": "one"}\n{"_id": 2, "text": "two"}\n')
    qrels_of(folder, "q1\t1\t1\nq2\t2\t1\n")
    assert [document.id for document in beir(folder).load().documents] == ["1", "2"]


def test_empty_documents_are_kept_and_said(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "text": ""}\n{"_id": "d2", "text": "two"}\n{"_id": "d3", "text": "x"}\n'
    )
    assert "1 documents have neither title nor text" in beir(folder).load().warnings[0]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{not json", "not JSON"),
        ('["d2"]', "a JSON list; expected an object"),
        ('{"id": "d2", "text": "two"}', "no _id; expected a string. Keys here: id, text"),
        ('{"_id": null, "text": "two"}', "_id of type NoneType"),
        ('{"_id": "", "text": "two"}', "empty id"),
        ('{"_id": "d2"}', "no text"),
        ('{"_id": "d2", "text": null}', "text of type NoneType"),
        ('{"_id": "d2", "text": "two", "metadata": "de"}', "metadata of type str"),
        ('{"_id": "d1", "text": "two"}', "id 'd1' was used in line 1 already"),
        ('{"_id": "d2", "text": "\\ud83d"}', "half of a surrogate pair"),
        ('{"_id": ' + "9" * 5000 + "}", "too long or the nesting too deep"),
        ('{"_id": "d2", "metadata": ' + "[" * 100_000, "too long or the nesting too deep"),
    ],
)
def test_broken_documents_are_refused_with_file_and_line(folder: Path, line: str, what: str) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "one"}\n' + line + "\n")
    message = error_of(folder)
    assert "corpus.jsonl:2: " in message
    assert what in message


def test_a_query_without_text_is_refused_with_file_and_line(folder: Path) -> None:
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "ask"}\n{"_id": "q2", "text": "  "}\n')
    assert "queries.jsonl:2: query 'q2' has no text" in error_of(folder)


def test_a_text_in_the_column_of_grades_is_not_quoted(folder: Path) -> None:
    qrels_of(folder, "id\ttitle\ttext\nq1\tx\tFrau Muster earns 8000\n")
    assert "Muster" not in error_of(folder)


def test_a_text_in_metadata_is_not_quoted(write_beir: BeirWriter) -> None:
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata={"q1": {"note": "Frau Muster earns 8000 a month"}})
    assert "Muster" not in error_of(folder, filters={"note": "x"})


def test_messages_never_quote_a_text(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "the client is insolvent", "metadata": 7}\n')
    assert "insolvent" not in error_of(folder)


# --- missing files --------------------------------------------------------------------------------


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'}: no such folder" in error_of(tmp_path / "nowhere")


def test_a_missing_file_lists_what_is_there(folder: Path) -> None:
    (folder / "queries.jsonl").unlink()
    assert "neither queries.jsonl nor queries.jsonl.gz is here; found: corpus.jsonl, qrels" in error_of(folder)


def test_a_missing_split_lists_the_splits(folder: Path) -> None:
    assert "found: test.tsv" in error_of(folder, split="dev")


def test_an_empty_corpus_is_refused(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text("\n")
    assert "the file is empty" in error_of(folder)


def test_a_damaged_gzip_file_is_refused(folder: Path) -> None:
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(b'{"_id": "d1", "text": "one"}\n' * 99)[:-12])
    assert "corpus.jsonl.gz" in error_of(folder)


def test_flipped_bits_in_a_gzip_file_are_one_message(folder: Path) -> None:
    packed = bytearray(gzip.compress("".join(f'{{"_id": "d{n}", "text": "t{n * n}"}}\n' for n in range(999)).encode()))
    packed[200:220] = bytes(20)
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(packed)
    assert "corpus.jsonl.gz" in error_of(folder)


def test_a_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(beir(Path("~/beir")).load().documents) == 3
