"""Results that ``report.html`` is drawn from, and the page as a parser sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

from evalkit.exhibits import Texts
from evalkit.findings import WhatIf
from evalkit.parts import LanguageBias, LanguageGain, Languages, LengthGain, SliceGain
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
    SliceGain(RECALL, 10, 0.5, 0.8, 30.8, 18.0, 43.0, 0.0004, 0.0008, 50.0, 65, 65, "", "query", "lang", "de"),
    SliceGain(RECALL, 10, 0.5, 0.2, -30.0, -50.0, -10.0, 0.01, 0.02, 50.0, 25, 25, "", "query", "lang", "fr"),
    SliceGain(RECALL, 10, 0.5, 0.6, 10.0, -20.0, 40.0, 0.5, 0.5, 50.0, 10, 10, "", "query", "lang", "it"),
)
WHAT_IFS = (
    WhatIf("rrf", "1 / (60 + rank)", 5.0, 4.5, -1.0, 9.0, 13.0, 0.0),
    WhatIf("margin", "where close", 5.0, 12.5, 3.0, 22.0, 13.0, 0.25),
)
"""Set by hand: better off for certain, worse off for certain, neither."""

FEW = "too small to tell: 4 independent queries or families, fewer than 10"
LANGUAGES = Languages(
    gains=(
        LanguageGain(RECALL, 10, 0.5, 0.8, 30.0, 17.5, 42.0, 0.0002, 0.0012, 40.0, 65, 60, "", "de", "de", 6.25),
        LanguageGain(RECALL, 10, 0.4, 0.15, -25.0, -41.0, -9.0, 0.002, 0.008, 0.0, 20, 20, "", "fr", "de", 1.5),
        LanguageGain(RECALL, 10, 0.3, 0.36, 6.0, -2.5, 14.5, 0.15, 0.3, 20.0, 50, 50, "", "de", "fr", 3.75),
        LanguageGain(RECALL, 10, 0.25, 0.5, 25.0, -20.0, 60.0, 0.5, 0.5, 50.0, 4, 4, FEW, "it", "fr", 2.0),
        LanguageGain(RECALL, 10, 0.45, 0.65, 20.0, 9.5, 30.5, 0.0004, 0.002, 35.0, 65, 60, "", "de", None, 10.0),
        LanguageGain(RECALL, 10, 0.4, 0.4, 0.0, -12.0, 12.0, 1.0, 1.0, 30.0, 25, 25, "", "fr", None, 10.0),
        LanguageGain(RECALL, 10, 0.25, 0.25, 0.0, -40.0, 40.0, 1.0, 1.0, 25.0, 4, 4, FEW, "it", None, 10.0),
    ),
    bias=(
        LanguageBias("de", 5, 0.34, 0.61, 0.74, 13.0, 8.1, 17.9, 65),
        LanguageBias("fr", 5, 0.5, 0.4, 0.28, -12.0, -22.0, -2.0, 25),
        LanguageBias(None, 5, 0.385, 0.55, 0.61, 6.0, 1.5, 10.5, 90),
    ),
)
"""Set by hand: a certain gain, a certain loss without headroom, an open cell and a small one; two cells are missing."""


LENGTHS = (
    LengthGain(RECALL, 10, 0.5, 0.75, 25, 20, 30, 0.0005, 0.001, 40, 90, 90, "", "fits", 900, 95, 22.5),
    LengthGain(RECALL, 10, 0.4, 0.3, -10, -30, 10, 0.4, 0.4, 40, 20, 20, "", "longer", 100, 20, -2.5),
)


def changed(result: EvalResult, **changes: Any) -> EvalResult:
    return replace(result, assessment=replace(result.assessment, **changes))


def complete() -> EvalResult:
    """All that a page can show: 100 queries, 20 won and 5 lost by reranking, with slices, languages and texts."""
    return told(changed(result_by(GAINING), slices=SLICES, languages=LANGUAGES, lengths=LENGTHS, what_ifs=WHAT_IFS))


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
    return told(changed(replace(result, dataset=subject), languages=speaking(HOSTILE)))


def speaking(langs: Sequence[str]) -> Languages:
    """A gain for every query language on every document language, and bias."""
    gain, bias = LANGUAGES.gains[0], LANGUAGES.bias[0]
    return Languages(
        tuple(replace(gain, query_lang=one, document_lang=other) for one in langs for other in (*langs, None)),
        tuple(replace(bias, query_lang=lang) for lang in langs),
    )


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
