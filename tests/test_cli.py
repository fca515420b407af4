"""The program as its users start it: real models, real processes, exit codes, messages, crashes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import BeirWriter
from tests.schema import check_file

PLANTED = "the client Quorlan hides a numbered account"
"""A sentence that must never leave the data files."""

TOWNS = "Bern Basel Chur Thun Zug Lugano Locarno Sion Genf Uster Aarau Olten Davos Brig Visp Baar".split()  # noqa: SIM905 - easier to read
TOPICS = ["rent", "wages", "income tax", "VAT return"]


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    """64 notes and 24 questions; the planted sentence stands in a note and in a question."""
    documents = {
        f"{town}-{topic}": f"The file on the {topic} of the bakery in {town}. {PLANTED} in {town}."
        for town in TOWNS
        for topic in TOPICS
    }
    queries = {
        f"q-{town}-{topic}": f"What do we know about the {topic} in {town}, given that {PLANTED}?"
        for town in TOWNS[:6]
        for topic in TOPICS
    }
    return write_beir(documents, queries, [(query, query.removeprefix("q-"), 1) for query in queries])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty working directory."""
    path = tmp_path / "home"
    path.mkdir()
    return path


def command(*overrides: str) -> list[str]:
    return [sys.executable, "-m", "evalkit", "run", *overrides]


def environment(**changes: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "EVALKIT"))}
    return {**inherited, **changes}


def run(home: Path, *overrides: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*overrides), cwd=home, env=environment(**variables), capture_output=True, text=True, check=False
    )


def data(folder: Path, *others: str) -> list[str]:
    sweep = ["sweep.top_k=[10,20,30]", "expectation.top_k=30", "latency.queries=3"]
    return ["dataset=beir", f"dataset.path={folder}", *sweep, *others]


def results(home: Path) -> list[Path]:
    """What other processes wrote is held against the schema here."""
    found = sorted(home.glob("reports/beir/*/result.json"))
    for file in found:
        check_file(file)
    return found


def without_times(file: Path) -> Any:
    """result.json without what a clock or a crash may change."""
    document = json.loads(file.read_text())
    del document["timings"], document["latency"], document["run_id"], document["provenance"]["created"]
    return document


def test_a_run_ends_with_a_verdict_and_a_complete_folder(home: Path, folder: Path) -> None:
    done = run(home, *data(folder))
    assert done.returncode == 0, done.stderr
    assert "rerank@30" in done.stdout
    assert any(line.startswith(("BELOW: ", "MET: ", "ABOVE: ")) for line in done.stdout.splitlines())
    (file,) = results(home)
    assert {path.name for path in file.parent.iterdir()} == {
        "result.json", "candidates.parquet", "per_query.parquet", "attribution.parquet", "qrels.parquet",
        "queries.parquet", "documents.parquet", "report.md", "report.html", "texts.json", "plots", "runs",
        "manifest.json",
    }  # fmt: skip
    assert {path.name for path in home.iterdir()} == {"reports", ".evalkit"}
    document = json.loads(file.read_text())
    assert document["timings"]["computed"] == {"documents": 64, "queries": 24, "pairs": 24 * 30}
    candidates = pd.read_parquet(file.parent / "candidates.parquet")
    assert len(candidates) == 24 * 30
    assert candidates["rerank_score"].notna().all()

    again = run(home, *data(folder))
    assert again.returncode == 0, again.stderr
    assert "computed 0 document vectors, 0 query vectors and 0 of 720 pair scores" in again.stdout
    cold, warm = (without_times(file) for file in results(home))
    # Where no pair is scored, no model is loaded that could score one again.
    replays = [
        next(control for control in document["controls"] if control["name"] == "replay") for document in (cold, warm)
    ]
    assert [control["status"] for control in replays] == ["passed", "skipped"]
    replays[1].update(replays[0])
    assert cold == warm
    measured, shown = (json.loads(file.read_text())["latency"] for file in results(home))
    assert (measured["n_queries"], measured["stored"]) == (3, False)
    assert shown == {**measured, "stored": True}


def test_judgments_of_another_chunking_make_the_result_invalid_and_exit_code_5(home: Path, folder: Path) -> None:
    """Each names a note on another town and another topic, which no retrieval would return first."""
    rows = [
        f"q-{town}-{topic}\t{TOWNS[place + 8]}-{TOPICS[(number + 2) % 4]}\t1"
        for place, town in enumerate(TOWNS[:6])
        for number, topic in enumerate(TOPICS)
    ]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    done = run(home, *data(folder, "sweep.top_k=[6]", "expectation.top_k=6", "sinks.mlflow=null"))
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1].startswith("evalkit: the result in ")
    assert "Traceback" not in done.stderr
    (file,) = results(home)
    document = json.loads(file.read_text())
    assert (document["status"], document["expectation"]["status"]) == ("invalid", "invalid")
    assert [control["name"] for control in document["controls"] if control["status"] == "failed"] == ["labels"]
    assert any(line.startswith("INVALID: ") for line in done.stdout.splitlines())


def planted_in(paths: Iterator[Path]) -> list[Path]:
    needles = [PLANTED.encode(), PLANTED.split()[2].encode()]
    return [path for path in paths if path.is_file() and any(needle in path.read_bytes() for needle in needles)]


def test_no_text_reaches_output_result_cache_or_mlflow(home: Path, folder: Path) -> None:
    done = run(home, *data(folder, "dataset.limit=4"))
    assert done.returncode == 0, done.stderr
    assert "Quorlan" not in done.stdout + done.stderr
    sent = [path for path in home.rglob("*") if path.is_file()]
    assert {"mlflow.db", "cache.sqlite", "report.md"} <= {path.name for path in sent}
    assert any("mlartifacts" in path.parts for path in sent)
    assert planted_in(iter(sent)) == []
    assert planted_in(folder.rglob("*")) != []


def test_secrets_stay_in_the_environment(home: Path, folder: Path) -> None:
    """A key on the command line, one in a URL, and one in the environment of a server that is not there."""
    done = run(
        home,
        "-m",
        *data(folder, "dataset.limit=2,4", "++extra.api_key=topsecret"),
        "sinks.mlflow.tracking_uri='http://me:topsecret@127.0.0.1:9/?token=topsecret'",
    )
    assert "result is complete in" in done.stderr
    assert len(results(home)) == 2
    assert "topsecret" not in done.stdout + done.stderr
    server = ["vector_store=server", "vector_store.url=http://127.0.0.1:9"]
    away = run(home, *data(folder, *server), QDRANT_API_KEY="topsecret")
    assert away.returncode == 2
    assert "topsecret" not in away.stdout + away.stderr
    assert "topsecret" not in done.stdout + done.stderr
    assert [path for path in home.rglob("*") if path.is_file() and b"topsecret" in path.read_bytes()] == []


def pairs_remembered(cache: Path) -> int:
    if not cache.exists():
        return 0
    with closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM entry WHERE type = 'f8'").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def kill_while_scoring(home: Path, overrides: list[str]) -> int:
    """Start a run, kill it hard once some scores are remembered, and return how many are."""
    cache = home / ".evalkit" / "cache.sqlite"
    process = subprocess.Popen(
        command(*overrides), cwd=home, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while pairs_remembered(cache) == 0 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return pairs_remembered(cache)


def test_after_kill_9_the_result_is_that_of_an_undisturbed_run(tmp_path: Path, folder: Path) -> None:
    disturbed, calm = tmp_path / "disturbed", tmp_path / "calm"
    overrides = data(folder, "executor.chunk_size=16", "sinks.mlflow=null")
    for place in (disturbed, calm):
        place.mkdir()
    remembered = kill_while_scoring(disturbed, overrides)
    assert 0 < remembered < 720
    assert not list(disturbed.glob("reports/beir/*")), "a killed run leaves no half result"
    assert run(disturbed, *overrides).returncode == run(calm, *overrides).returncode == 0
    (resumed,), (undisturbed,) = results(disturbed), results(calm)
    assert json.loads(resumed.read_text())["timings"]["computed"]["pairs"] == 720 - remembered
    assert without_times(resumed) == without_times(undisturbed)


MISTAKES: Mapping[str, tuple[list[str], str]] = {
    "misspelt override": (["sweep.topk=[10]"], "no key 'sweep.topk'. Did you mean sweep.top_k?"),
    "missing folder": (["dataset=beir", "dataset.path=nowhere"], "nowhere: no such folder"),
    "no folder named": (["dataset=beir"], "dataset.path has no value"),
    "decision top-k 3": (["expectation.top_k=3", "sweep.top_k=[3,10]"], "choose a top_k above 5"),
    "unreachable server": (
        ["vector_store=server", "vector_store.url=http://127.0.0.1:9", "vector_store.timeout_s=2"],
        "http://127.0.0.1:9",
    ),
    "unknown option": (["embedder=nothing"], "Could not find 'embedder/nothing'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_and_exit_code_2(home: Path, name: str) -> None:
    overrides, what = MISTAKES[name]
    done = run(home, *overrides)
    assert done.returncode == 2
    assert what in done.stderr
    assert done.stderr.startswith("evalkit: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_judgments_that_point_nowhere_are_exit_code_2(home: Path, folder: Path) -> None:
    with (folder / "qrels" / "test.tsv").open("a") as table:
        table.write("q-Bern-rent\tnowhere\t1\n")
    done = run(home, *data(folder))
    assert done.returncode == 2
    assert "test.tsv:26: document 'nowhere', relevant to query 'q-Bern-rent', is not in the corpus" in done.stderr


def test_an_unreachable_tracking_server_loses_no_result(home: Path, folder: Path) -> None:
    done = run(home, *data(folder, "dataset.limit=4"), MLFLOW_TRACKING_URI="http://user:pass@127.0.0.1:9")
    assert done.returncode == 2
    assert "The result is complete in" in done.stderr
    assert "pass" not in done.stderr
    assert len(results(home)) == 1


def test_a_bug_keeps_its_traceback_and_exit_code_1(home: Path) -> None:
    code = (
        "import sys, evalkit.cli, evalkit.composition\n"
        "def broken(*_): raise ZeroDivisionError('bug')\n"
        "evalkit.composition.with_hydra = broken\n"
        "sys.exit(evalkit.cli.main(['run']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_a_stopped_run_says_that_nothing_scored_is_lost(home: Path) -> None:
    code = (
        "import sys, evalkit.cli, evalkit.composition\n"
        "def stopped(*_): raise KeyboardInterrupt\n"
        "evalkit.composition.with_hydra = stopped\n"
        "sys.exit(evalkit.cli.main(['run']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "evalkit: stopped; what was computed is remembered, start again to go on\n"


def test_a_terminal_that_knows_ascii_only_costs_no_result(home: Path, folder: Path) -> None:
    done = run(home, *data(folder, "dataset.limit=2", "sinks.mlflow=null"), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "rerank@30" in done.stdout


def test_without_a_command_the_help_is_shown(home: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "evalkit"], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "evaluate dense against reranked retrieval" in " ".join(done.stdout.split())


def test_multirun_compares_models_side_by_side(home: Path, folder: Path) -> None:
    done = run(home, "-m", *data(folder, "sinks.mlflow=null", "dataset.limit=2", "reranker.max_length=64,128"))
    assert done.returncode == 0, done.stderr
    assert len(results(home)) == 2


def test_a_mistake_in_multirun_is_exit_code_2(home: Path, folder: Path) -> None:
    done = run(home, "-m", *data(folder, "sinks.mlflow=null", "dataset.limit=0,2"))
    assert done.returncode == 2
    assert "dataset.limit is 0; expected a whole number" in done.stderr
    assert "Traceback" not in done.stderr
