"""What the plots hold, from a small result whose numbers are set by hand; nothing compares pixels."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from evalkit.findings import Attribution, Expectation, WhatIf
from evalkit.parts import SliceGain
from evalkit.pipeline import evaluate
from evalkit.record import Latency, Sequential, StageTwoLatency
from evalkit.result import EvalResult
from evalkit.sinks.drawing.canvas import settings
from evalkit.sinks.drawing.labels import apart, few, spread
from evalkit.sinks.plots import PlotsSink, alternative_text, as_svg, figures
from evalkit.testing import FunctionReranker, WordEmbedder
from evalkit.types import Metric
from tests.conftest import beir, plan_of, write_folder

RECALL, NDCG = Metric("recall", 5), Metric("ndcg", 10)
ALL = ["sweep", "accounting", "cost", "slices", "what_ifs"]

GAINS = {6: 2.0, 40: 14.0}
"""Top-k -> points over dense, which stands at 0.5; intervals reach 3 points to either side, the oracle is 30 above."""

SLICES = (
    SliceGain(RECALL, 40, 0.2, 0.4, 20.0, 4.0, 36.0, 0.01, 0.02, 40.0, 7, 7, "", "query", "lang", "it"),
    SliceGain(RECALL, 40, 0.6, 0.55, -5.0, -30.0, 15.0, 0.5, 0.5, 40.0, 5, 5, "few", "query", "lang", "de"),
)
WHAT_IFS = (
    WhatIf("rrf", "by rank", 5.0, 4.5, -1.0, 9.0, 13.0, 0.0),
    WhatIf("margin", "where close", 5.0, 12.5, 3.0, 22.0, 13.0, 0.25),
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> EvalResult:
    """Twelve questions; what is drawn from it is set by ``result``."""
    towns = [f"town{number}" for number in range(12)]
    documents = {f"{town}-{n}": f"{town} rent note{n}" for town in towns for n in range(6)}
    documents |= {f"{town}-answer": f"{town} answer" for town in towns}
    queries = {f"q-{town}": f"{town} rent" for town in towns}
    folder = tmp_path_factory.mktemp("plots") / "beir"
    write_folder(folder, documents, queries, [(f"q-{t}", f"{t}-answer", 1) for t in towns])
    asked = {"top_ks": (6, 40), "expectation": Expectation(RECALL, 40, 12, 18)}
    return evaluate(plan_of(beir(folder), reranker=FunctionReranker(), embedder=WordEmbedder(1 << 14), **asked))


@pytest.fixture
def result(evaluated: EvalResult) -> EvalResult:
    """All that can be drawn: a sweep of two, what-ifs, slices and latency."""
    comparisons = tuple(
        replace(
            row,
            baseline_mean=0.5,
            candidate_mean=0.5 + GAINS[row.top_k] / 100,
            delta_points=GAINS[row.top_k],
            ci_low=GAINS[row.top_k] - 3,
            ci_high=GAINS[row.top_k] + 3,
            oracle=0.8,
        )
        for row in evaluated.assessment.comparisons
    )
    attribution = (
        Attribution(RECALL, 6, 48.0, 4.0, 2.0, 1.0, 44.0, 1.0, 2.0),
        Attribution(RECALL, 40, 45.0, 19.0, 5.0, 10.0, 20.0, 1.0, 14.0),
    )
    stage2 = (StageTwoLatency(6, 60.0, 90.0, 100.0, 80.0), StageTwoLatency(40, 100.0, 150.0, 100.0, 80.0))
    latency = Latency("2026-01-01T00:00:00Z", "m", "cpu", 12, 5.0, 9.0, "s", False, stage2)
    verdict = replace(evaluated.assessment.verdict, delta_points=14.0, ci_low=11.0, ci_high=17.0)
    changes = {"comparisons": comparisons, "attribution": attribution, "slices": SLICES, "what_ifs": WHAT_IFS}
    return changed(replace(evaluated, latency=latency), verdict=verdict, **changes)


def changed(result: EvalResult, **changes: Any) -> EvalResult:
    return replace(result, assessment=replace(result.assessment, **changes))


def expecting(result: EvalResult, expectation: Expectation) -> EvalResult:
    verdict = replace(result.assessment.verdict, expectation=expectation)
    return changed(replace(result, design=replace(result.design, expectation=expectation)), verdict=verdict)


def early(result: EvalResult) -> EvalResult:
    """The same after an early stop at the decision top-k."""
    known = {"ci_low": None, "ci_high": None, "p_value": None, "p_adjusted": None}
    comparisons = tuple(replace(row, **known) for row in result.assessment.comparisons if row.top_k == 40)
    verdict = replace(result.assessment.verdict, ci_low=5.0, ci_high=30.0)
    stopped = replace(result, design=replace(result.design, top_ks=(40,)), latency=None)
    stopped = replace(stopped, sequential=Sequential("above", 5.0, 30.0, 30, 320, 120, 1280, 0))
    attribution = result.assessment.attribution[1:]
    return changed(stopped, comparisons=comparisons, verdict=verdict, attribution=attribution, slices=(), what_ifs=())


def sliced(result: EvalResult, count: int) -> EvalResult:
    rows = [replace(SLICES[place % 2], value=f"a rather long value of number {place}") for place in range(count)]
    return changed(result, slices=tuple(rows))


def of_documents(result: EvalResult) -> EvalResult:
    return changed(result, slices=(SLICES[0], replace(SLICES[0], of="document")))


def artist(axes: Axes, label: str) -> Any:
    (found,) = [one for one in axes.get_children() if one.get_label() == label]
    return found


def values_of(axes: Axes, label: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in artist(axes, label).get_xydata()]


def bars_between(axes: Axes, label: str) -> list[list[tuple[float, float]]]:
    return [[(float(x), float(y)) for x, y in segment] for segment in artist(axes, label).get_segments()]


def texts_of(figure: Figure) -> list[Text]:
    """Those that are seen, once laid out."""
    with settings():
        FigureCanvasAgg(figure).draw()
    legend = [text for legend in figure.legends for text in legend.get_texts()]
    found = [*figure.texts, *legend]
    for axes in figure.axes:
        ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
        found += [*axes.texts, *ticks, axes.xaxis.label, axes.yaxis.label]
    return [text for text in found if text.get_visible() and text.get_text()]


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts_of(figure)]


def test_the_sweep_joins_the_means_and_stands_on_dense(result: EvalResult) -> None:
    recall, ndcg = figures(result)["sweep"].axes
    for axes in (recall, ndcg):
        assert values_of(axes, "reranked") == [(6, 0.52), (40, 0.64)]
        assert values_of(axes, "oracle") == [(6, 0.8), (40, 0.8)]
        assert {y for _, y in values_of(axes, "dense")} == {0.5}
        assert {x for x, _ in values_of(axes, "decision")} == {40}
        assert [tick.get_text() for tick in axes.get_xticklabels() if tick.get_fontweight() == "bold"] == ["40"]


def test_the_interval_of_the_gain_lies_on_dense(result: EvalResult) -> None:
    for axes in figures(result)["sweep"].axes:
        (path,) = artist(axes, "interval").get_paths()
        edges = {(round(float(x), 9), round(float(y), 9)) for x, y in path.vertices}
        assert edges == {(6, 0.49), (6, 0.55), (40, 0.61), (40, 0.67)}


def test_the_expected_band_lies_on_dense_of_its_own_metric_only(result: EvalResult) -> None:
    recall, ndcg = figures(result)["sweep"].axes
    box = artist(recall, "expected").get_bbox()
    assert (box.y0, box.y1) == pytest.approx((0.62, 0.68))
    assert "expected" not in {one.get_label() for one in ndcg.get_children()}
    assert "+12 to +18\nexpected" in written(figures(result)["sweep"])


def test_an_open_band_has_no_upper_edge(result: EvalResult) -> None:
    drawn = figures(expecting(result, Expectation(RECALL, 40, 12, None)))
    axes, cost, slices = drawn["sweep"].axes[0], drawn["cost"].axes[0], drawn["slices"].axes[0]
    for box, low, end in (
        (artist(axes, "expected").get_bbox().intervaly, 0.62, axes.get_ylim()[1]),
        (artist(cost, "expected").get_bbox().intervaly, 12, cost.get_ylim()[1]),
        (artist(slices, "expected").get_bbox().intervalx, 12, slices.get_xlim()[1]),
    ):
        assert box[0] == pytest.approx(low)
        assert box[1] > end
    assert "+12 or more\nexpected" in written(drawn["sweep"])


def test_a_band_beyond_what_a_metric_can_reach_is_shown_where_it_begins(result: EvalResult) -> None:
    (axes, _) = figures(expecting(result, Expectation(RECALL, 40, 60, 300)))["sweep"].axes
    assert artist(axes, "expected").get_bbox().intervaly == pytest.approx([1.1, 3.5])
    assert 1.1 < axes.get_ylim()[1] < 1.2
    assert max(axes.get_yticks()) <= 1


@pytest.mark.parametrize(
    ("metrics", "expected", "titles"),
    [
        ((RECALL,), RECALL, ["recall@5, mean over 12 queries"]),
        ((RECALL, NDCG), NDCG, ["ndcg@10, mean over 12 queries"]),
        ((RECALL, NDCG), RECALL, ["recall@5, mean over 12 queries", "ndcg@10, mean over 12 queries"]),
    ],
)
def test_ndcg_has_a_panel_of_its_own_where_it_was_computed_beside_another_metric(
    result: EvalResult, metrics: tuple[Metric, ...], expected: Metric, titles: list[str]
) -> None:
    asked = replace(result, design=replace(result.design, metrics=metrics))
    figure = figures(expecting(asked, Expectation(expected, 40, 12, 18)))["sweep"]
    assert [text.get_text() for text in figure.texts] == titles


def test_an_early_stop_shows_the_one_interval_that_is_valid(result: EvalResult) -> None:
    stopped = figures(early(result))
    assert list(stopped) == ["sweep", "accounting"]
    recall, ndcg = stopped["sweep"].axes
    assert values_of(recall, "reranked") == [(40, 0.64)]
    assert bars_between(recall, "interval") == [[(40, 0.55), (40, 0.8)]]
    assert bars_between(ndcg, "interval") == []
    assert "anytime-valid 95 % interval +5.0 to +30.0" in alternative_text(early(result), "sweep")


def test_the_accounts_of_every_top_k_sum_to_a_hundred(result: EvalResult) -> None:
    (axes,) = figures(result)["accounting"].axes
    bars = [[patch.get_width() for patch in container] for container in axes.containers]  # type: ignore[attr-defined]
    assert bars == [[48, 45], [4, 19], [2, 5], [1, 10], [44, 20], [1, 1]]
    ends = [[patch.get_x() + patch.get_width() for patch in row] for row in axes.containers]  # type: ignore[attr-defined]
    assert ends[-1] == [100, 100]
    assert [str(row.get_label()) for row in axes.containers] == [
        "kept", "promoted", "demoted", "left by the reranker", "missed by stage 1", "capped",
    ]  # fmt: skip


def test_points_are_written_into_the_bars_that_have_room(result: EvalResult) -> None:
    found = written(figures(result)["accounting"])
    assert {"48.0", "44.0", "45.0", "19.0", "10.0", "20.0", "+2.0", "+14.0"} <= set(found)
    assert not {"2.0", "1.0"} & set(found)


def test_cost_sets_points_against_the_median_and_reaches_to_the_95th_percentile(result: EvalResult) -> None:
    (axes,) = figures(result)["cost"].axes
    assert values_of(axes, "p50") == [(60, 2), (100, 14)]
    assert bars_between(axes, "to p95") == [[(60, 2), (90, 2)], [(100, 14), (150, 14)]]
    box = artist(axes, "expected").get_bbox()
    assert (box.y0, box.y1) == (12, 18)
    assert {"6", "40", "+12 to +18\nexpected", "dense"} <= set(written(figures(result)["cost"]))


def test_a_top_k_whose_gain_is_unknown_has_no_place_in_the_cost(result: EvalResult) -> None:
    assert result.latency is not None
    other = StageTwoLatency(50, 500.0, 600.0, 100.0, 80.0)
    more = replace(result, latency=replace(result.latency, stage2=(*result.latency.stage2, other)))
    assert values_of(figures(more)["cost"].axes[0], "p50") == [(60, 2), (100, 14)]
    assert "cost" not in figures(replace(result, latency=replace(result.latency, stage2=(other,))))


def test_a_slice_shows_gain_interval_and_number_of_queries(result: EvalResult) -> None:
    figure = figures(result)["slices"]
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["all queries", "lang = it", "lang = de"]
    assert [values_of(axes, f"points {row}") for row in range(3)] == [[(14, 0)], [(20, 1)], [(-5, 2)]]
    assert [bars_between(axes, f"interval {row}") for row in range(3)] == [
        [[(11, 0), (17, 0)]],
        [[(4, 1), (36, 1)]],
        [[(-30, 2), (15, 2)]],
    ]
    assert {x for x, _ in values_of(axes, "stage 1")} == {0}
    box = artist(axes, "expected").get_bbox()
    assert (box.x0, box.x1) == (12, 18)
    assert {"queries", "12", "7", "5", "+12 to +18 expected"} <= set(written(figure))


def test_a_slice_that_is_too_small_to_tell_has_another_marker(result: EvalResult) -> None:
    (axes,) = figures(result)["slices"].axes
    assert artist(axes, "points 1").get_marker() != artist(axes, "points 2").get_marker()
    assert axes.get_xlabel().endswith("x: too small to tell")
    (axes,) = figures(changed(result, slices=SLICES[:1]))["slices"].axes
    assert "too small" not in axes.get_xlabel()


def test_a_slice_of_documents_is_called_one(result: EvalResult) -> None:
    figure = figures(of_documents(result))["slices"]
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["all queries", "lang = it", "document lang = it"]
    assert "For whom: gain by group of queries or documents" in written(figure)
    assert "For whom: gain by group of queries" in written(figures(result)["slices"])


def test_what_ifs_stand_beside_plain_reranking(result: EvalResult) -> None:
    figure = figures(result)["what_ifs"]
    (axes,) = figure.axes
    assert [values_of(axes, f"points {row}") for row in range(2)] == [[(4.5, 0)], [(12.5, 1)]]
    assert bars_between(axes, "interval 1") == [[(3, 1), (22, 1)]]
    assert {x for line in bars_between(axes, "plain") for x, _ in line} == {13}
    assert {"plain reranking +13.0", "+4.5", "+12.5", "ranks fused (rrf)"} <= set(written(figure))


def test_what_has_nothing_to_say_is_not_drawn(result: EvalResult) -> None:
    assert list(figures(result)) == ALL
    bare = changed(replace(result, latency=None), slices=(), what_ifs=())
    assert list(figures(bare)) == ["sweep", "accounting"]


@pytest.mark.parametrize("make", [lambda result: result, early, lambda result: sliced(result, 30), of_documents])
def test_no_text_lies_on_another_or_is_cut(result: EvalResult, make: Any) -> None:
    for name, figure in figures(make(result)).items():
        found = texts_of(figure)
        # Of the words alone: an annotation counts its line.
        places = [(text.get_text(), Text.get_window_extent(text)) for text in found]
        for text, box in places:
            assert figure.bbox.x0 <= box.x0, f"{name}: {text}"
            assert box.x1 <= figure.bbox.x1, f"{name}: {text}"
            assert figure.bbox.y0 <= box.y0, f"{name}: {text}"
            assert box.y1 <= figure.bbox.y1, f"{name}: {text}"
        for (one, here), (other, there) in combinations(places, 2):
            assert not here.padded(-1).overlaps(there.padded(-1)), f"{name}: {one} on {other}"


def test_a_forest_grows_with_its_rows_and_cuts_long_names(result: EvalResult) -> None:
    short, long = (figures(sliced(result, count))["slices"] for count in (2, 30))
    assert long.get_figheight() - short.get_figheight() == pytest.approx(28 * 21 / 72)
    assert [tick.get_text()[-1] for tick in long.axes[0].get_yticklabels()[1:]] == ["…"] * 30


def test_an_svg_can_stand_in_a_page(result: EvalResult) -> None:
    for name, figure in figures(result).items():
        text = as_svg(figure)
        root = ElementTree.fromstring(text)  # noqa: S314 - our own
        assert text.startswith("<svg ")
        assert root.get("viewBox") == f"0 0 360 {figure.get_figheight() * 72:g}"
        assert not {"width", "height"} & root.attrib.keys()
        assert "currentColor" in text
        assert "#010203" not in text
        assert set(re.findall(r"font-family: [^;\"]*", text)) == {"font-family: sans-serif"}
        references = re.findall(r"(?:href=\"|url\()#?([^\")]*)", text)
        assert set(references) == {element.get("id") for element in root.iter()} - {None}
        assert all(reference.startswith(f"{name}-") for reference in references)
        assert not re.search(r"<(script|style|metadata|image|a|foreignObject)\b", text)
        assert re.findall(r"https?:[^\"]*", text) == ["http://www.w3.org/2000/svg"]


def test_ids_are_unique_over_all_plots_of_a_page(result: EvalResult) -> None:
    page = "".join(map(as_svg, figures(result).values()))
    ids = re.findall(r' id="([^"]*)"', page)
    assert ids
    assert len(set(ids)) == len(ids)


def test_texts_stay_texts_whatever_they_hold(result: EvalResult) -> None:
    odd = '<script id="m">$x$'
    rows = (replace(SLICES[0], attribute="a", value=odd), replace(SLICES[0], attribute="b", value="日本\x00\n"))
    text = as_svg(figures(changed(result, slices=rows))["slices"])
    assert '>a = &lt;script id="m"&gt;$x$</text>' in text
    assert ">b = 日本  </text>" in text


def test_the_same_result_gives_the_same_svg_in_any_thread_and_with_any_settings(result: EvalResult) -> None:
    def draw(_: int) -> list[str]:
        return [svg for figure in figures(result).values() for svg in (as_svg(figure), as_svg(figure))]

    before = draw(0)
    assert before[::2] == before[1::2]
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path", "text.color": "red"}):
        found = dict(matplotlib.rcParams)
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(draw, range(2))) == [before] * 2
        assert dict(matplotlib.rcParams) == found


def test_the_sink_writes_every_plot_twice(result: EvalResult, tmp_path: Path) -> None:
    PlotsSink().write(result, tmp_path)
    plots = tmp_path / "plots"
    assert {path.name for path in plots.iterdir()} == {f"{name}.{kind}" for name in ALL for kind in ("png", "svg")}
    assert (plots / "sweep.svg").read_text(encoding="utf-8") == as_svg(figures(result)["sweep"]) + "\n"
    from PIL import Image

    with Image.open(plots / "sweep.png") as image:
        assert image.width == 360 / 72 * 150
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "sweep",
            "recall@5: dense 0.500; reranked 0.520 at top-k 6, 0.640 at top-k 40; oracle 0.800 at top-k 40. At the "
            "decision top-k 40 the gain is +14.0 points (95 % interval +11.0 to +17.0), +12 to +18 were expected.",
        ),
        (
            "accounting",
            "Of 100 points of recall@5 at top-k 40: 45.0 kept, 19.0 promoted, 5.0 demoted, 10.0 left by the reranker, "
            "20.0 missed by stage 1, 1.0 capped. Stage 1 missed 44.0 at top-k 6 and 20.0 at top-k 40.",
        ),
        (
            "cost",
            "Gain of recall@5 and median time of stage 2 per query: top-k 6 +2.0 points in 60 ms (95th percentile 90 "
            "ms); top-k 40 +14.0 points in 100 ms (95th percentile 150 ms).",
        ),
        (
            "slices",
            "Gain of recall@5 at top-k 40 in 2 slices: lowest lang = de with -5.0 points (-30.0 to +15.0, 5 queries); "
            "highest lang = it with +20.0 points (+4.0 to +36.0, 7 queries). The 95 % interval lies above 0 in 1 of "
            "them and below 0 in 0.",
        ),
        (
            "what_ifs",
            "Points over dense on the half of the queries that confirms, with 95 % interval: rrf +4.5 (-1.0 to +9.0); "
            "margin +12.5 (+3.0 to +22.0); plain reranking +13.0.",
        ),
    ],
)
def test_every_plot_can_be_read_aloud(result: EvalResult, name: str, said: str) -> None:
    assert alternative_text(result, name) == said


def test_a_long_sweep_is_named_by_its_ends_and_the_decision() -> None:
    assert few([5, 10, 20, 30, 50], 20) == {5, 10, 20, 30, 50}
    assert few([1, 5, 10, 20, 30, 50], 20) == {1, 20, 50}


def test_labels_make_room_for_one_another() -> None:
    assert spread([(50, 10), (10, 10)], 100) == [50, 10]
    assert spread([(52, 10), (50, 10), (47, 10)], 100) == [67, 57, 47]
    assert spread([(99, 10), (98, 20)], 100) == [95, 80]


def test_crowded_ticks_lose_their_numbers_but_never_that_of_the_decision() -> None:
    assert apart({"10": 0, "20": 3, "30": 100}, "20") == {"20", "30"}
