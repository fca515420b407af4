"""How long embedders say documents are: by hand, and as transformers counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evalkit.errors import ModelError
from evalkit.ports import CountsTokens
from tests.models.conftest import flag_embedder, onnx_embedder

TEXTS = ["What is Debian?", "", "long " * 300, "Wie lange werden Belege aufbewahrt?"]
PROMPT = "passage: "


@pytest.fixture
def tokenizer_alone(tiny_embedder: Path, tmp_path: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(tiny_embedder / name, tmp_path)
    return tmp_path


def test_a_document_is_its_prompt_its_tokens_and_the_special_ones(tokenizer_alone: Path) -> None:
    """Two special tokens, and words that WordPiece knows whole."""
    (tokenizer_alone / "model.onnx").write_bytes(b"no graph")
    embedder = onnx_embedder(tokenizer_alone, document_prompt="the ", max_length=64)
    assert embedder.count_tokens(["house is old", "", "house " * 100]).tolist() == [6, 3, 103]
    assert embedder.max_length == 64


def test_the_count_is_what_transformers_counts_and_loads_no_model(tokenizer_alone: Path, tiny_embedder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_embedder)
    expected = [len(tokenizer(PROMPT + text, verbose=False)["input_ids"]) for text in TEXTS]
    embedder = flag_embedder(tokenizer_alone, document_prompt=PROMPT)
    assert embedder.count_tokens(TEXTS).tolist() == expected
    assert max(expected) > embedder.max_length == 128


def test_counting_says_nothing_on_the_terminal(tokenizer_alone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    flag_embedder(tokenizer_alone).count_tokens(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_no_document_has_no_count(tokenizer_alone: Path) -> None:
    (tokenizer_alone / "model.onnx").write_bytes(b"no graph")
    assert flag_embedder(tokenizer_alone).count_tokens([]).shape == (0,)
    assert onnx_embedder(tokenizer_alone, max_length=64).count_tokens([]).shape == (0,)


def test_both_kinds_of_embedder_offer_it_before_anything_is_read(tmp_path: Path) -> None:
    for embedder in (flag_embedder(tmp_path / "nowhere"), onnx_embedder(tmp_path / "nowhere")):
        assert isinstance(embedder, CountsTokens)
        with pytest.raises(ModelError, match="nowhere"):
            embedder.count_tokens(["text"])
