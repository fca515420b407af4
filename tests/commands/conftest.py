"""An empty working directory, and results that a gate may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.result import EvalResult
from tests.hits import GAINING, hits, result_by

WORSE = hits((35, 1, 1), (10, 1, 0), (20, 0, 1), (5, 1, 0), (30, 0, 0))
"""GAINING with ten hits of the reranker less: 0.55, a gain of 5 points."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory outside any CI."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def good() -> EvalResult:
    """A gain of 15 points, within the expected 12 to 18, its interval from about 5 to 26."""
    return result_by(GAINING, {"lang": ["de"] * 60 + ["fr"] * 40}, run_id="20260102-000000-aaaaaa")


@pytest.fixture(scope="session")
def worse() -> EvalResult:
    return result_by(WORSE, {"lang": ["de"] * 60 + ["fr"] * 40}, run_id="20260103-000000-bbbbbb")
