"""``evalkit export``: a folder that an ONNX back end reads, or nothing."""

from __future__ import annotations

import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from evalkit.cli import main
from evalkit.commands.export import words_for
from evalkit.composition import compose_config
from evalkit.config import build_plan
from tests.models.conftest import (
    MIXED_PAIRS,
    flag_embedder,
    flag_reranker,
    minilm,
    onnx_reranker,
    tiny_embedder,
    tiny_reranker,
)

pytest.importorskip("onnx", reason="pip install 'evalkit-rerank[export]' brings what writes graphs")

__all__ = ["minilm", "tiny_embedder", "tiny_reranker"]
"""Fixtures of the neighbours."""


def described(folder: Path, *more: str) -> list[str]:
    return ["reranker=flag_folder", f"reranker.weights.path={folder}", "reranker.max_length=128", *more]


def test_a_model_is_written_checked_and_read_back(tiny_reranker: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "new" / "folder"
    assert main(["export", "reranker", *described(tiny_reranker), "--to", str(out), "--int8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["written", "checked", "written", "checked", "use"]
    path = f"'reranker.weights.path=\"{out}\"'"
    assert lines[-1] == f"use       reranker=onnx_folder {path} reranker.max_length=128"
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


OURS = "expected a model that torch runs, such as {0}=flag_folder {0}.weights.path=FOLDER"


@pytest.mark.parametrize(
    ("role", "overrides", "message"),
    [
        ("embedder", [], f"embedder is OnnxEmbedder, which reads an ONNX graph already; {OURS.format('embedder')}"),
        ("reranker", [], f"reranker is OnnxReranker, which reads an ONNX graph already; {OURS.format('reranker')}"),
        ("embedder", ["retrieval=bm25"], "there is no embedder to export: stage 1 searches words alone; leave "),
        (
            "reranker",
            ["reranker=score_file", "reranker.path=scores.tsv"],
            f"reranker is ScoreFile, which torch does not run; {OURS.format('reranker')}",
        ),
        (
            "reranker",
            ["reranker=http_tokenizer", "reranker.tokenizer.path=absent", "reranker.model=m", "reranker.revision=r"],
            f"reranker is CountingHttpReranker, which torch does not run; {OURS.format('reranker')}",
        ),
        (
            "reranker",
            ["reranker=flag_llm_folder", "reranker.weights.path=absent"],
            "the reranker is FlagLLMReranker, whose score is not read from a classification head",
        ),
        ("reranker", ["reranker=bge_m3_multi_vector"], "the reranker is FlagM3Reranker, whose score is not read from"),
    ],
)
def test_what_torch_does_not_run_is_refused_with_what_to_do(
    role: str, overrides: list[str], message: str, tmp_path: Path, capsys: Any
) -> None:
    assert main(["export", role, *overrides, "--to", str(tmp_path / "out")]) == 2
    assert f"evalkit: {message}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


SIGNS = [
    "",
    "query: ",
    "true",
    "12",
    "null",
    "${x}",
    "\\${x} \\",
    'it\'s "so"',
    "a, b=[1]: {c}",
    "$HOME `id` #",
    "a\nb é",
]


@pytest.mark.parametrize("sign", SIGNS)
def test_what_is_printed_to_use_reads_back_as_what_it_was(sign: str) -> None:
    settings = {"pooling": "mean", "normalize": False, "query_prompt": sign, "max_length": 128}
    folder = Path("/models") / f"a {sign or 'b'}"
    pasted = shlex.split(shlex.join(words_for("embedder", folder, settings)))
    found = OmegaConf.to_container(compose_config(pasted).embedder, resolve=True)
    assert isinstance(found, dict)
    assert found["weights"]["path"] == str(folder)
    assert {name: found[name] for name in settings} == settings


def test_the_line_to_use_can_be_pasted(tiny_embedder: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "a folder's name"
    words = ["embedder=flag_folder", f"embedder.weights.path={tiny_embedder}", "embedder.max_length=128"]
    words += ['embedder.query_prompt="a \\"b\\", it\'s: "', "embedder.document_prompt='true'", "embedder.pooling=mean"]
    assert main(["export", "embedder", *words, "--to", str(out)]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    found: Any = build_plan(compose_config(shlex.split(line)[1:])).embedder
    prompts = {"query_prompt": 'a "b", it\'s: ', "document_prompt": "true"}
    expected = flag_embedder(tiny_embedder, pooling="mean", **prompts)
    texts = ["What is Debian?", "Bread is made of flour."]
    assert np.allclose(found.embed_queries(texts), expected.embed_queries(texts), rtol=0, atol=1e-5)
    assert np.allclose(found.embed_documents(texts), expected.embed_documents(texts), rtol=0, atol=1e-5)


@pytest.mark.parametrize("most", [1_000, 500_000])
def test_a_full_disk_is_not_the_models_fault(most: int, tiny_reranker: Path, tmp_path: Path, capsys: Any) -> None:
    """The graph has 2.0 MB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        code = main(["export", "reranker", *described(tiny_reranker), "--to", str(tmp_path / "out"), "--int8"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert f"evalkit: cannot write {tmp_path / 'out'}: File too large; name a folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_export_leaves_nothing_behind_and_promises_nothing(
    sent: signal.Signals, tiny_reranker: Path, tmp_path: Path
) -> None:
    words = ["export", "reranker", *described(tiny_reranker), "--to", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "evalkit: stopped\n")
    assert list(tmp_path.iterdir()) == []
