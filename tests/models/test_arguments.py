"""A value of the wrong type is refused by the constructor, which names the argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.checks import boolean, text, whole_number
from evalkit.errors import ConfigError
from evalkit.models.onnx import OnnxEmbedder
from tests.models.conftest import flag_embedder, flag_reranker, onnx_embedder, onnx_reranker

EMBEDDERS = [onnx_embedder, flag_embedder]
RERANKERS = [onnx_reranker, flag_reranker]


@pytest.mark.parametrize("make", EMBEDDERS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_prompt": None}, "embedder.query_prompt is null; expected text"),
        ({"document_prompt": 5}, "embedder.document_prompt is of type int; expected text"),
        ({"normalize": "no"}, "embedder.normalize is 'no'; expected true or false"),
        ({"normalize": 0}, "embedder.normalize is 0; expected true or false"),
        ({"max_length": 2.5}, "embedder.max_length is 2.5; expected a whole number of at least 32"),
        ({"max_length": None}, "embedder.max_length is None; expected a whole number of at least 32"),
        ({"token_budget": "abc"}, "embedder.token_budget is 'abc'; expected a whole number of at least 1"),
    ],
)
def test_an_embedder_names_the_argument_of_the_wrong_type(
    make: Any, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refusal:
        make(tmp_path / "absent", **changes)
    assert str(refusal.value) == message


@pytest.mark.parametrize("make", RERANKERS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": "512"}, "reranker.max_length is '512'; expected a whole number of at least 32"),
        ({"token_budget": "abc"}, "reranker.token_budget is 'abc'; expected a whole number of at least 1"),
        ({"token_budget": True}, "reranker.token_budget is True; expected a whole number of at least 1"),
    ],
)
def test_a_reranker_names_the_argument_of_the_wrong_type(
    make: Any, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refusal:
        make(tmp_path / "absent", **changes)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (onnx_embedder, {"threads": True}, "threads is True; expected a whole number of at least 1, or null"),
        (onnx_reranker, {"threads": "two"}, "threads is 'two'; expected a whole number of at least 1, or null"),
        (onnx_reranker, {"file": None}, "file is null; expected text"),
        (flag_reranker, {"query_prompt": None}, "query_prompt is null; expected text"),
        (flag_reranker, {"document_prompt": ["p"]}, "document_prompt is of type list; expected text"),
        (flag_reranker, {"query_max_length": "x"}, "query_max_length is 'x'; expected a whole .* 1, or null"),
        (flag_reranker, {"device": 0}, "device is of type int; expected text, or null"),
        (flag_embedder, {"device": False}, "device is of type bool; expected text, or null"),
    ],
)
def test_an_argument_of_one_backend_is_checked_as_well(
    make: Any, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(tmp_path / "absent", **changes)


def test_a_path_in_place_of_weights_is_refused_with_what_to_use() -> None:
    with pytest.raises(ConfigError, match="weights is '/models/e5'; expected CarrierWeights, FolderWeights or Hub"):
        OnnxEmbedder("/models/e5", "model.onnx", "onnxruntime", "cls", True, "", "", 512, None, 2048)  # type: ignore[arg-type]


@pytest.mark.parametrize("file", ["/models/model.onnx", "../model.onnx", "onnx/../../model.onnx"])
def test_a_graph_outside_of_its_folder_is_refused_because_no_identity_covers_it(file: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="inside the weights' folder"):
        onnx_reranker(tmp_path, file=file)


def test_what_fits_passes_and_its_neighbour_does_not() -> None:
    """Each pair differs in one step only, so that the limit itself is what is tested."""
    whole_number("embedder.max_length", 32, 32)
    whole_number("embedder.threads", None, 1, or_null=True)
    boolean("embedder.normalize", False)
    text("embedder.query_prompt", "")
    text("reranker.device", None, or_null=True)
    with pytest.raises(ConfigError):
        whole_number("embedder.threads", None, 1)
    with pytest.raises(ConfigError):
        boolean("embedder.normalize", None)
    with pytest.raises(ConfigError):
        text("reranker.device", None)


def test_a_number_below_the_least_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_length is 31; expected a whole number of at least 32"):
        whole_number("embedder.max_length", 31, 32)
