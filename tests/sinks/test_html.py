"""``report.html``: seven questions in their order, texts only where they may be seen, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.delivery import deliver
from evalkit.errors import ConfigError, DataError
from evalkit.exhibits import Texts
from evalkit.findings import Control, Expectation
from evalkit.folder import read_result
from evalkit.result import EvalResult
from evalkit.sinks import answers, plots
from evalkit.sinks.html import LONGEST, REPORT, TEXTS, HtmlSink, page
from evalkit.sinks.rendering import PAGE
from evalkit.types import Metric
from evalkit.verify import verify
from tests.hits import hits, result_by, stopped
from tests.pages import HOSTILE, Page, changed, complete, hostile, told
from tests.results import SINKS, result_of

QUESTIONS = [
    "How sure is that?", "At which top-k?", "Why?", "For whom not?", "At what latency?", "On which queries?",
    "Does it check itself?", "Where does it come from?",
]  # fmt: skip

LITTLE = hits((35, 1, 1), (10, 1, 0), (15, 0, 1), (40, 0, 0))
"""100 queries: 10 lost and 15 won, 5 points."""
MUCH = hits((40, 1, 1), (45, 0, 1), (15, 0, 0))
"""100 queries: 45 points."""
SAME = hits((60, 1, 1), (40, 0, 0))


@pytest.fixture(scope="module")
def result() -> EvalResult:
    return complete()


@pytest.fixture(scope="module")
def drawn(result: EvalResult) -> Page:
    return Page(page(result, include_texts=True))


def section(found: Page, name: str) -> str:
    return found.one("section", id=name).text


def judged(result: EvalResult, **changes: object) -> EvalResult:
    return changed(result, verdict=replace(result.assessment.verdict, **changes))  # type: ignore[arg-type]


def test_the_seven_questions_are_answered_in_their_order(drawn: Page) -> None:
    assert drawn.one("h1").text == "Did reranking pay?"
    assert [one.text for one in drawn.all("h2")] == ["What to do", *QUESTIONS]
    names = [one.get("id") for one in drawn.all("section")]
    assert names == ["sure", "depth", "why", "whom", "latency", "queries", "checks", "origin"]
    links = [one.get("href") for one in drawn.all("a")]
    assert links == ["#sure", "#paid", *(f"#{name}" for name in names)]


def test_did_it_pay(drawn: Page) -> None:
    """20 of 100 queries won and 5 lost: 15 points, of which 100 queries are not certain."""
    headline = "As expected: a gain of +15.0 points of recall@5 at top-k 10; +12 to +18 were expected"
    assert drawn.one("p", class_="headline").text == f"{headline}, and the verdict is open"
    assert drawn.one("div", class_="verdict met").text.count("from 0.500 to 0.650: +15.0 points") == 1
    assert "recall@5 is the share of a query's relevant documents that stand among the first 5" in (
        drawn.one("div", class_="verdict met").text
    )
    assert drawn.one("title").text.startswith("made: as expected, a gain of +15.0 points")


def test_how_sure(drawn: Page, result: EvalResult) -> None:
    verdict = result.assessment.verdict
    told = section(drawn, "sure")
    assert f"between {verdict.ci_low:+.1f} and {verdict.ci_high:+.1f} points with a certainty of 95 %." in told
    assert "Part of that lies beyond an edge of the expected +12 to +18, so the verdict is open." in told
    assert re.search(r"would be p = 0\.00\d; 20 queries won, 75 stayed as they were, 5 lost\.", told)
    assert "100 queries: a change is known to about" in told
    assert "self-checks passed" in told


def test_at_which_top_k(drawn: Page) -> None:
    """The first 6 candidates hold no relevant document that dense has not in its top 5."""
    told = section(drawn, "depth")
    assert "The gain of recall@5 is largest at top-k 10 (+15.0 points); every smaller top-k gains clearly less." in told
    assert "The verdict speaks of top-k 10, which was declared before the run." in told
    assert "oracle the metric if a perfect reranker ordered the same candidates" in told


def test_why(drawn: Page) -> None:
    """All is among the ten candidates, so stage 1 missed nothing, and a perfect reranker would find the other half."""
    assert (
        "Reranking 10 candidates brought 20.0 points of recall@5 into the first 5 and pushed 5.0 out of them. 30.0 lay "
        "among the candidates, and the reranker left them there; 0.0 were out of its reach, as stage 1 had not found "
        "them. A perfect reranker of the same candidates would gain 50.0 points of recall@5; this one captured 30 % of "
        "that."
    ) in section(drawn, "why")
    assert "Kept: among the first 5 before and after" in section(drawn, "why")


def test_for_whom_not(drawn: Page) -> None:
    assert (
        "Worse off for certain: lang = fr (-30.0). Better off for certain: lang = de (+30.8). Not certain either way: "
        "lang = it (+10.0)."
    ) in section(drawn, "whom")


def test_many_groups_are_counted_and_the_empty_column_left_out(result: EvalResult) -> None:
    many = tuple(replace(result.assessment.slices[1], value=f"v{place}") for place in range(9))
    found = Page(page(changed(result, slices=many, languages=None), include_texts=False))
    assert "Worse off for certain: lang = v0 (-30.0), " in section(found, "whom")
    assert "lang = v5 (-30.0), and 3 more. Better off for certain: none." in section(found, "whom")
    assert "note" not in {one.text for one in found.all("th")}
    noted = changed(result, slices=(replace(many[0], note="too small to tell"),), languages=None)
    assert "note" in {one.text for one in Page(page(noted, include_texts=False)).all("th")}


def test_at_what_latency(drawn: Page) -> None:
    """40 ms at the median for 15 points are 37.5 points per 100 ms."""
    assert (
        "At top-k 10, reranking takes 40 ms per query at the median (p50) and 50 ms at the 95th percentile (p95); "
        "stage 1 takes 10 ms and 12 ms. That is +37.50 points per 100 ms."
    ) in section(drawn, "latency")


def test_on_which_queries(drawn: Page) -> None:
    told = section(drawn, "queries")
    assert "Of 100 queries, 20 won, 5 lost and 75 kept their recall@5 at top-k 10." in told
    first, last = drawn.all("details", class_="won")[0].text, drawn.all("details", class_="lost")[-1].text
    assert len(drawn.all("details", class_="won")) == 10
    assert len(drawn.all("details", class_="lost")) == 5
    assert first.startswith("+100 won What does q45 ask? q45 Relevant dense rank 8, reranked 1 · q45-answer")
    assert "Rival dense rank 1, reranked 2 · q45-1 A passage about q45-1. Its second line." in first
    assert last.startswith("-100 lost What does q69 ask? q69 Relevant dense rank 1, reranked 10 · q69-answer")
    assert "Rival dense rank 2, reranked 1 · q69-2" in last


@pytest.mark.parametrize(
    ("columns", "status", "begin"),
    [
        (LITTLE, "below", "Below the expectation: no certain gain, +5.0 points of recall@5 at top-k 10; +12 to +18"),
        (MUCH, "above", "Above the expectation: a gain of +45.0 points of recall@5 at top-k 10; +12 to +18 were"),
    ],
)
def test_every_status_is_said_in_words(columns: tuple[list[int], list[int]], status: str, begin: str) -> None:
    found = Page(page(result_by(columns), include_texts=False))
    assert found.one("div", class_=f"verdict {status}")
    assert found.one("p", class_="headline").text.startswith(begin)


def test_a_settled_verdict_says_on_which_side_the_gain_lies() -> None:
    told = answers.sure(result_by(MUCH))
    assert "All of that lies above the expected +12 to +18, so the verdict is settled." in told
    assert answers.headline(result_by(MUCH)).endswith("+12 to +18 were expected")


def test_a_loss_is_called_one(result: EvalResult) -> None:
    lost = judged(result, status="below", delta_points=-9.0, ci_low=-14.0, ci_high=-4.0, conclusive=True)
    assert answers.headline(lost) == "a loss, -9.0 points of recall@5 at top-k 10; +12 to +18 were expected"


def test_an_open_band_is_said_as_such(result: EvalResult) -> None:
    wanted = Expectation(Metric("recall", 5), 10, 5, None)
    assert "; +5 or more were expected" in answers.headline(judged(result, expectation=wanted))


def test_an_invalid_result_gives_no_number_to_quote_and_shows_first_what_failed() -> None:
    failed = (Control("scores_repeat", "failed", "expected equal scores; found others"),)
    found = Page(page(result_of(observed=failed), include_texts=False))
    headline = found.one("p", class_="headline").text
    assert headline == "Invalid: a self-check failed, so no number of this result can be relied on"
    assert found.one("div", class_="verdict invalid").text.count("scores_repeat: expected equal scores") == 1
    told = section(found, "sure")
    assert told.startswith("How sure is that? Not at all: a self-check failed.")
    assert "verdict is" not in told
    assert "scores_repeat failed" in told
    assert found.all("td", class_="status failed")[0].text == "failed"
    assert section(found, "checks").index("scores_repeat") < section(found, "checks").index("identity")


def test_an_early_stop_says_so_and_splits_no_queries() -> None:
    early = stopped(result_by())
    early = replace(early, design=replace(early.design, top_ks=(10,)))
    found = Page(page(early, include_texts=False))
    told = section(found, "sure")
    assert "between +13.0 and +40.0 points with a certainty of 95 %, whenever such a run stops." in told
    assert "Stopped early: it was decided that the gain lies above 12 points, after 100 of 200 queries" in told
    assert "If reranking did nothing" not in told
    assert "Only top-k 10 was measured." in section(found, "depth")
    assert section(found, "whom").startswith("For whom not? A sequential run is about all queries together;")


def test_where_nothing_changed_no_query_is_shown() -> None:
    found = Page(page(result_by(SAME), include_texts=True))
    assert section(found, "queries") == (
        "On which queries? Of 100 queries, 0 won, 0 lost and 100 kept their recall@5 at top-k 10."
    )
    assert found.all("input") == []
    assert "No recall@5 is gained at any of the top-k 6, 10." in section(found, "depth")
    assert "this one captured nothing of that" in section(found, "why")


def test_what_was_not_found_is_said_instead_of_a_figure() -> None:
    found = Page(page(replace(result_by(), latency=None), include_texts=False))
    assert "The metadata holds nothing to split by (looked for: nothing)" in section(found, "whom")
    assert section(found, "latency").startswith("At what latency? Not measured. A run times both stages")
    unmeasured = replace(result_by(), latency=replace(complete().latency, stage2=()))  # type: ignore[type-var]
    assert answers.latency(unmeasured) == ""


def test_the_knee_is_said_where_a_smaller_top_k_is_as_good(result: EvalResult) -> None:
    knee = replace(result.assessment.knee, within_noise=6, ninety_percent=6)
    assert (
        "is largest at top-k 10 (+15.0 points); top-k 6 is the smallest that cannot be told from it, and 6 the "
        "smallest with 90 % of it."
    ) in answers.depth(changed(result, knee=knee))
    first = changed(result, knee=replace(knee, best_top_k=6))
    assert "(-5.0 points); a larger top-k brings no more." in answers.depth(first)


@pytest.mark.parametrize("name", ["recall@5", "ndcg@10", "mrr", "map@10", "hit_rate@5", "precision@5", "rbp.95"])
def test_every_metric_has_a_meaning(name: str) -> None:
    metric = Metric.parse(name)
    told = answers.meaning(metric)
    assert "{" not in told
    assert metric.cutoff is None or f"first {metric.cutoff} documents" in told


def test_all_known_metrics_have_a_meaning() -> None:
    from evalkit.analysis.metrics import KNOWN

    assert all(answers.meaning(Metric(name, 5)) for name in KNOWN)


def test_the_decision_is_marked_in_every_table_of_systems(drawn: Page) -> None:
    rows = drawn.all("tr", class_="chosen")
    assert len(rows) == 3
    assert all(row.text.startswith("rerank@10 decision") for row in rows)


def test_texts_are_shown_only_where_they_are_asked_for(result: EvalResult) -> None:
    shown, hidden = page(result, include_texts=True), page(result, include_texts=False)
    assert result.texts is not None
    texts = [*result.texts.queries.values(), *result.texts.documents.values()]
    assert len(texts) > 20
    assert all(text in shown for text in texts)
    assert "This page shows texts of your data" in shown
    assert not any(text in hidden for text in texts)
    assert "No texts are shown in this copy." in hidden
    assert not Page(hidden).all("blockquote")
    untold = page(replace(result, texts=None), include_texts=True)
    assert untold == hidden


def test_a_long_text_is_cut_and_says_so(result: EvalResult) -> None:
    assert result.texts is not None
    documents = dict.fromkeys(result.texts.documents, "word " * LONGEST)
    found = Page(page(replace(result, texts=Texts(result.texts.queries, documents)), include_texts=True))
    quoted = found.all("blockquote")[0].text
    assert quoted.endswith(f"word … (the first {LONGEST} of {5 * LONGEST} characters)")
    assert len(quoted) < LONGEST + 100


def test_an_option_that_is_no_boolean_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"report\.include_texts"):
        HtmlSink("yes")  # type: ignore[arg-type]


def test_hostile_ids_and_texts_stay_text() -> None:
    result = hostile()
    found = Page(page(result, include_texts=True))
    kinds = {one.tag for one in found.elements}
    assert not kinds & {"img", "iframe", "object", "embed", "link", "base", "form", "b"}
    assert len(found.all("script")) == len(found.all("style")) == 1
    assert not [one for one in found.elements for name in one.attributes if name.startswith("on")]
    assert result.texts is not None
    summaries = " ".join(one.text for one in found.all("summary"))
    asked = {text for one in result.assessment.examples for text in HOSTILE if one.query_id.startswith(text)}
    assert len(asked) == len(HOSTILE)
    for text in HOSTILE:
        assert " ".join(text.split()) in summaries
        assert " ".join(text.split()) in section(found, "sure")
    assert all(one.get("dir") == "auto" for one in [*found.all("blockquote"), *found.all("code")])


@pytest.mark.parametrize("make", [complete, hostile])
def test_nothing_is_fetched_from_elsewhere(make: object) -> None:
    found = Page(page(make(), include_texts=True))  # type: ignore[operator]
    for one in found.elements:
        assert "src" not in one.attributes
        assert one.get("href").startswith("#") or "href" not in one.attributes
        for name, value in one.attributes.items():
            if name not in ("aria-label", "content", "title"):
                assert "://" not in value.replace("http://www.w3.org/2000/svg", "")
            assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", value))
    assert "url(" not in found.one("style").text
    assert "@import" not in found.one("style").text
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|WebSocket|localStorage|cookie", found.one("script").text)


def test_styles_and_script_reach_the_page_as_they_are_written(drawn: Page) -> None:
    """Escaped as a text, a quotation mark ends a rule."""
    for tag, name in (("style", "report.css"), ("script", "report.js")):
        assert "".join(drawn.one(tag).words) == (PAGE / name).read_text(encoding="utf-8")
        assert "</" not in drawn.one(tag).text


def test_the_policy_lets_nothing_in_but_the_page_s_own_script_and_styles(drawn: Page) -> None:
    content = drawn.one("meta", http_equiv="Content-Security-Policy").get("content")
    policy = {name: rest for name, *rest in map(str.split, content.split(";"))}
    script = "".join(drawn.one("script").words)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == {
        "default-src": ["'none'"],
        "style-src": ["'unsafe-inline'"],
        "script-src": [f"'sha256-{digest}'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }


@pytest.mark.parametrize("make", [complete, hostile])
def test_ids_are_unique_and_every_link_has_its_target(make: object) -> None:
    found = Page(page(make(), include_texts=True))  # type: ignore[operator]
    ids = [one.get("id") for one in found.elements if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    named = [one.get(name) for one in found.elements for name in ("for", "aria-labelledby", "data-filters")]
    named += [one.get("href").removeprefix("#") for one in found.elements]
    assert {name for name in named if name} <= set(ids)


def test_every_figure_has_its_alternative_text(drawn: Page, result: EvalResult) -> None:
    names = ["sweep", "accounting", "what_ifs", "slices", "cost"]
    told = [one.get("aria-label") for one in drawn.all("div", role="img")]
    assert told == [plots.alternative_text(result, name) for name in names]
    assert len(drawn.all("figure")) == len(drawn.all("svg")) == len(names)


def test_the_page_knows_its_models_and_how_it_is_made_again(drawn: Page) -> None:
    assert "reranker: unnamed (testing)" in [one.text for one in drawn.all("p", class_="subject")]
    assert "evalkit verify reports/made/20260102-030405-abcdef" in section(drawn, "origin")
    assert {"Data set", "Fingerprint of the reranker", "Software", "Machine", "Configuration"} <= {
        one.text for one in drawn.all("summary")
    }


def contents(folder: Path) -> dict[str, str]:
    """Every file as text; a table as its values."""
    from pyarrow import parquet

    return {
        str(path.relative_to(folder)): str(parquet.read_table(path).to_pylist())
        if path.suffix == ".parquet"
        else path.read_bytes().decode("utf-8", errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def delivered(result: EvalResult, reports: Path, *, include_texts: bool) -> Path:
    return deliver(result, {**SINKS, "html": HtmlSink(include_texts), "plots": plots.PlotsSink()}, reports)


@pytest.mark.parametrize(("include_texts", "holders"), [(True, {REPORT, TEXTS}), (False, set())])
def test_no_other_file_of_the_folder_holds_a_text(tmp_path: Path, include_texts: bool, holders: set[str]) -> None:
    folder = delivered(told(result_by()), tmp_path, include_texts=include_texts)
    found = contents(folder)
    assert len(found) > 12
    assert {name for name, text in found.items() if "ask?" in text or "A passage about" in text} == holders
    assert (TEXTS in found) is include_texts
    assert verify(folder).files == len(found) - 1


@pytest.mark.parametrize("include_texts", [True, False])
def test_a_deleted_page_is_drawn_again_as_it_was(
    tmp_path: Path, include_texts: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its texts where they were kept, and without them where they were not."""
    folder = delivered(told(result_by()), tmp_path, include_texts=include_texts)
    before = (folder / REPORT).read_bytes()
    (folder / REPORT).unlink()
    assert main(["report", str(folder)]) == 0
    assert f"drawn   {REPORT}" in capsys.readouterr().out
    assert (folder / REPORT).read_bytes() == before
    assert (folder / TEXTS).exists() is include_texts
    assert verify(folder).n_queries == 100


def test_kept_texts_are_read_back_as_they_were(tmp_path: Path) -> None:
    result = hostile()
    HtmlSink(True).write(result, tmp_path)
    folder = delivered(told(result_by()), tmp_path / "reports", include_texts=True)
    (folder / TEXTS).write_bytes((tmp_path / TEXTS).read_bytes())
    assert read_result(folder).texts == result.texts


@pytest.mark.parametrize("damage", ["", "[]", '{"queries": {"q": 1}, "documents": {}}'])
def test_damaged_texts_are_one_message(tmp_path: Path, damage: str) -> None:
    folder = delivered(told(result_by()), tmp_path, include_texts=True)
    (folder / TEXTS).write_text(damage)
    with pytest.raises(DataError, match=r"texts\.json.*cannot be read"):
        read_result(folder)


def test_verify_tells_a_page_that_was_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = delivered(told(result_by()), tmp_path, include_texts=True)
    texts = json.loads((folder / TEXTS).read_text())
    texts["queries"] = dict.fromkeys(texts["queries"], "another question")
    (folder / TEXTS).write_text(json.dumps(texts))
    assert main(["verify", str(folder)]) == 5
    assert f"{TEXTS} was changed after the run" in capsys.readouterr().err
