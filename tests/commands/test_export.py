"""``evalkit export``: a folder that an ONNX back end reads, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main
from tests.models.conftest import MIXED_PAIRS, flag_reranker, minilm, onnx_reranker, tiny_reranker

pytest.importorskip("onnx", reason="pip install 'evalkit-rerank[export]' brings what writes graphs")

__all__ = ["minilm", "tiny_reranker"]
"""Fixtures of the neighbours."""


def described(folder: Path, *more: str) -> list[str]:
    return ["reranker=flag_folder", f"reranker.weights.path={folder}", "reranker.max_length=128", *more]


def test_a_model_is_written_checked_and_read_back(tiny_reranker: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "new" / "folder"
    assert main(["export", "reranker", *described(tiny_reranker), "--to", str(out), "--int8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["written", "checked", "written", "checked", "use"]
    assert lines[-1] == f"use       reranker=onnx_folder reranker.weights.path={out} reranker.max_length=128"
    assert {path.name for path in out.iterdir()} >= {"model.onnx", "model_int8.onnx", "tokenizer.json", "export.json"}
    pairs = [pair for pair in MIXED_PAIRS if pair[1]]
    expected = flag_reranker(tiny_reranker).score(pairs)
    assert onnx_reranker(out, max_length=128).score(pairs) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reranker.query_max_length=5"], "the exported graph gives other numbers than torch: "),
        (["reranker.query_prompt=q"], "the reranker has prompts, which an ONNX reranker does not read"),
    ],
)
def test_a_model_that_cannot_be_exported_leaves_nothing_behind(
    overrides: list[str], message: str, tiny_reranker: Path, tmp_path: Path, capsys: Any
) -> None:
    assert main(["export", "reranker", *described(tiny_reranker, *overrides), "--to", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused_before_a_model_is_loaded(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["export", "reranker", *described(tmp_path / "absent"), "--to", str(tmp_path)]) == 2
    assert "is not empty, and nothing in it is replaced" in capsys.readouterr().err


def test_what_holds_no_weights_is_refused(tmp_path: Path, capsys: Any) -> None:
    scores = ["reranker=score_file", "reranker.path=scores.tsv"]
    assert main(["export", "reranker", *scores, "--to", str(tmp_path / "out")]) == 2
    assert "reranker is ScoreFile, which holds no weights; expected one that torch runs" in capsys.readouterr().err
