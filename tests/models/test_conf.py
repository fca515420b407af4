"""Every YAML builds its object, and names every argument of its constructor."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parents[2] / "conf"
MINE = ("bge_m3", "bge_small_en", "bge_small_en_v15_flag", "flag_folder", "onnx_folder", "minilm_l12_en")
FILES = [CONF / group / f"{name}.yaml" for group in ("embedder", "reranker") for name in MINE]
FILES = [file for file in FILES if file.is_file()] + [CONF / "reranker" / "bge_reranker_v2_m3.yaml"]


def read(file: Path) -> DictConfig:
    config = OmegaConf.load(file)
    assert isinstance(config, DictConfig)
    if OmegaConf.is_missing(config.weights, "path"):
        config.weights.path = "/no/such/folder"
    return config


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_yaml_names_every_argument_and_builds_its_object_without_opening_anything(file: Path) -> None:
    config = read(file)
    for node in (config, config.weights):
        named = {str(name) for name in node if name != "_target_"}
        assert named == set(inspect.signature(get_object(node["_target_"])).parameters)
    built = instantiate(config, _convert_="all")
    assert hasattr(built, "score") if file.parent.name == "reranker" else hasattr(built, "embed_queries")
