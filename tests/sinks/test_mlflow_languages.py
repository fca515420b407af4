"""What MLflow is told of a language table: a gain per cell under a name that it takes, and the worst cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from evalkit import manifest
from evalkit.parts import Languages
from evalkit.result import EvalResult
from evalkit.sinks.mlflow import MlflowSink
from evalkit.sinks.tracking import sheets
from tests.conftest import NewStore
from tests.hits import result_by
from tests.pages import HOSTILE, LANGUAGES, changed, speaking

GAINS = {
    "gain_points_de_de": 30.0,
    "gain_points_fr_de": -25.0,
    "gain_points_de_fr": 6.0,
    "gain_points_it_fr": 25.0,
    "gain_points_de_pooled": 20.0,
    "gain_points_fr_pooled": 0.0,
    "gain_points_it_pooled": 0.0,
}
OTHERS = {"gain_points_low", "gain_points_high"}


@pytest.fixture(scope="module")
def bare() -> EvalResult:
    return result_by()


def added(result: EvalResult, found: Languages | None) -> dict[str, float]:
    """What the evaluation has besides what it has without a language table."""
    before = {name for name, *_ in sheets.evaluation(result).points}
    points = sheets.evaluation(changed(result, languages=found)).points
    return {name: value for name, value, _ in points if name not in before}


def tags(result: EvalResult, found: Languages | None) -> dict[str, str]:
    return sheets.evaluation(changed(result, languages=found)).tags


def test_a_cell_has_one_metric_and_the_share_of_the_own_language_two(bare: EvalResult) -> None:
    assert added(bare, LANGUAGES) == {**GAINS, "own_language_dense": 0.55, "own_language_reranked": 0.61}
    assert added(bare, replace(LANGUAGES, bias=())) == GAINS


def test_a_table_of_one_cell_adds_nothing(bare: EvalResult) -> None:
    for found in (None, Languages((LANGUAGES.gains[0], LANGUAGES.gains[4]), LANGUAGES.bias)):
        assert added(bare, found) == {}
        assert "worst_language" not in tags(bare, found)
        assert "by language" not in tags(bare, found)["mlflow.note.content"]


def test_the_worst_row_pooled_or_not_is_named_where_it_can_tell(bare: EvalResult) -> None:
    worst = "fr queries on de documents: -25.0 points (-41.0 to -9.0)"
    found = tags(bare, LANGUAGES)
    assert found["worst_language"] == worst
    assert f"Worst by language: {worst}." in found["mlflow.note.content"]
    loss = replace(LANGUAGES.gains[1], note="cannot tell: 3 of 20 queries")
    small = replace(LANGUAGES, gains=(LANGUAGES.gains[0], loss, *LANGUAGES.gains[2:]))
    assert tags(bare, small)["worst_language"] == (
        "fr queries on all documents: +0.0 points (-12.0 to +12.0, not certain)"
    )
    pooled = replace(LANGUAGES.gains[5], delta_points=-30.0, ci_low=-40.0, ci_high=-20.0, p_adjusted=0.001)
    lost = replace(LANGUAGES, gains=(*LANGUAGES.gains[:5], pooled))
    assert tags(bare, lost)["worst_language"] == "fr queries on all documents: -30.0 points (-40.0 to -20.0)"
    untold = Languages(tuple(replace(gain, note="cannot tell") for gain in LANGUAGES.gains), ())
    assert "worst_language" not in tags(bare, untold)


def test_languages_that_share_a_name_are_not_mixed_up(bare: EvalResult) -> None:
    """An underscore stands between two languages only."""
    assert {"gain_points_zh-TW_zh-TW", "gain_points_de_zh-TW"} <= added(bare, speaking(["zh_TW", "de"])).keys()
    assert set(added(bare, speaking(["a b", "a/b", "de"]))) == {
        "gain_points_de_de", "gain_points_de_pooled", "own_language_dense", "own_language_reranked",
    }  # fmt: skip


def test_mlflow_takes_every_name(bare: EvalResult, tmp_path: Path, new_store: NewStore) -> None:
    uri, folder = new_store(tmp_path), tmp_path / "report"
    folder.mkdir()
    manifest.seal(folder)
    result = changed(bare, languages=speaking([*HOSTILE, "l" * 300, "../..", "日本"]))
    MlflowSink(uri, str(tmp_path / "artifacts"), "trial").write(result, folder)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.kind = 'evaluation'")
    cells = {name for name in run.data.metrics if name.startswith("gain_points_") and name not in OTHERS}
    assert len(cells) == 11 * 12
    assert {"gain_points_..-.._..-..", f"gain_points_{'l' * 35}_pooled"} <= cells
