"""One pass over the documents: what is kept of them, so that a large corpus needs little memory."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from evalkit.inspection.facts import SHOWN, Some
from evalkit.types import Document, Query, as_list

SAMPLE = 2_000
"""Documents whose tokens are counted: a share of one in twenty is then known to about a point."""


@dataclass(slots=True)
class Corpus:
    """What remains of the documents.

    Attributes:
        count: How many there are.
        judged: Ids of judged documents that are there.
        contents: Positive -> what models read of it.
        positive_langs: Positive -> its languages.
        langs: Language -> documents.
        without_lang: Documents that declare none.
        empty: Documents with neither title nor text.
        copies: Ids of documents that say the same; those that say nothing are left out.
        sample: Contents of all documents, or of a sample.
    """

    count: int = 0
    judged: set[str] = field(default_factory=set)
    contents: dict[str, str] = field(default_factory=dict)
    positive_langs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    langs: dict[str, int] = field(default_factory=dict)
    without_lang: int = 0
    empty: Some = field(default_factory=Some)
    copies: tuple[tuple[str, ...], ...] = ()
    sample: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, documents: Iterable[Document], judged: Collection[str], positives: Collection[str]) -> Corpus:
        """Pass over the documents once.

        Args:
            documents: The corpus.
            judged: Ids of the documents that have a judgment.
            positives: Ids of those that answer a query; their contents are kept.
        """
        corpus = cls()
        draw = random.Random(0)  # noqa: S311 - a sample, not a secret
        first: dict[bytes, str] = {}
        copies: dict[bytes, list[str]] = {}
        empty, n_empty = list[str](), 0
        for document in documents:
            corpus.count += 1
            content = document.content
            langs = languages_of(document)
            for lang in langs:
                corpus.langs[lang] = corpus.langs.get(lang, 0) + 1
            corpus.without_lang += not langs
            if document.id in judged:
                corpus.judged.add(document.id)
            if document.id in positives:
                corpus.contents[document.id] = content
                corpus.positive_langs[document.id] = langs
            if content:
                key = digest(content)
                earlier = first.setdefault(key, document.id)
                if earlier != document.id:
                    copies.setdefault(key, [earlier]).append(document.id)
            else:
                n_empty += 1
                empty += [document.id] if n_empty <= SHOWN else []
            corpus._keep(content, draw)
        corpus.empty = Some(n_empty, Some.of(empty).examples)
        corpus.copies = tuple(map(tuple, copies.values()))
        return corpus

    def _keep(self, content: str, draw: random.Random) -> None:
        """Reservoir sampling (Vitter 1985, algorithm R): each document is kept with the same chance."""
        if len(self.sample) < SAMPLE:
            self.sample.append(content)
        elif (place := draw.randrange(self.count)) < SAMPLE:
            self.sample[place] = content


def digest(text: str) -> bytes:
    """The same for texts that differ in white space and case only."""
    folded = " ".join(text.casefold().split())
    return hashlib.blake2b(folded.encode("utf-8", errors="surrogatepass"), digest_size=16).digest()


def languages_of(entry: Document | Query) -> tuple[str, ...]:
    """What ``lang`` declares."""
    return tuple(str(one) for one in as_list(entry.metadata.get("lang") or []) if one)
