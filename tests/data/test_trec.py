"""Scores in files: TREC runs as trec_eval reads them, three columns, refused with file and line when broken."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from evalkit.data.trec import read_scores
from evalkit.errors import DataError
from evalkit.sinks.trec import format_run
from evalkit.types import Run
from tests.runs import read_run


def run_of(tmp_path: Path, text: str, name: str = "run.trec") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_scores_are_read_by_query_and_document_whatever_rank_and_tag_say(tmp_path: Path) -> None:
    path = run_of(tmp_path, "q Q0 a 1 0.5 t\nq Q0 b 1 -2 bm25 more words\nr Q0 a x 1e3 t\n")
    assert read_scores(path) == {"q": {"a": 0.5, "b": -2.0}, "r": {"a": 1000.0}}


def test_scores_have_single_precision_as_in_trec_eval(tmp_path: Path) -> None:
    path = run_of(tmp_path, "q Q0 a 1 0.50000000002 t\nq Q0 b 2 0.50000000001 t\nq Q0 c 3 0.1 t\n")
    assert read_scores(path) == {"q": {"a": 0.5, "b": 0.5, "c": float(np.float32("0.1"))}}


def test_three_columns_are_query_document_and_score(tmp_path: Path) -> None:
    assert read_scores(run_of(tmp_path, "q a 0.5\nq b 2\n")) == {"q": {"a": 0.5, "b": 2.0}}


@pytest.mark.parametrize("header", ["query-id\tcorpus-id\tscore\n", "query document logit\n"])
def test_a_header_of_three_columns_is_known_by_a_last_column_without_a_digit(tmp_path: Path, header: str) -> None:
    assert read_scores(run_of(tmp_path, f"{header}q\ta\t0.5\n")) == {"q": {"a": 0.5}}


def test_tabs_leave_spaces_in_ids(tmp_path: Path) -> None:
    path = run_of(tmp_path, "q 1\tQ0\ttwo words\t1\t0.5\tmy tag\n")
    assert read_scores(path) == {"q 1": {"two words": 0.5}}


def test_a_gzipped_file_with_byte_order_mark_and_carriage_returns_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.trec.gz"
    path.write_bytes(gzip.compress("\ufeffq Q0 a 1 0.5 t\r\n\r\nq Q0 b 2 0.25 t\r\n".encode()))
    assert read_scores(path) == {"q": {"a": 0.5, "b": 0.25}}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("q Q0 a 1 0.5 t\nq Q0 b 2\n", ":2: 4 fields; expected 6"),
        ("q Q0 a 1 high t\n", ":1: the score, field 5, is not a finite number"),
        ("q Q0 a 1 nan t\n", ":1: the score, field 5, is not a finite number"),
        ("q Q0 a 1 1e39 t\n", ":1: the score, field 5, is not a finite number"),
        ("q0\tdoc33\t1,59\nq0\tdoc34\t1.2\n", ":1: the score, field 3, is not a finite number"),
        ("query document logit_v2\nq a 1\n", ":1: the score, field 3, is not a finite number"),
        ("q a inf\n", ":1: the score, field 3, is not a finite number"),
        ("q a nan\n", ":1: the score, field 3, is not a finite number"),
        ("q a 0.5\nq b high\n", ":2: the score, field 3, is not a finite number"),
        ("q a 0.5\nq Q0 b 2 0.4 t\n", ":2: 6 fields; expected 3: query document score"),
        ("q Q0 a 0.5\n", ":1: 4 fields; expected 6: query Q0 document rank score tag"),
        ("query document score\n", "no line in this run"),
        ("q Q0 a 1 0.5 t\nq Q0 a 2 0.4 t\n", ":2: document 'a' appears twice for query 'q'"),
        ("", "no line in this run"),
    ],
)
def test_broken_runs_are_refused(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(DataError) as caught:
        read_scores(run_of(tmp_path, text))
    assert what in str(caught.value)


def test_a_written_run_is_read_back_in_the_same_order(tmp_path: Path) -> None:
    run = Run("rerank@50", {"q1": ("z", "a", "m"), "q2": ("b",)})
    assert read_run(run_of(tmp_path, "".join(format_run(run)), "rerank@50.trec")) == run


def test_white_space_in_ids_does_not_break_the_columns(tmp_path: Path) -> None:
    run = Run("dense", {"q 1": ("two words", "100%", "nbsp\u00a0", "wide\u3000", "line\u2028")})
    read = read_run(run_of(tmp_path, "".join(format_run(run))))
    assert read.rankings == {"q%201": ("two%20words", "100%25", "nbsp%C2%A0", "wide%E3%80%80", "line%E2%80%A8")}
