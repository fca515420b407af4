"""Build the Swiss fiduciary office data set (corpus, queries, qrels) from the files in source/.

Usage: python build.py [--out DIR] [--check]

Everything is deterministic: the text variant of a passage is chosen by a SHA-256 of the client
and the passage kind, so two runs write the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "source"
LANG = "en"
KINDS = ("engagement", "vat", "payroll", "lease", "bvg", "closing", "deadlines", "bank", "insurance", "contact")
YEARS = (2023, 2024)
QUESTION_KINDS = ("named", "described", "multi", "many", "general")
MIN_WORDS, MAX_WORDS = 30, 120
PLACEHOLDER = re.compile(r"\{([a-z0-9_.]+)(?:\|([a-z]+))?\}")

Facts = dict[str, Any]


class BuildError(Exception):
    """The sources contradict each other or break a rule of the data set."""


def load(name: str) -> Any:
    """Read one YAML file of the source folder."""
    return yaml.safe_load((SOURCE / name).read_text(encoding="utf-8"))


def lookup(facts: Facts, path: str) -> Any:
    """The fact at a dotted path, or None."""
    value: Any = facts
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def render(value: Any, style: str | None) -> str:
    """Write a fact into a text; amounts in one of the office's money styles."""
    if style is None:
        return str(value)
    if not isinstance(value, int):
        raise BuildError(f"format {style!r} needs a whole number, got {value!r}")
    whole = f"{abs(value):,}".replace(",", "'")
    result = f"a {'loss' if value < 0 else 'profit'} of CHF {whole}.00"
    return {"chf": f"CHF {whole}.00", "fr": f"Fr. {whole}.–", "num": whole, "result": result}[style]


def fill(template: str, facts: Facts, where: str) -> str:
    """Replace every placeholder by its fact and tidy the white space."""

    def replace(match: re.Match[str]) -> str:
        value = lookup(facts, match[1])
        if value is None:
            raise BuildError(f"{where}: no fact for placeholder {match[0]}")
        return render(value, match[2])

    text = " ".join(PLACEHOLDER.sub(replace, template).split())
    if "{" in text or "}" in text:
        raise BuildError(f"{where}: placeholder left over in {text!r}")
    return text


def matches(facts: Facts, where: dict[str, Any]) -> bool:
    """Whether a client has these facts; a condition is a value, {not: value} or {below: number}."""
    for path, wanted in where.items():
        value = lookup(facts, path)
        if value is None:
            return False
        if isinstance(wanted, dict):
            if "not" in wanted and value == wanted["not"]:
                return False
            if "below" in wanted and not value < wanted["below"]:
                return False
        elif value != wanted:
            return False
    return True


def pick(variants: list[dict[str, Any]], facts: Facts, kind: str) -> dict[str, Any]:
    """The text variant for a client: those whose condition holds, chosen by a stable hash."""
    fitting = [variant for variant in variants if matches(facts, variant.get("when", {}))]
    if not fitting:
        raise BuildError(f"{facts['slug']}/{kind}: no text variant fits")
    digest = hashlib.sha256(f"{facts['slug']}/{kind}".encode()).digest()
    return fitting[int.from_bytes(digest[:4], "big") % len(fitting)]


def passage(key: str, title: str, text: str, client: str | None, kind: str, year: int | None = None) -> Facts:
    """One line of the corpus; the key is what questions name as an answer."""
    words = len(text.split())
    if not MIN_WORDS <= words <= MAX_WORDS:
        raise BuildError(f"{key}: {words} words, allowed {MIN_WORDS} to {MAX_WORDS}")
    metadata: Facts = {"lang": LANG, "client": client, "kind": kind}
    if year is not None:
        metadata["year"] = year
    return {"key": key, "_id": f"{LANG}-{key.replace('/', '-')}", "title": title, "text": text, "metadata": metadata}


def client_passages(facts: Facts, variants: Facts, matters: list[Facts]) -> list[Facts]:
    """All passages of one client's file."""
    slug, built = facts["slug"], []
    for kind in KINDS:
        own = facts.get("own", {}).get(kind)
        if own:
            title, text = (fill(own[part], facts, f"{slug}/{kind}") for part in ("title", "text"))
            built.append(passage(f"{slug}/{kind}", title, text, slug, kind))
            continue
        variant = pick(variants[kind], facts, kind)
        years: tuple[int | None, ...] = YEARS if kind == "closing" else (None,)
        for year in years:
            key = f"{slug}/{kind}" + (f"-{year}" if year else "")
            extra = {"year": year, "y": facts[f"c{year % 100}"]} if year else {}
            title, text = (fill(variant[part], facts | extra, key) for part in ("title", "text"))
            built.append(passage(key, title, text, slug, kind, year))
    for matter in matters:
        text = " ".join(matter["text"].split())
        built.append(passage(f"{slug}/{matter['id']}", matter["title"], text, slug, "matter", matter.get("year")))
    return built


def build_corpus(clients: list[Facts]) -> list[Facts]:
    """Every passage: the client files first, then the general notes."""
    variants, matters = load(f"passages_{LANG}.yaml"), load(f"matters_{LANG}.yaml")
    unknown = set(matters) - {facts["slug"] for facts in clients}
    if unknown:
        raise BuildError(f"matters of unknown clients: {sorted(unknown)}")
    corpus = [p for facts in clients for p in client_passages(facts, variants, matters.get(facts["slug"], []))]
    for note in load(f"notes_{LANG}.yaml"):
        text = " ".join(note["text"].split())
        corpus.append(passage(f"note/{note['id']}", note["title"], text, None, "note", note.get("year")))
    for field in ("_id", "text"):
        values = [p[field] for p in corpus]
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            raise BuildError(f"corpus: {field} occurs more than once: {repeated}")
    return corpus


def answers_of(question: Facts, clients: list[Facts]) -> dict[str, int]:
    """The graded answers of a question; a rule over the facts adds one passage for each client it fits."""
    graded: dict[str, int] = {}
    rule = question.get("rule")
    if rule:
        graded = {f"{facts['slug']}/{rule['kind']}": 2 for facts in clients if matches(facts, rule["where"])}
    graded.update(question.get("answers", {}))
    return graded


def build_queries(clients: list[Facts], corpus: list[Facts]) -> tuple[list[Facts], dict[tuple[str, str], int]]:
    """The questions and the authored grades by (question id, document id)."""
    ids = {p["key"]: p["_id"] for p in corpus}
    queries: list[Facts] = []
    grades: dict[tuple[str, str], int] = {}
    seen: dict[str, str] = {}
    for question in load(f"questions_{LANG}.yaml"):
        name, text = question["id"], " ".join(question["text"].split())
        query_id, plain = f"{LANG}-q-{name}", " ".join(re.findall(r"\w+", text.lower()))
        if question["kind"] not in QUESTION_KINDS:
            raise BuildError(f"{name}: unknown question kind {question['kind']!r}")
        if plain in seen or name in seen.values():
            raise BuildError(f"{name}: same text or id as another question ({seen.get(plain, name)})")
        if any(doc_id in text for doc_id in ids.values()):
            raise BuildError(f"{name}: the question contains a document id")
        seen[plain] = name
        graded = answers_of(question, clients)
        for key, grade in graded.items():
            if key not in ids:
                raise BuildError(f"{name}: unknown answer {key!r}")
            if grade not in (0, 1, 2):
                raise BuildError(f"{name}: grade {grade!r} of {key} is not 0, 1 or 2")
            grades[query_id, ids[key]] = grade
        metadata = {"lang": LANG, "kind": question["kind"], "family": question.get("family", name)}
        queries.append({"_id": query_id, "text": text, "metadata": metadata})
    return queries, grades


def merge_judgments(grades: dict[tuple[str, str], int], queries: list[Facts], corpus: list[Facts]) -> None:
    """Let the second reader's judgments override or extend the authored grades."""
    known = {q["_id"] for q in queries}, {p["_id"] for p in corpus}
    path = SOURCE / f"judgments_{LANG}.tsv"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        match line.split("\t"):
            case [query, doc, "0" | "1" | "2" as score] if query in known[0] and doc in known[1]:
                grades[query, doc] = int(score)
            case _:
                raise BuildError(f"{path.name}, line {number}: not a judgment of a known pair: {line!r}")


def build() -> dict[str, str]:
    """The content of every file of the data set by its relative path."""
    clients = load("clients.yaml")
    corpus = build_corpus(clients)
    queries, grades = build_queries(clients, corpus)
    merge_judgments(grades, queries, corpus)
    answered = {query_id for (query_id, _), grade in grades.items() if grade > 0}
    unanswered = [q["_id"] for q in queries if q["_id"] not in answered]
    if unanswered:
        raise BuildError(f"no answer with a grade of 1 or more: {unanswered}")
    order = {q["_id"]: n for n, q in enumerate(queries)}
    rows = sorted(grades.items(), key=lambda item: (order[item[0][0]], -item[1], item[0][1]))
    lines = {
        "corpus.jsonl": [json.dumps({k: v for k, v in p.items() if k != "key"}, ensure_ascii=False) for p in corpus],
        "queries.jsonl": [json.dumps(q, ensure_ascii=False) for q in queries],
        "qrels/test.tsv": ["query-id\tcorpus-id\tscore", *(f"{q}\t{d}\t{grade}" for (q, d), grade in rows)],
    }
    return {name: "\n".join(content) + "\n" for name, content in lines.items()}


def main() -> int:
    """Write the files, or with --check compare them with those already written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=HERE / LANG, help="output folder (default: en/ beside this file)")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if the files are not up to date")
    options = parser.parse_args()
    try:
        files = build()
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    stale = []
    for name, content in files.items():
        path, data = options.out / name, content.encode("utf-8")
        if options.check:
            if not path.is_file() or path.read_bytes() != data:
                stale.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if stale:
        print(f"build.py: not up to date in {options.out}: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
