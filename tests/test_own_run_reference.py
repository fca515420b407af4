"""A system's run through the command line, against numbers of a third party: pytrec_eval's and trec_eval's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main
from tests.conftest import SHARED, write_folder

NAMES = {
    "ndcg_cut_10": "ndcg@10", "recall_5": "recall@5", "recall_10": "recall@10", "recall_50": "recall@50",
    "recip_rank": "mrr", "map": "map",
}  # fmt: skip
"""pytrec_eval's name -> ours."""

QUIET = [f"sinks.{name}=null" for name in ("markdown", "plots", "html", "terminal", "mlflow")]
DATA_SETS = sorted(path.parent.parent.name for path in SHARED.glob("*/runs/bm25.trec"))


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``evalkit run experiment=own_run`` on one file for both stages: result.json, after ``evalkit verify``."""
    monkeypatch.chdir(tmp_path)
    # What Hydra leaves behind in this process goes with the test.
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("EVALKIT_SWEEP_DIR", str(tmp_path))

    def run(data: Path, file: Path, metrics: list[str], *overrides: str) -> Any:
        files = [f"dataset.path={data}", f"retrieval.run.path={file}", f"reranker.path={file}"]
        asked = [f"metrics.names=[{','.join(metrics)}]", "sweep.top_k=[50]", "statistics.resamples=100"]
        assert main(["run", "experiment=own_run", *files, *asked, *QUIET, "reports_dir=out", *overrides]) == 0
        (result,) = Path("out").glob("*/*/result.json")
        assert main(["verify", str(result.parent)]) == 0
        return json.loads(result.read_text(encoding="utf-8"))

    return run


@pytest.mark.parametrize("name", DATA_SETS or ["absent"])
def test_a_bm25_run_has_the_published_numbers(shared_data: Path, judged: Any, name: str) -> None:
    """To five digits; as its own reranker it changes nothing."""
    folder = shared_data / name
    published = json.loads((folder / "reference_metrics.json").read_text(encoding="utf-8"))["metrics"]["bm25"]
    found = judged(folder, folder / "runs" / "bm25.trec", list(NAMES.values()))
    assert found["dataset"]["n_queries"] == published["queries_averaged"]
    rows = [line.split("\t") for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    run = (folder / "runs" / "bm25.trec").read_text(encoding="utf-8")
    lacking = {query for query, _, grade in rows if int(grade) >= 1} - {line.split()[0] for line in run.splitlines()}
    assert set(found["dataset"]["unanswered"]) == lacking
    for system in ("dense", "rerank@50"):
        means = {theirs: round(found["metrics"][system][ours], 5) for theirs, ours in NAMES.items()}
        assert means == {theirs: published[theirs] for theirs in NAMES}


PRINTED = {
    "map": "map", "recip_rank": "mrr", "Rprec": "r-precision", "P_5": "precision@5", "P_10": "precision@10",
    "P_500": "precision@500", "recall_5": "recall@5", "recall_100": "recall@100", "recall_500": "recall@500",
}  # fmt: skip
"""What trec_eval prints of the metrics that evalkit has; its second file lacks recall."""


@pytest.mark.parametrize(
    ("run", "printed", "unanswered"), [("results.test", "out.test.aq", 0), ("results.trunc", "out.test.aqc", 1)]
)
def test_trec_evals_own_runs_have_the_printed_numbers(
    shared_data: Path, judged: Any, tmp_path: Path, run: str, printed: str, unanswered: int
) -> None:
    """Four digits, over all queries; those that the second run lacks count as 0 (``trec_eval -c``)."""
    fixtures = shared_data / "trec_eval-fixtures"
    rows = [line.split() for line in (fixtures / "qrels.test").read_text(encoding="utf-8").splitlines()]
    judgments = [(query, document, int(grade)) for query, _, document, grade in rows]
    lines = [line.split() for line in (fixtures / "results.test").read_text(encoding="utf-8").splitlines()]
    documents = {document for _, document, _ in judgments} | {line[2] for line in lines}
    texts = dict.fromkeys(sorted(documents), "text")
    data = write_folder(tmp_path / "data", texts, {query: "text" for query, _, _ in judgments}, judgments)
    expected: dict[str, float] = {}
    for line in (fixtures / printed).read_text(encoding="utf-8").splitlines():
        name, query, value = line.split()
        if query == "all" and name in PRINTED:
            expected[PRINTED[name]] = float(value)
    found = judged(data, fixtures / run, list(PRINTED.values()), "expectation.metric=map")
    assert len(found["dataset"]["unanswered"]) == unanswered
    assert len(expected) >= 6
    means = {metric: found["metrics"]["dense"][metric] for metric in expected}
    assert means == pytest.approx(expected, abs=5.01e-5)
