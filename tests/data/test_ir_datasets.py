"""The ir_datasets catalogue: its own archives on disk, and data sets of its own format classes on local files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evalkit.errors import ConfigError
from tests.data.sources import documents_of, error_of, ir, qrels_of, queries_of

Register = Callable[..., str]
NAMES = count()

DOCS = "d1\tone\nd2\ttwo\n"
QUERIES = "q1\tfirst?\nq2\tsecond?\n"
QRELS = "q1 0 d1 1\nq2 0 d2 2\n"


class Titled(NamedTuple):
    doc_id: str
    title: str
    text: str
    year: str

    def default_text(self) -> str:
        return f"{self.title} {self.text}"


class Plain(NamedTuple):
    doc_id: str
    name: str
    body: str


class Silent(NamedTuple):
    doc_id: str
    code: str


class Topic(NamedTuple):
    query_id: str
    title: str
    description: str

    def default_text(self) -> str:
        return self.title


@pytest.fixture
def register(library: Any, tmp_path: Path) -> Register:
    """Register a data set of TsvDocs, TsvQueries and TrecQrels on files of this test; None leaves a part out."""

    def add(
        docs: str | None = DOCS,
        queries: str | None = QUERIES,
        qrels: str | None = QRELS,
        doc: Any = None,
        query: Any = None,
        lang: str | None = None,
        below: str = "",
    ) -> str:
        formats, local = library.formats, library.util.LocalDownload
        parts = []
        for name, text in (("docs", docs), ("queries", queries), ("qrels", qrels)):
            if text is None:
                continue
            path = tmp_path / f"{name}{next(NAMES)}"
            path.write_bytes(text.encode())
            made = {
                "docs": lambda file: formats.TsvDocs(file, doc_cls=doc or formats.GenericDoc, lang=lang),
                "queries": lambda file: formats.TsvQueries(file, query_cls=query or formats.GenericQuery, lang=lang),
                "qrels": lambda file: formats.TrecQrels(file, {}),
            }[name]
            parts.append(made(local(path)))
        name = f"{below}local{next(NAMES)}"
        library.registry.register(name, library.Dataset(*parts))
        return name

    return add


# --- its own archives -----------------------------------------------------------------------------

VASWANI = {
    "doc-text": "1\ncompact memories have\nflexible capacities\n   /\n2\nan electronic analogue\n   /\n",
    "query-text": "1\nMEASUREMENT OF CAPACITY\n/\n2\nANALOGUE\n/\n",
    "rlv-ass": "1\n1\n   /\n2\n1 2\n   /\n",
}
CRANFIELD = {
    "cran.all.1400": ".I 1\n.T\nslipstream\n.A\nbrenckman\n.B\nj. 1958\n.W\nwing in a\nslipstream\n"
    ".I 2\n.T\nboundary layer\n.A\n.B\n.W\nboundary layer in flow\n",
    "cran.qry": ".I 001\n.W\nwhat of the wing\n.I 004\n.W\nwhat of flow\n",
    "cranqrel": "1 1 2\n1 2 -1\n2 2 3\n",
}
LOAD = """
import json, socket, sys
from tests.data.sources import *
def refuse(*_, **__): raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refuse
for name in sys.argv[1:]:
    try:
        data = ir(name).load()
        documents = [(found.id, found.title, found.text, found.metadata) for found in data.documents]
        print(json.dumps([data.name, documents, queries_of(data), qrels_of(data)]))
    except EvalkitError as error:
        print(json.dumps(str(error)))
"""


def loaded(home: Path, *names: str) -> list[Any]:
    """What loading gives in a process of its own, with this home and without a network."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *names],
        env={**os.environ, "IR_DATASETS_HOME": str(home), "IR_DATASETS_DL_TRIES": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def archive(path: Path, files: dict[str, str]) -> None:
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))


def test_archives_in_its_home_are_read_and_what_is_not_there_needs_a_network(tmp_path: Path) -> None:
    """One process for all, since it takes a second to start; nfcorpus has a mirror, antique has none."""
    archive(tmp_path / "vaswani" / "npl.tar.gz", VASWANI)
    archive(tmp_path / "cranfield" / "cran.tar.gz", CRANFIELD)
    vaswani, cranfield, antique, nfcorpus = loaded(tmp_path, "vaswani", "cranfield", "antique/test", "nfcorpus/test")
    assert vaswani == [
        "vaswani",
        [
            ["1", "", "compact memories have\nflexible capacities\n", {"lang": "en"}],
            ["2", "", "an electronic analogue\n", {"lang": "en"}],
        ],
        {"1": "MEASUREMENT OF CAPACITY\n", "2": "ANALOGUE\n"},
        {"1": {"1": 1}, "2": {"1": 1, "2": 1}},
    ]
    assert cranfield == [
        "cranfield",
        [
            ["1", "slipstream", "wing in a\nslipstream", {"lang": "en"}],
            ["2", "boundary layer", "boundary layer in flow", {"lang": "en"}],
        ],
        {"1": "what of the wing", "2": "what of flow"},
        {"1": {"1": 2, "2": -1}, "2": {"2": 3}},
    ]
    assert antique.startswith(
        "the qrels of antique/test could not be fetched (ConnectionError). Point IR_DATASETS_HOME"
    )
    assert "python -m ir_datasets export antique/test docs" in antique
    assert nfcorpus.startswith("the qrels of nfcorpus/test could not be fetched (ConnectionError)")


# --- data sets of its format classes --------------------------------------------------------------


def test_reads_documents_queries_and_judgments(register: Register) -> None:
    dataset = ir(register()).load()
    assert documents_of(dataset) == {"d1": "one", "d2": "two"}
    assert queries_of(dataset) == {"q1": "first?", "q2": "second?"}
    assert qrels_of(dataset) == {"q1": {"d1": 1}, "q2": {"d2": 2}}
    assert dataset.languages == ()


def test_a_slash_in_the_id_is_no_slash_in_the_name(register: Register) -> None:
    name = register(below="beir/", lang="de")
    dataset = ir(name).load()
    assert dataset.name == name.replace("/", "_")
    assert dataset.languages == ("de",)


def test_a_title_at_the_start_of_the_default_text_is_kept_apart(register: Register) -> None:
    name = register("d1\tT\tone\t2024\nd2\t\ttwo\t2025\n", doc=Titled)
    found = ir(name, metadata=["year"]).load().documents
    assert [(entry.title, entry.text, entry.content) for entry in found] == [("T", "one", "T one"), ("", " two", "two")]
    assert [entry.metadata for entry in found] == [{"year": "2024"}, {"year": "2025"}]


def test_the_text_of_a_document_can_be_named(register: Register) -> None:
    name = register("d1\tT\tone\t2024\nd2\t\ttwo\t2025\n", doc=Titled)
    assert documents_of(ir(name, doc_field="text").load()) == {"d1": "T one", "d2": "two"}
    assert documents_of(ir(name, doc_field="title").load()) == {"d1": "T", "d2": ""}


def test_records_that_name_no_text_are_read_by_its_usual_name_or_refused(register: Register) -> None:
    name = register("d1\tx\tone\nd2\ty\ttwo\n", doc=Plain)
    assert documents_of(ir(name).load()) == {"d1": "one", "d2": "two"}
    silent = register(doc=Silent)
    assert "set doc_field or query_field to one of: doc_id, code" in error_of(ir(silent))
    assert documents_of(ir(silent, doc_field="code").load()) == {"d1": "one", "d2": "two"}


def test_the_field_that_is_the_query_can_be_named(register: Register) -> None:
    name = register(queries="q1\tshort\tand long\nq2\tbrief\tand wide\n", query=Topic)
    assert queries_of(ir(name).load()) == {"q1": "short", "q2": "brief"}
    assert queries_of(ir(name, query_field="description").load()) == {"q1": "and long", "q2": "and wide"}


@pytest.mark.parametrize("option", ["doc_field", "query_field"])
def test_an_unknown_field_is_answered_with_those_there_are(register: Register, option: str) -> None:
    message = error_of(ir(register(), **{option: "narrative"}))
    assert f"dataset.{option} is 'narrative'; local" in message
    assert message.endswith("_id, text")


def test_documents_are_streamed(register: Register) -> None:
    """The first document is there before a later one breaks."""
    assert next(iter(ir(register("d1\tone\nd2\n")).documents())).id == "d1"


# --- messages -------------------------------------------------------------------------------------


def test_an_unknown_id_is_answered_with_near_ones(library: Any) -> None:
    message = error_of(ir("beir/scifacts/test"))
    assert f"ir_datasets {library.__version__} has no data set 'beir/scifacts/test'. Did you mean " in message
    assert "beir/scifact/test" in message
    assert "All ids are at https://ir-datasets.com" in error_of(ir("????"))


def test_an_id_without_judgments_is_answered_with_those_below_it_that_have_them(register: Register) -> None:
    top = register(qrels=None)
    below = register(below=f"{top}/")
    register(docs=None, below=f"{top}/")
    message = error_of(ir(top))
    assert message == f"{top} has no qrels in ir_datasets; these have: {below}. Set dataset.id to one with all three"
    assert "has no docs in ir_datasets. Set" in error_of(ir(register(docs=None)))


def test_a_missing_package_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    assert error_of(ir("vaswani")) == "ir_datasets is not installed; run: pip install 'evalkit-rerank[ir-datasets]'"


def test_a_file_that_it_does_not_fetch_by_itself_is_named(register: Register, tmp_path: Path) -> None:
    name = register()
    for path in tmp_path.glob("docs*"):
        path.unlink()
    message = error_of(ir(name))
    assert f"{name} needs {tmp_path}/docs" in message
    assert "which ir_datasets does not fetch by itself" in message


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"docs": "d1\tsecret\nd1\tsecret\n"}, ", document 2: id 'd1' was used in "),
        ({"docs": "d1\tsecret\n\tsecret\n"}, ", document 2: a document has an empty id"),
        ({"docs": "d1\tsecret\tmore\n"}, "the docs of "),
        ({"queries": "q1\tsecret?\nq2\t \n"}, ", query 2: query 'q2' has no text"),
        ({"qrels": "q1 0 d1 1\nq1 0 d1 2\n"}, ", judgment 2: query 'q1' and document 'd1' have grade 2 here and 1 in "),
        ({"qrels": "q1 0 d1 secret\n"}, "the qrels of "),
        ({"qrels": ""}, "no judgment here; expected rows of a query id, a document id and a grade"),
        ({"docs": ""}, "there is nothing here; expected at least one row"),
    ],
)
def test_broken_records_are_one_message_that_says_which(register: Register, parts: dict[str, str], what: str) -> None:
    message = error_of(ir(register(**parts)))
    assert what in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "options", [{"doc_field": 5}, {"query_field": ["title"]}, {"metadata": "year"}, {"metadata": [5]}, {"limit": 0}]
)
def test_impossible_options_are_refused_by_the_constructor(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        ir("vaswani", **options)
