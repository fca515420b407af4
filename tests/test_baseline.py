"""Baselines on disk: what is written is read, in full and in one step; what is damaged is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.regression import Baseline
from evalkit.baseline import find, path_of, read, write
from evalkit.errors import ConfigError, DataError, SinkError
from evalkit.types import Metric

KEPT = Baseline(
    run_id="20260102-030405-abcdef",
    created="2026-01-02T03:04:05+00:00",
    dataset="made",
    digest="d" * 64,
    qrels_digest="e" * 64,
    metric=Metric("recall", 5),
    top_k=50,
    fingerprints={
        "embedder": {"weights": "words", "quantised": True, "dim": 8, "scale": 0.1},
        "reranker": {"prompt": None},
    },
    families={"q-secret-1": "f", "q\u2028é": "f"},
    dense={"q-secret-1": 1 / 3, "q\u2028é": 0.0, 'q"3': 0.1 + 0.2},
    reranked={"q-secret-1": 2 / 3, "q\u2028é": 1.0, 'q"3': 1.0},
    stage_one="hybrid",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = path_of(tmp_path / "reports", "made")
    write(KEPT, found)
    return found


def test_what_is_written_is_read_with_full_precision(path: Path) -> None:
    assert read(path) == KEPT


def test_the_file_is_json_with_a_version_and_one_line_per_query(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    assert document["schema_version"] == 1
    assert document["means"] == {"dense": pytest.approx((1 / 3 + 0.3) / 3), "reranked": pytest.approx((2 / 3 + 2) / 3)}
    assert '    ["q-secret-1", "f", 0.3333333333333333, 0.6666666666666666],\n' in text


def test_a_file_of_before_does_not_say_how_stage_1_retrieved(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["stage_one"]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read(path) == replace(KEPT, stage_one=None)


def test_it_lies_where_it_can_be_committed(tmp_path: Path) -> None:
    assert path_of(tmp_path, "made") == tmp_path / "baselines" / "made.json"


def test_a_write_that_fails_leaves_the_old_file_and_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SinkError, match="No space left on device; make its folder writable"):
        write(KEPT, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../made", "a\\b", "auto", "null"])
def test_a_name_that_cannot_be_a_file_or_means_something_else_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="a baseline cannot be named"):
        path_of(tmp_path, name)


def test_a_gate_finds_its_baseline(path: Path) -> None:
    reports = path.parents[1]
    assert find(reports, "made", "other") == KEPT
    assert find(reports, "auto", "made") == KEPT
    assert find(reports, "auto", "other") is None
    assert find(reports, None, "made") is None


def test_a_name_that_does_not_exist_is_answered_with_those_that_do(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find(path.parents[1], "mde", "made")
    assert f"there is no baseline 'mde' in {path.parent}; it holds made. Make one with" in str(caught.value)
    with pytest.raises(ConfigError, match="it holds none"):
        find(path.parent, "made", "made")


def put(*place: Any, value: Any) -> Callable[[Any], None]:
    """A change of one value of the document."""

    def change(document: Any) -> None:
        for key in place[:-1]:
            document = document[key]
        document[place[-1]] = value

    return change


DAMAGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "another version": (put("schema_version", value=2), "has schema version 2"),
    "a missing block": (lambda document: document.pop("fingerprints"), "fingerprints: field required"),
    "text for a number": (put("queries", 0, 2, value="1"), "queries.0.2: input should be a valid number"),
    "a number for text": (put("queries", 0, 0, value=1), "queries.0.0: input should be a valid string"),
    "a short row": (lambda document: document["queries"][1].pop(), "queries.1.3: field required"),
    "no metric": (put("metric", value="recall at 5"), "'recall at 5' is not a metric"),
    "a value that was changed": (put("queries", 0, 3, value=0.5), "means.reranked is not the mean of its queries"),
    "a mean that was changed": (put("means", "dense", value=0.5), "means.dense is not the mean of its queries"),
    "a mean that is missing": (put("means", value={}), "means.dense is not the mean of its queries"),
    "a value above 1": (put("queries", 0, 3, value=1.5), "holds a value that is no fraction from 0 to 1"),
    "no number": (put("queries", 0, 3, value=float("nan")), "holds a value that is no fraction from 0 to 1"),
    "a query twice": (lambda document: document["queries"].append(document["queries"][0]), "holds a query twice"),
    "no query": (put("queries", value=[]), "holds no query"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_one_error_that_names_it_and_no_query(path: Path, name: str) -> None:
    change, what = DAMAGES[name]
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {what}"), message
    assert message.endswith(
        "; write it again with evalkit baseline, or take back the committed file; version 1 is read"
    )
    assert "secret" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not JSON"),
        (b"<<<<<<< HEAD", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "has schema version None"),
    ],
)
def test_what_is_no_baseline_is_told(path: Path, content: bytes, what: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match=what):
        read(path)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path)
