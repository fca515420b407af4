"""The part in four languages: each client's file in its own language, general notes and questions in all four.

A pair's grade follows from one judgment of (question family, passage): 2 where the passage answers the question and is
in the asker's language, 1 where it does so in another language or answers a part, 0 where it was looked at and does not
help.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import english
from office import (
    QUESTION_KINDS,
    SOURCE,
    BuildError,
    Facts,
    Grades,
    Tongue,
    answers_of,
    files_of,
    load,
    lookup,
    plain,
    require_unique,
)

LANGUAGES = ("de", "fr", "it", "en")

STANDARD = (
    "vat.method", "vat.period", "books.fye", "books.audit", "contact.language", "bvg.insurer", "bank.house", "ins.sick",
    "lease.notice",
)  # fmt: skip
"""Facts that rules compare: they keep their English value in every language."""


def build() -> dict[str, str]:
    """The content of every file of the part by its relative path."""
    offices = {lang: Office(lang) for lang in LANGUAGES}
    corpus = [p for lang in LANGUAGES for p in offices[lang].passages()]
    require_unique(corpus)
    documents: dict[str, list[Facts]] = {}
    for p in corpus:
        documents.setdefault(p["key"], []).append(p)
    clients = [facts for lang in LANGUAGES for facts in offices[lang].clients]
    queries: list[Facts] = []
    grades: Grades = {}
    judged = judgments()
    for question in families():
        graded = answers_of(question, clients) | judged.get(question["id"], {})
        unknown = sorted(set(graded) - set(documents))
        if unknown:
            raise BuildError(f"{question['id']}: unknown answers {unknown}")
        for lang in LANGUAGES:
            query_id = f"{lang}-q-{question['id']}"
            metadata = {"lang": lang, "kind": question["kind"], "family": question["id"]}
            queries.append({"_id": query_id, "text": question["text"][lang], "metadata": metadata})
            for key, grade in graded.items():
                for p in documents[key]:
                    grades[query_id, p["_id"]] = grade if p["metadata"]["lang"] == lang else min(grade, 1)
    queries.sort(key=lambda query: LANGUAGES.index(query["metadata"]["lang"]))
    return files_of(corpus, queries, grades)


class Office:
    """The sources of one language."""

    def __init__(self, lang: str) -> None:
        base = load("clients.yaml")
        own = load(f"four/clients_{lang}.yaml")
        english_facts = {facts["slug"]: facts for facts in base}
        for facts in own:
            if facts["slug"] in english_facts:
                require_same_facts(english_facts[facts["slug"]], facts)
        self.clients: list[Facts] = [facts for facts in base if facts["lang"] == lang == "en"] + own
        self.matters: dict[str, list[Facts]] = load(f"four/matters_{lang}.yaml")
        self.notes: list[Facts] = load("notes_en.yaml" if lang == "en" else f"four/notes_{lang}.yaml")
        variants = load("passages_en.yaml" if lang == "en" else f"four/passages_{lang}.yaml")
        phrases = variants.pop("result", {})
        self.tongue = Tongue(lang, variants, variants.pop("words", {}), **phrases)
        if lang == "en":
            slugs = {facts["slug"] for facts in self.clients}
            self.matters = {k: v for k, v in load("matters_en.yaml").items() if k in slugs} | self.matters

    def passages(self) -> list[Facts]:
        """Every passage: the client files first, then the general notes."""
        return [p for facts in self.clients for p in self.file_of(facts)] + self.tongue.notes(self.notes)

    def file_of(self, facts: Facts) -> list[Facts]:
        """All passages of one client's file."""
        return self.tongue.client_passages(facts, self.matters.get(facts["slug"], []))


def families() -> list[Facts]:
    """Every question with its kind, answers and text by language: those of the English part, then the new ones."""
    translated = {lang: load(f"four/questions_{lang}.yaml") for lang in LANGUAGES if lang != "en"}
    found = []
    for question in load("questions_en.yaml"):
        texts = {lang: texts[question["id"]] for lang, texts in translated.items() if question["id"] in texts}
        if not texts:
            continue
        found.append(question | {"text": texts | {"en": question["text"]}})
    found += [question for lang in LANGUAGES if lang != "de" for question in load(f"four/families_{lang}.yaml")]
    seen: set[str] = set()
    for question in found:
        missing = sorted(set(LANGUAGES) - set(question["text"]))
        if missing or question["id"] in seen or question["kind"] not in QUESTION_KINDS:
            raise BuildError(f"question {question['id']}: given twice, of unknown kind, or missing in {missing}")
        seen.add(question["id"])
        question["text"] = {lang: plain(text) for lang, text in question["text"].items()}
    return found


def judgments() -> dict[str, dict[str, int]]:
    """Family -> passage key -> grade: what second readers found, in the English part and here; the latter counts."""
    keys = {p["_id"]: p["key"] for p in english.build_corpus(load("clients.yaml"))}
    found: dict[str, dict[str, int]] = {}
    for query_id, doc_id, grade in english.judgments():
        found.setdefault(query_id.removeprefix("en-q-"), {})[keys[doc_id]] = grade
    path = SOURCE / "four" / "judgments.tsv"
    for line in path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []:
        family, key, grade_text = line.split("\t")
        found.setdefault(family, {})[key] = int(grade_text)
    return found


def require_same_facts(base: Facts, facts: Facts) -> None:
    """Refuse a client whose numbers or standard values differ from those of the English part."""
    expected = [(path, lookup(base, path)) for path in STANDARD] + list(_numbers(base))
    other = [path for path, value in expected if lookup(facts, path) != value]
    if other:
        raise BuildError(f"{facts['slug']}: {', '.join(other)} differ from the English part")


def _numbers(facts: Any, path: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(facts, dict):
        for key, value in facts.items():
            yield from _numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(facts, int):
        yield path, facts
