"""``report.html``: the whole story in one file that needs no network, in the order in which people ask."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalkit.checks import boolean
from evalkit.exhibits import Example
from evalkit.result import EvalResult
from evalkit.sinks import details, plots, table
from evalkit.sinks.details import Table

REPORT = "report.html"

TEXTS = "texts.json"

PAGE = Path(__file__).parent / "page"

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
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, trim_blocks=True)
    verdict = result.assessment.verdict
    expected = verdict.expectation
    return environment.get_template("report.html.j2").render(
        verdict=verdict,
        headline=(
            f"{verdict.delta_points:+.1f} points of {expected.metric} at top-k {expected.top_k}, "
            f"expected {expected.band}"
        ),
        subject=table.subject_line(result),
        contents=CONTENTS,
        sure=[*_certainty(result), *table.sure_lines(result), table.control_line(result)],
        sweep=Table("Sweep", SWEEP_NOTE, tuple(table.header(result)), tuple(map(tuple, table.rows(result)))),
        attribution=details.attribution(result),
        what_ifs=details.what_ifs(result),
        slices=details.slices(result),
        no_slices=_no_slices(result),
        latency=details.latency(result),
        examples=[_example(one, result, include_texts) for one in result.assessment.examples],
        examples_note=_examples_note(result),
        checks=details.checks(result),
        notes=table.notes(result),
        commands=_commands(result),
        origin=list(_origin(result)),
        figures={
            name: {"svg": plots.as_svg(figure), "alternative": plots.alternative_text(result, name)}
            for name, figure in plots.figures(result).items()
        },
        footer=f"Run {result.run_id}, {result.provenance.created}. No text left the machine for it.",
        style=(PAGE / "report.css").read_text(encoding="utf-8"),
        script=(PAGE / "report.js").read_text(encoding="utf-8"),
    )


SWEEP_NOTE = (
    "Points are 100 x (reranked - dense); relative is the same change as a share of dense. Headroom is what a perfect "
    "reranker of the same candidates would gain; captured is the part of it that was gained. p is Holm-adjusted over "
    "the top-k that were not declared beforehand."
)


def _certainty(result: EvalResult) -> Iterator[str]:
    verdict, decision = result.assessment.verdict, result.assessment.decision
    settled = "settled: the interval excludes" if verdict.conclusive else "open: the interval holds"
    yield (
        f"95 % interval {table.interval(verdict.ci_low, verdict.ci_high)} points. The verdict is {settled} the nearest "
        "edge of the band."
    )
    if decision.p_value is not None:
        yield f"p of no gain: {table.p_value(decision.p_value)} ({decision.wins} won, {decision.losses} lost)."


def _no_slices(result: EvalResult) -> str:
    asked = ", ".join(result.design.slices)
    if result.sequential is not None:
        return "An early stop leaves too few queries to split."
    return (
        f"The queries' metadata holds nothing to split by (looked for: {asked or 'nothing'}); name its keys in "
        "statistics.slices."
    )


def _examples_note(result: EvalResult) -> str:
    expected = result.assessment.verdict.expectation
    return (
        f"The queries that won and lost most of {expected.metric} at top-k {expected.top_k}: the relevant passage that "
        "moved furthest, beside the other one that stood highest where the query was worse off."
    )


def _example(one: Example, result: EvalResult, include_texts: bool) -> Mapping[str, Any]:
    texts = result.texts if include_texts else None
    passages = [("Relevant", one.gold)] + ([("Rival", one.rival)] if one.rival else [])
    return {
        "kind": "won" if one.change > 0 else "lost",
        "change": f"{100 * one.change:+.0f}",
        "query_id": one.query_id,
        "question": texts.queries.get(one.query_id, "") if texts else "",
        "passages": [
            {
                "title": title,
                "doc_id": placed.doc_id,
                "before": _rank(placed.dense_rank, result),
                "after": _rank(placed.reranked_rank, result),
                "text": texts.documents.get(placed.doc_id, "") if texts else "",
            }
            for title, placed in passages
        ],
    }


def _rank(rank: int | None, result: EvalResult) -> str:
    return str(rank) if rank is not None else f"beyond {max(map(len, result.evidence.candidates.values()))}"


def _commands(result: EvalResult) -> Iterator[Mapping[str, str]]:
    folder = f"{result.provenance.config.get('reports_dir', 'reports')}/{result.dataset.name}/{result.run_id}"
    if result.provenance.command:
        yield {"what": "Run it again:", "line": shlex.join(("evalkit", *result.provenance.command))}
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
