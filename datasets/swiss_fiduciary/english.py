"""The English part: every client's file and the general notes in English."""

from __future__ import annotations

import re

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
    plain,
    require_unique,
)


def build() -> dict[str, str]:
    """The content of every file of the part by its relative path."""
    clients = load("clients.yaml")
    corpus = build_corpus(clients)
    queries, grades = build_queries(clients, corpus)
    known = {query["_id"] for query in queries}, {p["_id"] for p in corpus}
    for query_id, doc_id, grade in judgments():
        if query_id not in known[0] or doc_id not in known[1]:
            raise BuildError(f"judgments_en.tsv: not a known pair: {query_id}, {doc_id}")
        grades[query_id, doc_id] = grade
    return files_of(corpus, queries, grades)


def build_corpus(clients: list[Facts]) -> list[Facts]:
    """Every passage: the client files first, then the general notes."""
    tongue, matters = Tongue("en", load("passages_en.yaml")), load("matters_en.yaml")
    unknown = set(matters) - {facts["slug"] for facts in clients}
    if unknown:
        raise BuildError(f"matters of unknown clients: {sorted(unknown)}")
    corpus = [p for facts in clients for p in tongue.client_passages(facts, matters.get(facts["slug"], []))]
    corpus += tongue.notes(load("notes_en.yaml"))
    require_unique(corpus)
    return corpus


def build_queries(clients: list[Facts], corpus: list[Facts]) -> tuple[list[Facts], Grades]:
    """The questions and the authored grades."""
    ids = {p["key"]: p["_id"] for p in corpus}
    queries: list[Facts] = []
    grades: Grades = {}
    seen: dict[str, str] = {}
    for question in load("questions_en.yaml"):
        name, text = question["id"], plain(question["text"])
        query_id, words = f"en-q-{name}", " ".join(re.findall(r"\w+", text.lower()))
        if question["kind"] not in QUESTION_KINDS:
            raise BuildError(f"{name}: unknown question kind {question['kind']!r}")
        if words in seen or name in seen.values():
            raise BuildError(f"{name}: same text or id as another question ({seen.get(words, name)})")
        if any(doc_id in text for doc_id in ids.values()):
            raise BuildError(f"{name}: the question contains a document id")
        seen[words] = name
        for key, grade in answers_of(question, clients).items():
            if key not in ids:
                raise BuildError(f"{name}: unknown answer {key!r}")
            grades[query_id, ids[key]] = grade
        metadata = {"lang": "en", "kind": question["kind"], "family": question.get("family", name)}
        queries.append({"_id": query_id, "text": text, "metadata": metadata})
    return queries, grades


def judgments() -> list[tuple[str, str, int]]:
    """The second readers' judgments, which override or add to the authored grades: query id, document id, grade."""
    rows = []
    lines = (SOURCE / "judgments_en.tsv").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[1:], start=2):
        match line.split("\t"):
            case [query_id, doc_id, "0" | "1" | "2" as score]:
                rows.append((query_id, doc_id, int(score)))
            case _:
                raise BuildError(f"judgments_en.tsv, line {number}: not a judgment: {line!r}")
    return rows
