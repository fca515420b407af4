"""What is written: names that other programs rely on, full precision, rounding in one place, no texts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalkit.data.trec import read_run
from evalkit.pipeline import evaluate
from evalkit.result import EvalResult
from evalkit.sinks import table
from evalkit.sinks.document import as_document
from evalkit.sinks.files import FilesSink
from evalkit.sinks.markdown import MarkdownSink
from evalkit.sinks.terminal import TerminalSink
from evalkit.testing import FunctionReranker
from evalkit.types import Metric
from tests.conftest import BeirWriter, beir, plan_of

CITIES = ["Bern", "Basel", "Chur", "Thun", "Zug", "Lugano"]


@pytest.fixture
def result(write_beir: BeirWriter) -> EvalResult:
    documents = {f"{c}-{t}": f"the {t} of the client in {c}" for c in CITIES for t in ("rent", "wages", "tax")}
    queries = {f"q-{c}": f"what is the rent in {c}" for c in CITIES}
    folder = write_beir(documents, queries, [(f"q-{c}", f"{c}-rent", 1) for c in CITIES])
    return evaluate(plan_of(beir(folder)))


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for entry in value.values() for leaf in leaves(entry)]
    if isinstance(value, list):
        return [leaf for entry in value for leaf in leaves(entry)]
    return [value]


def test_result_json_has_the_promised_names(result: EvalResult) -> None:
    document = as_document(result)
    assert set(document) >= {
        "schema_version", "status", "dataset", "systems", "metrics", "comparisons", "expectation",
        "attribution", "slices", "controls", "latency", "timings", "provenance",
    }  # fmt: skip
    assert set(document["dataset"]) >= {"name", "digest", "n_documents", "n_queries", "languages"}
    assert document["systems"][1] == {"name": "rerank@1", "stage": "reranked", "top_k": 1}
    assert set(document["comparisons"][0]) == {
        "metric", "baseline", "candidate", "top_k", "baseline_mean", "candidate_mean", "delta_points",
        "relative_percent", "ci_low", "ci_high", "p_value", "p_adjusted", "wins", "ties", "losses", "n_queries",
        "oracle", "headroom_points", "captured",
    }  # fmt: skip
    assert set(document["expectation"]) == {
        "metric", "top_k", "min_points", "max_points", "delta_points", "ci_low", "ci_high", "status", "conclusive",
        "reason", "advice",
    }  # fmt: skip


def test_result_json_keeps_full_precision_and_never_holds_nan(result: EvalResult, tmp_path: Path) -> None:
    FilesSink().write(result, tmp_path)
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["metrics"]["rerank@10"]["ndcg@10"] == result.metrics["rerank@10"][Metric("ndcg", 10)]
    assert all(math.isfinite(leaf) for leaf in leaves(document) if isinstance(leaf, float))


def test_the_tables_hold_every_number(result: EvalResult, tmp_path: Path) -> None:
    FilesSink().write(result, tmp_path)
    candidates = pd.read_parquet(tmp_path / "candidates.parquet")
    assert list(candidates.columns) == ["query_id", "doc_id", "stage1_rank", "stage1_score", "rerank_score"]
    assert len(candidates) == 6 * 10
    first = candidates[candidates["query_id"] == "q-Bern"].iloc[0]
    assert (first["doc_id"], first["rerank_score"]) == (
        result.candidates["q-Bern"][0].doc_id,
        result.candidates["q-Bern"][0].rerank_score,
    )
    values = pd.read_parquet(tmp_path / "per_query.parquet")
    means = values.groupby(["system", "metric"])["value"].mean()
    assert means["dense", "ndcg@10"] == pytest.approx(result.metrics["dense"][Metric("ndcg", 10)], abs=1e-12)
    qrels = pd.read_parquet(tmp_path / "qrels.parquet")
    assert qrels.to_dict("records")[0] == {"query_id": "q-Bern", "doc_id": "Bern-rent", "grade": 1}
    assert len(qrels) == 6


def test_written_runs_are_the_measured_ones(result: EvalResult, tmp_path: Path) -> None:
    FilesSink().write(result, tmp_path)
    for run in result.runs:
        assert read_run(tmp_path / "runs" / f"{run.name}.trec") == run


def test_no_text_is_in_any_file(result: EvalResult, tmp_path: Path) -> None:
    for sink in (FilesSink(), MarkdownSink()):
        sink.write(result, tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "beir" not in path.parts]
    assert len(written) >= 8
    for path in written:
        assert b"of the client in" not in path.read_bytes()
        assert b"what is the rent" not in path.read_bytes()


def test_points_and_percent_stand_side_by_side(result: EvalResult) -> None:
    row = dict(zip(table.header(result), table.rows(result)[3], strict=True))
    found = result.comparison(Metric("recall", 5), 10)
    assert row["system"] == "rerank@10"
    titles = table.header(result)
    assert titles[1:4] == ["recall@5", "points", "relative"]
    assert table.rows(result)[3][2] == f"{found.delta_points:+.1f}"
    assert table.rows(result)[3][3] == table.percent(found.relative_percent)


def test_the_report_opens_with_the_flag_and_its_reason(result: EvalResult, tmp_path: Path) -> None:
    MarkdownSink().write(result, tmp_path)
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert result.verdict.status in lines[0]
    assert "points of recall@5 at top-k 10" in lines[0]
    assert lines[2] == result.verdict.reason


def test_the_terminal_shows_table_verdict_and_folder(
    result: EvalResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TerminalSink().write(result, tmp_path)
    shown = capsys.readouterr().out
    assert all(system.name in shown for system in result.systems)
    assert result.verdict.reason in shown
    assert str(tmp_path) in shown


def test_columns_are_aligned() -> None:
    assert table.aligned(["system", "n"], [["dense", "1.0"], ["rerank@50", "10.0"]]) == [
        "system        n",
        "dense       1.0",
        "rerank@50  10.0",
    ]


def test_what_lowers_trust_is_said(write_beir: BeirWriter) -> None:
    documents = {f"d{number}": f"word{number} text" for number in range(12)}
    folder = write_beir(
        documents, {"q": "word3", "u": "word4", "z": "word5"}, [("q", "d3", 1), ("q", "gone", 1), ("z", "d1", 0)]
    )
    result = evaluate(plan_of(beir(folder, on_dangling="keep"), reranker=FunctionReranker(max_length=2)))
    notes = " ".join(table.notes(result))
    assert "1 relevant documents are not in the corpus" in notes
    assert "1 selected queries are unjudged" in notes
    assert "1 selected queries lack a relevant document" in notes
    assert "10 of 10 pairs (100.0 %) are longer than the reranker's 2 tokens" in notes
    assert "candidates tie" in notes


def test_numbers_that_say_less_than_they_seem_to_are_explained(result: EvalResult) -> None:
    notes = " ".join(table.notes(result))
    assert "rerank@1 cannot change recall@5: its top 5 keeps the same documents" in notes
    metrics = {name: {**values, Metric("map"): 0.5} for name, values in result.metrics.items()}
    assert "map: over the 10 retrieved documents" in " ".join(table.notes(replace(result, metrics=metrics)))


def test_models_are_named_with_short_digests() -> None:
    name = table.model_name({"backend": "onnx", "weights": "w==1/x sha256:" + "a" * 64, "quantised": True})
    assert name == "w==1/x sha256:aaaaaaaaaaaa (onnx, int8)"
    assert table.model_name({"backend": "flag", "weights": "BAAI/bge-m3@" + "b" * 40}) == (
        "BAAI/bge-m3@bbbbbbbbbbbb (flag)"
    )


def test_a_change_that_cannot_be_divided_is_a_dash(result: EvalResult) -> None:
    changed = replace(
        result, comparisons=tuple(replace(found, relative_percent=None, captured=None) for found in result.comparisons)
    )
    assert table.rows(changed)[3][3] == "–"
