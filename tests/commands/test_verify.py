"""``evalkit verify``: what it prints, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.findings import Control
from tests.results import edit, edit_table, result_of, stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stored(result_of(), tmp_path / "reports")


def test_what_was_checked_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "files       11, each with the SHA-256 of manifest.json"
    assert lines[1].startswith("evidence    300 candidates and ")
    assert lines[1].endswith(" judgments of 30 queries")
    assert ", 180 per query, 60 rows of attribution, 3 runs" in lines[2]
    assert lines[3] == (
        "as given    raw scores, tokens (but for the number of pairs beyond max_length), families, attributes, order "
        "of documents, facts of the data set, design, latency, timings, provenance"
    )
    assert lines[4] == f"verified    {folder}"


def test_the_newest_result_is_verified_where_none_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", f"reports_dir={tmp_path / 'reports'}"]) == 0
    assert f"verified    {folder}" in capsys.readouterr().out


def test_tampered_candidates_are_exit_code_5(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_table(
        folder, "candidates.parquet", lambda table: table.assign(rerank_score=-table["rerank_score"]), seal=False
    )
    assert main(["verify", str(folder / "result.json")]) == 5
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"evalkit: {folder} is not what a run wrote:\n  candidates.parquet was changed")
    assert "result.json: metrics.rerank@10.recall@5 is " in captured.err


def test_an_edited_number_under_a_new_seal_is_exit_code_5(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def better(document: dict[str, dict[str, float]]) -> None:
        document["expectation"]["delta_points"] = 17.25

    edit(folder, better)
    assert main(["verify", str(folder)]) == 5
    assert "result.json: expectation.delta_points is 17.25; " in capsys.readouterr().err


def test_sentences_of_another_version_are_said_to_be_as_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def older(document: dict[str, dict[str, dict[str, str]]]) -> None:
        document["provenance"]["versions"]["evalkit-rerank"] = "0.0.1"

    edit(folder, older)
    assert main(["verify", str(folder)]) == 0
    assert "provenance, the sentences of evalkit 0.0.1" in capsys.readouterr().out


def test_an_invalid_result_is_verified_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stored(result_of(observed=(Control("replay", "failed", "one moved"),)), tmp_path)
    assert main(["verify", str(folder)]) == 0
    assert "note: it is the record of an invalid result" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such folder; expected a result folder"),
        (["reports_dir=nowhere"], "nowhere: holds no result; start one with evalkit run"),
        (["{folder}", "sweep.top_k=[6]"], "takes no override but reports_dir; found sweep.top_k=[6]"),
        (["{folder}", "{folder}"], "found two results"),
        (["{folder}", "sweep.topk=[6]"], "Did you mean sweep.top_k?"),
    ],
    ids=str,
)
def test_a_mistake_is_one_message_and_exit_code_2(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", *(word.format(folder=folder) for word in words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("evalkit: ") == 1


def test_a_half_result_is_exit_code_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "manifest.json").unlink()
    assert main(["verify", str(folder)]) == 2
    assert f"{folder / 'manifest.json'}: missing; a run writes it last" in capsys.readouterr().err
