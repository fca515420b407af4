"""BM25 as sparse vectors: by hand, and against bm25s on real texts."""

from __future__ import annotations

import json
import re
from importlib import metadata
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.errors import ConfigError
from evalkit.models.bm25 import Bm25
from evalkit.sparse import CorpusEncoder, SparseEncoder
from tests.conftest import SHARED


def scores(texts: list[str], query: str, **changes: Any) -> list[float]:
    encoder = Bm25(**{"k1": 1.2, "b": 0.75, "stemmer": None, **changes}).fitted(texts)
    (asked,) = encoder.encode_queries([query])
    return [document.dot(asked) for document in encoder.encode_documents(texts)]


def test_a_score_is_that_of_the_formula() -> None:
    """Four documents of 2, 4, 1 and 1 words: 2 on average. "rent" is in two of them, "tax" in one.

    idf(rent) = ln(1 + 2.5 / 2.5) = ln 2, idf(tax) = ln(1 + 3.5 / 1.5) = ln(10 / 3). The first document has "rent" once
    at mean length: 1 / (1 + 1.2) = 1 / 2.2. The second has it twice and "tax" once at twice the mean: the room is
    1.2 * (0.25 + 0.75 * 2) = 2.1, so 2 / 4.1 and 1 / 3.1.
    """
    found = scores(["rent due", "rent rent tax law", "other", "words"], "rent tax")
    assert found == pytest.approx([log(2) / 2.2, log(2) * 2 / 4.1 + log(10 / 3) / 3.1, 0, 0], rel=1e-6)


def test_a_word_that_is_asked_for_twice_counts_twice() -> None:
    texts = ["rent due", "tax law"]
    once, twice = scores(texts, "rent"), scores(texts, "rent rent")
    assert twice == pytest.approx([2 * score for score in once])
    assert once[0] > 0


def test_a_word_of_every_document_still_weighs_more_than_nothing() -> None:
    """Robertson's own idf would be ln(0.5 / 2.5) < 0 here; Lucene's is ln(1 + 0.5 / 2.5)."""
    assert scores(["rent", "rent"], "rent") == pytest.approx([log(1.2) / 2.2] * 2, rel=1e-6)


def test_words_are_compared_without_case_and_whatever_their_encoding() -> None:
    texts = ["STRASSE 12, Z\u00fcrich", "na\u00efve caf\u00e9", "x"]
    assert [score > 0 for score in scores(texts, "stra\u00dfe")] == [True, False, False]
    assert [score > 0 for score in scores(texts, "Zu\u0308rich")] == [True, False, False]
    assert [score > 0 for score in scores(texts, "CAFE\u0301")] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939"),
        ("\u0130stanbul", "stanbul"),
        ("Miet\u00advertrag", "vertrag"),
        ("\u0646\u0645\u06cc\u200c\u062f\u0627\u0646\u0645", "\u062f\u0627\u0646\u0645"),
    ],
    ids=["Hindi", "Turkish", "hyphenated German", "joined Persian"],
)
def test_a_word_is_not_cut_at_its_marks_hyphens_and_joiners(text: str, part: str) -> None:
    whole, other = scores([f"x {text}", "y"], text)
    assert whole > 0 == other
    assert scores([f"x {text}", "y"], part) == [0, 0]


def test_a_soft_hyphen_changes_no_word() -> None:
    assert scores(["Miet\u00advertrag", "y"], "Mietvertrag")[0] > 0
    assert scores(["Mietvertrag", "y"], "Miet\u00advertrag")[0] > 0


def test_letters_that_case_folding_takes_apart_are_put_together_again() -> None:
    """Iota with both marks has no capital of its own: as capital iota with dieresis and an accent behind it."""
    assert scores(["\u0390", "y"], "\u03aa\u0301")[0] > 0


def test_a_mark_behind_a_sign_is_no_word() -> None:
    """The selector behind a heart would be a word that all such documents share."""
    assert scores(["\u2764\ufe0f rent", "\u2764\ufe0f"], "\u2600\ufe0f") == [0, 0]


def test_what_is_written_without_spaces_is_one_word_per_run() -> None:
    assert scores(["\u6211\u4eec\uff0c\u623f\u79df", "y"], "\u623f\u79df")[0] > 0
    assert scores(["\u6211\u4eec\u623f\u79df", "y"], "\u623f\u79df") == [0, 0]


@pytest.mark.parametrize("k1", [0, 1e-9, 1000])
def test_no_weight_is_0_at_the_ends_of_the_range(k1: float) -> None:
    texts = ["rent " * 500, "tax", "rent"]
    held = Bm25(k1, 1, None).fitted(texts).encode_documents(texts)
    assert [len(one.values) for one in held] == [1, 1, 1]
    assert all(np.float32(0) < value for one in held for value in one.values)


def test_what_no_document_says_is_not_asked_for() -> None:
    encoder = Bm25(1.2, 0.75, None).fitted(["rent due"])
    known, unknown, empty = encoder.encode_queries(["rent nowhere", "nowhere", ""])
    assert len(known.indices) == 1
    assert len(unknown.indices) == len(empty.indices) == 0


def test_an_empty_document_has_no_terms() -> None:
    encoder = Bm25(1.2, 0.75, None).fitted(["", "..."])
    assert [len(one.indices) for one in encoder.encode_documents(["", "..."])] == [0, 0]


def test_length_does_not_matter_where_b_is_0_nor_repetition_where_k1_is_0() -> None:
    texts = ["rent", "rent and many other words"]
    short, long = scores(texts, "rent", b=0)
    assert short == long
    texts = ["rent rent rent", "rent"]
    thrice, once = scores(texts, "rent", k1=0)
    assert thrice == once == pytest.approx(log(1.2), rel=1e-6)


@pytest.mark.parametrize(
    ("stemmer", "document", "query"),
    [
        ("german", "die Mieten", "Miete"),
        ("french", "les voitures", "voiture"),
        ("italian", "gli affitti", "affitto"),
        ("english", "renting houses", "rent house"),
    ],
)
def test_a_stemmer_finds_other_forms_of_a_word(stemmer: str, document: str, query: str) -> None:
    whole = scores([document, "x y"], query)[0]
    stemmed = scores([document, "x y"], query, stemmer=stemmer)[0]
    assert whole == 0
    assert stemmed > 0


def test_whatever_changes_a_vector_is_in_the_fingerprint() -> None:
    plain = Bm25(1.2, 0.75, None)
    others = [Bm25(1.3, 0.75, None), Bm25(1.2, 0.7, None), Bm25(1.2, 0.75, "german"), Bm25(1.2, 0.75, "french")]
    others += [Bm25(1.2000000001, 0.75, None), Bm25(1.2, 0.7500000001, None)]
    prints = [json.dumps(dict(one.fingerprint), sort_keys=True) for one in (plain, *others)]
    assert len(set(prints)) == 7
    assert plain.fingerprint == Bm25(1.2, 0.75, None).fitted(["a"]).fingerprint
    assert others[2].fingerprint["model"] == "bm25 k1=1.2 b=0.75 stemmer=german"
    assert metadata.version("PyStemmer") in str(others[2].fingerprint["stemmer"])


def test_the_ports_are_told_apart() -> None:
    encoder: SparseEncoder = Bm25(1.2, 0.75, None).fitted(["a"])
    assert isinstance(Bm25(1.2, 0.75, None), CorpusEncoder)
    assert not isinstance(encoder, CorpusEncoder)
    assert encoder.label == Bm25.label == "bm25"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"k1": -1}, "retrieval.sparse.k1 is -1; expected a number from 0 to 1000"),
        ({"k1": 1000.5}, "retrieval.sparse.k1 is 1000.5"),
        ({"k1": 10**400}, "retrieval.sparse.k1 is 1000"),
        ({"k1": float("nan")}, "retrieval.sparse.k1 is nan"),
        ({"k1": "1.2"}, "retrieval.sparse.k1 is '1.2'"),
        ({"k1": float("inf")}, "retrieval.sparse.k1 is inf"),
        ({"b": 1.01}, "retrieval.sparse.b is 1.01; expected a number from 0 to 1"),
        ({"b": True}, "retrieval.sparse.b is True"),
        (
            {"stemmer": "swiss"},
            "retrieval.sparse.stemmer is 'swiss'; expected null, english, french, german or italian",
        ),
    ],
)
def test_impossible_arguments_are_one_message(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Bm25(**{"k1": 1.2, "b": 0.75, "stemmer": None, **changes})
    assert what in str(caught.value)


def test_a_missing_stemmer_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    stemmed = Bm25(1.2, 0.75, "german")
    for ask in (lambda: stemmed.fingerprint, lambda: stemmed.fitted(["a"])):
        with pytest.raises(ConfigError, match=r"pip install 'evalkit-rerank\[bm25\]'"):
            ask()
    assert Bm25(1.2, 0.75, None).fingerprint["stemmer"] is None


def texts_of(path: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return {row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in rows}


@pytest.mark.usefixtures("shared_data")
@pytest.mark.parametrize(("name", "constants"), [("scifact-en", (1.2, 0.75)), ("debfaq-de", (0.9, 0.4))])
def test_scores_on_real_texts_are_those_of_bm25s(name: str, constants: tuple[float, float]) -> None:
    """Another implementation, from words that are cut here; every document's score for every question, to 1e-4."""
    import bm25s

    folder, (k1, b) = SHARED / name, constants
    documents = list(texts_of(folder / "corpus.jsonl").values())
    questions = list(texts_of(folder / "queries.jsonl").values())[:50]
    words = [re.findall(r"\w+", text.casefold()) for text in documents]
    other = bm25s.BM25(method="lucene", k1=k1, b=b)
    other.index(words, show_progress=False)
    encoder = Bm25(k1, b, None).fitted(documents)
    held = encoder.encode_documents(documents)
    matrix = np.zeros((len(documents), 1 + max(int(one.indices[-1]) for one in held)), np.float32)
    for row, one in zip(matrix, held, strict=True):
        row[one.indices] = one.values
    for question, asked in zip(questions, encoder.encode_queries(questions), strict=True):
        ours = matrix[:, asked.indices].astype(np.float64) @ asked.values.astype(np.float64)
        known = [word for word in re.findall(r"\w+", question.casefold()) if word in other.vocab_dict]
        theirs = other.get_scores(known) if known else np.zeros(len(documents))
        assert np.abs(ours - theirs).max() < 1e-4
        assert (ours > 0).any() == bool(known)
