"""BM25, the classic of word search, as sparse vectors: what Lucene, Elasticsearch and OpenSearch compute."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from math import log

import numpy as np

from evalkit.checks import unfit
from evalkit.errors import ConfigError
from evalkit.sparse import SparseVector
from evalkit.types import Fingerprint

LANGUAGES = ("english", "french", "german", "italian")
"""Whose Snowball stemmers can be asked for."""

_HIGHEST_K1 = 1000
"""Far above any use; much larger ones push weights below the least number that an engine tells from 0."""

_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200c\u200d"))
"""Soft hyphens and joiners, which change how a word is drawn and not which word it is."""


class Bm25:
    """Documents and queries as weighted words, whose inner product is the BM25 score.

    A document's weight of a word is tf / (tf + k1 * (1 - b + b * length / mean length)); a query's is how often it asks
    for the word x ln(1 + (N - n + 0.5) / (n + 0.5)), where n of N documents have it. So Robertson & Zaragoza (2009),
    "The Probabilistic Relevance Framework: BM25 and Beyond", with the idf of Lucene's ``BM25Similarity``, never
    negative, and, as there, without the constant factor k1 + 1; lengths are exact, where Lucene rounds them to a byte.

    The weights are Lucene's, the words are not: a word is a run of Unicode letters, digits and underscores, and of the
    marks that combine with them, after NFC, case folding and NFC again; soft hyphens and joiners are dropped before.
    A language that is written without spaces, such as Chinese, Japanese or Thai, has one word per run. There is no
    list of stop words: frequent words weigh little by themselves.

    Args:
        k1: How slowly repetitions of a word cease to count, 0 to 1000; 1.2 in Lucene.
        b: How much long documents are held back, 0 to 1; 0.75 in Lucene.
        stemmer: Language of the Snowball stemmer that words are cut by; null leaves them whole, which suits several
            languages at once, as no text says its own.

    Raises:
        ConfigError: An argument is out of its range.
    """

    label = "bm25"

    def __init__(self, k1: float, b: float, stemmer: str | None) -> None:
        self._k1 = _number("retrieval.sparse.k1", k1, _HIGHEST_K1)
        self._b = _number("retrieval.sparse.b", b, 1)
        if stemmer is not None and stemmer not in LANGUAGES:
            raise unfit("retrieval.sparse.stemmer", stemmer, f"null, {', '.join(LANGUAGES[:-1])} or {LANGUAGES[-1]}")
        self._stemmer = stemmer

    @property
    def fingerprint(self) -> Fingerprint:
        """The constants, to the last digit, and whatever decides what a word is."""
        stemmed = "" if self._stemmer is None else f" stemmer={self._stemmer}"
        return {
            "backend": "evalkit",
            "model": f"bm25 k1={self._k1!r} b={self._b!r}{stemmed}",
            "idf": "lucene",
            "words": "without U+00AD, U+200C and U+200D, nfc, casefold, nfc, \\w and the marks behind",
            "unicode": unicodedata.unidata_version,
            "stemmer": self._stemmer and f"PyStemmer {_stemmers()}",
        }

    def fitted(self, texts: Sequence[str]) -> FittedBm25:
        """The encoder for a corpus.

        Args:
            texts: Every document.
        """
        return FittedBm25(self.fingerprint, self._k1, self._b, self._words(), texts)

    def _words(self) -> Callable[[str], list[str]]:
        stem, word = self._stem(), _word()
        return lambda text: stem(word.findall(_folded(text)))

    def _stem(self) -> Callable[[list[str]], list[str]]:
        if self._stemmer is None:
            return list
        _stemmers()
        from Stemmer import Stemmer

        stem: Callable[[list[str]], list[str]] = Stemmer(self._stemmer).stemWords
        return stem


class FittedBm25:
    """BM25 for one corpus: which number each word has, how rare it is, and how long documents are.

    Args:
        fingerprint: Of :class:`Bm25`.
        k1: Its constant.
        b: Its constant.
        words: Text to words.
        texts: Every document of the corpus.
    """

    label = Bm25.label

    def __init__(
        self, fingerprint: Fingerprint, k1: float, b: float, words: Callable[[str], list[str]], texts: Sequence[str]
    ) -> None:
        self.fingerprint = fingerprint
        self._k1 = k1
        self._b = b
        self._words = words
        holding: Counter[str] = Counter()
        total = 0
        for text in texts:
            found = words(text)
            total += len(found)
            holding.update(set(found))
        self._mean_length = total / len(texts)
        self._number = {word: number for number, word in enumerate(sorted(holding))}
        self._idf = {word: log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for word, n in holding.items()}

    def encode_documents(self, texts: Sequence[str]) -> list[SparseVector]:
        return [self._document(self._words(text)) for text in texts]

    def encode_queries(self, texts: Sequence[str]) -> list[SparseVector]:
        return [
            self._vector({word: count * self._idf[word] for word, count in self._known(self._words(text)).items()})
            for text in texts
        ]

    def _document(self, words: list[str]) -> SparseVector:
        room = self._k1 * (1 - self._b + self._b * len(words) / self._mean_length) if words else 0.0
        return self._vector({word: count / (count + room) for word, count in self._known(words).items()})

    def _known(self, words: list[str]) -> Counter[str]:
        """Without those that no document of the corpus has."""
        return Counter(word for word in words if word in self._number)

    def _vector(self, weights: Mapping[str, float]) -> SparseVector:
        entries = sorted((self._number[word], weight) for word, weight in weights.items())
        return SparseVector(
            np.array([number for number, _ in entries], np.int64),
            np.array([weight for _, weight in entries], np.float32),
        )


def _folded(text: str) -> str:
    """As words are compared; case folding takes some letters apart again."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text.translate(_UNSEEN)).casefold())


@cache
def _word() -> re.Pattern[str]:
    """A run of word characters and marks that begins with no mark: one that follows a sign is no word."""
    marks = "".join(sign for sign in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(sign)[0] == "M")
    return re.compile(rf"\w+(?:[{marks}]+\w*)*")


def _number(name: str, value: object, most: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise unfit(name, value, f"a number from 0 to {most}")
    return float(value)


def _stemmers() -> str:
    """The version of the library that cuts words to their stems."""
    try:
        return metadata.version("PyStemmer")
    except metadata.PackageNotFoundError as error:
        message = "PyStemmer, which cuts words to stems, is not installed; run: pip install 'evalkit-rerank[bm25]'"
        raise ConfigError(message) from error
