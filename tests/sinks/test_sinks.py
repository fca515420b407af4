"""What is written: names that other programs rely on, full precision, rounding in one place, no texts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalkit.findings import Comparison
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
from tests.runs import read_run

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


def with_comparisons(result: EvalResult, changed: Sequence[Comparison]) -> EvalResult:
    """The same result with some comparisons changed."""
    new = {(found.metric, found.top_k): found for found in changed}
    found = tuple(new.get((old.metric, old.top_k), old) for old in result.assessment.comparisons)
    return replace(result, assessment=replace(result.assessment, comparisons=found))


def test_result_json_has_the_promised_names(result: EvalResult) -> None:
    document = as_document(result)
    assert set(document) == {
        "schema_version", "run_id", "status", "dataset", "design", "stage_one", "systems", "metrics", "judged",
        "comparisons", "expectation", "scoring", "attribution", "knee", "slices", "languages", "lengths", "controls",
        "what_ifs", "latency", "sequential", "timings", "provenance",
    }  # fmt: skip
    assert set(document["dataset"]) >= {"name", "digest", "corpus_digest", "n_documents", "n_queries", "languages"}
    assert set(document["design"]) == {"top_ks", "metrics", "slices", "document_slices", "resamples", "seed", "unit"}
    assert document["systems"][1] == {"name": "rerank@1", "stage": "reranked", "top_k": 1}
    assert set(document["comparisons"][0]) == {
        "metric", "baseline", "candidate", "top_k", "baseline_mean", "candidate_mean", "delta_points",
        "relative_percent", "ci_low", "ci_high", "half_width_points", "interval_method", "p_value", "p_adjusted",
        "attainable_p", "detectable_points", "wins", "ties", "losses", "n_queries", "n_units", "oracle",
        "headroom_points", "captured",
    }  # fmt: skip
    assert set(document["expectation"]) == {
        "metric", "top_k", "min_points", "max_points", "decide_on", "delta_points", "ci_low", "ci_high", "status",
        "conclusive", "reason", "advice", "queries_needed",
    }  # fmt: skip
    assert set(document["attribution"][0]) == {
        "metric", "top_k", "kept_points", "promoted_points", "demoted_points", "missed_by_reranker_points",
        "missed_by_stage1_points", "capped_points", "delta_points",
    }  # fmt: skip
    assert set(document["controls"][0]) == {"name", "status", "message"}


def test_result_json_says_what_was_asked(result: EvalResult) -> None:
    document = as_document(result)
    assert document["design"] == {
        "top_ks": [1, 6, 10], "metrics": ["recall@5", "ndcg@10"], "slices": [], "document_slices": [],
        "resamples": 200, "seed": 0, "unit": "query",
    }  # fmt: skip
    asked = {"metric": "recall@5", "top_k": 10, "min_points": 12, "max_points": 18, "decide_on": "estimate"}
    assert document["expectation"].items() >= asked.items()
    families = replace(result, evidence=replace(result.evidence, families={"q-Bern": "rent"}))
    assert as_document(families)["design"]["unit"] == "family"


def test_result_json_keeps_full_precision_and_never_holds_nan(result: EvalResult, tmp_path: Path) -> None:
    FilesSink().write(result, tmp_path)
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["metrics"]["rerank@10"]["ndcg@10"] == result.assessment.metrics["rerank@10"][Metric("ndcg", 10)]
    assert all(math.isfinite(leaf) for leaf in leaves(document) if isinstance(leaf, float))


def test_the_tables_hold_every_number(result: EvalResult, tmp_path: Path) -> None:
    FilesSink().write(result, tmp_path)
    candidates = pd.read_parquet(tmp_path / "candidates.parquet")
    assert list(candidates.columns) == ["query_id", "doc_id", "stage1_rank", "stage1_score", "rerank_score", "tokens"]
    assert len(candidates) == 6 * 10
    first = candidates[candidates["query_id"] == "q-Bern"].iloc[0]
    assert (first["doc_id"], first["rerank_score"]) == (
        result.evidence.candidates["q-Bern"][0].doc_id,
        result.evidence.candidates["q-Bern"][0].rerank_score,
    )
    fates = pd.read_parquet(tmp_path / "attribution.parquet")
    assert list(fates.columns) == [
        "query_id", "top_k", "kept", "promoted", "demoted", "missed_by_reranker", "missed_by_stage1", "capped",
    ]  # fmt: skip
    assert fates.iloc[:, 2:].sum(axis=1).tolist() == [1] * (6 * 3), "each query has one positive, at three top-k"
    values = pd.read_parquet(tmp_path / "per_query.parquet")
    means = values.groupby(["system", "metric"])["value"].mean()
    assert means["dense", "ndcg@10"] == pytest.approx(result.assessment.metrics["dense"][Metric("ndcg", 10)], abs=1e-12)
    qrels = pd.read_parquet(tmp_path / "qrels.parquet")
    assert qrels.to_dict("records")[0] == {"query_id": "q-Bern", "doc_id": "Bern-rent", "grade": 1}
    assert len(qrels) == 6


def test_families_and_attributes_are_kept_with_the_queries(result: EvalResult, tmp_path: Path) -> None:
    """A query without a family has null there: no text could mean the same."""
    evidence = replace(
        result.evidence,
        families={"q-Bern": "rent", "q-Zug": "zügeln"},
        attributes={"q-Bern": {"lang": ("de", "fr")}, "q-Zug": {}},
    )
    FilesSink().write(replace(result, evidence=evidence), tmp_path)
    queries = pd.read_parquet(tmp_path / "queries.parquet").set_index("query_id")
    assert list(queries.index) == [f"q-{city}" for city in CITIES]
    assert queries["family"].dropna().to_dict() == {"q-Bern": "rent", "q-Zug": "zügeln"}
    assert json.loads(queries["attributes"]["q-Bern"]) == {"lang": ["de", "fr"]}
    assert set(queries["attributes"].drop("q-Bern")) == {"{}"}


def test_written_runs_are_the_measured_ones(result: EvalResult, tmp_path: Path) -> None:
    FilesSink().write(result, tmp_path)
    for run in result.assessment.runs:
        assert read_run(tmp_path / "runs" / f"{run.name}.trec") == run


def test_no_text_is_in_any_file(result: EvalResult, tmp_path: Path) -> None:
    for sink in (FilesSink(), MarkdownSink()):
        sink.write(result, tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "beir" not in path.parts]
    assert len(written) >= 8
    for path in written:
        assert b"of the client in" not in path.read_bytes()
        assert b"what is the rent" not in path.read_bytes()


def test_points_interval_and_percent_stand_side_by_side(result: EvalResult) -> None:
    ten = replace(
        result.assessment.comparison(Metric("recall", 5), 10),
        delta_points=100 / 6, relative_percent=50.0, ci_low=-3.04, ci_high=36.86, p_adjusted=0.0625,
    )  # fmt: skip
    changed = with_comparisons(result, [ten])
    titles, row = table.header(changed), table.rows(changed)[3]
    assert titles[:6] == ["system", "recall@5", "points", "95 % interval", "p", "relative"]
    assert row[0] == "rerank@10"
    assert row[2:6] == ["+16.7", "-3.0 to +36.9", "0.062", "+50.0 %"]
    assert titles[6:9] == ["ndcg@10", "points", "relative"]
    assert {len(cells) for cells in table.rows(changed)} == {len(titles)}


def test_the_report_opens_with_the_flag_and_its_reason(result: EvalResult, tmp_path: Path) -> None:
    MarkdownSink().write(result, tmp_path)
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert result.assessment.verdict.status in lines[0]
    assert "points of recall@5 at top-k 10" in lines[0]
    assert lines[2] == result.assessment.verdict.reason


def test_the_terminal_shows_table_verdict_and_folder(
    result: EvalResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TerminalSink().write(result, tmp_path)
    shown = capsys.readouterr().out
    assert all(system.name in shown for system in result.assessment.systems)
    assert result.assessment.verdict.reason in shown
    assert str(tmp_path) in shown


def test_advice_that_names_a_language_breaks_no_line_of_the_terminal(
    result: EvalResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Languages are named as the data do."""
    verdict = replace(result.assessment.verdict, advice=("Reranking loses in d\n\x1b[31me -> fr.",))
    TerminalSink().write(replace(result, assessment=replace(result.assessment, verdict=verdict)), tmp_path)
    assert "  - Reranking loses in d [31me -> fr." in capsys.readouterr().out.splitlines()


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
    assert "rerank@1 cannot change recall@5: its first 5 documents stay the same" in notes
    found = result.assessment
    metrics = {name: {**values, Metric("map"): 0.5} for name, values in found.metrics.items()}
    wider = replace(result, assessment=replace(found, metrics=metrics))
    assert "map: over the 10 retrieved documents" in " ".join(table.notes(wider))


def test_models_are_named_with_short_digests() -> None:
    name = table.model_name({"backend": "onnx", "weights": "w==1/x sha256:" + "a" * 64, "quantised": True})
    assert name == "w==1/x sha256:aaaaaaaaaaaa (onnx, int8)"
    assert table.model_name({"backend": "flag", "weights": "BAAI/bge-m3@" + "b" * 40}) == (
        "BAAI/bge-m3@bbbbbbbbbbbb (flag)"
    )


def test_a_change_that_cannot_be_divided_is_a_dash(result: EvalResult) -> None:
    changed = with_comparisons(
        result, [replace(found, relative_percent=None, captured=None) for found in result.assessment.comparisons]
    )
    row = table.rows(changed)[3]
    assert (row[5], row[table.header(changed).index("captured")]) == ("–", "–")
