"""TREC runs: ordered as trec_eval orders them, refused with file and line when broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.data.trec import read_run
from evalkit.errors import DataError
from evalkit.sinks.trec import format_run
from evalkit.types import Run


def run_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.trec"
    path.write_text(text, encoding="utf-8")
    return path


def test_documents_are_ordered_by_score_then_id_both_descending(tmp_path: Path) -> None:
    """The rank column says the opposite; trec_eval ignores it."""
    path = run_of(tmp_path, "q Q0 a 1 0.5 t\nq Q0 b 2 0.5 t\nq Q0 c 3 0.9 t\nq Q0 B 4 0.5 t\n")
    assert read_run(path).rankings == {"q": ("c", "b", "a", "B")}


def test_scores_that_differ_beyond_single_precision_are_tied_as_in_trec_eval(tmp_path: Path) -> None:
    path = run_of(tmp_path, "q Q0 a 1 0.50000000002 t\nq Q0 b 2 0.50000000001 t\n")
    assert read_run(path).rankings == {"q": ("b", "a")}


def test_the_tag_names_the_run_and_what_follows_is_ignored(tmp_path: Path) -> None:
    path = run_of(tmp_path, "q\tQ0\ta\t1\t0.5\tbm25 more words\n")
    assert read_run(path).name == "bm25"
    assert read_run(path, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("q Q0 a 1 0.5 t\nq Q0 b 2\n", ":2: 4 fields; expected 6"),
        ("q Q0 a 1 high t\n", ":1: score 'high' is not a finite number"),
        ("q Q0 a 1 nan t\n", ":1: score 'nan' is not a finite number"),
        ("q Q0 a 1 0.5 t\nq Q0 a 2 0.4 t\n", ":2: document 'a' appears twice for query 'q'"),
        ("", "no line in this run"),
    ],
)
def test_broken_runs_are_refused(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(DataError) as caught:
        read_run(run_of(tmp_path, text))
    assert what in str(caught.value)


def test_a_written_run_is_read_back_in_the_same_order(tmp_path: Path) -> None:
    run = Run("rerank@50", {"q1": ("z", "a", "m"), "q2": ("b",)})
    assert read_run(run_of(tmp_path, "".join(format_run(run)))) == run


def test_white_space_in_ids_does_not_break_the_columns(tmp_path: Path) -> None:
    run = Run("dense", {"q 1": ("two words", "100%", "nbsp\u00a0", "wide\u3000", "line\u2028")})
    read = read_run(run_of(tmp_path, "".join(format_run(run))))
    assert read.rankings == {"q%201": ("two%20words", "100%25", "nbsp%C2%A0", "wide%E3%80%80", "line%E2%80%A8")}
