"""``evalkit doctor --published``: figures that are reproduced or not."""

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
