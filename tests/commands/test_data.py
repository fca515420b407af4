"""``evalkit data``: what a check prints, how sources are named, and folders that read back as what they were."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main
from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.data import export
from evalkit.types import Dataset
from tests.conftest import BeirWriter, beir

pytestmark = pytest.mark.usefixtures("home")

DOCUMENTS = {"d1": "Der Lohn im Mai.", "d2": "Die Miete in Bern.", "d3": "Der Bus nach Chur."}
QUERIES = {"q1": "Was verdient man?", "q2": "Was kostet es?"}
JUDGMENTS = [("q1", "d1", 2), ("q1", "d3", 0), ("q2", "d2", 1)]

GERMAN = {"lang": "de"}

Lines = pytest.CaptureFixture[str]


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    return write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata=dict.fromkeys((*DOCUMENTS, *QUERIES), GERMAN))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "faq.csv"
    path.write_text("Frage,Antwort,Sprache\nWer zahlt?,Die Kundin.,de\nWho pays?,Die Kundin.,en\nWann?,Im Mai.,de\n")
    return path


TABLE = ["dataset=table", "dataset.columns={question:Frage,answer:Antwort,question_lang:Sprache}"]


def judge(folder: Path, *rows: str) -> None:
    with (folder / "qrels" / "test.tsv").open("a") as stream:
        stream.writelines(f"{row}\n" for row in rows)


def as_json(words: Sequence[str], capsys: Lines) -> dict[str, Any]:
    main(["data", "check", *words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def load(*overrides: str) -> Dataset:
    return build_plan(compose_config(overrides)).source.load()


# --- check ----------------------------------------------------------------------------------------


def test_a_sound_folder_in_full(folder: Path, capsys: Lines) -> None:
    """1.96 x 35 / sqrt(2) = 48.5 and 2.8016 x 35 / sqrt(2) = 69.3; 12 points need 67."""
    assert main(["data", "check", str(folder)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines() == [
        "beir: 3 documents, 2 queries",
        "",
        "judgments    1 of grade 2, 1 of grade 1, 1 of grade 0",
        "queries      2 evaluated; 0 without a judgment, 0 without a positive",
        "positives    2, 1.0 per query (median 1, most 1); 0 not in the corpus",
        "documents    0 of 3 (0.0 %) never judged; 0 empty",
        "repetitions  0 documents, 0 queries; 0 positives have a twin that is not judged",
        "lengths      embedder, 512 tokens: 0 of 3 (0.0 %) documents and 0 of 2 (0.0 %) positives are longer",
        "             reranker, 512 tokens: 0 of 3 (0.0 %) documents and 0 of 2 (0.0 %) positives are longer",
        "languages    documents: de 3",
        "             queries: de 2",
        "families     none named",
        "power        2 questions: a gain is known to about 49 points either way; effects under 69 points will usually "
        "be missed",
        "             (where the gains of single questions have a standard deviation of 35 points, which is usual)",
        "",
        "warning  queries, too few to see a gain of 12 points: 2",
        "         about 67 queries find such a gain four times out of five",
        "",
        "USABLE  0 errors, 1 warnings, 0 notes",
    ]


def test_what_a_run_would_refuse_is_exit_code_2(folder: Path, capsys: Lines) -> None:
    judge(folder, "q1\tx1\t1", "q1\tx2\t1", "q1\tx3\t1", "q1\tx4\t1", "q9\td1\t1")
    assert main(["data", "check", str(folder)]) == 2
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    start = lines.index("error    positives that are not in the corpus: 4 of 6")
    assert lines[start + 1 : start + 8] == [
        "         q1 → x1, q1 → x2, q1 → x3, and 1 more",
        "         mend the ids; with dataset.on_dangling=keep they count as never found",
        "",
        "error    judged queries that are not among the queries: 1",
        "         q9",
        "         mend the ids; with dataset.on_dangling=keep they are left out",
        "",
    ]
    assert lines[-1] == "REFUSED  2 errors, 1 warnings, 0 notes: a run would refuse this data set"
    assert captured.err == ""
    assert main(["data", "check", str(folder), "dataset.on_dangling=keep"]) == 0


def test_json_holds_every_number(folder: Path, capsys: Lines) -> None:
    judge(folder, "q1\tx1\t1")
    assert main(["data", "check", "--json", str(folder)]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["status"], found["name"]) == (1, "refused", "beir")
    assert found["facts"]["sizes"] == {
        "documents": 3, "queries": 2, "selected": 2, "evaluated": 2, "judgments": {"2": 1, "1": 2, "0": 1},
    }  # fmt: skip
    assert found["facts"]["languages"]["cells"] == [{"query_lang": "de", "document_lang": "de", "positives": 2}]
    assert [model["role"] for model in found["facts"]["lengths"]] == ["embedder", "reranker"]
    assert found["power"]["units"] == 2
    assert found["findings"][0] == {
        "level": "error",
        "name": "dangling-positives",
        "what": "positives that are not in the corpus",
        "count": 1,
        "total": 3,
        "advice": "mend the ids; with dataset.on_dangling=keep they count as never found",
        "examples": ["q1 → x1"],
    }


def test_a_folder_is_short_for_two_overrides(folder: Path, capsys: Lines) -> None:
    short = as_json([str(folder), "dataset.limit=1"], capsys)
    assert short == as_json(["dataset=beir", f"dataset.path={folder}", "dataset.limit=1"], capsys)
    assert short["facts"]["sizes"]["evaluated"] == 1


@pytest.mark.parametrize(
    "name",
    ["with space", "a=b", "üñ'{x}", "üñ'${x}", "${oc.env:HOME}", "a$${b}${", "???", "[a,b]", '"ä", (1)'],
)
def test_a_folder_may_have_any_name(folder: Path, name: str, capsys: Lines) -> None:
    moved = folder.rename(folder.with_name(name))
    assert as_json([str(moved)], capsys)["name"] == name


def test_another_source_is_checked_by_its_own_settings(table: Path, capsys: Lines) -> None:
    """Two questions share an answer, so that three questions have three positives in two documents."""
    found = as_json([*TABLE, f"dataset.path={table}"], capsys)
    assert found["facts"]["sizes"]["documents"] == 2
    assert found["facts"]["coverage"]["positives"] == {"1": 3}
    assert found["facts"]["languages"]["queries"] == {"de": 2, "en": 1}
    assert as_json([str(table), *TABLE], capsys) == found


def test_a_fault_of_another_source_has_its_file_and_line(table: Path, capsys: Lines) -> None:
    with table.open("a") as stream:
        stream.write(",,de\n")
    assert main(["data", "check", str(table), *TABLE]) == 2
    captured = capsys.readouterr()
    assert "faq.csv:5: neither a question nor an answer" in captured.out + captured.err


def test_families_and_their_pattern_are_those_of_a_run(write_beir: BeirWriter, capsys: Lines) -> None:
    queries = {f"{lang}-{number}": f"{lang} {number}?" for lang in ("de", "fr") for number in range(4)}
    folder = write_beir(DOCUMENTS, queries, [(key, "d1", 1) for key in queries], folder="two")
    assert main(["data", "check", str(folder), "statistics.family_pattern='^..-(.*)$'"]) == 0
    out = capsys.readouterr().out
    assert "families     4, named by 8 queries; the largest has 2" in out
    assert "power        4 families of 8 questions: " in out


def test_the_table_of_languages(write_beir: BeirWriter, capsys: Lines) -> None:
    metadata = {"q1": {"lang": "de"}, "q2": {"lang": "fr"}, "d1": {"lang": "de"}, "d3": {"lang": "it"}}
    folder = write_beir(DOCUMENTS, QUERIES, [*JUDGMENTS, ("q2", "d1", 1)], metadata=metadata)
    main(["data", "check", str(folder)])
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("languages    documents: de 1, it 1, none declared 1")
    assert [line.split() for line in lines[start + 1 : start + 5]] == [
        ["queries:", "de", "1,", "fr", "1"],
        ["positives", "of", "documents", "in", "de", "documents", "in", "–"],
        ["queries", "in", "de", "1", "0"],
        ["queries", "in", "fr", "1", "1"],
    ]


def test_a_tokenizer_that_cannot_be_had_is_a_note(folder: Path, tmp_path: Path, capsys: Lines) -> None:
    words = [str(folder), "reranker=onnx_folder", f"reranker.weights.path={tmp_path / 'nowhere'}"]
    assert main(["data", "check", *words]) == 0
    out = capsys.readouterr().out
    assert "             reranker: not counted" in out
    assert "note     models whose tokens were not counted: the reranker: 1" in out
    assert f"there is no folder {tmp_path / 'nowhere'}" in out


def test_the_data_set_that_ships_is_checked_where_nothing_is_named(capsys: Lines) -> None:
    assert main(["data", "check"]) == 0
    assert capsys.readouterr().out.startswith("swiss_fiduciary: ")


def test_no_model_is_loaded(folder: Path) -> None:
    code = f"import sys; from evalkit.cli import main; main(['data', 'check', {str(folder)!r}]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "tokenizers" in loaded
    assert loaded & {"onnxruntime", "torch", "transformers", "qdrant_client", "ranx", "mlflow", "pandas"} == set()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "{folder}", "{folder}"], "found two data sets"),
        (["check", "{folder}", "dataset.path=x"], "found both {folder} and dataset.path"),
        (["check", "{folder}", "dataset=trec"], "this data set has no dataset.path"),
        (["check", "{folder}", "dataset.limits=3"], "Did you mean dataset.limit?"),
        (["check", "{folder}/beyond"], "{folder}/beyond: no such folder"),
        (["check", "{folder}", "dataset.name=a/b"], "cannot name a folder"),
        (["convert"], "found no folder to write"),
        (["convert", "a", "b"], "found two folders, a and b"),
        (["convert", "{folder}"], "{folder} is not empty, and nothing in it is replaced"),
        (["convert", "{folder}/corpus.jsonl"], "{folder}/corpus.jsonl is a file"),
        (["convert", "{folder}/corpus.jsonl/x"], "cannot write {folder}/corpus.jsonl/x: "),
    ],
    ids=str,
)
def test_a_mistake_is_one_message_and_exit_code_2(folder: Path, words: list[str], message: str, capsys: Lines) -> None:
    assert main(["data", *(word.format(folder=folder) for word in words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("evalkit: ") == 1
    assert message.format(folder=folder) in captured.err


@pytest.mark.parametrize("words", [["data"], ["data", "chekc"], ["data", "check", "--jsn"]])
def test_an_unknown_action_or_flag_is_exit_code_2(words: list[str], capsys: Lines) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert capsys.readouterr().out == ""


# --- convert --------------------------------------------------------------------------------------

CORPUS: list[dict[str, Any]] = [
    {"_id": "d 1", "title": "Löhne\u0085«2025»", "text": "in\nBern\u2028\ttab", "metadata": {"tags": {"b": [1, 2.5]}}},
    {"_id": "<d2>", "title": "", "text": "", "metadata": {"lang": "de", "half": "\ud800", "none": None}},
    {"_id": "文書", "text": " padded "},
]
ASKED: list[dict[str, Any]] = [
    {"_id": "q:1", "text": "Was\u00a0kostet es?", "metadata": {"family": "f", "ok": True}},
    {"_id": "q 2", "text": "  Wer zahlt? "},
    {"_id": "left out", "text": "Ohne Urteil"},
]
GRADED = ["q:1\td 1\t3", "q:1\t<d2>\t0", "q:1\t文書\t-1", "q 2\t文書\t1"]


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Everything that a BEIR folder can hold and that a careless writer would lose."""
    folder = tmp_path / "messy"
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", CORPUS), ("queries", ASKED)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels" / "test.tsv").write_text("\n".join(GRADED) + "\n", "utf-8")
    return folder


def test_a_folder_reads_back_as_what_it_was(messy: Path, tmp_path: Path, capsys: Lines) -> None:
    before = beir(messy).load()
    out = tmp_path / "new" / "out"
    assert main(["data", "convert", str(out), "dataset=beir", f"dataset.path={messy}"]) == 0
    after = beir(out).load()
    assert (after.documents, after.queries, after.qrels) == (before.documents, before.queries, before.qrels)
    assert (after.digest, after.corpus_digest) == (before.digest, before.corpus_digest)
    assert capsys.readouterr().out.splitlines() == [
        "written   3 documents, 2 queries, 4 judgments",
        "left out  1 queries without a judgment, 0 without a positive",
        f"digest    {before.digest[:12]}",
        f"folder    {out}",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["corpus.jsonl", "qrels", "queries.jsonl"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert "Löhne" in (out / "corpus.jsonl").read_text("utf-8")


def test_a_table_becomes_a_folder_with_languages_and_ids(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [*TABLE, f"dataset.path={table}", "dataset.lang={documents: de}"]
    before = load(*words)
    assert main(["data", "convert", str(out), *words]) == 0
    after = beir(out).load()
    assert (after.documents, after.queries, after.qrels) == (before.documents, before.queries, before.qrels)
    assert after.digest == before.digest
    assert {document.metadata["lang"] for document in after.documents} == {"de"}


def test_only_what_is_selected_is_written(write_beir: BeirWriter, tmp_path: Path, capsys: Lines) -> None:
    """The digest names the selection too, so it is that of the new folder, which has none."""
    metadata = {"q1": {"lang": "de"}, "q2": {"lang": "fr"}, "d1": {"lang": "de"}, "d3": {"lang": "de"}}
    folder = write_beir(DOCUMENTS, QUERIES, JUDGMENTS, metadata=metadata)
    chosen = ["dataset.filters={lang:de}", "dataset.corpus_filter={lang:de}", "dataset.limit=1"]
    words = ["dataset=beir", f"dataset.path={folder}", *chosen]
    out = tmp_path / "out"
    assert main(["data", "convert", str(out), *words]) == 0
    before, after = load(*words), beir(out).load()
    assert [query.id for query in after.queries] == ["q1"]
    assert [document.id for document in after.documents] == ["d1", "d3"]
    assert (after.documents, after.queries, after.qrels) == (before.documents, before.queries, before.qrels)
    assert f"digest    {after.digest[:12]}" in capsys.readouterr().out
    assert load("dataset=beir", f"dataset.path={out}", *chosen).digest == before.digest


def test_positives_that_dangle_are_kept_and_said_to_be(folder: Path, tmp_path: Path, capsys: Lines) -> None:
    judge(folder, "q1\tx1\t1")
    out = tmp_path / "out"
    words = ["dataset=beir", f"dataset.path={folder}", "dataset.on_dangling=keep"]
    assert main(["data", "convert", str(out), *words]) == 0
    assert "note      1 positives are not in the corpus: load with dataset.on_dangling=keep" in capsys.readouterr().out
    assert beir(out, on_dangling="keep").load().digest == load(*words).digest


def test_an_empty_folder_is_filled(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert main(["data", "convert", str(out), "dataset=beir", f"dataset.path={folder}"]) == 0
    assert beir(out).load().digest == beir(folder).load().digest


@pytest.mark.parametrize("sign", ["\t", "\n"])
def test_an_id_that_judgments_cannot_hold_is_refused(folder: Path, tmp_path: Path, sign: str, capsys: Lines) -> None:
    with (folder / "corpus.jsonl").open("a") as stream:
        stream.write(json.dumps({"_id": f"a{sign}b", "text": "x"}) + "\n")
    assert main(["data", "convert", str(tmp_path / "out"), "dataset=beir", f"dataset.path={folder}"]) == 2
    assert f"the id {f'a{sign}b'!r} holds a tab, a line break" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_data_set_with_an_error_is_refused_and_leaves_nothing(folder: Path, tmp_path: Path, capsys: Lines) -> None:
    judge(folder, "q1\tx1\t1")
    assert main(["data", "convert", str(tmp_path / "out"), "dataset=beir", f"dataset.path={folder}"]) == 2
    assert "'x1', relevant to query 'q1', is not in the corpus" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_half_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Lines
) -> None:
    def full(dataset: Dataset) -> Sequence[str]:  # noqa: ARG001 - stands for one that needs it
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_judgments", full)
    out = tmp_path / "new" / "out"
    assert main(["data", "convert", str(out), "dataset=beir", f"dataset.path={folder}"]) == 2
    assert f"cannot write {out}: No space left on device" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []
