"""What public data sets really hold, through every source in which it can occur; expected outcomes stated by hand.

Unsorted runs, ties and short lists occur in runs only: tests/data/test_trec.py.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.data.source import Source
from tests.conftest import beir
from tests.data.sources import documents_of, error_of, hub, ir, qrels_of, queries_of, table, trec

Texts = Sequence[tuple[str, str]]
"""(id, text) in the order of the file; ids may repeat."""
Judgments = Sequence[tuple[str, str, int]]

DOCUMENTS = [("d1", "one"), ("d2", "two"), ("d3", "three")]
QUERIES = [("q1", "first?"), ("q2", "second?")]
JUDGMENTS = [("q1", "d1", 1), ("q1", "d3", 0), ("q2", "d2", 2)]
NUMBERS = count()


class Writer:
    """Writes one data set in a form, with the byte order mark and the line ends that are asked for."""

    def __init__(self, folder: Path, library: Any) -> None:
        self.folder, self.library = folder, library
        self.mark, self.end = "", "\n"

    def text(self, name: str, lines: Sequence[str]) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((self.mark + "".join(line + self.end for line in lines)).encode())
        return path

    def json(self, name: str, rows: Sequence[dict[str, Any]]) -> Path:
        return self.text(name, [json.dumps(row, ensure_ascii=False) for row in rows])

    def parquet(self, name: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kinds = {name: pa.int64() if name in ("score", "grade") else pa.string() for name in columns}
        pq.write_table(pa.table({name: pa.array([row[name] for row in rows], kinds[name]) for name in columns}), path)
        return path


def write_beir(to: Writer, documents: Texts, queries: Texts, judgments: Judgments) -> Source:
    to.json("corpus.jsonl", [{"_id": key, "text": text} for key, text in documents])
    to.json("queries.jsonl", [{"_id": key, "text": text} for key, text in queries])
    to.text("qrels/test.tsv", ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in judgments)])
    return beir(to.folder)


def write_trec(form: str) -> Callable[[Writer, Texts, Texts, Judgments], Source]:
    def write(to: Writer, documents: Texts, queries: Texts, judgments: Judgments) -> Source:
        if form == "sgml":
            fill = "<DOC>\n<DOCNO> {} </DOCNO>\n<TEXT>\n{}\n</TEXT>\n</DOC>"
            ask = "<top>\n<num> Number: {}\n<title> {}\n</top>"
            to.text(
                "collection",
                [line for key, text in documents for line in fill.format(key, html.escape(text)).split("\n")],
            )
            to.text("topics", [line for key, text in queries for line in ask.format(key, text).split("\n")])
        elif form == "tsv":
            to.text("collection", [f"{key}\t{text}" for key, text in documents])
            to.text("topics", [f"{key}\t{text}" for key, text in queries])
        else:
            to.json("collection", [{"docno": key, "contents": text} for key, text in documents])
            to.json("topics", [{"qid": key, "text": text} for key, text in queries])
        to.text("qrels", [f"{query}\t0\t{document}\t{grade}" for query, document, grade in judgments])
        return trec(to.folder)

    return write


def write_ir(to: Writer, documents: Texts, queries: Texts, judgments: Judgments) -> Source:
    formats, local = to.library.formats, to.library.util.LocalDownload
    name = f"messy{next(NUMBERS)}"
    to.library.registry.register(
        name,
        to.library.Dataset(
            formats.TsvDocs(local(to.text(f"{name}-docs", [f"{key}\t{text}" for key, text in documents]))),
            formats.TsvQueries(local(to.text(f"{name}-queries", [f"{key}\t{text}" for key, text in queries]))),
            formats.TrecQrels(local(to.text(f"{name}-qrels", [f"{q} 0 {d} {grade}" for q, d, grade in judgments])), {}),
        ),
    )
    return ir(name)


def write_hub(form: str) -> Callable[[Writer, Texts, Texts, Judgments], Source]:
    def write(to: Writer, documents: Texts, queries: Texts, judgments: Judgments) -> Source:
        judged = ("query-id", "corpus-id", "score")
        for name, rows, columns in (
            ("corpus", [{"_id": key, "text": text} for key, text in documents], ("_id", "text")),
            ("queries", [{"_id": key, "text": text} for key, text in queries], ("_id", "text")),
            ("qrels", [dict(zip(judged, row, strict=True)) for row in judgments], judged),
        ):
            if form == "parquet":
                to.parquet(f"{name}/test-00000-of-00001.parquet", rows, columns)
            else:
                to.json(f"{name}/test.jsonl", rows)
        return hub(to.folder)

    return write


def write_table(form: str) -> Callable[[Writer, Texts, Texts, Judgments], Source]:
    """Documents in a table of their own, so that ids are given; a question without a document has an empty cell."""

    def write(to: Writer, documents: Texts, queries: Texts, judgments: Judgments) -> Source:
        texts = [{"id": key, "text": text} for key, text in documents]
        asked = [
            {"qid": key, "question": text, "doc": document, "grade": grade}
            for key, text in queries
            for document, grade in [(d, g) for q, d, g in judgments if q == key] or [(None, None)]
        ]
        paths = [to.folder / f"{name}.{form}" for name in ("questions", "documents")]
        for path, rows, columns in (
            (paths[0], asked, ("qid", "question", "doc", "grade")),
            (paths[1], texts, ("id", "text")),
        ):
            cells = [columns, *([row[name] for name in columns] for row in rows)]
            if form == "parquet":
                to.parquet(path.name, rows, columns)
            elif form == "jsonl":
                to.json(path.name, rows)
            elif form == "xlsx":
                book = openpyxl.Workbook()
                for line in cells:
                    book.active.append(line)
                book.save(path)
            else:
                to.text(path.name, [";".join("" if cell is None else f'"{cell}"' for cell in line) for line in cells])
        roles = {"question_id": "qid", "answer_id": "doc", "grade": "grade"}
        return table(paths[0], columns=roles, documents={"path": str(paths[1])})

    return write


TEXT_FORMS: dict[str, Callable[[Writer, Texts, Texts, Judgments], Source]] = {
    "beir": write_beir,
    "trec sgml": write_trec("sgml"),
    "trec tsv": write_trec("tsv"),
    "trec jsonl": write_trec("jsonl"),
    "ir_datasets": write_ir,
    "hub jsonl": write_hub("jsonl"),
    "table csv": write_table("csv"),
    "table jsonl": write_table("jsonl"),
}
FORMS = {
    **TEXT_FORMS,
    "hub parquet": write_hub("parquet"),
    "table parquet": write_table("parquet"),
    "table xlsx": write_table("xlsx"),
}
every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def to(tmp_path: Path, library: Any) -> Writer:
    return Writer(tmp_path, library)


def made(
    to: Writer, form: str, documents: Texts = DOCUMENTS, queries: Texts = QUERIES, judgments: Judgments = JUDGMENTS
) -> Source:
    return FORMS[form](to, documents, queries, judgments)


PLAIN = (
    {"d1": "one", "d2": "two", "d3": "three"},
    {"q1": "first?", "q2": "second?"},
    {"q1": {"d1": 1, "d3": 0}, "q2": {"d2": 2}},
    (),
)
"""Documents, queries, judgments and warnings of the data set as it was made."""


def read(source: Source) -> tuple[object, ...]:
    dataset = source.load()
    return documents_of(dataset), queries_of(dataset), qrels_of(dataset), dataset.warnings


@every_form
def test_graded_and_binary_judgments_are_read_alike(to: Writer, form: str) -> None:
    assert read(made(to, form)) == PLAIN


@pytest.mark.parametrize("form", TEXT_FORMS)
@pytest.mark.parametrize(
    ("mark", "end"), [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")], ids=["bom", "crlf", "both"]
)
def test_byte_order_marks_and_carriage_returns_are_dropped(to: Writer, form: str, mark: str, end: str) -> None:
    to.mark, to.end = mark, end
    assert read(made(to, form)) == PLAIN


@pytest.mark.parametrize(
    "lines",
    [
        ["q1\td1\t1", "q1\td3\t0", "q2\td2\t2"],
        ["q1 0 d1 1", "q1 0 d3 0", "q2 0 d2 2"],
        ["q1\tQ0\td1\t1", "q1\tQ0\td3\t0", "q2\tQ0\td2\t2"],
        ["qid iteration docno relevance", "q1 0 d1 1", "q1 0 d3 0", "q2 0 d2 2"],
        ["q1\td1\t1.0", "", "q1\td3\t0.0", "q2\td2\t2.0"],
    ],
    ids=["no header", "four columns", "four columns, tabs", "four columns, header", "floats and blanks"],
)
@pytest.mark.parametrize(
    ("form", "name"), [("beir", "qrels/test.tsv"), ("trec sgml", "qrels"), ("hub jsonl", "qrels/test.tsv")]
)
def test_files_of_judgments_are_read_with_or_without_header_in_three_or_four_columns(
    to: Writer, form: str, name: str, lines: list[str]
) -> None:
    source = made(to, form)
    for path in (to.folder / "qrels").glob("test.jsonl"):
        path.unlink()
    to.text(name, lines)
    assert read(source) == PLAIN


@every_form
def test_no_judgment_at_all_is_refused(to: Writer, form: str) -> None:
    assert "no judgment here; expected rows of" in error_of(made(to, form, judgments=[]))


@every_form
def test_a_judgment_of_a_document_that_is_not_there_is_refused_or_kept(to: Writer, form: str) -> None:
    source = made(to, form, judgments=[*JUDGMENTS, ("q2", "gone", 1)])
    assert "document 'gone', relevant to query 'q2', is not in the corpus; 1 positives dangle like this" in error_of(
        source
    )


@pytest.mark.parametrize("form", [form for form in FORMS if not form.startswith("table")])
def test_a_judgment_of_a_query_that_is_not_there_is_refused(to: Writer, form: str) -> None:
    """In a table every judgment stands beside its question."""
    source = made(to, form, judgments=[*JUDGMENTS, ("q9", "d1", 1)])
    assert "query 'q9' is judged but is not among the queries; 1 queries are missing like this" in error_of(source)


@every_form
def test_ids_with_odd_characters_survive(to: Writer, form: str) -> None:
    """Columns of ir_datasets are separated by white space: its ids have none."""
    blank = "" if form == "ir_datasets" else " "
    odd = ["<urn:x>", f"two{blank}words", f"Z\u00fcrich/\u00a7{blank}5", "\u65e5\u672c", "a%20b", "a&b&amp;c", "NA"]
    source = made(
        to, form, [(key, "text") for key in odd], [(f"q{blank}<1>", "ask")], [(f"q{blank}<1>", key, 1) for key in odd]
    )
    dataset = source.load()
    assert set(documents_of(dataset)) == set(odd)
    assert qrels_of(dataset) == {f"q{blank}<1>": dict.fromkeys(odd, 1)}


@every_form
def test_a_line_separator_inside_a_text_does_not_split_it(to: Writer, form: str) -> None:
    text = "a\u0085b\u2028c\u00a0d"
    dataset = made(to, form, [("d1", text), *DOCUMENTS[1:]], [("q1", text), *QUERIES[1:]]).load()
    assert documents_of(dataset) == {"d1": text, "d2": "two", "d3": "three"}
    assert queries_of(dataset) == {"q1": text, "q2": "second?"}


@every_form
def test_negative_grades_are_kept_and_said(to: Writer, form: str) -> None:
    dataset = made(to, form, judgments=[("q1", "d1", 1), ("q1", "d3", -2), ("q2", "d2", 2)]).load()
    assert qrels_of(dataset)["q1"] == {"d1": 1, "d3": -2}
    assert dataset.warnings == ("1 judgments have a negative grade; it counts as not relevant",)


@every_form
def test_repeated_judgments_count_once_and_contradicting_ones_are_refused(to: Writer, form: str) -> None:
    dataset = made(to, form, judgments=[*JUDGMENTS, ("q1", "d1", 1)]).load()
    assert qrels_of(dataset)["q1"] == {"d1": 1, "d3": 0}
    assert dataset.warnings == ("1 judgments repeat an earlier row and were counted once",)
    message = error_of(made(to, form, judgments=[*JUDGMENTS, ("q1", "d1", 2)]))
    assert "query 'q1' and document 'd1' have grade 2 here and 1 in " in message


@every_form
def test_a_document_id_that_appears_twice_is_refused(to: Writer, form: str) -> None:
    assert "id 'd1' was used in " in error_of(made(to, form, [*DOCUMENTS, ("d1", "secret")]))


@every_form
def test_a_query_id_that_appears_twice_is_refused(to: Writer, form: str) -> None:
    message = error_of(made(to, form, queries=[*QUERIES, ("q1", "secret")]))
    assert (
        "id 'q1' stands for another text here than in " if form.startswith("table") else "id 'q1' was used in "
    ) in message
    assert "secret" not in message


@every_form
def test_a_document_without_text_is_kept_and_said(to: Writer, form: str) -> None:
    dataset = made(to, form, [("d1", ""), *DOCUMENTS[1:]]).load()
    assert documents_of(dataset) == {"d1": "", "d2": "two", "d3": "three"}
    assert dataset.warnings == ("1 documents have neither title nor text; models see an empty string",)


@every_form
def test_a_query_without_text_is_refused(to: Writer, form: str) -> None:
    message = error_of(made(to, form, queries=[*QUERIES, ("q3", "")]))
    assert ("an id in 'qid', but no question" if form.startswith("table") else "query 'q3' has no text") in message


@every_form
def test_a_query_without_judgments_is_listed(to: Writer, form: str) -> None:
    assert made(to, form, queries=[*QUERIES, ("q3", "third?")]).load().unjudged == ("q3",)


@every_form
def test_every_source_gives_the_same_digest_for_the_same_data(to: Writer, form: str) -> None:
    other = Writer(to.folder / "other", to.library)
    assert made(to, form).load().digest == write_beir(other, DOCUMENTS, QUERIES, JUDGMENTS).load().digest
