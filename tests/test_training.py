"""Mined training data on disk, with texts as public data sets really hold them."""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.mined import LeftOut, Mined, Passage, Suspect, TrainingQuery
from evalkit.commands.mine_words import labelled
from evalkit.errors import SinkError
from evalkit.training import contents_of, is_held_out, key_of_text, write
from evalkit.types import Dataset, Document, Query
from tests.conftest import beir

STRANGE = 'a "quoted"\ttab,\r\nnext\u0085control\u2028separator line, Größe 1 234'
"""Quotes, a tab, line ends that some readers split at, and signs beyond ASCII."""

DATASET = Dataset(
    name="made",
    documents=(
        Document("d 1", STRANGE, "Titel", {"lang": "de", "n": 1}),
        Document("d2", "negative"),
        Document("d3", ""),
        Document("d4", STRANGE),
    ),
    queries=(Query("q1", f"first {STRANGE}", {"family": "f"}), Query("q2", "second"), Query("q3", "third")),
    qrels={"q1": {"d 1": 2, "d2": 0}, "q2": {"d2": 1, "d3": -1}, "q3": {"d4": 1}},
    digest="d",
    corpus_digest="c",
)

MINED = Mined(
    queries=2,
    training=(TrainingQuery("q1", (Passage("d 1", 1.5),), (Passage("d2", -2.0), Passage("d4", -3.0, judged=False))),),
    queue=(
        Suspect("q1", "d4", "same_text", 2, 1, 0.5, None, None),
        Suspect("q2", "d2", "score", 1, 2, 0.25, 3.5, -1.5),
    ),
    spread=2.0,
    left_out=LeftOut(),
)


def written(out: Path, held_out: tuple[str, ...] = (), *, scored: bool = True) -> Path:
    write(MINED, {"run_id": "r"}, DATASET, held_out, out, scored=scored)
    return out


def test_texts_stand_in_the_training_data_as_models_read_them(tmp_path: Path) -> None:
    """Title and text as one, one object per line, though some of the signs end a line elsewhere."""
    line, end = (written(tmp_path / "out") / "train.jsonl").read_bytes().split(b"\n")
    assert end == b""
    assert json.loads(line) == {
        "query": f"first {STRANGE}",
        "pos": [f"Titel {STRANGE}"],
        "neg": ["negative", STRANGE],
        "pos_scores": [1.5],
        "neg_scores": [-2.0, -3.0],
    }
    (row,) = (written(tmp_path / "bare", scored=False) / "train.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert set(json.loads(row)) == {"query", "pos", "neg"}


def test_flag_embeddings_loader_reads_the_same_texts(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = written(tmp_path / "out") / "train.jsonl"
    (row,) = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert row["query"] == f"first {STRANGE}"
    assert (row["pos"], row["neg"]) == ([f"Titel {STRANGE}"], ["negative", STRANGE])


def test_the_queue_is_one_line_per_candidate(tmp_path: Path) -> None:
    """White space in texts is one blank each, so that any program splits at lines and tabs."""
    with (written(tmp_path / "out") / "label_queue.tsv").open(encoding="utf-8", newline="") as stream:
        content = stream.read()
    flat = 'a "quoted" tab, next control separator line, Größe 1 234'
    first, second = csv.DictReader(content.split("\n")[:-1], dialect="excel-tab")
    assert first == {
        "query_id": "q1", "doc_id": "d4", "grade": "", "reason": "same_text", "stage1_rank": "2", "reranked_rank": "1",
        "stage1_score": "0.5", "rerank_score": "", "lead": "", "query": f"first {flat}", "document": flat,
    }  # fmt: skip
    assert [line.split("\t")[:3] for line in content.split("\n")[1:-1]] == [["q1", "d4", ""], ["q2", "d2", ""]]
    assert (second["rerank_score"], second["lead"], second["document"]) == ("3.5", "-1.5", "negative")


def test_held_out_queries_come_back_as_they_were(tmp_path: Path) -> None:
    folder = written(tmp_path / "out", ("q1", "q3")) / "heldout"
    found = beir(folder).load()
    assert found.documents == DATASET.documents
    assert [(one.id, one.text) for one in found.queries] == [
        (DATASET.queries[n].id, DATASET.queries[n].text) for n in (0, 2)
    ]
    assert [one.metadata for one in found.queries] == [
        {"family": "f", "evalkit_mine": "held out"},
        {"evalkit_mine": "held out"},
    ]
    assert found.qrels == {"q1": {"d 1": 2, "d2": 0}, "q3": {"d4": 1}}
    assert all(map(is_held_out, found.queries))
    assert not any(map(is_held_out, DATASET.queries))


def test_half_a_surrogate_pair_in_metadata_is_written(tmp_path: Path) -> None:
    """JSON can hold it as an escape, UTF-8 cannot."""
    half = replace(DATASET, documents=(Document("d 1", "text", "", {"note": "\ud83d"}), *DATASET.documents[1:]))
    write(MINED, {}, half, ("q1",), tmp_path / "out", scored=True)
    assert beir(tmp_path / "out" / "heldout").load().documents[0].metadata == {"note": "\ud83d"}


def test_labels_are_rows_of_qrels_whatever_signs_an_id_holds(tmp_path: Path) -> None:
    """The printed command takes the labelled rows; quotes in ids are no quotes of a table."""
    name = 'a "quoted" id'
    strange = replace(DATASET, documents=(Document(name, "text"), *DATASET.documents))
    queue = (Suspect("q1", name, "score", 1, 1, 0.5, 1.0, 0.0), *MINED.queue)
    write(replace(MINED, queue=queue), {}, strange, (), tmp_path / "it's out", scored=True)
    path = tmp_path / "it's out" / "label_queue.tsv"
    rows = path.read_text(encoding="utf-8").split("\n")
    assert rows[1].startswith(f"q1\t{name}\t\tscore\t")
    rows[1] = rows[1].replace("\t\t", "\t2\t", 1)
    path.write_text("\n".join(rows), encoding="utf-8")
    made = subprocess.run(["/bin/sh", "-c", labelled(path)], check=True, capture_output=True, text=True).stdout
    assert made == f"q1\t{name}\t2\n"


def test_without_held_out_queries_there_is_no_such_folder(tmp_path: Path) -> None:
    out = written(tmp_path / "deep" / "out")
    assert sorted(path.name for path in out.iterdir()) == ["label_queue.tsv", "mined.json", "train.jsonl"]
    assert json.loads((out / "mined.json").read_text()) == {"run_id": "r"}
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_folder_that_came_into_being_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "label_queue.tsv").write_text("labelled")
    with pytest.raises(SinkError, match=r"cannot write .*; name another folder with --out"):
        written(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "label_queue.tsv"]


def test_a_draft_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SinkError, match="No space left on device"):
        written(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Zehn Jahre.", "  zehn\n\tJAHRE. ", True),
        ("ﬁnal", "final", True),
        ("Straße", "STRASSE", True),
        ("Zehn Jahre.", "Zehn Jahre", False),
        ("ab c", "a bc", False),
    ],
)
def test_case_white_space_and_form_do_not_make_another_text(one: str, other: str, same: bool) -> None:
    assert (key_of_text(one) == key_of_text(other)) is same


def test_documents_are_alike_by_title_and_text_and_empty_ones_are_none() -> None:
    contents = contents_of([Document("a", "b", "a"), Document("b", "A B"), Document("c", "b"), Document("d", " ", "")])
    assert set(contents) == {"a", "b", "c"}
    assert contents["a"] == contents["b"]
    assert contents["a"] != contents["c"]
