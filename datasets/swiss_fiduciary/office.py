"""From the facts and text variants of an office to its passages, in one language at a time."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "source"
KINDS = ("engagement", "vat", "payroll", "lease", "bvg", "closing", "deadlines", "bank", "insurance", "contact")
YEARS = (2023, 2024)
QUESTION_KINDS = ("named", "described", "multi", "many", "general")
MIN_WORDS, MAX_WORDS = 30, 120
PLACEHOLDER = re.compile(r"\{([a-z0-9_.]+)(?:\|([a-z]+))?\}")

Facts = dict[str, Any]
Grades = dict[tuple[str, str], int]
"""(query id, document id) -> grade."""


class BuildError(Exception):
    """The sources contradict each other or break a rule of the data set."""


def load(name: str) -> Any:
    """Read one YAML file of the source folder."""
    try:
        return yaml.safe_load((SOURCE / name).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BuildError(f"source/{name} cannot be read: {error}") from error


@dataclass(frozen=True)
class Tongue:
    """How one language writes a passage.

    Attributes:
        lang: Its tag.
        variants: Passage kind -> text variants.
        words: Standard English value of a fact -> its word.
        profit, loss: Phrases around ``{amount}``.
    """

    lang: str
    variants: Facts
    words: dict[str, str] = field(default_factory=dict)
    profit: str = "a profit of {amount}"
    loss: str = "a loss of {amount}"

    def render(self, value: Any, style: str | None) -> str:
        """Write a fact into a text; amounts in one of the office's money styles."""
        if style is None:
            return self.words.get(str(value), str(value))
        if not isinstance(value, int):
            raise BuildError(f"format {style!r} needs a whole number, got {value!r}")
        whole = f"{abs(value):,}".replace(",", "'")
        result = (self.loss if value < 0 else self.profit).replace("{amount}", f"CHF {whole}.00")
        styles = {"chf": f"CHF {whole}.00", "fr": f"Fr. {whole}.–", "num": whole, "result": result}
        if style not in styles:
            raise BuildError(f"unknown format {style!r}")
        return styles[style]

    def fill(self, template: str, facts: Facts, where: str) -> str:
        """Replace every placeholder by its fact and tidy the white space."""

        def replace(match: re.Match[str]) -> str:
            value = lookup(facts, match[1])
            if value is None:
                raise BuildError(f"{where}: no fact for placeholder {match[0]}")
            return self.render(value, match[2])

        text = plain(PLACEHOLDER.sub(replace, template))
        if "{" in text or "}" in text:
            raise BuildError(f"{where}: placeholder left over in {text!r}")
        return text

    def passage(self, key: str, title: str, text: str, client: str | None, kind: str, year: int | None = None) -> Facts:
        """One line of the corpus; the key is what questions name as an answer."""
        words = len(text.split())
        if not MIN_WORDS <= words <= MAX_WORDS:
            raise BuildError(f"{key}: {words} words, allowed {MIN_WORDS} to {MAX_WORDS}")
        metadata: Facts = {"lang": self.lang, "client": client, "kind": kind}
        if year is not None:
            metadata["year"] = year
        doc_id = f"{self.lang}-{key.replace('/', '-')}"
        return {"key": key, "_id": doc_id, "title": title, "text": text, "metadata": metadata}

    def client_passages(self, facts: Facts, matters: list[Facts]) -> list[Facts]:
        """All passages of one client's file."""
        slug, built = facts["slug"], []
        for kind in KINDS:
            own = facts.get("own", {}).get(kind)
            if own:
                title, text = (self.fill(own[part], facts, f"{slug}/{kind}") for part in ("title", "text"))
                built.append(self.passage(f"{slug}/{kind}", title, text, slug, kind))
                continue
            variant = pick(self.variants[kind], facts, kind)
            years: tuple[int | None, ...] = YEARS if kind == "closing" else (None,)
            for year in years:
                key = f"{slug}/{kind}" + (f"-{year}" if year else "")
                extra = {"year": year, "y": facts[f"c{year % 100}"]} if year else {}
                title, text = (self.fill(variant[part], facts | extra, key) for part in ("title", "text"))
                built.append(self.passage(key, title, text, slug, kind, year))
        built += [
            self.passage(f"{slug}/{one['id']}", one["title"], plain(one["text"]), slug, "matter", one.get("year"))
            for one in matters
        ]
        return built

    def notes(self, notes: Iterable[Facts]) -> list[Facts]:
        """The general notes of the office."""
        return [
            self.passage(f"note/{note['id']}", note["title"], plain(note["text"]), None, "note", note.get("year"))
            for note in notes
        ]


def lookup(facts: Facts, path: str) -> Any:
    """The fact at a dotted path, or None."""
    value: Any = facts
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def plain(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())


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


def require_unique(corpus: list[Facts]) -> None:
    """Refuse a corpus in which an id or a text occurs twice."""
    for name in ("_id", "text"):
        count = Counter(p[name] for p in corpus)
        repeated = [p["_id"] for p in corpus if count[p[name]] > 1]
        if repeated:
            raise BuildError(f"corpus: {name} occurs more than once: {repeated}")


def answers_of(question: Facts, clients: list[Facts]) -> dict[str, int]:
    """The graded answers of a question; a rule over the facts adds one passage for each client it fits."""
    graded: dict[str, int] = {}
    rule = question.get("rule")
    if rule:
        graded = {f"{facts['slug']}/{rule['kind']}": 2 for facts in clients if matches(facts, rule["where"])}
    graded.update(question.get("answers", {}))
    if not set(graded.values()) <= {0, 1, 2}:
        raise BuildError(f"{question['id']}: a grade is not 0, 1 or 2")
    return graded


def files_of(corpus: list[Facts], queries: list[Facts], grades: Grades) -> dict[str, str]:
    """The content of every file of a data set by its relative path."""
    answered = {query_id for (query_id, _), grade in grades.items() if grade > 0}
    unanswered = [query["_id"] for query in queries if query["_id"] not in answered]
    if unanswered:
        raise BuildError(f"no answer with a grade of 1 or more: {unanswered}")
    order = {query["_id"]: n for n, query in enumerate(queries)}
    rows = sorted(grades.items(), key=lambda item: (order[item[0][0]], -item[1], item[0][1]))
    lines = {
        "corpus.jsonl": [json.dumps({k: v for k, v in p.items() if k != "key"}, ensure_ascii=False) for p in corpus],
        "queries.jsonl": [json.dumps(query, ensure_ascii=False) for query in queries],
        "qrels/test.tsv": ["query-id\tcorpus-id\tscore", *(f"{q}\t{d}\t{grade}" for (q, d), grade in rows)],
    }
    return {name: "\n".join(content) + "\n" for name, content in lines.items()}
