"""``report.html``: the whole story in one file that needs no network, in the order in which people ask."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evalkit.checks import boolean
from evalkit.exhibits import Example, Texts
from evalkit.result import EvalResult
from evalkit.sinks import answers, details, language_answers, table
from evalkit.sinks.details import Table
from evalkit.sinks.rendering import drawn, render

REPORT = "report.html"

TEXTS = "texts.json"

LONGEST = 4000
"""Characters of a text that are shown; more than a reranker reads, and a page of books could not be opened."""

CONTENTS = (
    ("paid", "Did it pay?"),
    ("sure", "How sure?"),
    ("depth", "At which top-k?"),
    ("why", "Why?"),
    ("whom", "For whom not?"),
    ("latency", "At what latency?"),
    ("queries", "On which queries?"),
    ("checks", "Self-checks"),
    ("origin", "Origin"),
)

COLUMNS = (
    ("points", "100 x (reranked - stage 1): absolute percentage points"),
    ("95 % interval", "where the true gain lies, in points"),
    (
        "p",
        "the probability of so large a change if reranking did nothing, Holm-adjusted over the top-k that were not "
        "declared beforehand",
    ),
    ("relative", "the same change as a share of stage 1; +18 % and +18 points are different claims"),
    ("oracle", "the metric if a perfect reranker ordered the same candidates"),
    ("headroom", "oracle - stage 1, in points: what a reranker could gain at most"),
    ("captured", "gain / headroom"),
    ("W/T/L", "queries that won, tied, lost"),
    ("judged@5", "the share of the top 5 that has a judgment; where it falls, a missing gain may be a missing label"),
)
"""The columns of the sweep, in words."""

URGENCY = ("failed", "warned", "skipped", "passed")


class HtmlSink:
    """Writes ``report.html`` into the result folder.

    Args:
        include_texts: Show the texts of the queries that won and lost most, and of their passages, and keep them in
            ``texts.json``, so that the page can be drawn again.
    """

    publishes = False

    def __init__(self, include_texts: bool) -> None:
        boolean("report.include_texts", include_texts)
        self._include_texts = include_texts

    def write(self, result: EvalResult, folder: Path) -> None:
        """Draw the page."""
        (folder / REPORT).write_text(page(result, self._include_texts), encoding="utf-8")
        if self._include_texts and result.texts is not None:
            texts = json.dumps(asdict(result.texts), ensure_ascii=False, indent=2)
            (folder / TEXTS).write_text(texts + "\n", encoding="utf-8")


def page(result: EvalResult, include_texts: bool) -> str:
    """The page as HTML.

    Args:
        result: What is drawn.
        include_texts: Whether texts of queries and documents are shown, as far as the result holds them.
    """
    texts = result.texts if include_texts else None
    verdict = result.assessment.verdict
    flag, headline = answers.FLAGS[verdict.status], answers.headline(result)
    return render(
        "report.html.j2",
        title=f"{result.dataset.name}: {flag.lower()}, {headline}",
        verdict=verdict,
        flag=flag,
        answers={
            "headline": headline,
            "words": answers.words(result),
            "sure": answers.sure(result),
            "depth": answers.depth(result),
            "why": answers.why(result),
            "whom": answers.whom(result),
            "latency": answers.latency(result),
            "queries": answers.queries(result),
        },
        subject=[table.subject_line(result), *table.model_lines(result)],
        contents=CONTENTS,
        decision=result.assessment.decision.candidate,
        columns=COLUMNS,
        sweep=details.sweep(result),
        attribution=details.attribution(result),
        what_ifs=details.what_ifs(result),
        lengths=details.lengths(result),
        slices=_without_empty(details.slices(result)),
        languages={
            "explained": language_answers.explained(result),
            "told": language_answers.told(result),
            "grid": language_answers.grid(result),
            "cells": _without_empty(details.language_cells(result)),
            "own": details.own_language(result),
        },
        latency=details.latency(result),
        stage_one=result.stage_one.label,
        examples=[_example(one, result, texts) for one in result.assessment.examples],
        with_texts=texts is not None,
        checks=_urgent_first(details.checks(result)),
        notes=table.notes(result),
        commands=_commands(result),
        origin=list(_origin(result)),
        figures=drawn(result),
        footer=_footer(result),
    )


def _footer(result: EvalResult) -> str:
    first = result.provenance.derived_from
    again = "" if first is None else f", measured again without a model from {first}, when its gain was known"
    return f"Run {result.run_id}, {result.provenance.created}{again}."


def _without_empty(found: Table) -> Table:
    """The table without columns in which nothing stands."""
    kept = [place for place in range(len(found.titles)) if any(row[place] for row in found.rows)]
    rows = tuple(tuple(row[place] for place in kept) for row in found.rows)
    return replace(found, titles=tuple(found.titles[place] for place in kept), rows=rows)


def _urgent_first(checks: Table) -> Table:
    return replace(checks, rows=tuple(sorted(checks.rows, key=lambda row: URGENCY.index(row[1]))))


def _example(one: Example, result: EvalResult, texts: Texts | None) -> Mapping[str, Any]:
    passages = [("Relevant", one.gold)] + ([("Rival", one.rival)] if one.rival else [])
    return {
        "kind": "won" if one.change > 0 else "lost",
        "change": f"{100 * one.change:+.0f}",
        "query_id": one.query_id,
        "question": _shown(texts.queries.get(one.query_id, "")) if texts else "",
        "passages": [
            {
                "title": title,
                "doc_id": placed.doc_id,
                "before": _rank(placed.dense_rank, result),
                "after": _rank(placed.reranked_rank, result),
                "text": _shown(texts.documents.get(placed.doc_id, "")) if texts else "",
            }
            for title, placed in passages
        ],
    }


def _shown(text: str) -> str:
    """The text, or its beginning and how much there is of it."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST].rstrip()} … (the first {LONGEST} of {len(text)} characters)"


def _rank(rank: int | None, result: EvalResult) -> str:
    return str(rank) if rank is not None else f"beyond {max(map(len, result.evidence.candidates.values()))}"


def _commands(result: EvalResult) -> Iterator[Mapping[str, str]]:
    folder = f"{result.provenance.config.get('reports_dir', 'reports')}/{result.dataset.name}/{result.run_id}"
    first = result.provenance.derived_from
    if result.provenance.command:
        again = "Run it again:" if first is None else f"Run {first} again, from which this was measured:"
        yield {"what": again, "line": shlex.join(("evalkit", *result.provenance.command))}
    yield {"what": "Derive every number again and check every file:", "line": shlex.join(("evalkit", "verify", folder))}
    yield {"what": "Hold it to the rules of CI:", "line": shlex.join(("evalkit", "gate", folder))}


def _origin(result: EvalResult) -> Iterator[Table]:
    subject, provenance = result.dataset, result.provenance
    about = {
        "name": subject.name,
        "digest": subject.digest,
        "corpus digest": subject.corpus_digest,
        "qrels digest": subject.qrels_digest,
        "documents": subject.n_documents,
        "queries": subject.n_queries,
        "languages": ", ".join(subject.languages) or table.DASH,
    }
    yield _listing("Data set", about)
    for role, fingerprint in provenance.fingerprints.items():
        yield _listing(f"Fingerprint of the {role}", fingerprint)
    yield _listing("Software", provenance.versions)
    yield _listing("Machine", provenance.machine)
    yield _listing("Configuration", dict(_flat(provenance.config)))


def _listing(name: str, values: Mapping[str, Any]) -> Table:
    rows = tuple((str(key), value if isinstance(value, str) else json.dumps(value)) for key, value in values.items())
    return Table(name, "", ("name", "value"), rows)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
