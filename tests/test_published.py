"""Published figures, read and held against a result."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from evalkit.analysis.metrics import parse_metrics
from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.errors import ConfigError, DataError
from evalkit.pipeline import evaluate
from evalkit.published import Comparison, Published, held_against
from evalkit.result import Design, EvalResult
from tests.conftest import BeirWriter, beir, plan_of

SHIPPED = sorted(file.stem for file in (Path(__file__).parents[1] / "conf/experiment/published").glob("*.yaml"))

NODE: dict[str, Any] = {
    "of": "a model on a set",
    "source": "a page",
    "measured": "how",
    "tolerance_why": "why",
    "n_documents": 10,
    "n_queries": 1,
    "figures": [{"system": "dense", "metric": "recall@5", "value": 0.5, "tolerance": 0.01}],
}


@pytest.fixture
def result(write_beir: BeirWriter) -> EvalResult:
    """One query whose only relevant document is found first: every metric is 1."""
    documents = {f"d{number}": f"word{number}" for number in range(10)}
    return evaluate(plan_of(beir(write_beir(documents, {"q": "word3"}, [("q", "d3", 1)]))))


def node(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(NODE), **changes}


def figure(**changes: Any) -> dict[str, Any]:
    return node(figures=[{**NODE["figures"][0], **changes}])


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_composes_pins_everything_and_is_measured_by_its_run(name: str) -> None:
    config = compose_config([f"experiment=published/{name}"])
    plan = build_plan(config)
    Published.parse(OmegaConf.to_container(config.published)).check(plan.design)
    revisions = [config.dataset.revision, config.embedder.weights.revision]
    assert all(len(revision) == 40 for revision in revisions)
    assert config.published.source.startswith("https://")


def test_the_production_pair_is_what_the_first_figures_are_of() -> None:
    pair, published = (compose_config([f"experiment={name}"]) for name in ("bge_m3", "published/bge_m3"))
    assert published.embedder == pair.embedder
    assert published.reranker == pair.reranker


@pytest.mark.parametrize(("value", "reproduced"), [(1.0, True), (0.99, True), (0.9899, False), (0.5, False)])
def test_a_figure_is_reproduced_within_its_tolerance(result: EvalResult, value: float, reproduced: bool) -> None:
    """1.0 was found; the billionth is for what binary fractions make of 0.99 and 0.01."""
    published = Published.parse(figure(value=value, tolerance=0.01 + 1e-9))
    (found,) = held_against(published, result)
    assert found.found == 1.0
    assert found.reproduced is reproduced
    assert found.difference == pytest.approx(1.0 - value)


def test_too_low_is_as_far_off_as_too_high() -> None:
    (figure_of,) = Published.parse(figure(value=0.5, tolerance=0.01)).figures
    assert [Comparison(figure_of, found).reproduced for found in (0.48, 0.495, 0.505, 0.52)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_figure_of_the_reranked_system_is_held_to_that(result: EvalResult) -> None:
    published = Published.parse(figure(system="rerank@6", metric="ndcg@10", value=0.25))
    (found,) = held_against(published, result)
    assert found.found == result.assessment.metrics["rerank@6"][parse_metrics(["ndcg@10"])[0]]


@pytest.mark.parametrize("counts", [{"n_documents": 11}, {"n_queries": 2}])
def test_another_data_set_is_refused(result: EvalResult, counts: dict[str, int]) -> None:
    with pytest.raises(DataError, match="has 10 documents and 1 evaluated queries; the published figures are of"):
        held_against(Published.parse(node(**counts)), result)


@pytest.mark.parametrize(("changes", "what"), [({"metric": "map"}, "map of dense"), ({"system": "rerank@7"}, "@7")])
def test_what_the_run_would_not_measure_is_refused_before_it(
    changes: dict[str, str], what: str, design: Callable[[], Design]
) -> None:
    with pytest.raises(ConfigError, match=what):
        Published.parse(figure(**changes)).check(design())


@pytest.fixture
def design(write_beir: BeirWriter) -> Callable[[], Design]:
    return lambda: plan_of(beir(write_beir({"d": "x"}, {"q": "x"}, [("q", "d", 1)]))).design


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (None, "no published figures"),
        ({"of": "x"}, "published has the keys of; expected of, source, measured"),
        (node(extra=1), "published has the keys"),
        (node(of=3), "published.of is of type int; expected text"),
        (node(n_queries=0), "published.n_queries is 0"),
        (node(figures=[]), "published.figures is []; expected a list"),
        (node(figures=[3]), "published.figures is 3"),
        (figure(value=71.3), "published.figures.value is 71.3; expected a fraction"),
        (figure(tolerance=-0.1), "published.figures.tolerance is -0.1"),
        (figure(value=True), "published.figures.value is True"),
        (figure(metric="recall at 5"), "is not a metric"),
    ],
)
def test_figures_that_are_not_complete_are_refused(given: Any, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Published.parse(given)
    assert what in str(caught.value)
