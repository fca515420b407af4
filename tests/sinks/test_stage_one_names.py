"""A reader is told how stage 1 retrieved, and never reads "dense" where it was not; programs keep the name."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text

from evalkit import manifest
from evalkit.analysis.between import contrast
from evalkit.analysis.gate import hold
from evalkit.analysis.regression import Baseline, regression
from evalkit.data.runs import RunFile
from evalkit.folder import read_result
from evalkit.models.bm25 import Bm25
from evalkit.pipeline import evaluate
from evalkit.record import Fusion, LatencyBudget
from evalkit.result import EvalResult
from evalkit.rules import Rules
from evalkit.sinks import plots, side_by_side, table
from evalkit.sinks.document import as_document
from evalkit.sinks.files import FilesSink
from evalkit.sinks.html import page
from evalkit.sinks.html_pair import pair_page
from evalkit.sinks.junit import write_junit
from evalkit.sinks.markdown import MarkdownSink
from evalkit.sinks.terminal import TerminalSink
from evalkit.sinks.tracking import sheets
from evalkit.testing import DictCache, FunctionReranker
from evalkit.verify import verify
from tests.conftest import beir, plan_of, write_folder

CITIES = ("Bern", "Basel", "Chur", "Thun", "Zug", "Lugano", "Baden", "Aarau")

CHOICES: dict[str, dict[str, Any]] = {
    "bm25": {"embedder": None, "sparse": Bm25(1.2, 0.75, None)},
    "hybrid": {"sparse": Bm25(1.2, 0.75, None), "fusion": Fusion(60, 20)},
    "own run": {},
    "dense": {},
}
"""Label -> what of the plan retrieves so."""


def partly_wrong(query: str, document: str) -> float:
    """Right, but for one city, whose answer comes last: a query to show."""
    city = query.rsplit(maxsplit=1)[-1]
    return (2.0 * (city in document) + ("rent" in document)) * (-1 if city == "Bern" else 1)


METHODS = {"hybrid": "hybrid of dense and bm25 (RRF, k=60)"}
OTHERS = ["bm25", "hybrid", "own run"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EvalResult]:
    """One data set in two languages, retrieved in every way, with all that a report can show."""
    place = tmp_path_factory.mktemp("data")
    documents = {f"{c}-{t}": f"the {t} of the client in {c}" for c in CITIES for t in ("rent", "wages")}
    queries = {f"q-{c}": f"what is the rent in {c}" for c in CITIES}
    langs = {key: {"lang": "de" if "B" in key else "fr"} for key in (*documents, *queries)}
    folder = write_folder(place / "beir", documents, queries, [(f"q-{c}", f"{c}-rent", 1) for c in CITIES], langs)
    lines = [f"q-{c} Q0 {doc_id} 1 {n} run" for c in CITIES for n, doc_id in enumerate(documents)]
    (place / "run.trec").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = {"own run": {"embedder": RunFile(str(place / "run.trec"))}}
    config = {"retrieval": {"exclude_self": False, "fusion": None}}
    found = {}
    for label, parts in CHOICES.items():
        fusion = {"k": 60, "depth": 20} if label == "hybrid" else None
        asked = {
            "reranker": FunctionReranker(partly_wrong, "partly wrong"),
            "slices": ("lang",),
            "document_slices": ("lang",),
            "latency": LatencyBudget(3),
            "cache": DictCache(),
        }
        told = {**config, "retrieval": {**config["retrieval"], "fusion": fusion}}
        found[label] = evaluate(plan_of(beir(folder), **{**parts, **run.get(label, {}), **asked, "config": told}))
    return found


def shown(result: EvalResult, folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """Everything that a reader may see of a result."""
    TerminalSink().write(result, folder)
    yield capsys.readouterr().out
    MarkdownSink().write(result, folder)
    yield (folder / "report.md").read_text(encoding="utf-8")
    yield html.unescape(re.sub(r"<[^>]*>", " ", page(result, include_texts=True)))
    yield from (plots.alternative_text(result, name) for name in plots.figures(result))
    for figure in plots.figures(result).values():
        yield from (text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))
    for sheet in (sheets.evaluation(result), *sheets.systems(result)):
        yield from (sheet.name, *sheet.tags.values(), *sheet.params.values())


@pytest.mark.parametrize("label", OTHERS)
def test_no_reader_meets_dense_where_stage_1_was_not(
    results: dict[str, EvalResult], label: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method, found = METHODS.get(label, label), list(shown(results[label], tmp_path, capsys))
    assert [text for text in found if re.search(r"\bdense\b", text.replace(method, ""), re.IGNORECASE)] == []
    for text in found[:3]:
        assert label in text
    assert f"{label} rank" in found[2]
    assert len(found) > 20


def test_where_stage_1_is_dense_it_is_called_so(
    results: dict[str, EvalResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in list(shown(results["dense"], tmp_path, capsys))[:3]:
        assert "dense" in text
        assert "hybrid" not in text


def test_the_table_and_its_heading_name_the_method(results: dict[str, EvalResult]) -> None:
    assert {label: table.rows(result)[0][0] for label, result in results.items()} == {name: name for name in CHOICES}
    assert table.model_lines(results["hybrid"]) == [
        "stage 1: hybrid of dense and bm25 (RRF, k=60)",
        "embedder: words (testing)",
        "sparse: bm25 k1=1.2 b=0.75 (evalkit)",
        "reranker: partly wrong (testing)",
    ]
    assert table.model_lines(results["bm25"]) == [
        "sparse: bm25 k1=1.2 b=0.75 (evalkit)",
        "reranker: partly wrong (testing)",
    ]


def test_words_that_were_cut_to_stems_are_told_wherever_the_model_is_named(results: dict[str, EvalResult]) -> None:
    stemmed = {**results["bm25"].provenance.fingerprints, "sparse": Bm25(1.2, 0.75, "english").fingerprint}
    result = replace(results["bm25"], provenance=replace(results["bm25"].provenance, fingerprints=stemmed))
    assert table.model_lines(result)[0] == "sparse: bm25 k1=1.2 b=0.75 stemmer=english (evalkit)"
    assert "bm25 k1=1.2 b=0.75 stemmer=english" in sheets.evaluation(result).tags.values()


def test_where_words_alone_were_searched_no_reader_meets_embeddings(
    results: dict[str, EvalResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list(shown(results["bm25"], tmp_path, capsys))
    assert [match[0] for text in found for match in re.finditer(r"(?i).{0,40}(?<!flag)embed.{0,40}", text)] == []
    assert "Stage 1: p50 " in found[2]


def test_mlflow_names_the_child_and_tags_the_method(results: dict[str, EvalResult]) -> None:
    parent, (first, *_) = sheets.evaluation(results["hybrid"]), sheets.systems(results["hybrid"])
    assert (first.name, first.tags["system"]) == ("hybrid", "hybrid")
    assert parent.tags["stage_one"] == first.tags["stage_one"] == METHODS["hybrid"]


def test_ci_is_told_the_method(results: dict[str, EvalResult], tmp_path: Path) -> None:
    write_junit([], results["bm25"], tmp_path)
    assert '<property name="stage_one" value="bm25"' in (tmp_path / "junit.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize("label", CHOICES)
def test_programs_find_the_names_that_they_know_and_the_method_beside_them(
    results: dict[str, EvalResult], label: str, tmp_path: Path
) -> None:
    result = results[label]
    document = as_document(result)
    assert document["stage_one"] == {"label": label, "method": METHODS.get(label, label)}
    assert document["systems"][0] == {"name": "dense", "stage": "dense", "top_k": None}
    assert {row["baseline"] for row in document["comparisons"]} == {"dense"}
    FilesSink().write(result, tmp_path)
    assert read_result(tmp_path).stage_one == result.stage_one


def test_a_result_of_before_reads_as_dense(results: dict[str, EvalResult], tmp_path: Path) -> None:
    FilesSink().write(results["dense"], tmp_path)
    path = tmp_path / "result.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["stage_one"]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read_result(tmp_path).stage_one.method == "dense"


@pytest.mark.parametrize("label", ["bm25", "hybrid"])
def test_a_stored_result_verifies(results: dict[str, EvalResult], label: str, tmp_path: Path) -> None:
    FilesSink().write(results[label], tmp_path)
    manifest.seal(tmp_path)
    assert verify(tmp_path).status == "ok"


def test_a_comparison_says_what_changed(results: dict[str, EvalResult]) -> None:
    first, second = results["dense"], results["hybrid"]
    found = contrast(first, second)
    lines = side_by_side.lines(found, first, second)
    told = {line.split()[0]: line for line in lines[3:] if "  " in line}
    assert METHODS["hybrid"] in told["stage_one.method"]
    assert "bm25 k1=1.2 b=0.75" in told["sparse.model"]
    assert told["retrieval.fusion_k"].split() == ["retrieval.fusion_k", "–", "60"]
    assert METHODS["hybrid"] in html.unescape(pair_page(found, first, second))
    assert any(line.split()[:2] == ["stage", "1"] for line in lines)


@pytest.mark.parametrize(
    ("label", "what"),
    [
        ("bm25", "sparse.model absent in the baseline, 'bm25 k1=1.2 b=0.75' here"),
        ("hybrid", "retrieval.fusion_depth absent in the baseline, 20 here"),
    ],
)
def test_a_baseline_of_another_retrieval_is_not_comparable(
    results: dict[str, EvalResult], label: str, what: str
) -> None:
    kept = Baseline.of(results["dense"], results["dense"].design.expectation)
    rulings = hold(results[label], Rules(baseline="kept"), kept)
    (ruling,) = [one for one in rulings if "not comparable" in one.message]
    assert ruling.status == "error"
    assert what in ruling.message


def test_a_baseline_of_another_retrieval_is_told_before_the_settings_that_follow(
    results: dict[str, EvalResult],
) -> None:
    kept, new = (Baseline.of(results[name], results[name].design.expectation) for name in ("bm25", "hybrid"))
    expected = f"not comparable with {kept.run_id} of {kept.created}: stage 1: bm25 in the baseline, hybrid here; "
    assert regression(new, kept, Rules()).message.startswith(expected)
    unsaid = regression(new, replace(kept, stage_one=None), Rules()).message
    assert "stage 1:" not in unsaid
    assert "embedder.model absent in the baseline" in unsaid


def test_another_retrieval_is_another_run(results: dict[str, EvalResult]) -> None:
    assert len({result.run_id.rpartition("-")[2] for result in results.values()}) == len(CHOICES)
