"""Tables of questions and answers: five formats, ids that stay, and cells as spreadsheets really hold them."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl.worksheet.datavalidation import DataValidation

from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.errors import ConfigError
from tests.data.sources import documents_of, error_of, qrels_of, queries_of, table

ROWS: list[dict[str, Any]] = [
    {"question": "Who pays?", "answer": "The client.", "lang": "en"},
    {"question": "Who is paid?", "answer": "The fiduciary.", "lang": "en"},
    {"question": None, "answer": "Nobody asked for this.", "lang": "en"},
    {"question": "Wer zahlt?", "answer": "The client.", "lang": "de"},
]
FORMATS = ["csv", "semicolon", "tsv", "jsonl", "parquet", "xlsx"]
Rows = Sequence[Mapping[str, Any]]


def question_id(text: str) -> str:
    """As the sources promise: SHA-256 of the text, 16 digits of it."""
    return f"q-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def answer_id(text: str, title: str = "") -> str:
    return f"d-{hashlib.sha256(f'{title}{chr(0)}{text}'.encode()).hexdigest()[:16]}"


def columns_of(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def write_csv(path: Path, rows: Rows, delimiter: str = ",", end: str = "\n") -> None:
    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        return f'"{text.replace(chr(34), chr(34) * 2)}"' if set(text) & set(f'{delimiter}"\n') else text

    names = columns_of(rows)
    lines = [names, *([row.get(name) for name in names] for row in rows)]
    path.write_bytes("".join(delimiter.join(map(cell, line)) + end for line in lines).encode())


def write_xlsx(path: Path, rows: Rows, **more_sheets: Rows) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Fragen"
    for title, listed in {"Fragen": rows, **more_sheets}.items():
        sheet = book[title] if title in book.sheetnames else book.create_sheet(title)
        names = columns_of(listed)
        for row in [names, *([row.get(name) for name in names] for row in listed)]:
            sheet.append(row)
    book.save(path)


def write(folder: Path, kind: str, rows: Rows = ROWS, name: str = "faq") -> Path:
    path = folder / f"{name}.{'csv' if kind == 'semicolon' else kind}"
    if kind == "csv":
        write_csv(path, rows)
    elif kind == "semicolon":
        write_csv(path, rows, ";", "\r\n")
    elif kind == "tsv":
        write_csv(path, rows, "\t")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist([{name: row.get(name) for name in columns_of(rows)} for row in rows]), path)
    else:
        write_xlsx(path, rows)
    return path


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_questions_answers_and_judgments(tmp_path: Path, kind: str) -> None:
    dataset = table(write(tmp_path, kind), columns={"question_lang": "lang"}).load()
    client, fiduciary = answer_id("The client."), answer_id("The fiduciary.")
    assert documents_of(dataset) == {
        client: "The client.",
        fiduciary: "The fiduciary.",
        answer_id("Nobody asked for this."): "Nobody asked for this.",
    }
    assert queries_of(dataset) == {question_id(text): text for text in ("Who pays?", "Who is paid?", "Wer zahlt?")}
    assert qrels_of(dataset) == {
        question_id("Who pays?"): {client: 1},
        question_id("Who is paid?"): {fiduciary: 1},
        question_id("Wer zahlt?"): {client: 1},
    }
    assert [query.metadata for query in dataset.queries] == [{"lang": "en"}, {"lang": "en"}, {"lang": "de"}]
    assert dataset.name == "faq"


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_text_files_may_be_gzipped(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    plain = table(path).load()
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert table(path).load() == plain
    assert table(path.with_name(f"{path.name}.gz")).load() == plain


@pytest.mark.parametrize("kind", FORMATS)
def test_ids_and_digest_stay_when_rows_move(tmp_path: Path, kind: str) -> None:
    options = {"question_metadata": ["lang"], "answer_metadata": ["lang"]}
    before = table(write(tmp_path, kind), **options).load()
    after = table(write(tmp_path, kind, list(reversed(ROWS))), **options).load()
    assert after.digest == before.digest
    assert set(documents_of(after)) == set(documents_of(before))


@pytest.mark.parametrize("kind", FORMATS)
def test_na_is_a_text_and_an_empty_cell_is_none(tmp_path: Path, kind: str) -> None:
    rows = [
        {"question": "NA", "answer": "null", "kind": "None"},
        {"question": "nan", "answer": "N/A", "kind": None},
        {"question": "n", "answer": None, "kind": "NA"},
    ]
    dataset = table(write(tmp_path, kind, rows), question_metadata=["kind"]).load()
    assert list(documents_of(dataset).values()) == ["null", "N/A"]
    assert [(query.text, query.metadata) for query in dataset.queries] == [("NA", {"kind": "None"}), ("nan", {})]
    assert dataset.unjudged == (question_id("n"),)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_column_is_answered_with_those_there_are(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, [{"frage": "a", "answer": "b", "x" * 30: "c"}])
    message = error_of(table(path, columns={"question": "Frage"}))
    assert message.startswith(f"{path}:")
    assert "no column 'Frage'; found: 'frage', 'answer', 1 that may be text. Did you mean 'frage'?" in message


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "xlsx"])
def test_an_empty_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    if kind == "xlsx":
        openpyxl.Workbook().save(path)
    else:
        path.write_text("\n\n")
    assert error_of(table(path)) == f"{path}: the file is empty; expected a header and a row for each question"


def test_an_unknown_suffix_is_answered_with_those_known(tmp_path: Path) -> None:
    (tmp_path / "faq.xls").write_text("")
    assert "faq.xls: the suffix '.xls' tells no format; expected one of .csv, .tsv" in error_of(
        table(tmp_path / "faq.xls")
    )


def test_a_missing_file_lists_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, "csv")
    assert "neither faq.xlsx nor faq.xlsx.gz is here; found: faq.csv" in error_of(table(tmp_path / "faq.xlsx"))


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_given_ids_titles_and_grades_are_taken(tmp_path: Path, kind: str) -> None:
    rows = [
        {"nr": 1, "q": "first?", "doc": 10, "t": "T", "a": "one", "g": 2},
        {"nr": 1, "q": "first?", "doc": 20, "t": None, "a": "two", "g": 0},
        {"nr": 2, "q": "second?", "doc": 20, "t": None, "a": "two", "g": -1},
        {"nr": 2, "q": "second?", "doc": 30, "t": None, "a": "two", "g": 1},
    ]
    roles = {"question": "q", "answer": "a", "question_id": "nr", "answer_id": "doc", "title": "t", "grade": "g"}
    dataset = table(write(tmp_path, kind, rows), columns=roles).load()
    assert documents_of(dataset) == {"10": "T one", "20": "two", "30": "two"}
    assert queries_of(dataset) == {"1": "first?", "2": "second?"}
    assert qrels_of(dataset) == {"1": {"10": 2, "20": 0}, "2": {"20": -1, "30": 1}}


def test_a_title_is_part_of_what_an_id_is_made_of(tmp_path: Path) -> None:
    rows = [{"question": "a?", "answer": "same", "title": title} for title in ("A", "B", "A")]
    dataset = table(write(tmp_path, "csv", rows), columns={"title": "title"}).load()
    assert documents_of(dataset) == {answer_id("same", "A"): "A same", answer_id("same", "B"): "B same"}
    assert dataset.warnings == ("1 judgments repeat an earlier row and were counted once",)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_list_holds_several_answers(tmp_path: Path, kind: str) -> None:
    rows = [
        {"question": "a?", "answer": ["one", "two", None], "id": ["1", "2", None], "grade": [1, 2, None]},
        {"question": "b?", "answer": [], "id": [], "grade": []},
        {"question": None, "answer": ["three"], "id": ["3"], "grade": [0]},
    ]
    roles = {"answer_id": "id", "grade": "grade"}
    dataset = table(write(tmp_path, kind, rows), columns=roles).load()
    assert documents_of(dataset) == {"1": "one", "2": "two", "3": "three"}
    assert qrels_of(dataset) == {question_id("a?"): {"1": 1, "2": 2}}
    assert dataset.unjudged == (question_id("b?"),)


def test_metadata_is_kept_under_other_names_and_joined_where_rows_differ(tmp_path: Path) -> None:
    rows = [
        {"question": "a?", "answer": "same", "Gruppe": "g1", "Thema": "tax"},
        {"question": "b?", "answer": "same", "Gruppe": "g1", "Thema": "law"},
    ]
    path = write(tmp_path, "csv", rows)
    dataset = table(path, question_metadata={"family": "Gruppe"}, answer_metadata={"topic": "Thema"}).load()
    assert [query.metadata for query in dataset.queries] == [{"family": "g1"}, {"family": "g1"}]
    assert [document.metadata for document in dataset.documents] == [{"topic": ["law", "tax"]}]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"question": "secret b?", "answer": None, "doc": "7"}, "an id in 'doc', but no answer"),
        ({"nr": "7", "answer": "secret"}, "an id in 'nr', but no question"),
        ({"note": "secret"}, "neither a question nor an answer"),
        ({"nr": "1", "question": "secret", "answer": "x"}, "id '1' stands for another text here than in line 2"),
        ({"question": "x", "answer": "secret", "doc": "d1"}, "id 'd1' stands for another text here than in line 2"),
        ({"question": "x", "answer": "secret", "grade": "high"}, "the grade is 'high'; expected a whole number"),
        ({"question": "x", "answer": "secret", "grade": "0.5"}, "the grade is '0.5'; expected a whole number"),
        ({"question": "x", "answer": "secret", "grade": None}, "no grade; expected a whole number"),
        ({"nr": "1", "question": "a?", "answer": "one", "doc": "d1", "grade": 2}, "have grade 2 here and 1 in line 2"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
def test_unfit_rows_are_refused_with_file_and_row(tmp_path: Path, kind: str, row: Mapping[str, Any], what: str) -> None:
    first = {"nr": "1", "question": "a?", "answer": "one", "doc": "d1", "grade": 1, "note": "n"}
    path = write(tmp_path, kind, [first, {**dict.fromkeys(first), "grade": 1, **row}])
    message = error_of(table(path, columns={"question_id": "nr", "answer_id": "doc", "grade": "grade"}))
    number = 2 if kind == "jsonl" else 3
    assert message.startswith(f"{path}:{number}: ")
    expected = {"csv": what, "jsonl": what.replace("line 2", "line 1"), "xlsx": what.replace("line", "row")}[kind]
    assert expected in message
    assert "secret" not in message


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl", [{"question": "a?", "answer": ["x", "y"], "id": ["1"]}])
    message = error_of(table(path, columns={"answer_id": "id"}))
    assert (
        message == f"{path}:1: lists of different lengths: 2 in 'answer', 1 in 'id'; expected one item for each answer"
    )


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"question": {"x": 1}, "answer": "a"}, "'question' of type dict; expected text or a number"),
        ({"question": True, "answer": "a"}, "'question' of type bool"),
        ({"question": "q", "answer": [["a"]]}, "'answer' of type list"),
        ({"question": "q", "answer": "\ud83d"}, "'answer' holds half of a surrogate pair"),
        ({"question": "q", "answer": "a", "kind": {"x": 1}}, "'kind' of type dict; expected text, a number, or a list"),
    ],
)
def test_values_that_are_no_text_are_refused(tmp_path: Path, row: Mapping[str, Any], what: str) -> None:
    path = write(tmp_path, "jsonl", [{"kind": "x", **row}])
    assert f"{path}:1: {what}" in error_of(table(path, question_metadata=["kind"]))


# --- documents in a table of their own ------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_answers_refer_to_a_table_of_documents(tmp_path: Path, kind: str) -> None:
    documents = [
        {"nr": 1, "body": "one", "head": "T", "kind": "law"},
        {"nr": 2, "body": "two", "head": None, "kind": None},
        {"nr": 3, "body": None, "head": None, "kind": "law"},
    ]
    questions = [{"question": "a?", "doc": 2}, {"question": "a?", "doc": 1}, {"question": "b?", "doc": None}]
    own = {"path": str(write(tmp_path, kind, documents, "docs")), "id": "nr", "text": "body", "title": "head"}
    path = write(tmp_path, kind, questions)
    dataset = table(path, columns={"answer_id": "doc"}, documents={**own, "metadata": ["kind"], "lang": "kind"}).load()
    assert documents_of(dataset) == {"1": "T one", "2": "two", "3": ""}
    assert [document.metadata for document in dataset.documents][:2] == [{"kind": "law", "lang": "law"}, {}]
    assert qrels_of(dataset) == {question_id("a?"): {"2": 1, "1": 1}}
    assert dataset.unjudged == (question_id("b?"),)
    assert dataset.warnings == ("1 documents have neither title nor text; models see an empty string",)


def test_a_list_refers_to_several_documents_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    own = {"path": str(write(tmp_path, "csv", [{"id": 1, "text": "one"}], "docs"))}
    path = write(tmp_path, "jsonl", [{"question": "a?", "doc": [1, 9]}])
    message = error_of(table(path, columns={"answer_id": "doc"}, documents=own))
    assert f"{path}:1: document '9', relevant to query" in message


def test_a_document_twice_or_without_an_id_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "csv", [{"question": "a?", "doc": 1}])
    for rows, what in (
        ([{"id": 1, "text": "x"}, {"id": 1, "text": "x"}], "docs.csv:3: id '1' was used in line 2 already"),
        ([{"id": 1, "text": "x"}, {"id": None, "text": "x"}], "docs.csv:3: no id in 'id'"),
    ):
        own = {"path": str(write(tmp_path, "csv", rows, "docs"))}
        assert what in error_of(table(path, columns={"answer_id": "doc"}, documents=own))


# --- CSV ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "question,answer\n\"a,b?\",\"x \"\"y\"\"\nz\"\n",
        "question;answer\r\na,b?;\"x \"\"y\"\"\nz\"\r\n",
        "\ufeffquestion\tanswer\na,b?\t\"x \"\"y\"\"\nz\"\n",
        " question , answer \n\n\"a,b?\",\"x \"\"y\"\"\nz\"\n,\n\n",
        "\ufeff\"question\";\"answer\"\n\"a,b?\";\"x \"\"y\"\"\nz\"",
    ],
    ids=["comma", "semicolon crlf", "tab bom", "blanks", "quoted header"],
)  # fmt: skip
def test_delimiter_byte_order_mark_and_blank_rows_are_found_out(tmp_path: Path, content: str) -> None:
    path = tmp_path / "faq.csv"
    path.write_bytes(content.encode())
    dataset = table(path).load()
    assert list(queries_of(dataset).values()) == ["a,b?"]
    assert list(documents_of(dataset).values()) == ['x "y"\nz']


def test_a_comma_in_the_header_does_not_mislead_the_sniffing(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text("Frage, wie gestellt;Thema, Jahr, Ort;Antwort\na?;x;one\n")
    dataset = table(path, columns={"question": "Frage, wie gestellt", "answer": "Antwort"}).load()
    assert list(documents_of(dataset).values()) == ["one"]


@pytest.mark.parametrize(("delimiter", "sign"), [("|", "|"), ("tab", "\t"), ("\\t", "\t")])
def test_the_delimiter_can_be_given(tmp_path: Path, delimiter: str, sign: str) -> None:
    path = tmp_path / "faq.csv"
    path.write_text(f"question{sign}answer\na,b;c?{sign}one\n")
    assert list(queries_of(table(path, delimiter=delimiter).load()).values()) == ["a,b;c?"]


@pytest.mark.parametrize("quote", ['"', None])
@pytest.mark.parametrize("sign", [",", ";"])
def test_lines_may_end_in_carriage_returns_alone(tmp_path: Path, sign: str, quote: str | None) -> None:
    path = tmp_path / "faq.csv"
    path.write_bytes(f"\ufeffquestion{sign}answer\rQ1{sign}A1\r\rQ2{sign}A2".encode())
    dataset = table(path, quote=quote).load()
    assert list(queries_of(dataset).values()) == ["Q1", "Q2"]
    assert list(documents_of(dataset).values()) == ["A1", "A2"]


def test_a_carriage_return_inside_quotes_is_part_of_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_bytes(b'question,answer\r"Q\r1",A1\r')
    assert list(queries_of(table(path).load()).values()) == ["Q\r1"]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Wie hoch ist mein Lohn?,5000", "2 that may be text. Its first row must name the columns"),
        ("Lohn,Der Lohn steigt im Mai.", "2 that may be text. Its first row must name the columns"),
        ('Lohn,"Er sagte: ""Nein!"""', "2 that may be text. Its first row must name the columns"),
        ("Mein Lohn,Frage_1,Grösse-2.b", "'Frage_1', 'Grösse-2.b', 1 that may be text."),
        ("Nr.,Frage", "'Frage', 1 that may be text."),
        (f"{'n' * 24},{'m' * 25},", f"'{'n' * 24}', 1 that may be text."),
        ("Frage(n),Text/Antwort", "2 that may be text. Its first row must name the columns"),
    ],
)
def test_of_a_first_row_only_what_looks_like_names_is_quoted(tmp_path: Path, header: str, found: str) -> None:
    path = tmp_path / "faq.csv"
    path.write_text(f"{header}\n", "utf-8")
    assert error_of(table(path)) == f"{path}:1: no column 'answer'; found: {found}"


def test_a_file_that_quotes_nothing_is_read_when_told(tmp_path: Path) -> None:
    path = tmp_path / "faq.tsv"
    path.write_text('question\tanswer\nwho?\t"one" and two\nwhy?\t"\n')
    message = error_of(table(path))
    assert message.startswith(f"{path}:2: this row breaks the format of CSV (")
    assert "Set dataset.quote=null if the file quotes nothing" in message
    assert list(documents_of(table(path, quote=None).load()).values()) == ['"one" and two', '"']


@pytest.mark.parametrize(
    ("content", "number", "what"),
    [
        (b"question,answer\na?,one\nb?,two,three\n", 3, "3 cells; the header has 2"),
        (b'question,answer\n"a\n?",one\nb?\n', 4, "1 cells; the header has 2"),
        (b'question,answer\na?,one\nb?,"two\n\n', 3, "this row breaks the format of CSV (unexpected end of data)"),
        (b"question,answer\na?,one\nb?,Z\xfcrich\n", 3, "not UTF-8 (byte 0xfc); convert the file to UTF-8"),
        ("question,answer\n".encode("utf-16"), 1, "not UTF-8 (byte 0xff)"),
        (b"question,answer,answer\na?,one,two\n", 1, "two columns are called 'answer'; rename one"),
        (b"Who pays the secret fee of the client?,answer\n", 1, "found: 2 that may be text"),
        (
            b"question,answer\ra?,one\r\nb?,two\r\n",
            1,
            "a carriage return (CR) inside a row; expected lines that all end",
        ),
        (b"question,answer\na?,one\rb?,two\n", 2, "a carriage return (CR) inside a row; expected lines that all end"),
        (b"question,answer\ra?,one\rb?,two,three\r", 3, "3 cells; the header has 2"),
    ],
)
def test_broken_csv_is_refused_with_file_and_line(tmp_path: Path, content: bytes, number: int, what: str) -> None:
    path = tmp_path / "faq.csv"
    path.write_bytes(content)
    message = error_of(table(path))
    assert message.startswith(f"{path}:{number}: ")
    assert what in message
    assert "secret" not in message


def test_cells_longer_than_the_standard_librarys_limit_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "csv", [{"question": "a?", "answer": "x" * 200_000}])
    assert [len(text) for text in documents_of(table(path).load()).values()] == [200_000]


# --- Excel and Parquet ----------------------------------------------------------------------------


def test_numbers_and_dates_of_excel_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "faq.xlsx"
    row = {"question": 2024, "answer": 7.5, "nr": 1.0, "doc": "007", "day": datetime(2024, 1, 31), "grade": 2.0}
    write_xlsx(path, [row])
    roles = {"question_id": "nr", "answer_id": "doc", "grade": "grade"}
    dataset = table(path, columns=roles, question_metadata=["day"], answer_metadata=["nr"]).load()
    assert queries_of(dataset) == {"1": "2024"}
    assert documents_of(dataset) == {"007": "7.5"}
    assert qrels_of(dataset) == {"1": {"007": 2}}
    assert dataset.queries[0].metadata == {"day": "2024-01-31"}
    assert dataset.documents[0].metadata == {"nr": 1}


def test_numbers_of_pandas_in_parquet_are_ids_and_not_a_number_is_no_id(tmp_path: Path) -> None:
    path = tmp_path / "faq.parquet"
    columns = {
        "question": ["a?", "b?"],
        "answer": ["x", "y"],
        "nr": [1.0, float("nan")],
        "day": [date(2024, 1, 31)] * 2,
    }
    pq.write_table(pa.table(columns), path)
    dataset = table(path, columns={"question_id": "nr"}, answer_metadata=["day"]).load()
    assert queries_of(dataset) == {"1": "a?", question_id("b?"): "b?"}
    assert dataset.documents[0].metadata == {"day": "2024-01-31"}


def test_a_damaged_parquet_file_is_one_message(tmp_path: Path) -> None:
    path = write(tmp_path, "parquet")
    path.write_bytes(path.read_bytes()[:-20])
    assert f"{path}: cannot be read as Parquet after row 0" in error_of(table(path))


def test_a_sheet_is_chosen_by_name_where_there_are_several(tmp_path: Path) -> None:
    path = tmp_path / "faq.xlsx"
    write_xlsx(path, [{"x": 1}], Antworten=ROWS)
    assert error_of(table(path)) == f"{path}: 2 sheets; set the sheet to one of: Fragen, Antworten"
    assert "no sheet of that name; set the sheet to one of: Fragen, Antworten" in error_of(table(path, sheet="x"))
    assert len(table(path, sheet="Antworten").load().queries) == 3


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    write_xlsx(path, ROWS)
    book = openpyxl.load_workbook(path)
    change(book.active)
    book.save(path)
    return path


def test_merged_cells_are_refused_since_all_but_the_first_would_look_empty(tmp_path: Path) -> None:
    path = changed(tmp_path / "faq.xlsx", lambda sheet: sheet.merge_cells("A2:A3"))
    assert f"{path}: merged cells (A2:A3); unmerge them and give every row its own values" in error_of(table(path))


def test_a_formula_without_its_value_is_refused_with_its_row(tmp_path: Path) -> None:
    path = changed(tmp_path / "faq.xlsx", lambda sheet: sheet.cell(3, 2, "=B2"))
    message = error_of(table(path))
    assert message == f"{path}:3: 'answer' holds a formula without its value; open and save the file in Excel"


def test_a_formula_with_its_value_is_read(tmp_path: Path) -> None:
    """The values of formulas are not written by openpyxl: this one is put into the XML, as Excel does."""
    path = changed(tmp_path / "faq.xlsx", lambda sheet: sheet.cell(3, 2, "=B2"))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    sheet = files["xl/worksheets/sheet1.xml"]
    assert b'<c r="B3"><f>B2</f><v /></c>' in sheet or b'<c r="B3"><f>B2</f><v></v></c>' in sheet
    for empty in (b"<v />", b"<v></v>"):
        sheet = sheet.replace(b'<c r="B3"><f>B2</f>' + empty, b'<c r="B3" t="str"><f>B2</f><v>The client.</v>')
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, sheet if name.endswith("sheet1.xml") else content)
    assert len(documents_of(table(path).load())) == 2


def test_an_error_of_excel_is_refused_with_its_row(tmp_path: Path) -> None:
    path = changed(tmp_path / "faq.xlsx", lambda sheet: sheet.cell(4, 2, "#REF!"))
    assert error_of(table(path)) == f"{path}:4: 'answer' holds the error #REF!; mend the cell"


def test_what_openpyxl_warns_of_is_no_matter(tmp_path: Path) -> None:
    def add_list(sheet: Any) -> None:
        rule = DataValidation(type="list", formula1='"en,de"')
        sheet.add_data_validation(rule)
        rule.add("C2")

    assert len(table(changed(tmp_path / "faq.xlsx", add_list)).load().queries) == 3


def test_a_wrong_size_in_the_file_does_not_cut_it(tmp_path: Path) -> None:
    path = changed(tmp_path / "faq.xlsx", lambda _: None)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content.replace(b'<dimension ref="A1:C5"', b'<dimension ref="A1"'))
    assert len(table(path).load().queries) == 3


def test_what_is_no_workbook_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "faq.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0 a workbook with a password")
    assert f"{path}: cannot be read as an Excel workbook (BadZipFile); save it as .xlsx" in error_of(table(path))


def test_a_missing_openpyxl_gives_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "xlsx")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert error_of(table(path)).endswith("is not installed; run: pip install 'evalkit-rerank[excel]'")


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"columns": {"question": None}}, {"columns": {"answer": None}}, {"columns": {"anwser": "x"}},
        {"columns": {"title": 5}}, {"question_metadata": "lang"}, {"question_metadata": {"lang": 5}},
        {"delimiter": "ab"}, {"delimiter": ""}, {"quote": ","  , "delimiter": ","}, {"sheet": 1},
        {"documents": {"path": "docs.csv"}}, {"documents": {"file": "docs.csv"}},
        {"documents": {"path": "docs.csv", "id": None}, "columns": {"answer_id": "x"}},
    ],
)  # fmt: skip
def test_impossible_options_are_refused_by_the_constructor(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="dataset"):
        table(tmp_path / "faq.csv", **options)


def test_columns_can_be_named_on_the_command_line() -> None:
    given = [
        "dataset=table", "dataset.path=/data/faq.csv", "dataset.columns.question=Frage", "dataset.columns.answer_id=Nr",
        "dataset.question_metadata={family:Gruppe}", "dataset.documents.path=/data/texte.csv", "dataset.delimiter=tab",
    ]  # fmt: skip
    assert build_plan(compose_config(given)).source is not None
