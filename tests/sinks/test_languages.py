"""The language table in every place, from one that was set by hand: a gain, a loss, what is open, and what is small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.parts import LanguageBias, LanguageGain, Languages
from evalkit.result import EvalResult
from evalkit.sinks import details, language_answers, languages
from evalkit.sinks.html import page
from evalkit.sinks.markdown import MarkdownSink
from evalkit.sinks.terminal import TerminalSink
from tests.hits import invalid, result_by
from tests.pages import FEW, LANGUAGES, Page, changed, speaking

ROWS = [
    ["de", "+30.0 (+17.5 to +42.0)", "~ +6.0 (-2.5 to +14.5)", "+20.0 (+9.5 to +30.5)"],
    ["", "0.500 -> 0.800", "0.300 -> 0.360", "0.450 -> 0.650"],
    ["fr", "-25.0 (-41.0 to -9.0)", "–", "~ +0.0 (-12.0 to +12.0)"],
    ["", "0.400 -> 0.150", "", "0.400 -> 0.400"],
    ["it", "–", "? +25.0 (-20.0 to +60.0)", "? +0.0 (-40.0 to +40.0)"],
    ["", "", "0.250 -> 0.500", "0.250 -> 0.250"],
]
SHARES = [
    "de: 61 % of the top 5 in de before, 74 % after, 34 % of the relevant ones; +13.0 points (+8.1 to +17.9)",
    "fr: 40 % of the top 5 in fr before, 28 % after, 50 % of the relevant ones; -12.0 points (-22.0 to -2.0)",
    "all: 55 % of the top 5 in their own language before, 61 % after, 38 % of the relevant ones; +6.0 points (+1.5 to "
    "+10.5)",
]
LEGEND = [
    "a column ranks those of the retrieved candidates that are in one language, after the first 10 of all languages "
    "were reranked",
    "pooled ranks all of them, which is what a user of the search gets; the other columns explain it",
    "~ not certain (Holm-adjusted p >= 0.05, or the interval holds 0), ? cannot tell (report.html says why)",
]
CERTAIN = LANGUAGES.gains[0]
POOLED_SIZES = [("a", 0.1), ("b", 0.3), ("c", 0.2)]
ONE_LANGUAGE = Languages(tuple(gain for gain in LANGUAGES.cells if gain.document_lang == "de"), ())
"""Documents in one language: nothing is pooled, and no share of the top is looked at."""


@pytest.fixture(scope="module")
def bare() -> EvalResult:
    return result_by()


@pytest.fixture(scope="module")
def result(bare: EvalResult) -> EvalResult:
    return changed(bare, languages=LANGUAGES)


def biased(result: EvalResult, *rows: LanguageBias) -> EvalResult:
    return changed(result, languages=Languages(LANGUAGES.gains, rows))


def words(result: EvalResult, tmp_path: Path) -> str:
    MarkdownSink().write(result, tmp_path)
    return (tmp_path / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("gain", "direction", "mark"),
    [
        (CERTAIN, "gain", ""),
        (replace(CERTAIN, ci_low=-20.0, ci_high=-5.0), "loss", ""),
        (replace(CERTAIN, ci_low=-0.1), "", "~"),
        (replace(CERTAIN, p_adjusted=0.05), "", "~"),
        (replace(CERTAIN, p_adjusted=0.0499), "gain", ""),
        (replace(CERTAIN, note=FEW), "", "?"),
    ],
)
def test_a_direction_is_certain_where_adjusted_test_interval_and_size_agree(
    gain: LanguageGain, direction: str, mark: str
) -> None:
    assert (languages.direction(gain), languages.mark(gain)) == (direction, mark)


def test_the_matrix_has_a_row_per_query_language_and_pooled_last() -> None:
    shuffled = Languages(LANGUAGES.gains[::-1], ())
    for found in (LANGUAGES, shuffled):
        matrix = languages.Matrix.of(found)
        assert languages.titles(matrix) == ["queries", "de", "fr", "pooled"]
        assert languages.rows(matrix) == ROWS


def test_the_terminal_shows_the_matrix_between_the_sweep_and_the_notes(
    result: EvalResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TerminalSink().write(result, tmp_path)
    shown = capsys.readouterr().out.splitlines()
    begin = shown.index(
        "points of recall@5 at top-k 10 with their 95 % interval, and below them dense -> reranked, by language of the "
        "queries"
    )
    assert shown[begin + 1 : begin + 4] == LEGEND
    assert [line.split() for line in shown[begin + 5 : begin + 11]] == [" ".join(row).split() for row in ROWS]
    assert shown[begin + 11 : begin + 15] == [*SHARES, ""]
    assert shown[begin - 1] == ""
    assert any(line.startswith("rerank@10") for line in shown[:begin])


@pytest.mark.parametrize("count", [4, 9])
def test_more_languages_than_fit_side_by_side_stand_in_blocks(result: EvalResult, count: int) -> None:
    """A cell takes 22 columns and 2 before it: five fit beside the rows, so that nine and pooled take two blocks."""
    langs = [f"l{place}" for place in range(count)]
    lines = languages.lines(changed(result, languages=speaking(langs)))
    assert max(map(len, lines)) <= 140
    heads = [line.split() for line in lines if line.startswith("queries")]
    assert [name for head in heads for name in head[1:]] == [*langs, "pooled"]
    assert [head[0] for head in heads] == ["queries"] * (1 if count == 4 else 2)
    assert sum(line.count("+30.0 (+17.5 to +42.0)") for line in lines) == count * (count + 1)
    assert sum(line.count("0.500 -> 0.800") for line in lines) == count * (count + 1)


def test_a_language_that_is_no_word_breaks_no_line(result: EvalResult) -> None:
    lines = languages.lines(changed(result, languages=speaking(["d\ne", "\x1b[31mfr"])))
    assert all(line.isprintable() for line in lines)
    assert any(line.startswith("d e: 61 % of the top 5 in d e before") for line in lines)


def test_a_language_that_is_no_word_breaks_no_line_of_the_head(
    result: EvalResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = replace(result.dataset, name="my\ndata", languages=("d\ne", "\x1b[31mfr"))
    TerminalSink().write(replace(result, dataset=subject), tmp_path)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].startswith("my data: ")
    assert ", languages d e, [31mfr; digest " in shown.splitlines()[0]
    assert all(line.isprintable() for line in shown.split("\n"))


def test_a_language_that_is_called_like_a_margin_is_told_from_it(result: EvalResult) -> None:
    named = changed(result, languages=speaking(["pooled", "all", '"pooled"', "de"]))
    found = named.assessment.languages
    assert found is not None
    matrix = languages.Matrix.of(found)
    assert languages.titles(matrix) == ["queries", '""pooled""', '"all"', "de", '"pooled"', "pooled"]
    assert [row[0] for row in languages.rows(matrix)[::2]] == ['""pooled""', '"all"', "de", '"pooled"']
    names = {languages.cell_name(gain) for gain in found.gains}
    assert len(names) == 4 * 5
    assert {'de queries on "all" documents', "de queries on all documents"} <= names
    both = biased(result, replace(LANGUAGES.bias[0], query_lang="all"), LANGUAGES.bias[2])
    assert [row[0] for row in details.own_language(both).rows] == ['"all"', "all"]
    drawn = language_answers.grid(named)
    assert drawn is not None
    assert drawn.columns == ('""pooled""', '"all"', "de", '"pooled"')


def test_of_many_languages_the_terminal_shows_pooled_rows_and_the_largest_certain_cells(result: EvalResult) -> None:
    """Of 169 cells the eleven of l00 gain 1 to 11 points for certain, l12's own loses 50, and one of 60 is not."""
    langs = [f"l{place:02}" for place in range(13)]
    sizes: dict[tuple[str, str | None], float] = {("l00", f"l{place:02}"): float(place) for place in range(1, 12)}
    low = {**sizes, ("l12", "l12"): -55.0, ("l12", "l11"): -5.0}
    points = {**sizes, ("l12", "l12"): -50.0, ("l12", "l11"): 60.0}
    gains = tuple(
        replace(
            gain,
            delta_points=points.get((gain.query_lang, gain.document_lang), 0.0),
            ci_low=low.get((gain.query_lang, gain.document_lang), -1.0),
            ci_high=-45.0 if (gain.query_lang, gain.document_lang) == ("l12", "l12") else 70.0,
        )
        for gain in speaking(langs).gains
    )
    lines = languages.lines(changed(result, languages=Languages(gains, LANGUAGES.bias)))
    assert lines[4].split() == ["queries", "pooled"]
    assert [line.split()[0] for line in lines[5:31:2]] == langs
    assert lines[31].split() == ["certain", "cells", "points", "dense", "->", "reranked"]
    assert [line.split("  ")[0] for line in lines[32:42]] == [
        "l12 queries on l12 documents", *(f"l00 queries on l{place:02} documents" for place in range(11, 2, -1))
    ]  # fmt: skip
    assert lines[32].split()[5:9] == ["-50.0", "(-55.0", "to", "-45.0)"]
    assert lines[42:] == [
        "the 10 largest of 12 certain cells of 169; report.html holds the rest, and the shares of each language",
        SHARES[2],
        "",
    ]
    open_ones = tuple(replace(gain, p_adjusted=1.0) for gain in gains)
    told = languages.lines(changed(result, languages=Languages(open_ones, ())))
    assert told[31:] == [
        "0 certain cells of 169; report.html holds the rest, and the shares of each language",
        "",
    ]
    fits = languages.lines(changed(result, languages=speaking(langs[:12])))
    assert not any("report.html holds the rest" in line for line in fits)
    assert sum(line.count("0.500 -> 0.800") for line in fits) == 12 * 13


def test_of_many_query_languages_on_documents_in_one_the_terminal_shows_every_row(result: EvalResult) -> None:
    rows = tuple(replace(CERTAIN, query_lang=f"l{place:02}") for place in range(13))
    lines = languages.lines(changed(result, languages=Languages(rows, ())))
    assert sum(line.count("+30.0 (+17.5 to +42.0)") for line in lines) == 13
    assert not any("report.html holds the rest" in line for line in lines)


def test_nothing_is_pooled_where_documents_are_in_one_language(result: EvalResult, tmp_path: Path) -> None:
    one = changed(result, languages=ONE_LANGUAGE)
    assert languages.titles(languages.Matrix.of(ONE_LANGUAGE)) == ["queries", "de"]
    found = Page(page(one, include_texts=False)).one("section", id="whom").text
    for text in ("\n".join(languages.lines(one)), found, words(one, tmp_path)):
        assert "-25.0" in text
        assert "pooled" not in text.lower()
        assert "own language" not in text.lower()
    assert "language of the query?" not in found


def test_without_a_language_table_nothing_is_said_of_languages(
    bare: EvalResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bare.assessment.languages is None
    TerminalSink().write(bare, tmp_path)
    shown = capsys.readouterr().out
    assert "rerank@10" in shown
    assert "by language" not in shown
    assert "anguage of" not in shown
    assert "anguage\n" not in words(bare, tmp_path)
    drawn = Page(page(bare, include_texts=False))
    assert "language of" not in drawn.one("section", id="whom").text
    assert len(drawn.all("table", class_="matrix short")) == 0
    assert language_answers.explained(bare) == ""
    assert language_answers.told(bare) == []


def test_the_markdown_report_holds_both_tables(result: EvalResult, tmp_path: Path) -> None:
    text = words(result, tmp_path)
    assert (
        "| queries | de | fr | pooled |\n| --- | ---: | ---: | ---: |\n| de | +30.0 (+17.5 to +42.0) | \\~ +6" in text
    )
    assert "|  | 0.500 -\\> 0.800 | 0.300 -\\> 0.360 | 0.450 -\\> 0.650 |\n| fr | -25.0 (-41.0 to -9.0) | – |" in text
    assert "| fr | 25 | 50 % | 40 % | 28 % | -12.0 | -22.0 to -2.0 |" in text
    assert "Share of the first 5 documents of the pooled ranking that is in the language of the query" in text
    assert "\nPoints of recall@5 at top-k 10 with their 95 % interval, and below them dense" in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[:3] == ["## Where the relevant documents are", "## By language", "## Own language"]


def test_every_number_of_a_cell_stands_in_a_row_of_its_own(result: EvalResult) -> None:
    found = details.language_cells(result)
    assert found.titles == (
        "cell", "queries", "families", "dense", "reranked", "points", "95 % interval", "p", "headroom", "candidates",
        "note",
    )  # fmt: skip
    assert len(found.rows) == 7
    assert found.rows[1] == (
        "fr queries on de documents", "20", "", "0.400", "0.150", "-25.0", "-41.0 to -9.0", "0.008", "0.0", "1.5", "",
    )  # fmt: skip
    assert found.rows[6][0] == "it queries on all documents"
    assert found.rows[6][9:] == ("10.0", FEW)
    families = replace(result, evidence=replace(result.evidence, families={"q0": "f"}))
    assert [row[2] for row in details.language_cells(families).rows] == ["60", "20", "50", "4", "60", "25", "4"]


def test_the_page_says_which_cells_are_certain(result: EvalResult) -> None:
    told = language_answers.told(result)
    assert told[0] == (
        "Of 7 cells, gain for certain: de queries on all documents (+20.0), de queries on de documents (+30.0). Lose "
        "for certain: fr queries on de documents (-25.0). Not certain: fr queries on all documents (+0.0), de queries "
        "on fr documents (+6.0). Cannot tell: it queries on all documents (+0.0), it queries on fr documents (+25.0). "
        "That is no sign that nothing is lost there: the note of each says why."
    )
    assert told[1].startswith("In 1 of the 7 cells a perfect reranker of the same candidates would gain nothing")
    open_ones = changed(result, languages=Languages(LANGUAGES.gains[2:4], ()))
    assert language_answers.told(open_ones) == [
        "None of the 2 cells gains or loses for certain. Cannot tell: it queries on fr documents (+25.0). That is no "
        "sign that nothing is lost there: the note of each says why."
    ]
    even = changed(result, languages=Languages(LANGUAGES.gains[2:3], ()))
    assert language_answers.told(even) == ["None of the 1 cells gains or loses for certain."]


def test_pooled_rows_and_then_the_largest_changes_are_named_of_many_cells(result: EvalResult) -> None:
    """Nine cells that gain 1 to 9 points in the order of the table, and three pooled rows of 0.1 to 0.3."""
    found = speaking(["a", "b", "c"])
    cells = [replace(gain, delta_points=place) for place, gain in enumerate(found.cells, start=1)]
    pooled = [replace(CERTAIN, query_lang=lang, document_lang=None, delta_points=size) for lang, size in POOLED_SIZES]
    told = language_answers.told(changed(result, languages=Languages((*cells, *pooled), ())))[0]
    assert told == (
        "Of 12 cells, gain for certain: b queries on all documents (+0.3), c queries on all documents (+0.2), a "
        "queries on all documents (+0.1), c queries on c documents (+9.0), c queries on b documents (+8.0), c queries "
        "on a documents (+7.0), and 6 more. Lose for certain: none. Not certain: none."
    )


def test_the_page_says_where_the_interval_of_the_own_language_lies_and_not_that_it_is_certain(
    result: EvalResult,
) -> None:
    assert language_answers.told(result)[2] == (
        "With reranking, the share of documents in the language of the query went from 55 % to 61 % of the first 5 "
        "(+6.0 points); its 95 % interval, +1.5 to +10.5, lies above 0. Of the relevant documents, 38 % are in it: a "
        "larger share at the top means that others had to stand back. The 95 % interval of each language alone, not "
        "adjusted for their number, lies above 0 for de and below 0 for fr."
    )
    _, lowered, whole = LANGUAGES.bias
    assert language_answers.told(biased(result, lowered))[2] == (
        "With reranking, the share of documents in the language of the query went from 40 % to 28 % of the first 5 "
        "(-12.0 points); its 95 % interval, -22.0 to -2.0, lies below 0. Of the relevant documents, 50 % are in it: a "
        "larger share at the top means that others had to stand back."
    )
    told = language_answers.told(biased(result, replace(whole, ci_low=-0.5)))[2]
    assert "(+6.0 points); its 95 % interval, -0.5 to +10.5, holds 0. Of the relevant" in told


def test_the_page_explains_what_is_ranked(result: EvalResult) -> None:
    told = Page(page(result, include_texts=False)).one("section", id="whom").text
    assert (
        "A cell ranks those of the retrieved candidates that are in one language, after the first 10 of all languages "
        "were reranked, and only documents in that language count as relevant. Pooled is what somebody who searches "
        "gets: all of them in one ranking. The cells explain it; they are no search of their own."
    ) in told
    assert "bold is certain. Pale and ~ is not: p, Holm-adjusted because" in told
    assert "is 0.05 or more, or the interval holds 0. ? and without colour cannot tell; the note in the table" in told


def test_the_legend_of_the_markdown_report_is_that_of_the_terminal(result: EvalResult, tmp_path: Path) -> None:
    text = words(result, tmp_path)
    for line in LEGEND:
        assert f"{line[0].upper()}{line[1:]}." in text
    assert "too small to tell" not in text


def test_nothing_is_said_of_languages_while_a_self_check_fails(result: EvalResult) -> None:
    assert language_answers.told(invalid(result)) == ["Nothing can be said of languages while a self-check fails."]


def test_the_colour_of_a_cell_follows_its_gain_and_is_pale_where_that_is_not_certain(result: EvalResult) -> None:
    """The largest change, 30 points, has the full colour; what is not certain three tenths of its own."""
    drawn = Page(page(result, include_texts=False))
    cells = [
        (one.get("class"), one.get("style"))
        for one in drawn.all("td")
        if one.get("style").startswith("--strength") or one.get("class").startswith("absent")
    ]
    assert cells == [
        ("gain certain", "--strength: 1.0"),
        ("gain", "--strength: 0.06"),
        ("gain certain pooled", "--strength: 0.67"),
        ("loss certain", "--strength: 0.83"),
        ("absent", ""),
        ("even pooled", "--strength: 0.0"),
        ("absent", ""),
        ("even", "--strength: 0.25"),
        ("even pooled", "--strength: 0.0"),
    ]


def test_a_table_of_small_gains_stays_pale(result: EvalResult) -> None:
    small = Languages((replace(CERTAIN, delta_points=2.0), replace(CERTAIN, query_lang="fr", delta_points=-1.0)), ())
    found = language_answers.grid(changed(result, languages=small))
    assert found is not None
    strengths = [cell.strength for _, cells in found.rows for cell in cells if cell is not None]
    assert strengths == [0.2, 0.1]


def test_a_cell_says_everything_in_words(result: EvalResult) -> None:
    drawn = Page(page(result, include_texts=False))
    titles = {one.get("title") for one in drawn.all("td") if one.get("title")}
    assert (
        "de queries on de documents: recall@5 from 0.500 to 0.800, +30.0 points (95 % interval +17.5 to +42.0), p = "
        "0.001; 65 queries; headroom 40.0 points; on average 6.2 of the 10 candidates"
    ) in titles
    (small,) = (title for title in titles if title.startswith("it queries on all documents: "))
    assert f"p = 1.000; {FEW}; 4 queries; headroom 25.0 points" in small
    families = replace(result, evidence=replace(result.evidence, families={"q0": "f"}))
    found = language_answers.grid(families)
    assert found is not None
    first = found.rows[0][1][0]
    assert first is not None
    assert "; 65 queries in 60 families; headroom" in first.words
    shown = drawn.one("td", class_="loss certain").text
    assert shown == "-25.0 -41.0 to -9.0 0.400 -> 0.150"
    assert drawn.one("td", class_="gain").text.startswith("~ +6.0 ")
    assert drawn.one("td", class_="even").text.startswith("? +25.0 ")
