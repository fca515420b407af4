"""Where a reranker says that it runs; asking loads no model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.conftest import flag_reranker, onnx_reranker

NOWHERE = Path("/no/such/folder")


def test_onnx_runs_on_the_cpu() -> None:
    assert onnx_reranker(NOWHERE).device == "cpu"


def test_flag_names_the_device_and_a_gpu_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: {"cuda:0": "NVIDIA L4"}[device])
    assert flag_reranker(NOWHERE).device == "cpu"
    assert flag_reranker(NOWHERE, device=None).device == "cuda:0 (NVIDIA L4)"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert flag_reranker(NOWHERE, device=None).device == "cpu"
