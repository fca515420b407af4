"""``evalkit serve``: what it refuses before it listens; what it does then is in ``tests/serving``."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from evalkit.cli import main

VARIABLE = "EVALKIT_SERVE_API_KEY"


@pytest.fixture(autouse=True)
def _no_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reranker=score_file", "reranker.path=scores.trec"], "knows the scores of its file and scores no other text"),
        (["serve.host=0.0.0.0"], "set EVALKIT_SERVE_API_KEY, or serve.allow_open=true"),
        (["serve.prot=8000"], "Did you mean serve.port?"),
        (["serve.port=70000"], "serve.port is 70000; expected 0 to 65535"),
        (["serve=null"], "serve cannot be null; its options are: default"),
        (["reranker=onnx_folder"], "reranker.weights.path has no value"),
        (["reports/made/20260102-030405-abcdef"], "expected overrides such as reranker=..."),
        (["serve.port=0", "reranker=onnx_folder", "reranker.weights.path=nowhere"], "nowhere"),
        (["serve.host=no.such.host.invalid", "serve.allow_open=true"], "cannot be used"),
    ],
)
def test_what_cannot_be_served_is_one_message(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *words]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.startswith("evalkit: ")
    assert shown.count("\n") == 1


def test_a_taken_port_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", f"serve.port={port}"]) == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err


def test_missing_libraries_are_said_with_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.commands.serve.find_spec", lambda name: None if name == "uvicorn" else name)
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == ("evalkit: uvicorn is not installed; run: pip install 'evalkit-rerank[serve]'\n")


def test_a_key_is_never_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "hunter2 hunter3")
    assert main(["serve"]) == 2
    assert "hunter" not in capsys.readouterr().err
