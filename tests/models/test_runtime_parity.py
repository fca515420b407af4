"""The same weights on torch, ONNX Runtime and OpenVINO, real texts: the same numbers and the same rankings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.models.export import GRAPH, INT8_GRAPH, Exporter
from evalkit.models.runtimes import RUNTIMES
from evalkit.models.weights import FolderWeights
from tests.models.conftest import flag_embedder, flag_reranker, onnx_embedder, onnx_reranker

Faq = tuple[dict[str, str], dict[str, str], dict[str, list[str]]]

pytest.importorskip("onnx", reason="pip install 'evalkit-rerank[export]' brings what writes graphs")
# Not importorskip: to import OpenVINO without care is to report it.
pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="pip install 'evalkit-rerank[openvino]'")

LENGTH = {"max_length": 128}
QUERIES, DEPTH = 3, 10


def exported(role: Any, model: Any, source: Path, folder: Path, settings: Mapping[str, Any], int8: bool) -> Path:
    exporter = Exporter(role, model, FolderWeights(source), settings, folder)
    exporter.write()
    if int8:
        exporter.write_int8()
    return folder


def orders(scores: np.ndarray) -> list[list[int]]:
    return np.argsort(-scores, axis=1, kind="stable").tolist()


def test_a_reranker_ranks_alike_on_every_runtime(
    float_reranker: Path, faq: Faq, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """ms-marco-MiniLM-L-12-v2, logits up to 11."""
    queries, documents, ranked = faq
    chosen = list(ranked)[::11][:QUERIES]
    pairs = [(queries[query], documents[doc]) for query in chosen for doc in ranked[query]]
    torch = flag_reranker(float_reranker, **LENGTH)
    expected = torch.score(pairs).reshape(QUERIES, DEPTH)
    folder = exported("reranker", torch, float_reranker, tmp_path_factory.mktemp("r"), {}, int8=True)
    for runtime in RUNTIMES:
        found = onnx_reranker(folder, runtime=runtime, **LENGTH).score(pairs).reshape(QUERIES, DEPTH)
        assert np.abs(found - expected).max() < 3e-5
        assert orders(found) == orders(expected)
        quantised = onnx_reranker(folder, file=INT8_GRAPH, runtime=runtime, **LENGTH)
        assert quantised.fingerprint["quantised"] is True
        rounded = quantised.score(pairs).reshape(QUERIES, DEPTH)
        assert 1e-3 < np.abs(rounded - expected).max() < 0.3 * expected.std()
        assert quantised.score(pairs[7:8])[0] == rounded.ravel()[7]


@pytest.mark.parametrize(("weights", "pooling"), [("float_embedder", "cls"), ("minilm", "mean")])
def test_an_embedder_ranks_alike_on_every_runtime(
    weights: str, pooling: str, faq: Faq, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """bge-small-en-v1.5 and all-MiniLM-L6-v2."""
    source = request.getfixturevalue(weights)
    queries, documents = (list(texts.values())[:16] for texts in faq[:2])
    torch = flag_embedder(source, pooling=pooling, **LENGTH)
    expected = torch.embed_queries(queries) @ torch.embed_documents(documents).T
    settings = {"pooling": pooling, "normalize": True, "query_prompt": "", "document_prompt": ""}
    exported("embedder", torch, source, tmp_path, settings, int8=False)
    for runtime in RUNTIMES:
        model = onnx_embedder(tmp_path, file=GRAPH, runtime=runtime, pooling=pooling, **LENGTH)
        found = model.embed_queries(queries) @ model.embed_documents(documents).T
        assert np.abs(found - expected).max() < 1e-6
        assert orders(found) == orders(expected)
