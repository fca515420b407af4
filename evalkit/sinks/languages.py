"""The language table, rounded: a matrix of gains, and how much of the top is in the asker's own language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit.parts import SIGNIFICANT, LanguageBias, LanguageGain, Languages
from evalkit.result import EvalResult
from evalkit.sinks.escaping import one_line
from evalkit.sinks.table import DASH, aligned, interval

POOLED, ALL = "pooled", "all"

NOT_CERTAIN, CANNOT_TELL = "~", "?"

WIDTH = 140
"""Columns of a terminal that the sweep of two metrics takes as well."""

MOST_LANGUAGES, MOST_CELLS = 12, 10
"""Above so many languages a terminal shows the pooled rows, and so many certain cells."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """The gains by row and column.

    Attributes:
        query_langs: The rows.
        document_langs: The columns; None, the pooled rankings, is the last.
        gains: (row, column) -> gain, where there is one.
    """

    query_langs: tuple[str, ...]
    document_langs: tuple[str | None, ...]
    gains: Mapping[tuple[str, str | None], LanguageGain]

    @classmethod
    def of(cls, found: Languages) -> Matrix:
        """Languages in the order of their names."""
        gains = {(gain.query_lang, gain.document_lang): gain for gain in found.gains}
        columns = {gain.document_lang for gain in found.gains}
        return cls(
            tuple(sorted({gain.query_lang for gain in found.gains})),
            (*sorted(lang for lang in columns if lang is not None), *((None,) if None in columns else ())),
            gains,
        )


def direction(gain: LanguageGain) -> Literal["gain", "loss", ""]:
    """Which way it goes for certain; empty where that cannot be told."""
    if gain.note or not gain.certain:
        return ""
    return "gain" if gain.ci_low > 0 else "loss"


def mark(gain: LanguageGain) -> str:
    """The sign of a gain that is not certain, or cannot tell; empty for one that is certain."""
    if gain.note:
        return CANNOT_TELL
    return "" if direction(gain) else NOT_CERTAIN


def largest_first(gains: Iterable[LanguageGain]) -> list[LanguageGain]:
    """Pooled rows, which are what a user of the search gets, before cells; among either, by the size of the change."""
    return sorted(gains, key=lambda gain: (gain.document_lang is not None, -abs(gain.delta_points)))


def spoken(lang: str) -> str:
    """The name of a language, in quotes where it would read as that of a margin."""
    name = one_line(lang)
    return f'"{name}"' if name.casefold() in {POOLED, ALL, ""} or name.startswith('"') else name


def column_name(document_lang: str | None) -> str:
    """The documents of a column."""
    return POOLED if document_lang is None else spoken(document_lang)


def cell_name(gain: LanguageGain) -> str:
    """Whose gain it is, on which documents."""
    documents = ALL if gain.document_lang is None else spoken(gain.document_lang)
    return f"{spoken(gain.query_lang)} queries on {documents} documents"


def how_to_read(result: EvalResult, matrix: Matrix) -> list[str]:
    """What rows, columns and cells are, and what the marks mean: one line each."""
    expected = result.assessment.verdict.expectation
    pooled = (
        [f"{POOLED} ranks all of them, which is what a user of the search gets; the other columns explain it"]
        if None in matrix.document_langs
        else []
    )
    return [
        f"points of {expected.metric} at top-k {expected.top_k} with their 95 % interval, and below them "
        f"{result.stage_one.label} -> reranked, by language of the queries",
        "a column ranks those of the retrieved candidates that are in one language, after the first "
        f"{expected.top_k} of all languages were reranked",
        *pooled,
        f"{NOT_CERTAIN} not certain (Holm-adjusted p >= {SIGNIFICANT}, or the interval holds 0), {CANNOT_TELL} cannot "
        "tell (report.html says why)",
    ]


def titles(matrix: Matrix) -> list[str]:
    """Of the columns of ``rows``."""
    return ["queries", *map(column_name, matrix.document_langs)]


def rows(matrix: Matrix) -> list[list[str]]:
    """Two rows per language of the queries: the gain with its interval, and the means that it lies between."""
    found = []
    for query_lang in matrix.query_langs:
        gains = [matrix.gains.get((query_lang, document_lang)) for document_lang in matrix.document_langs]
        found.append([spoken(query_lang), *(DASH if gain is None else _points(gain) for gain in gains)])
        found.append(["", *("" if gain is None else means(gain) for gain in gains)])
    return found


def means(gain: LanguageGain) -> str:
    """From stage 1 to reranked."""
    return f"{gain.baseline_mean:.3f} -> {gain.candidate_mean:.3f}"


def lines(result: EvalResult) -> list[str]:
    """For a terminal, ending with an empty line; nothing where there is no such table."""
    found = result.assessment.languages
    if found is None:
        return []
    matrix = Matrix.of(found)
    several = len({*matrix.query_langs, *matrix.document_langs} - {None}) > MOST_LANGUAGES
    if several and None in matrix.document_langs:
        return [
            *how_to_read(result, matrix),
            *_shortened(found, matrix, result.stage_one.label),
            *map(share_line, found.bias[-1:]),
            "",
        ]
    return [
        *how_to_read(result, matrix),
        *(line for block in _blocks(titles(matrix), rows(matrix)) for line in block),
        *map(share_line, found.bias),
        "",
    ]


def share_line(bias: LanguageBias) -> str:
    """How much of the top is in the asker's own language, before and after, and how much of it would be expected."""
    who, own = asker(bias), "their own language" if bias.query_lang is None else spoken(bias.query_lang)
    return (
        f"{who}: {share(bias.dense_share)} of the top {bias.cutoff} in {own} before, {share(bias.reranked_share)} "
        f"after, {share(bias.relevant_share)} of the relevant ones; {bias.delta_points:+.1f} points "
        f"({interval(bias.ci_low, bias.ci_high)})"
    )


def asker(bias: LanguageBias) -> str:
    """Whose queries."""
    return ALL if bias.query_lang is None else spoken(bias.query_lang)


def share(value: float) -> str:
    """A fraction in whole percent."""
    return f"{100 * value:.0f} %"


def _points(gain: LanguageGain) -> str:
    return f"{mark(gain)} {gain.delta_points:+.1f} ({interval(gain.ci_low, gain.ci_high)})".lstrip()


def _shortened(found: Languages, matrix: Matrix, label: str) -> list[str]:
    """The pooled rows and the certain cells of the largest change: a matrix of so many languages is not read."""
    certain = largest_first(gain for gain in found.cells if direction(gain))
    shown = certain[:MOST_CELLS]
    told = [[cell_name(gain), _points(gain), means(gain)] for gain in shown]
    pooled = Matrix(matrix.query_langs, (None,), matrix.gains)
    largest = f"the {len(shown)} largest of " if len(shown) < len(certain) else ""
    return [
        *aligned(titles(pooled), rows(pooled)),
        *(aligned(["certain cells", "points", f"{label} -> reranked"], told) if told else []),
        f"{largest}{len(certain)} certain cells of {len(found.cells)}; report.html holds the rest, and the shares of "
        "each language",
    ]


def _blocks(names: Sequence[str], table: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Lines of at most ``WIDTH``: where the columns do not fit side by side, one block of them below the other."""
    widths = [max(map(len, column)) + 2 for column in zip(names, *table, strict=True)]
    start, room = 1, WIDTH - widths[0] + 2
    for place in range(1, len(names) + 1):
        if place == len(names) or (place > start and sum(widths[start : place + 1]) > room):
            kept = slice(start, place)
            yield aligned([names[0], *names[kept]], [[row[0], *row[kept]] for row in table])
            start = place
