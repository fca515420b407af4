"""Results that ``report.html`` is drawn from, and the page as a parser sees it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

from evalkit.exhibits import Texts
from evalkit.findings import SliceGain, WhatIf
from evalkit.result import EvalResult, Evidence
from evalkit.types import Metric
from tests.analysis.evidence import design_of
from tests.hits import GAINING, result_by
from tests.results import METRICS, result_of

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"double\" 'single' &amp; &lt;b&gt; {{ 7 * 7 }}",
    "line\u2028paragraph\u2029end",
    "שלום עולם, مرحبا",
    "👩‍🔬 emoji ✂️",
    "</style><style>*{display:none}</style>",
    "https://example.org/" + "unbroken" * 30,
)

RECALL = Metric("recall", 5)
SLICES = (
    SliceGain("lang", "de", RECALL, 10, 0.5, 0.8, 30.8, 18.0, 43.0, 0.0004, 0.0008, 50.0, 65, 65, ""),
    SliceGain("lang", "fr", RECALL, 10, 0.5, 0.2, -30.0, -50.0, -10.0, 0.01, 0.02, 50.0, 25, 25, ""),
    SliceGain("lang", "it", RECALL, 10, 0.5, 0.6, 10.0, -20.0, 40.0, 0.5, 0.5, 50.0, 10, 10, ""),
)
WHAT_IFS = (
    WhatIf("rrf", "1 / (60 + rank)", 5.0, 4.5, -1.0, 9.0, 13.0, 0.0),
    WhatIf("margin", "where close", 5.0, 12.5, 3.0, 22.0, 13.0, 0.25),
)
"""Set by hand: better off for certain, worse off for certain, neither."""


def changed(result: EvalResult, **changes: Any) -> EvalResult:
    return replace(result, assessment=replace(result.assessment, **changes))


def complete() -> EvalResult:
    """All that a page can show: 100 queries, of which reranking won 20 and lost 5, with slices, latency and texts."""
    return told(changed(result_by(GAINING), slices=SLICES, what_ifs=WHAT_IFS))


def told(result: EvalResult) -> EvalResult:
    """The same with a text for every query and document of its examples."""
    examples = result.assessment.examples
    documents = {placed.doc_id for one in examples for placed in (one.gold, one.rival) if placed is not None}
    return replace(
        result,
        texts=Texts(
            {one.query_id: f"What does {one.query_id} ask?" for one in examples},
            {doc_id: f"A passage about {doc_id}.\nIts second line." for doc_id in sorted(documents)},
        ),
    )


def hostile() -> EvalResult:
    """Ids, texts and values of slices that try to be more than text."""

    def named(text: str) -> str:
        return f"{HOSTILE[int(''.join(filter(str.isdigit, text))) % len(HOSTILE)]}{text}"

    found = result_by(GAINING).evidence
    evidence = Evidence(
        {
            named(query): tuple(replace(one, doc_id=named(one.doc_id)) for one in candidates)
            for query, candidates in found.candidates.items()
        },
        {
            named(query): {named(doc_id): grade for doc_id, grade in grades.items()}
            for query, grades in found.qrels.items()
        },
        attributes={named(query): {"kind": (HOSTILE[place % 8],)} for place, query in enumerate(found.qrels)},
    )
    result = result_of(evidence, design_of(10, (6, 10), metrics=METRICS, slices=("kind",)))
    subject = replace(result.dataset, name=HOSTILE[0], warnings=HOSTILE)
    return told(replace(result, dataset=subject))


def sortable() -> EvalResult:
    """A sweep of four whose cells sort otherwise as texts than as numbers."""
    cells = {
        6: {"delta_points": 6.6, "p_adjusted": 0.0004, "wins": 24, "ties": 275, "losses": 4, "captured": 0.46},
        7: {"delta_points": -0.5, "p_adjusted": 0.5, "wins": 3, "ties": 300, "losses": 10, "captured": None},
        8: {"delta_points": 10.0, "p_adjusted": 0.001, "wins": 100, "ties": 200, "losses": 3, "captured": 0.05},
        10: {"delta_points": 2.0, "p_adjusted": 0.04, "wins": 9, "ties": 290, "losses": 4, "captured": 1.0},
    }
    result = result_of(result_by().evidence, design_of(10, tuple(cells), metrics=METRICS))
    rows = (replace(row, **cells[row.top_k]) for row in result.assessment.comparisons)  # type: ignore[arg-type]
    return changed(result, comparisons=tuple(rows))


@dataclass
class Element:
    """One start tag, its attributes, and all text between it and its end."""

    tag: str
    attributes: dict[str, str]
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def get(self, name: str) -> str:
        return self.attributes.get(name, "")


class Page(HTMLParser):
    """A page's elements in their order."""

    _VOID = ("meta", "input", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {[one.tag for one in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        assert len(element.attributes) == len(attrs), f"an attribute twice: {attrs}"
        self.elements.append(element)
        if tag not in self._VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.words.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements of a kind with these attributes; ``class_`` stands for ``class``."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [one for one in self.elements if one.tag == tag and wanted.items() <= one.attributes.items()]

    def one(self, tag: str, **attributes: str) -> Element:
        """The only such element."""
        (found,) = self.all(tag, **attributes)
        return found
