"""The language table in the page: what it says, to somebody who meets the words for the first time, and its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.parts import LanguageBias, LanguageGain, Languages
from evalkit.result import EvalResult
from evalkit.sinks import table
from evalkit.sinks.languages import Matrix, cell_name, column_name, direction, largest_first, mark, means, share

FULL_POINTS = 10.0
"""The least gain or loss that gets the full colour, so that a table of small ones stays pale."""

_PALE = 0.3

_NAMED = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix.

    Attributes:
        points: The gain with its sign.
        mark: That of a gain that is not certain, or cannot tell.
        interval: Its interval.
        means: From stage 1 to reranked.
        words: Everything, in a sentence.
        tone: ``gain`` or ``loss``, whose colour it has; empty: none.
        strength: How much of that colour, from 0 to 1.
        certain: Whether its direction is certain.
    """

    points: str
    mark: str
    interval: str
    means: str
    words: str
    tone: str
    strength: float
    certain: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """The matrix as it is drawn: a row is a language and its cells; a pooled column is the last."""

    columns: tuple[str, ...]
    pooled: bool
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]


def grid(result: EvalResult) -> Grid | None:
    """The matrix; None where there is no language table."""
    found = result.assessment.languages
    if found is None:
        return None
    matrix = Matrix.of(found)
    full = max(FULL_POINTS, *(abs(gain.delta_points) for gain in found.gains))
    rows = []
    for query_lang in matrix.query_langs:
        gains = [matrix.gains.get((query_lang, document_lang)) for document_lang in matrix.document_langs]
        cells = tuple(None if gain is None else _cell(gain, full, result) for gain in gains)
        rows.append((column_name(query_lang), cells))
    named = tuple(column_name(lang) for lang in matrix.document_langs if lang is not None)
    return Grid(named, None in matrix.document_langs, tuple(rows))


def explained(result: EvalResult) -> str:
    """What rows, columns and cells are; nothing where there is no language table."""
    found = result.assessment.languages
    if found is None:
        return ""
    pooled = (
        " Pooled is what somebody who searches gets: all of them in one ranking. The cells explain it; they are no "
        "search of their own."
        if len(found.cells) < len(found.gains)
        else ""
    )
    return (
        "A row is the language of the queries, a column that of the documents. A cell ranks those of the retrieved "
        f"candidates that are in one language, after the first {result.assessment.verdict.expectation.top_k} of all "
        f"languages were reranked, and only documents in that language count as relevant.{pooled}"
    )


def told(result: EvalResult) -> list[str]:
    """What is certain of the cells, and where the share of the asker's own language went."""
    found = result.assessment.languages
    if found is None:
        return []
    if result.assessment.status == "invalid":
        return ["Nothing can be said of languages while a self-check fails."]
    return [_certain(found), *_without_headroom(found), *_bias(found.bias)]


def _certain(found: Languages) -> str:
    gains, losses, others = (
        [gain for gain in found.gains if direction(gain) == wanted] for wanted in ("gain", "loss", "")
    )
    silent = [gain for gain in others if gain.note]
    why = (
        f" Cannot tell: {_names(silent)}. That is no sign that nothing is lost there: the note of each says why."
        if silent
        else ""
    )
    if not gains and not losses:
        return f"None of the {len(found.gains)} cells gains or loses for certain.{why}"
    open_ones = [gain for gain in others if not gain.note]
    return (
        f"Of {len(found.gains)} cells, gain for certain: {_names(gains)}. Lose for certain: {_names(losses)}. Not "
        f"certain: {_names(open_ones)}.{why}"
    )


def _names(gains: Sequence[LanguageGain]) -> str:
    named = [f"{cell_name(gain)} ({gain.delta_points:+.1f})" for gain in largest_first(gains)[:_NAMED]]
    more = [f"and {len(gains) - _NAMED} more"] if len(gains) > _NAMED else []
    return ", ".join([*named, *more]) or "none"


def _without_headroom(found: Languages) -> list[str]:
    bound = sum(gain.headroom_points <= 0 for gain in found.gains)
    if not bound:
        return []
    return [
        f"In {bound} of the {len(found.gains)} cells a perfect reranker of the same candidates would gain "
        "nothing: what is not there yet lies beyond the candidates, where only the search can find it."
    ]


def _bias(biases: Sequence[LanguageBias]) -> list[str]:
    if not biases:
        return []
    whole, parts = biases[-1], biases[:-1]
    lies = "lies above 0" if whole.ci_low > 0 else "lies below 0" if whole.ci_high < 0 else "holds 0"
    raised = [one.query_lang or "" for one in parts if one.ci_low > 0]
    lowered = [one.query_lang or "" for one in parts if one.ci_high < 0]
    alone = (
        f" The 95 % interval of each language alone, not adjusted for their number, lies above 0 for {_listed(raised)} "
        f"and below 0 for {_listed(lowered)}."
        if parts
        else ""
    )
    return [
        f"With reranking, the share of documents in the language of the query went from {share(whole.dense_share)} to "
        f"{share(whole.reranked_share)} of the first {whole.cutoff} ({whole.delta_points:+.1f} points); its 95 % "
        f"interval, {table.interval(whole.ci_low, whole.ci_high)}, {lies}. Of the relevant documents, "
        f"{share(whole.relevant_share)} are in it: a larger share at the top means that others had to stand back."
        f"{alone}"
    ]


def _listed(langs: Sequence[str]) -> str:
    return ", ".join(map(column_name, langs)) or "none"


def _cell(gain: LanguageGain, full: float, result: EvalResult) -> Cell:
    certain = bool(direction(gain))
    tone = "" if gain.note or not gain.delta_points else "gain" if gain.delta_points > 0 else "loss"
    return Cell(
        points=f"{gain.delta_points:+.1f}",
        mark=mark(gain),
        interval=table.interval(gain.ci_low, gain.ci_high),
        means=means(gain),
        words=_words(gain, result),
        tone=tone,
        strength=round(abs(gain.delta_points) / full * (1 if certain else _PALE), 2),
        certain=certain,
    )


def _words(gain: LanguageGain, result: EvalResult) -> str:
    shown = table.p_value(gain.p_adjusted)
    families = f" in {gain.n_units} families" if result.evidence.unit == "family" else ""
    note = f"; {gain.note}" if gain.note else ""
    return (
        f"{cell_name(gain)}: {gain.metric} from {gain.baseline_mean:.3f} to {gain.candidate_mean:.3f}, "
        f"{gain.delta_points:+.1f} points (95 % interval {table.interval(gain.ci_low, gain.ci_high)}), p "
        f"{'' if shown.startswith('<') else '= '}{shown}{note}; {gain.n_queries} queries{families}; headroom "
        f"{gain.headroom_points:.1f} points; on average {gain.candidates:.1f} of the {gain.top_k} candidates"
    )
