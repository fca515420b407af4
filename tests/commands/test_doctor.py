"""``evalkit doctor``: what it prints, when it fails, and published figures that are reproduced or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from evalkit.cli import main
from tests.conftest import write_folder

pytestmark = pytest.mark.usefixtures("home")

Lines = pytest.CaptureFixture[str]

QUIET = [f"sinks.{name}=null" for name in ("markdown", "plots", "html", "mlflow")]

NAMES = {"ndcg_cut_10": "ndcg@10", "recall_5": "recall@5", "recall_50": "recall@50", "recip_rank": "mrr"}
"""pytrec_eval's name -> ours."""


def looked(capsys: Lines, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and the checks by name."""
    code = main(["doctor", "--json", *words])
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert document["status"] == ("fault" if code else "ready")
    return code, {check["name"]: check for check in document["checks"]}


def publish(folder: Path, name: str, node: dict[str, Any], **settings: Any) -> str:
    """Write figures of our own; the override that finds them."""
    file = folder / "experiment" / "published" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    others = [{f"override /{group}": option} for group, option in settings.pop("groups").items()]
    body = OmegaConf.to_yaml(OmegaConf.create({"defaults": others, **settings, "published": node}))
    file.write_text(f"# @package _global_\n{body}", encoding="utf-8")
    return f"hydra.searchpath=[file://{folder}]"


def figures(values: dict[str, float], tolerance: float, n_documents: int, n_queries: int) -> dict[str, Any]:
    return {
        "of": "another system's run",
        "source": "reference_metrics.json beside it",
        "measured": "pytrec_eval",
        "tolerance_why": "published to five digits",
        "n_documents": n_documents,
        "n_queries": n_queries,
        "figures": [
            {"system": "dense", "metric": metric, "value": value, "tolerance": tolerance}
            for metric, value in values.items()
        ],
    }


def test_the_default_run_can_start_and_nothing_is_left_behind(home: Path, capsys: Lines) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "a run can start"
    assert {line.split()[0] for line in lines[:-1]} == {"ok"}
    assert "ok       dataset           swiss_fiduciary: 468 documents, 303 queries" in lines
    assert list(home.iterdir()) == []


def test_everything_that_is_looked_at_has_a_name_that_stays(capsys: Lines) -> None:
    code, checks = looked(capsys)
    assert code == 0
    assert list(checks) == [
        *("python", "packages", "extra embedded", "design", "cores", "memory", "dataset"),
        *("embedder weights", "embedder", "reranker weights", "reranker"),
        *("reports_dir", "cache_dir", "vector store", "mlflow", "secrets"),
    ]


@pytest.mark.parametrize(
    ("overrides", "name", "what"),
    [
        (["sweep.top_k=[10]"], "design", "expectation.top_k"),
        (["dataset=beir", "dataset.path=none"], "dataset", "none"),
        (["reranker=onnx_folder", "reranker.weights.path=none"], "reranker weights", "there is no folder none"),
        (["retrieval=run_file", "retrieval.run.path=none"], "embedder", "retrieval.run.path"),
        (["reports_dir=taken/x"], "reports_dir", "Not a directory"),
        (["cache_dir=taken"], "cache_dir", "Not a directory"),
        (["vector_store=edge", "vector_store.path=taken"], "vector_store.path", "Not a directory"),
        (["cache.path=taken"], "cache", "another program's file"),
        (["vector_store=server", "vector_store.url=http://127.0.0.1:9"], "vector store", "127.0.0.1:9"),
        (["embedder.threads=0"], "configuration", "embedder.threads is 0"),
        (["embeder=x"], "configuration", "embeder"),
    ],
)
def test_what_is_amiss_is_a_fault_beside_all_that_is_not(
    home: Path, capsys: Lines, overrides: list[str], name: str, what: str
) -> None:
    (home / "taken").write_bytes(b"something else" * 100)
    code, checks = looked(capsys, *overrides)
    assert code == 2
    assert {key for key, check in checks.items() if check["status"] == "fault"} == {name}
    assert what in checks[name]["found"]
    assert checks["packages"]["status"] == "ok"


def test_a_secret_is_a_warning_and_is_not_said(capsys: Lines) -> None:
    code, checks = looked(capsys, "+vendor_api_key=sesame")
    assert code == 0
    assert checks["secrets"]["status"] == "warning"
    assert checks["secrets"]["found"] == "what looks like one stands in vendor_api_key"
    assert "sesame" not in str(checks)


def test_a_cache_that_is_there_is_opened(home: Path, capsys: Lines) -> None:
    (home / "taken").touch()
    code, checks = looked(capsys, "cache.path=taken")
    assert code == 0
    assert checks["cache"]["status"] == "ok"


def test_a_fault_is_told_with_what_to_do(home: Path, capsys: Lines) -> None:
    (home / "taken").touch()
    assert main(["doctor", "reports_dir=taken/x"]) == 2
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("fault")]
    assert line.split(maxsplit=2)[2] == "taken/x cannot be written (Not a directory); set reports_dir to another folder"
    assert lines[-1] == "a run cannot start: mend what is marked as fault"


def test_only_overrides_are_taken(capsys: Lines) -> None:
    assert main(["doctor", "bge_m3"]) == 2
    assert "found bge_m3; expected overrides such as experiment=bge_m3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [({}, 0, "reproduces the published figures"), ({"recall@5": 0.01}, 5, "does NOT reproduce the published figures")],
)
def test_a_third_partys_numbers_are_reproduced_and_altered_ones_are_not(
    home: Path, shared_data: Path, capsys: Lines, changes: dict[str, float], code: int, said: str
) -> None:
    folder = shared_data / "scifact-en"
    reference = json.loads((folder / "reference_metrics.json").read_text(encoding="utf-8"))["metrics"]["bm25"]
    values = {ours: reference[theirs] + changes.get(ours, 0.0) for theirs, ours in NAMES.items()}
    run = str(folder / "runs" / "bm25.trec")
    found = publish(
        home / "mine",
        "bm25",
        figures(values, 5e-6, 5183, reference["queries_averaged"]),
        groups={"dataset": "beir", "retrieval": "run_file", "reranker": "score_file"},
        dataset={"path": str(folder)},
        retrieval={"run": {"path": run}},
        reranker={"path": run},
        sweep={"top_k": [50]},
        metrics={"names": list(values)},
        statistics={"resamples": 100},
    )
    assert main(["doctor", "--published", "bm25", found, *QUIET]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith(said)
    rows = {line.split()[1]: line.split()[-1] for line in lines if line.startswith("dense ") and "@" in line.split()[1]}
    assert {metric for metric, within in rows.items() if within == "NO"} == set(changes)
    # An ordinary result, which can be verified as any other.
    (result,) = home.glob("reports/*/*/result.json")
    assert main(["verify", str(result.parent)]) == 0


@pytest.fixture
def toy(home: Path) -> str:
    """One query whose only relevant document is found first: every metric is 1; the figures say 0.5 of one."""
    folder = write_folder(
        home / "toy", {f"d{number}": f"text {number}" for number in range(8)}, {"q": "which?"}, [("q", "d3", 1)]
    )
    rows = "".join(f"q Q0 d{number} 0 {10 - abs(3 - number)} x\n" for number in range(8))
    (home / "run.trec").write_text(rows)
    return publish(
        home / "mine",
        "toy",
        figures({"recall@5": 1.0, "ndcg@10": 0.5}, 0.01, 8, 1),
        groups={"dataset": "beir", "retrieval": "run_file", "reranker": "score_file"},
        dataset={"path": str(folder)},
        retrieval={"run": {"path": "run.trec"}},
        reranker={"path": "run.trec"},
        sweep={"top_k": [8]},
        expectation={"top_k": 8},
        metrics={"names": ["recall@5", "ndcg@10"]},
        statistics={"resamples": 100},
    )


def test_published_figures_as_json_are_json_alone(toy: str, capsys: Lines) -> None:
    assert main(["doctor", "--json", "--published", "toy", toy, *QUIET]) == 5
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "not reproduced"
    assert [(row["metric"], row["published"], row["found"], row["reproduced"]) for row in document["figures"]] == [
        ("recall@5", 1.0, 1.0, True),
        ("ndcg@10", 0.5, 1.0, False),
    ]
    assert Path(document["result"], "result.json").is_file()


def test_a_metric_that_the_run_leaves_out_is_refused_before_it(toy: str, home: Path, capsys: Lines) -> None:
    assert main(["doctor", "--published", "toy", toy, "metrics.names=[recall@5]", *QUIET]) == 2
    assert "ndcg@10 of dense was published, and this run would not measure it" in capsys.readouterr().err
    assert not (home / "reports").exists()


def test_part_of_the_data_set_is_not_held_against_figures_of_all_of_it(toy: str, home: Path, capsys: Lines) -> None:
    with (home / "toy" / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "d8", "text": "more"}\n')
    assert main(["doctor", "--published", "toy", toy, *QUIET]) == 2
    assert "has 9 documents and 1 evaluated queries; the published figures are of 8 and 1" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["sinks.mlflow=null"], ["bge_m3"]])
def test_without_the_hub_one_line_says_what_to_bring(
    home: Path, capsys: Lines, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Without a name it is the production pair; what follows the flag may be an override."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "cache"))
    assert main(["doctor", "--published", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for repo in ("mteb/scifact --repo-type dataset", "BAAI/bge-m3", "BAAI/bge-reranker-v2-m3"):
        assert f"hf download {repo} --revision " in line


def test_figures_that_do_not_exist_are_answered_with_those_that_do(capsys: Lines) -> None:
    assert main(["doctor", "--published", "nothere"]) == 2
    said = capsys.readouterr().err
    assert "there are no published figures 'nothere'; there are: bge_m3, bge_reranker_v2_m3, bge_small_en_v15" in said


def test_an_experiment_without_figures_has_nothing_to_reproduce(home: Path, capsys: Lines) -> None:
    found = publish(home / "mine", "none", {}, groups={})
    assert main(["doctor", "--published", "none", found]) == 2
    assert "published has the keys" in capsys.readouterr().err
