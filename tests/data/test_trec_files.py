"""TREC's own files: topics, collection and qrels in every form in which they are distributed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from evalkit.errors import ConfigError
from tests.data.sources import documents_of, error_of, qrels_of, queries_of, trec

TOPICS = """
<top>

<num> Number: 301
<title> International Organized Crime

<desc> Description:
Identify organizations that participate in
international criminal activity.

<narr> Narrative:
A relevant document must as a minimum name the group (AT&amp;T is none).

</top>

<top>
<num> Number: 302 </num>
<title>Poliomyelitis and
   Post-Polio</title>
<desc>Is polio under control?</desc>
</top>
"""
COLLECTION = """
<DOC>
<DOCNO> FT911-1 </DOCNO>
<DATE>910514</DATE>
<HEADLINE>FT  14 MAY 91 / Crime &amp; order</HEADLINE>
<TEXT>
<P>Police x &lt; y held
two men.</P>

More.
</TEXT>
</DOC>
<DOC>
<DOCNO>FT911-2</DOCNO>
<TEXT>Polio is <B>under</B> control.</TEXT>
</DOC>
"""
QRELS = "301 0 FT911-1 1\n301 0 FT911-2 0\n302 0 FT911-2 2\n"
TEXTS = {
    "FT911-1": "FT 14 MAY 91 / Crime & order Police x < y held\ntwo men.\nMore.",
    "FT911-2": "Polio is under control.",
}
JUDGED = {"301": {"FT911-1": 1, "FT911-2": 0}, "302": {"FT911-2": 2}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, topics=TOPICS, collection=COLLECTION, qrels=QRELS)
    return tmp_path


def write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content.encode())


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_reads_topics_documents_and_judgments(folder: Path) -> None:
    dataset = trec(folder).load()
    assert documents_of(dataset) == TEXTS
    assert queries_of(dataset) == {"301": "International Organized Crime", "302": "Poliomyelitis and Post-Polio"}
    assert qrels_of(dataset) == JUDGED
    assert dataset.name == "collection"


def test_gzipped_files_give_the_same_data_set(folder: Path) -> None:
    plain = trec(folder).load()
    for name in ("topics", "collection", "qrels"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    assert trec(folder).load() == plain


# --- topics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("title", "International Organized Crime"),
        ("description", "Identify organizations that participate in international criminal activity."),
        ("desc", "Identify organizations that participate in international criminal activity."),
        ("narrative", "A relevant document must as a minimum name the group (AT&T is none)."),
        (
            ["title", "description"],
            "International Organized Crime Identify organizations that participate in international criminal activity.",
        ),
    ],
)
def test_the_field_that_is_named_is_the_query(folder: Path, field: str | list[str], text: str) -> None:
    write(folder, topics=TOPICS.partition("</top>")[0], qrels="301 0 FT911-1 1\n")
    assert queries_of(trec(folder, topic_field=field).load()) == {"301": text}


@pytest.mark.parametrize(
    "topics",
    [
        "<top>\n<num> Number: 301\n<title> one\n<top>\n<num> Number: 302\n<title> two\n",
        "<top><num> Number: 301 <title> one <desc> Description: long</top><top><num>302<title>two</top>",
        "<top>\n<num> Number:  301\n<dom> Domain: Law\n<title> Topic:  one\n<con> Concept(s):\n1. x\n</top>\n"
        "<top>\n<num> Number:  302\n<title> Topic:  two\n<fac> Factor(s):\n<nat> Nationality: US\n</fac>\n</top>\n",
        '<?xml version="1.0"?>\n<topics>\n  <topic number="301">\n    <query>one</query>\n    <question>q?</question>\n'
        '  </topic>\n  <topic number="302"><query>two</query><question>q?</question></topic>\n</topics>\n',
        "301\tone\n302\ttwo\n",
        "id\ttext\n301\tone\n302\ttwo\n",
        lines({"id": 301, "text": "one"}, {"_id": "302", "text": "two"}),
        lines({"qid": "301", "title": "one", "description": "long"}, {"query_id": "302", "title": "two"}),
    ],
    ids=["unclosed", "one line", "older", "xml", "tsv", "tsv header", "jsonl", "jsonl fields"],
)
def test_topics_are_read_in_every_common_form(folder: Path, topics: str) -> None:
    write(folder, topics=topics)
    assert queries_of(trec(folder).load()) == {"301": "one", "302": "two"}


def test_markup_inside_a_field_is_removed_and_a_comparison_stays(folder: Path) -> None:
    write(folder, topics="<top>\n<num> 301\n<title> if <i>a</i> < b and c > d\n</top>\n", qrels="301 0 FT911-1 1\n")
    assert queries_of(trec(folder).load()) == {"301": "if a < b and c > d"}


@pytest.mark.parametrize(
    ("topics", "options", "what"),
    [
        ("<top>\n<num> 301\n<desc> long\n</top>\n", {}, "topics:1: no title; expected a string. Keys here: _id, desc"),
        ("\n<top>\n<title> one\n</top>\n", {}, "topics:2: no _id; expected a string"),
        ("<top>\n<num> 301\n<title>\n</top>\n", {}, "topics:1: query '301' has no text"),
        ("<top><num>1<title>a</top>\n<top><num>1<title>b</top>\n", {}, "topics:2: id '1' was used in line 1 already"),
        ("301\tone\n", {"topic_field": "title"}, "topics:1: no title; expected a string. Keys here: _id, text"),
        ("301\tone\ttwo\n", {}, "topics:1: 3 columns between tabs; expected id and text"),
        ("301\tone\n302\ttwo\tmore\n", {}, "topics:2: 3 columns between tabs; the rows before have 2"),
        ("301 one\n", {}, "topics:1: neither markup (<...>), nor JSON ({...}), nor columns between tabs"),
        ('{"id": 1, "text": "a"}\n{"id": 2,\n', {}, "topics:2: not JSON"),
        ("<html>\n", {}, "topics: the file is empty"),
        ("", {}, "topics: the file is empty"),
    ],
)
def test_broken_topics_are_refused_with_file_and_line(
    folder: Path, topics: str, options: dict[str, object], what: str
) -> None:
    write(folder, topics=topics)
    assert f"{folder}/{what}" in error_of(trec(folder, **options))


# --- collection -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "collection",
    [
        "<DOC><DOCNO>FT911-1</DOCNO><TITLE>t</TITLE><TEXT>one</TEXT></DOC><DOC><DOCNO>FT911-2</DOCNO><TEXT>two</TEXT></DOC>",
        "<doc>\n<docno>FT911-1</docno>\n<title>t</title>\n<text>one\n</doc>\n<DOC>\n<DOCNO>FT911-2</DOCNO>\n<LP>two</LP>\n</DOC>\n",
        "FT911-1\tt\tone\nFT911-2\t\ttwo\n",
        "docid\ttitle\ttext\nFT911-1\tt\tone\nFT911-2\t\ttwo\n",
        lines({"id": "FT911-1", "title": "t", "contents": "one"}, {"docno": "FT911-2", "title": None, "text": "two"}),
    ],
    ids=["one line", "unclosed text", "tsv", "tsv header", "jsonl"],
)
def test_documents_are_read_in_every_common_form(folder: Path, collection: str) -> None:
    write(folder, collection=collection)
    dataset = trec(folder).load()
    assert [(found.id, found.title, found.text) for found in dataset.documents] == [
        ("FT911-1", "t", "one"),
        ("FT911-2", "", "two"),
    ]


def test_a_folder_is_read_file_by_file_whatever_their_formats(folder: Path) -> None:
    first, second = COLLECTION.split("</DOC>\n")[:2]
    (folder / "collection").unlink()
    (folder / "disk" / "ft").mkdir(parents=True)
    (folder / "disk" / "ft" / "b.gz").write_bytes(gzip.compress(f"{first}</DOC>\n".encode()))
    write(folder / "disk", a=f"{second}</DOC>\n", c="FT911-3\tthree\n", **{".DS_Store": "\0", "readme": "words"})
    (folder / "elsewhere").mkdir()
    write(folder / "elsewhere", d=lines({"id": "FT911-4", "text": "four"}))
    (folder / "disk" / "link").symlink_to(folder / "elsewhere")
    message = error_of(trec(folder, collection=str(folder / "disk")))
    assert f"{folder}/disk/readme:1: neither markup" in message
    dataset = trec(folder, collection=str(folder / "disk"), files="*[abcd.gz]").load()
    assert documents_of(dataset) == {**TEXTS, "FT911-3": "three", "FT911-4": "four"}
    assert dataset.name == "disk"


def test_the_same_document_in_two_files_is_refused_with_both_places(folder: Path) -> None:
    (folder / "disk").mkdir()
    write(folder / "disk", a=COLLECTION, b="FT911-2\ttwo\n")
    message = error_of(trec(folder, collection=str(folder / "disk")))
    assert message == f"{folder}/disk/b:1: id 'FT911-2' was used in line 13 of a already"


def test_latin_1_is_read_when_told_and_refused_otherwise(folder: Path) -> None:
    (folder / "collection").write_bytes(b"FT911-1\tZ\xfcrich\nFT911-2\ttwo\n")
    assert documents_of(trec(folder, encoding="latin-1").load())["FT911-1"] == "Z\u00fcrich"
    assert "collection:1: not UTF-8 (byte 0xfc)" in error_of(trec(folder))


@pytest.mark.parametrize(
    ("collection", "what"),
    [
        ("<DOC>\n<TEXT>secret</TEXT>\n</DOC>\n", ":1: no _id; expected a string. Keys here: title, text"),
        ("<DOC>\n<DOCNO></DOCNO>\n<TEXT>secret</TEXT>\n</DOC>\n", ":1: a document has an empty id"),
        ("<DOC>\n<DOCNO>1</DOCNO>\n<DOC>\n", ":3: <DOC> of line 1 is not closed by </DOC>"),
        ("<DOC>\n</DOC>\n</DOC>\n", ":1: no _id"),
        ("<DOC>\n<DOCNO>1</DOCNO>\n</DOC>\n</DOC>\n", ":4: </DOC> without <DOC>"),
        ("<DOC>\n<DOCNO>1</DOCNO>\n<TEXT>secret", ":1: the file ends inside this <DOC>; it may have been cut off"),
        ("<DOC>\n<DOCNO>1</DOCNO>\n<BODY>secret</BODY>\n</DOC>\n", ": no document has a title or a text"),
        ("<html>\nsecret\n", ": no <DOC> here"),
        ("1\turl\ttitle\tsecret\n", ":1: 4 columns between tabs; expected id and text (or id, title and text)"),
        ('{"id": "1"}\n', ":1: no text; expected a string. Keys here: id, _id"),
        ("", ": the file is empty"),
    ],
)
def test_broken_documents_are_refused_with_file_and_line(folder: Path, collection: str, what: str) -> None:
    write(folder, collection=collection)
    message = error_of(trec(folder))
    assert message.startswith(f"{folder}/collection{what}")
    assert "secret" not in message


def test_what_is_packed_otherwise_is_named(folder: Path) -> None:
    write(folder, **{"ft.z": "\x1f"})
    assert "ft.z: packed as .z; unpack it" in error_of(trec(folder, collection=str(folder / "ft.z")))


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["topics", "collection", "qrels"])
def test_a_missing_file_lists_what_is_there(folder: Path, name: str) -> None:
    (folder / name).unlink()
    left = ", ".join(sorted({"topics", "collection", "qrels"} - {name}))
    assert f"{folder}: neither {name} nor {name}.gz is here; found: {left}" in error_of(trec(folder))


def test_a_folder_in_place_of_a_file_and_an_empty_folder_are_named(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert "empty: a folder; expected a file; set dataset.topics" in error_of(
        trec(folder, topics=str(folder / "empty"))
    )
    assert "no file of this folder matches '*'" in error_of(trec(folder, collection=str(folder / "empty")))


@pytest.mark.parametrize(
    "options",
    [
        {"topic_field": 5}, {"topic_field": []}, {"topic_field": [1]}, {"encoding": "latin-x"}, {"encoding": "utf-16"},
        {"files": None}, {"topics": ""},
    ],
)  # fmt: skip
def test_impossible_options_are_refused_by_the_constructor(folder: Path, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="dataset"):
        trec(folder, **options)


def test_a_collection_is_streamed(folder: Path) -> None:
    """The first document is there before what follows it is read."""
    write(folder, collection=f"{COLLECTION}<DOC>\ncut off")
    assert next(iter(trec(folder).documents())).id == "FT911-1"
