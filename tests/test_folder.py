"""A result folder back to values: the inverse of what was written, and one message for what is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import ControlError, DataError
from evalkit.folder import TABLES, read_document, read_result
from evalkit.locating import locate
from evalkit.record import Sequential
from evalkit.result import Evidence
from evalkit.sinks.document import as_document
from evalkit.sinks.files import FilesSink
from evalkit.types import Candidate
from tests.analysis.evidence import design_of
from tests.results import bilingual, edit, edit_table, evidence_of, provenance_of, result_of, stored

Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: documents and queries in two languages."""
    return stored(result_of(bilingual(evidence_of())), tmp_path_factory.mktemp("reports"))


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """To be damaged."""
    for path in folder.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(folder)).parent.mkdir(exist_ok=True)
            (tmp_path / path.relative_to(folder)).write_bytes(path.read_bytes())
    return tmp_path


def test_what_was_written_is_read_back(folder: Path) -> None:
    result = read_result(folder)
    again = result_of(bilingual(evidence_of()), provenance=result.provenance)
    assert result == replace(again, run_id=folder.name)
    assert as_document(result) == read_document(folder)
    assert result.assessment.languages is not None
    assert {} in result.evidence.document_attributes.values()


def test_what_may_be_absent_is_read_back(tmp_path: Path) -> None:
    """No latency, families, attributes or limit of tokens, an open band, a run that was derived and stopped."""
    evidence = result_of().evidence
    evidence = Evidence(evidence.candidates, evidence.qrels, {}, {key: {} for key in evidence.qrels})
    design = design_of(top_k=10, top_ks=(10,), resamples=100)
    design = replace(design, expectation=replace(design.expectation, max_points=None, decide_on="lower_bound"))
    result = result_of(
        evidence,
        design,
        latency=None,
        sequential=Sequential(None, -3.5, 80.0, 30, 300, 31, 310, 7),
        provenance=replace(
            provenance_of(reranker={"weights": None, "max_length": 2, "scale": 2.0, "quantised": True}),
            derived_from="20250101-000000-ffffff",
        ),
    )
    result = replace(result, scoring=replace(result.scoring, truncated=0, max_length=None))
    assert read_result(stored(result, tmp_path)) == result


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
FINITE = st.floats(-1e6, 1e6)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Any ids, any finite scores, scores beyond the deepest top-k absent, graded and negative judgments."""
    query_ids = draw(st.lists(IDS, min_size=1, max_size=4, unique=True))
    candidates, qrels = {}, {}
    for query_id in query_ids:
        documents = draw(st.lists(IDS, min_size=6, max_size=9, unique=True))
        candidates[query_id] = tuple(
            Candidate(
                doc_id,
                rank,
                draw(FINITE),
                draw(FINITE) if rank <= 6 else draw(st.none() | FINITE),
                draw(st.none() | st.integers(0, 1 << 40)),
            )
            for rank, doc_id in enumerate(documents, start=1)
        )
        judged = draw(st.lists(st.sampled_from(documents) | IDS, min_size=1, max_size=4, unique=True))
        qrels[query_id] = {doc_id: draw(st.integers(-1, 3)) for doc_id in judged} | {judged[0]: draw(st.integers(1, 3))}
    families = draw(st.dictionaries(st.sampled_from(query_ids), IDS, max_size=3))
    values = st.dictionaries(IDS | st.just("lang"), st.tuples(IDS, IDS), max_size=2)
    attributes = {query_id: draw(values) for query_id in query_ids}
    met = {one.doc_id for found in candidates.values() for one in found}
    told = draw(st.dictionaries(st.sampled_from(sorted(met)), values, max_size=5))
    named = {key: families[key] for key in query_ids if key in families}
    return Evidence(candidates, qrels, named, attributes, told)


@settings(max_examples=25, deadline=None)
@given(evidences())
def test_any_evidence_is_read_back(evidence: Evidence) -> None:
    result = result_of(evidence, design_of(top_k=6, top_ks=(1, 6), resamples=100))
    with TemporaryDirectory() as path:
        FilesSink().write(result, Path(path))
        assert read_result(Path(path)) == result


def test_the_named_folder_is_located_by_itself_or_its_file(folder: Path, tmp_path: Path) -> None:
    assert locate(str(folder), tmp_path) == folder
    assert locate(str(folder / "result.json"), tmp_path) == folder


def test_the_newest_result_is_located_where_none_is_named(tmp_path: Path) -> None:
    """By when the run began, whatever the folder is called now; what was measured again is no run."""
    for place, created, first in (
        ("a/20260101-000000-aaaaaa", "2026-01-01T00:00:00+00:00", None),
        ("b/20260301-000000-aaaaaa", "2026-03-01T00:00:00+00:00", None),
        ("b/kept", "2026-02-01T00:00:00+00:00", None),
        ("b/20260301-000000-aaaaaa-bbbbbb", "2026-04-01T00:00:00+00:00", "20260301-000000-aaaaaa"),
        ("b/.20270101.x", "2027-01-01T00:00:00+00:00", None),
    ):
        (tmp_path / place).mkdir(parents=True)
        origin = {"provenance": {"created": created, "derived_from": first}}
        (tmp_path / place / "result.json").write_text(json.dumps(origin))
    (tmp_path / "b" / "20280101-000000-aaaaaa").mkdir()
    assert locate(None, tmp_path).name == "20260301-000000-aaaaaa"


@pytest.mark.parametrize(("named", "message"), [("nowhere", "no such folder"), (".", "holds no result.json")])
def test_what_is_no_result_folder_is_named(tmp_path: Path, named: str, message: str) -> None:
    with pytest.raises(DataError, match=f"{message}; expected a result folder") as caught:
        locate(str(tmp_path / named), tmp_path)
    assert caught.value.path == tmp_path / named


def test_reports_without_a_result_say_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no result; start one with evalkit run"):
        locate(None, tmp_path)


@pytest.mark.parametrize("name", ["result.json", *TABLES])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "foreign"])
def test_a_damaged_file_is_named(copied: Path, name: str, damage: str) -> None:
    path = copied / name
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "foreign": b"\xff\xfe something else"}[damage])
    with pytest.raises(DataError) as caught:
        read_result(copied)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def put(*keys: Any, value: Any) -> Change:
    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


def drop(*keys: Any) -> Change:
    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return change


DOCUMENTS: dict[str, tuple[Change, str]] = {
    "another version": (put("schema_version", value=2), "has schema version 2; this evalkit reads version 1"),
    "a block is gone": (drop("knee"), "has no 'knee'"),
    "a field is gone": (drop("comparisons", 0, "wins"), "comparisons.0.wins: field required"),
    "a text for a number": (put("comparisons", 1, "top_k", value="10"), "comparisons.1.top_k: .* found '10'"),
    "a share for a count": (put("scoring", "ties", value=0.5), "scoring.ties: .* found 0.5"),
    "half a window": (put("scoring", "windows", value=0.5), "scoring.windows: .* found 0.5"),
    "a text for a limit": (put("scoring", "max_length", value="512"), "scoring.max_length: .* found '512'"),
    "a text for queries": (put("dataset", "unanswered", value="q1"), "dataset.unanswered: .* found 'q1'"),
    "an unknown status": (put("expectation", "status", value="good"), "expectation.status: .* found 'good'"),
    "no metric": (put("knee", "metric", value="recall at 5"), "knee: 'recall at 5' is not a metric"),
    "an unknown metric": (put("design", "metrics", value=["recall@5", "fame@5"]), "design: unknown metric 'fame'"),
    "a decision outside the sweep": (put("design", "top_ks", value=[6]), "design: expectation.top_k is 10"),
    "a cell without candidates": (
        drop("languages", "gains", 0, "candidates"),
        "languages.gains.0.candidates: field required",
    ),
    "a text for a language table": (put("languages", value="de"), "languages"),
    "a slice of nothing": (put("slices", 0, "of", value="corpus"), "slices.0.of: .* found 'corpus'"),
    "a slice asked for twice": (
        put("design", "document_slices", value=["lang", "lang"]),
        "design: statistics.document_slices is",
    ),
    "an empty sweep": (put("design", "top_ks", value=[]), "design: sweep.top_k is"),
    "few resamples": (put("design", "resamples", value=5), "design: statistics.resamples is 5"),
    "a band upside down": (put("expectation", "min_points", value=30), "expectation: .* is above max_points"),
    "a list for a block": (put("timings", value=[1]), "timings: .* found \\[1\\]"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_changed_document_says_where(copied: Path, name: str) -> None:
    change, message = DOCUMENTS[name]
    edit(copied, change)
    with pytest.raises(DataError, match=message) as caught:
        read_result(copied)
    assert caught.value.path == copied / "result.json"


@pytest.mark.parametrize("text", ['{"schema_version": NaN}', "[]", '"text"', "{"])
def test_what_is_no_document_is_refused(copied: Path, text: str) -> None:
    (copied / "result.json").write_text(text)
    with pytest.raises(DataError, match=r"not JSON|has schema version None"):
        read_document(copied)


TABLE_CHANGES: dict[str, tuple[str, Change, str]] = {
    "a column is gone": ("candidates.parquet", lambda t: t.drop(columns="rerank_score"), "expected query_id, doc_id"),
    "a column of words": ("qrels.parquet", lambda t: t.assign(grade="high"), "cannot be read as parquet"),
    "half a token": ("candidates.parquet", lambda t: t.assign(tokens=0.5), "cannot be read as parquet"),
    "half a rank": ("candidates.parquet", lambda t: t.assign(stage1_rank=0.5), "cannot be read as parquet"),
    "a query without id": (
        "candidates.parquet",
        lambda t: t.assign(query_id=t["query_id"].where(t.index > 0)),
        "has no query_id in 1 rows",
    ),
    "no number": (
        "candidates.parquet",
        lambda t: t.assign(stage1_score=t["stage1_score"].where(t.index > 0, float("inf"))),
        "the stage-1 score of document .* is inf",
    ),
    "judged twice": ("qrels.parquet", lambda t: t.iloc[[0, *range(len(t))]], "judges a document twice"),
    "nothing relevant": ("qrels.parquet", lambda t: t.assign(grade=0), "judges nothing relevant for some query"),
    "another query": ("queries.parquet", lambda t: t.iloc[1:], "holds other queries than qrels.parquet"),
    "unjudged candidates": (
        "candidates.parquet",
        lambda t: t.assign(query_id=t["query_id"].where(t.index > 0, "nobody")),
        "holds queries that qrels.parquet does not judge",
    ),
    "attributes": ("queries.parquet", lambda t: t.assign(attributes="lang: de"), "attributes are not JSON lists"),
    "attributes of documents": (
        "documents.parquet",
        lambda t: t.assign(attributes="[]"),
        "attributes are not JSON lists",
    ),
    "a document without id": (
        "documents.parquet",
        lambda t: t.assign(doc_id=t["doc_id"].where(t.index > 0)),
        "has no doc_id in 1 rows",
    ),
    "described twice": ("documents.parquet", lambda t: t.iloc[[0, *range(len(t))]], "describes a document twice"),
    "a document that nobody met": (
        "documents.parquet",
        lambda t: t.assign(doc_id=t["doc_id"].where(t.index > 1, "stranger" + t["doc_id"])),
        "describes 2 documents that are neither candidates nor judged",
    ),
    "measured twice": ("per_query.parquet", lambda t: t.iloc[[0, *range(len(t))]], "holds recall@5 of dense twice"),
    "unknown measure": ("per_query.parquet", lambda t: t.assign(metric="?"), "'\\?' is not a metric"),
}


@pytest.mark.parametrize("name", TABLE_CHANGES)
def test_a_changed_table_says_what_it_lacks(copied: Path, name: str) -> None:
    file, change, message = TABLE_CHANGES[name]
    edit_table(copied, file, change)
    with pytest.raises(DataError, match=message) as caught:
        read_result(copied)
    assert caught.value.path == copied / file


@pytest.mark.parametrize(
    ("change", "control"),
    [
        (lambda t: t.assign(rerank_score=t["rerank_score"].where(t.index > 0)), "coverage"),
        (lambda t: t.iloc[1:], "coverage"),
        (lambda t: t.assign(doc_id=t["doc_id"].where(t.index > 0, t["doc_id"][1])), "duplicates"),
    ],
    ids=["a score is gone", "a candidate is gone", "a document twice"],
)
def test_candidates_that_cannot_be_ranked_are_a_failed_control(copied: Path, change: Change, control: str) -> None:
    edit_table(copied, "candidates.parquet", change)
    with pytest.raises(ControlError, match=f"control {control} failed"):
        read_result(copied)


def test_texts_are_not_part_of_a_message(copied: Path) -> None:
    """A value that is shown is cut short."""
    edit(copied, put("expectation", "conclusive", value="secret " * 100))
    with pytest.raises(DataError) as caught:
        read_result(copied)
    assert len(str(caught.value)) < 300 + len(str(copied))
    assert json.loads((copied / "result.json").read_text())["expectation"]["conclusive"].startswith("secret")
