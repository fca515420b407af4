"""Windows of real models: each is read whole, with the tokenizers of BERT, XLM-R and of byte-level models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.models.onnx import OnnxReranker
from evalkit.models.windows import in_windows
from tests.models.conftest import flag_embedder, flag_reranker, onnx_embedder, onnx_reranker
from tests.models.test_windows import assert_all_is_there

SENTENCES = [
    "Die Mehrwertsteuer-Abrechnung für das 3. Quartal ist (noch) offen: CHF 1'250.00, siehe Beilage Nr. 7/2024!",
    "Le bail commercial, résiliable moyennant un préavis de 6 mois, n'a pas été renouvelé – à vérifier.",
    "L'aliquota dell'IVA è dell'8,1 %; l'indennità giornaliera di malattia comincia al 31° giorno.",
    "Internationalization of hyperparameters: see https://example.org/a_b-c?d=e&f=%20g#h (RFC-3986), v2.0.1-rc3.",
    "naïve café Ærøskøbing Łódź Ναι да 東京都は日本の首都である。漢字 👩🏽‍🔬 e\u0301\u0302 ½ ﬁn\u00adal\u200bzero",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
]
MIXED = st.lists(
    st.one_of(
        st.sampled_from([word for sentence in SENTENCES for word in sentence.split()]),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    ),
    min_size=60,
    max_size=120,
).map(lambda words: " ".join(f"{word}{place}" for place, word in enumerate(words)))
"""Real words of several languages among any characters at all, each with a number, so that places are known."""

LONG = " ".join(SENTENCES * 6)

few = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def onnx_short(carrier: Path) -> OnnxReranker:
    return onnx_reranker(carrier / "reranker_en", max_length=160)


@pytest.fixture(scope="module")
def bert(carrier: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(carrier / "reranker_en")


@pytest.fixture(scope="module")
def xlmr(xlmr_reranker: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(xlmr_reranker)


@pytest.fixture(scope="module")
def byte_level() -> Any:
    """As of ModernBERT or RoBERTa: a word without the space before it is another token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def pair_length(tokenizer: Any, query: str, document: str) -> int:
    """Tokens of a pair by transformers, special ones included."""
    return len(tokenizer(query, document, verbose=False)["input_ids"])


@few
@given(text=MIXED, overlap=st.sampled_from([0, 5, 64]))
@pytest.mark.parametrize("query", ["What is Debian?", "word " * 300])
def test_onnx_windows_fit_beside_the_query(
    onnx_short: OnnxReranker, bert: Any, query: str, text: str, overlap: int
) -> None:
    (windows,) = onnx_short.windows([(query, text)], overlap)
    assert_all_is_there(text, windows)
    cut = bert.decode(bert(query, add_special_tokens=False, verbose=False)["input_ids"][:120])
    assert all(pair_length(bert, cut, window) <= 160 for window in windows)


@few
@given(text=MIXED, overlap=st.sampled_from([0, 5, 64]))
def test_flag_windows_fit_beside_query_and_prompts(
    flag_pair: tuple[Any, Any], xlmr: Any, text: str, overlap: int
) -> None:
    reranker, _ = flag_pair
    query = "Wie lange werden Belege aufbewahrt?"
    (windows,) = reranker.windows([(query, text)], overlap)
    assert_all_is_there(text, windows)
    assert all(pair_length(xlmr, f"query: {query}", f"passage: {window}") <= 64 for window in windows)


@few
@given(text=MIXED)
def test_embedded_windows_fit_behind_the_prompt(flag_pair: tuple[Any, Any], xlmr: Any, text: str) -> None:
    _, embedder = flag_pair
    (windows,) = embedder.windows([text], 5)
    assert_all_is_there(text, windows)
    assert all(len(xlmr(f"passage: {window}", verbose=False)["input_ids"]) <= 64 for window in windows)


@pytest.fixture(scope="module")
def flag_pair(xlmr_reranker: Path, xlmr_embedder: Path) -> tuple[Any, Any]:
    prompts = {"query_prompt": "query: ", "document_prompt": "passage: ", "max_length": 64}
    return flag_reranker(xlmr_reranker, **prompts), flag_embedder(xlmr_embedder, **prompts)


@few
@given(text=MIXED, room=st.integers(20, 60))
def test_windows_of_a_byte_level_tokenizer_fit(byte_level: Any, text: str, room: int) -> None:
    def tokenise(texts: Sequence[str]) -> list[Any]:
        return [byte_level.encode(one).offsets for one in texts]

    (windows,) = in_windows([text], [room], 5, tokenise)
    assert_all_is_there(text, windows)
    assert all(len(byte_level.encode(window).ids) <= room for window in windows)


def test_neighbours_share_as_much_as_they_are_asked_to(carrier: Path, bert: Any) -> None:
    """Real prose has words of a few tokens, so that twenty can always be had."""
    prose = " ".join(SENTENCES[:3] * 8)
    (windows,) = onnx_reranker(carrier / "reranker_en", max_length=96).windows([("short", prose)], 20)
    assert len(windows) > 3
    for one, other in pairwise(windows):
        shared = next(size for size in range(len(other), 0, -1) if one.endswith(other[:size]))
        assert 20 <= len(bert.tokenize(other[:shared])) < 35


# --- nothing of a window is cut -------------------------------------------------------------------


def test_every_window_scores_as_with_a_model_that_reads_more(carrier: Path) -> None:
    """int8 files run pair by pair: what is not cut scores the same to the bit."""
    short, long = (onnx_reranker(carrier / "reranker_en", max_length=length) for length in (64, 512))
    query = "What is the VAT rate?"
    (windows,) = short.windows([(query, LONG)], 10)
    pairs = [(query, window) for window in windows]
    assert len(pairs) > 5
    assert short.score(pairs).tolist() == long.score(pairs).tolist()
    assert short.score([(query, LONG)]).tolist() != long.score([(query, LONG)]).tolist()


def test_flag_windows_score_as_with_a_model_that_reads_more(tiny_reranker: Path) -> None:
    options = {"query_prompt": "query: ", "document_prompt": "passage: ", "query_max_length": 24}
    short, long = (flag_reranker(tiny_reranker, max_length=length, **options) for length in (64, 128))
    query = "word " * 100
    (windows,) = short.windows([(query, LONG)], 10)
    pairs = [(query, window) for window in windows]
    assert len(pairs) > 5
    assert np.abs(short.score(pairs) - long.score(pairs)).max() <= 1e-5
    assert abs(short.score([(query, LONG)])[0] - long.score([(query, LONG)])[0]) > 1e-3


def test_embedded_windows_are_those_of_a_model_that_reads_more(carrier: Path) -> None:
    folder, prompt = carrier / "bge_small_en", "passage: "
    short, long = (onnx_embedder(folder, max_length=length, document_prompt=prompt) for length in (64, 512))
    (windows,) = short.windows([LONG], 10)
    assert len(windows) > 5
    assert np.array_equal(short.embed_documents(windows), long.embed_documents(windows))
    assert not np.allclose(short.embed_documents([LONG]), long.embed_documents([LONG]), atol=1e-3)


def test_what_fits_is_one_window_and_the_text_itself(carrier: Path, tiny_reranker: Path) -> None:
    text = "  Debian is free software.\n"
    for reranker in (onnx_reranker(carrier / "reranker_en"), flag_reranker(tiny_reranker, document_prompt="p: ")):
        assert reranker.windows([("What is Debian?", text), ("word " * 900, text)], 10) == [[text], [text]]
        assert reranker.windows([], 10) == []
    for embedder in (onnx_embedder(carrier / "bge_small_en"), flag_embedder(tiny_reranker)):
        assert embedder.windows([text], 10) == [[text]]
        assert embedder.windows([], 10) == []


def test_a_pair_is_split_exactly_where_it_counts_as_too_long(carrier: Path, tiny_reranker: Path) -> None:
    """At max_length tokens it is read whole, at one more it is not."""
    for reranker in (
        onnx_reranker(carrier / "reranker_en", max_length=40),
        flag_reranker(tiny_reranker, max_length=40),
    ):
        for words in range(25, 45):
            pair = ("What is Debian?", "free " * words)
            too_long = reranker.count_tokens([pair])[0] > 40
            assert (len(reranker.windows([pair], 5)[0]) > 1) == too_long
