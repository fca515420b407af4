"""Hugging Face data sets: folders of Parquet and JSON lines, cards of MTEB, and the hub's cache without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.data.hub_files import quiet
from evalkit.errors import ConfigError
from tests.data.sources import documents_of, error_of, hub, qrels_of, queries_of

CORPUS = [{"_id": "d1", "title": "T", "text": "one"}, {"_id": "d2", "title": None, "text": "two"}]
QUERIES = [{"_id": "q1", "text": "first?"}, {"_id": "q2", "text": "second?"}]
QRELS = [{"query-id": "q1", "corpus-id": "d1", "score": 1}, {"query-id": "q2", "corpus-id": "d2", "score": 2}]
DOCUMENTS = {"d1": "T one", "d2": "two"}
JUDGED = {"q1": {"d1": 1}, "q2": {"d2": 2}}
COMMIT = "c" * 40

Rows = Sequence[Mapping[str, Any]]


def write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    elif path.suffix == ".tsv":
        names = list(rows[0])
        lines = ["\t".join(names), *("\t".join(str(row[name]) for name in names) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def card(folder: Path, configs: Mapping[str, Mapping[str, str]], counts: Mapping[str, int] | None = None) -> None:
    """A README.md that names the files of each configuration's splits, and how many rows each configuration has."""
    header = ["---", "configs:"]
    for name, splits in configs.items():
        header += [f"- config_name: {name}", "  data_files:"]
        header += [line for split, path in splits.items() for line in (f"  - split: {split}", f"    path: {path}")]
    if counts:
        header.append("dataset_info:")
    for name, count in (counts or {}).items():
        header += [f"- config_name: {name}", "  splits:"]
        for split in configs[name]:
            header += [f"  - name: {split}", f"    num_examples: {count}", "    num_bytes: 1"]
    (folder / "README.md").write_text("\n".join([*header, "---", "# A data set", ""]))


def mteb(folder: Path) -> Path:
    """As MTEB's own repositories: the judgments are the default configuration, corpus and queries name their split."""
    write(folder / "corpus.jsonl", CORPUS)
    write(folder / "queries.jsonl", QUERIES)
    write(folder / "qrels" / "test.jsonl", QRELS)
    write(folder / "qrels" / "train.jsonl", QRELS[:1])
    card(
        folder,
        {
            "default": {"train": "qrels/train.jsonl", "test": "qrels/test.jsonl"},
            "corpus": {"corpus": "corpus.jsonl"},
            "queries": {"queries": "queries.jsonl"},
        },
    )
    return folder


def pushed(folder: Path, prefix: str = "") -> Path:
    """As ``push_to_hub`` writes: Parquet in one folder for each configuration, its row counts in the card."""
    for name, rows in (("corpus", CORPUS), ("queries", QUERIES), ("qrels", QRELS)):
        write(folder / f"{prefix}{name}" / "test-00000-of-00001.parquet", rows)
    configs = {f"{prefix}{name}": {"test": f"{prefix}{name}/test-*"} for name in ("corpus", "queries", "qrels")}
    card(folder, configs, dict.fromkeys(configs, 2))
    return folder


# --- folders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [mteb, pushed])
def test_a_folder_with_a_card_is_read(tmp_path: Path, form: Any) -> None:
    dataset = hub(form(tmp_path / "scifact")).load()
    assert documents_of(dataset) == DOCUMENTS
    assert queries_of(dataset) == {"q1": "first?", "q2": "second?"}
    assert qrels_of(dataset) == JUDGED
    assert dataset.name == "scifact"


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels"),
    [
        ("corpus/test-00000-of-00001.parquet", "queries/test.parquet", "qrels/test.parquet"),
        ("corpus/corpus.parquet", "queries/queries.parquet", "default/test.parquet"),
        ("corpus.jsonl", "queries.jsonl", "qrels/test.jsonl"),
        ("corpus.parquet", "queries.parquet", "qrels.parquet"),
        ("corpus/part.jsonl", "queries/part.jsonl", "qrels/test.tsv"),
        ("corpus.jsonl", "queries.jsonl", "qrels.tsv"),
    ],
)
def test_a_folder_without_a_card_is_read_by_its_names(tmp_path: Path, corpus: str, queries: str, qrels: str) -> None:
    for name, rows in ((corpus, CORPUS), (queries, QUERIES), (qrels, QRELS)):
        write(tmp_path / name, rows)
    dataset = hub(tmp_path).load()
    assert documents_of(dataset) == DOCUMENTS
    assert qrels_of(dataset) == JUDGED


def test_ids_may_be_called_id_and_be_numbers_and_grades_may_be_whole_floats(tmp_path: Path) -> None:
    write(tmp_path / "corpus.parquet", [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}])
    write(tmp_path / "queries.parquet", [{"id": 7, "text": "first?"}])
    write(tmp_path / "qrels.parquet", [{"query-id": 7, "corpus-id": 2, "score": 1.0}])
    dataset = hub(tmp_path).load()
    assert documents_of(dataset) == {"1": "one", "2": "two"}
    assert qrels_of(dataset) == {"7": {"2": 1}}


def test_all_files_of_a_split_are_read_and_an_id_in_two_of_them_is_refused(tmp_path: Path) -> None:
    pushed(tmp_path)
    (tmp_path / "corpus" / "test-00000-of-00001.parquet").unlink()
    for number, row in enumerate(CORPUS):
        write(tmp_path / "corpus" / f"test-0000{number}-of-00002.parquet", [row])
    assert documents_of(hub(tmp_path).load()) == DOCUMENTS
    write(tmp_path / "corpus" / "test-00001-of-00002.parquet", CORPUS[:1])
    message = error_of(hub(tmp_path))
    assert message.startswith(f"{tmp_path}/corpus/test-00001-of-00002.parquet:1: ")
    assert message.endswith(": id 'd1' was used in row 1 of test-00000-of-00002.parquet already")


def test_judgments_in_several_files_are_joined(tmp_path: Path) -> None:
    pushed(tmp_path)
    (tmp_path / "qrels" / "test-00000-of-00001.parquet").unlink()
    for number, row in enumerate(QRELS):
        write(tmp_path / "qrels" / f"test-0000{number}-of-00002.parquet", [row])
    assert qrels_of(hub(tmp_path).load()) == JUDGED


def test_the_configurations_of_a_language_are_chosen_by_name(tmp_path: Path) -> None:
    pushed(tmp_path, "de-")
    message = error_of(hub(tmp_path))
    assert "has no configuration 'corpus'; it has: de-corpus, de-queries, de-qrels. Set dataset.corpus" in message
    dataset = hub(tmp_path, corpus="de-corpus", queries="de-queries", qrels="de-qrels").load()
    assert qrels_of(dataset) == JUDGED


def test_columns_are_kept_as_metadata_when_named(tmp_path: Path) -> None:
    write(tmp_path / "corpus.parquet", [{**row, "lang": "de", "url": "x"} for row in CORPUS])
    write(tmp_path / "queries.jsonl", [{**row, "metadata": {"family": row["_id"]}} for row in QUERIES])
    write(tmp_path / "qrels.jsonl", QRELS)
    dataset = hub(tmp_path, metadata=["lang"]).load()
    assert [document.metadata for document in dataset.documents] == [{"lang": "de"}, {"lang": "de"}]
    assert [query.metadata for query in dataset.queries] == [{"family": "q1"}, {"family": "q2"}]


def test_a_split_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    message = error_of(hub(mteb(tmp_path), split="dev"))
    assert "configuration 'default' has no split 'dev'; set dataset.split to one of: train, test" in message


def test_corpus_and_queries_with_several_splits_need_the_one_that_is_asked_for(tmp_path: Path) -> None:
    mteb(tmp_path)
    splits = {"a": "corpus.jsonl", "b": "corpus.jsonl"}
    card(tmp_path, {"corpus": splits, "queries": {"x": "queries.jsonl"}, "default": {"test": "qrels/test.jsonl"}})
    assert "configuration 'corpus' has no split 'test'; set dataset.split to one of: a, b" in error_of(hub(tmp_path))


def test_fewer_rows_than_the_card_says_are_refused(tmp_path: Path) -> None:
    """A copy that was cut short would give wrong numbers."""
    pushed(tmp_path)
    write(tmp_path / "corpus" / "test-00000-of-00001.parquet", CORPUS[:1])
    assert f"{tmp_path}: 1 rows, but the data set's card says 2; fetch it again" in error_of(hub(tmp_path))


def test_a_missing_file_of_several_is_refused_without_a_card_too(tmp_path: Path) -> None:
    pushed(tmp_path)
    (tmp_path / "README.md").unlink()
    corpus = tmp_path / "corpus"
    (corpus / "test-00000-of-00001.parquet").rename(corpus / "test-00000-of-00003.parquet")
    message = error_of(hub(tmp_path))
    assert message.startswith(f"{tmp_path}: 1 of the 3 files named such as test-00000-of-00003.parquet are here")


def test_files_that_the_card_names_and_are_not_there_are_refused(tmp_path: Path) -> None:
    mteb(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    assert f"{tmp_path}: the files of configuration 'corpus' are not here" in error_of(hub(tmp_path))


def test_a_table_without_a_header_is_not_quoted(tmp_path: Path) -> None:
    mteb(tmp_path)
    (tmp_path / "README.md").unlink()
    (tmp_path / "corpus.jsonl").unlink()
    (tmp_path / "corpus.tsv").write_text("d1\tthe client's secret is safe here\nd2\ttwo\n")
    message = error_of(hub(tmp_path))
    assert message == f"{tmp_path}/corpus.tsv:2: no _id; expected a string. Keys here: d1, 1 that may be text"


def test_a_card_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    mteb(tmp_path)
    (tmp_path / "README.md").write_text("---\nconfigs: [\n---\n")
    assert f"{tmp_path}/README.md: the data set's card cannot be read" in error_of(hub(tmp_path))


def test_a_card_without_configurations_leaves_the_names_to_speak(tmp_path: Path) -> None:
    mteb(tmp_path)
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert qrels_of(hub(tmp_path).load()) == JUDGED


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nowhere: no such folder; set dataset.path" in error_of(hub(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("name", "rows", "what"),
    [
        ("corpus.jsonl", [{"docid": "d1", "text": "secret"}], ":1: no _id; expected a string. Keys here: docid, text"),
        ("corpus.jsonl", [CORPUS[0], {"_id": "d2", "text": None}], ":2: no text; expected a string"),
        ("corpus.jsonl", [{"_id": 1.5, "text": "secret"}], ":1: _id of type float; expected a string"),
        ("queries.jsonl", [{"_id": "q1", "text": ["secret"]}], ":1: text of type list; expected a string"),
        ("queries.jsonl", [{"_id": "q1", "text": " "}], ":1: query 'q1' has no text"),
        ("qrels/test.jsonl", [{"query-id": "q1", "doc-id": "d1", "score": 1}], ":1: no corpus-id; expected a string"),
        ("qrels/test.jsonl", [{"query-id": "q1", "corpus-id": "d1"}], ":1: no score; expected a whole number"),
        ("qrels/test.jsonl", [{**QRELS[0], "score": 0.5}], ":1: the grade is '0.5'; expected a whole number"),
        ("qrels/test.jsonl", [*QRELS, {**QRELS[0], "score": 2}], ":3: query 'q1' and document 'd1' have grade 2 here"),
        ("qrels/test.jsonl", [{**QRELS[0], "score": "secretive"}], ":1: the grade is a text of 9 characters"),
    ],
)
def test_unfit_rows_are_refused_with_file_and_row(tmp_path: Path, name: str, rows: Rows, what: str) -> None:
    write(mteb(tmp_path) / name, rows)
    message = error_of(hub(tmp_path))
    assert message.startswith(f"{tmp_path}/{name}{what}")
    assert "secret" not in message


# --- revisions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revision", "found"),
    [
        (None, "null"),
        ("main", "'main', which is no commit: branches and tags move"),
        ("refs/pr/1", "'refs/pr/1', which is no commit"),
        ("c" * 7, "'ccccccc', which is no commit"),
        (5, "5, which is no commit"),
    ],
)
def test_only_a_commit_will_do_as_a_revision(revision: Any, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        hub(None, revision=revision)
    assert f"dataset.revision is {found}" in str(caught.value)
    assert "https://huggingface.co/datasets/owner/name/commits/main" in str(caught.value)


def test_neither_a_repository_nor_a_folder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.repo is null"):
        hub(None, repo=None)


@pytest.mark.parametrize("options", [{"metadata": "lang"}, {"split": None}, {"corpus": 5}, {"qrels": 5}, {"seed": -1}])
def test_impossible_options_are_refused_by_the_constructor(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        hub(tmp_path, **options)


# --- the cache, without a network -----------------------------------------------------------------

LOAD = """
import socket, sys
from tests.data.sources import documents_of, hub
def refuse(*_, **__): raise AssertionError("asked the network")
socket.socket.connect = socket.getaddrinfo = refuse
from evalkit.errors import EvalkitError
for revision in sys.argv[1:]:
    try:
        dataset = hub(None, revision=revision).load()
        print(dataset.name, documents_of(dataset))
    except EvalkitError as error:
        print(error)
"""


def offline(home: Path, *revisions: str) -> list[str]:
    """What loading each of these commits prints in a process of its own, whose hub is this home alone."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *revisions],
        env={**kept, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def snapshot(home: Path, revision: str, form: Any) -> Path:
    """A snapshot as the hub's client lays it out: files are links to blobs."""
    repo = home / "hub" / "datasets--owner--name"
    folder = form(repo / "snapshots" / revision)
    (repo / "blobs").mkdir(exist_ok=True)
    for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        blob = repo / "blobs" / f"{revision[:4]}{number}"
        file.rename(blob)
        file.symlink_to(os.path.relpath(blob, file.parent))
    (repo / "refs").mkdir(exist_ok=True)
    (repo / "refs" / "main").write_text(revision)
    return folder


def test_the_cache_gives_the_commit_that_is_asked_for_or_none(tmp_path: Path) -> None:
    """Without a network; the ``datasets`` library by itself would fall back to whatever commit it had last."""
    snapshot(tmp_path, "a" * 40, mteb)
    snapshot(tmp_path, "b" * 40, pushed)
    (snapshot(tmp_path, "e" * 40, mteb) / "corpus.jsonl").unlink()
    first, second, partial, absent = offline(tmp_path, *(digit * 40 for digit in "abec"))
    assert first == second == f"name {DOCUMENTS}"
    assert "the files of configuration 'corpus' are not here" in partial
    assert f"owner/name at {COMMIT} is neither in the local Hugging Face cache nor to be had from the hub" in absent
    assert f"hf download owner/name --repo-type dataset --revision {COMMIT} --local-dir FOLDER" in absent


def test_hugging_faces_libraries_are_quiet_and_left_as_they_were() -> None:
    import datasets
    from huggingface_hub import constants, utils

    before = (datasets.are_progress_bars_disabled(), utils.are_progress_bars_disabled())
    telemetry = constants.HF_HUB_DISABLE_TELEMETRY
    with quiet():
        assert datasets.are_progress_bars_disabled()
        assert utils.are_progress_bars_disabled()
        assert constants.HF_HUB_DISABLE_TELEMETRY
    assert (datasets.are_progress_bars_disabled(), utils.are_progress_bars_disabled()) == before
    assert telemetry == constants.HF_HUB_DISABLE_TELEMETRY


def test_only_what_the_configurations_name_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A multilingual repository may hold a hundred times what is needed."""
    folder = mteb(tmp_path)
    card(
        folder,
        {
            "default": {"test": "qrels/test.jsonl"},
            "corpus": {"corpus": "corpus.jsonl"},
            "queries": {"queries": "queries.jsonl"},
            "other": {"test": "other/*"},
        },
    )
    asked: list[Any] = []

    def answer(repo: str, repo_type: str, revision: str, allow_patterns: Any) -> str:
        asked.append((repo, repo_type, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", answer)
    assert documents_of(hub(None).load()) == DOCUMENTS
    assert [entry[:3] for entry in asked] == [("owner/name", "dataset", COMMIT)] * 2
    assert asked[0][3] == ["README.md"]
    assert {"README.md", "corpus.jsonl", "queries.jsonl", "qrels/test.jsonl"} <= set(asked[1][3])
    assert not [pattern for pattern in asked[1][3] if "other" in pattern]
