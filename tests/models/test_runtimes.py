"""One graph on both runtimes: the same numbers, each named, and nothing sent anywhere."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import MAX_BATCHED_DRIFT
from evalkit.models.runtimes import RUNTIMES
from tests.models.conftest import MIXED_PAIRS, onnx_embedder, onnx_reranker

# Not importorskip: to import OpenVINO without care is to report it.
pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="pip install 'evalkit-rerank[openvino]'")

ROOT = Path(__file__).parents[2]
SCORE = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        os.write(1, b"asked the network ")  # at once: a forked process sends, and has no other way to tell
        raise OSError("no network here")
sys.addaudithook(watch)
from pathlib import Path
from evalkit.models.onnx import OnnxReranker
from evalkit.models.weights import FolderWeights
model = OnnxReranker(FolderWeights(Path(sys.argv[1])), "model.onnx", "openvino", 64, 1, 2048)
print(model.score([("a question", "an answer")]).shape, "openvino" in sys.modules)
"""


@pytest.fixture(scope="module")
def int8(carrier: Path) -> Any:
    return onnx_reranker(carrier / "reranker_en", runtime="openvino")


def test_a_fingerprint_names_the_runtime_and_its_version(carrier: Path) -> None:
    one, other = (onnx_reranker(carrier / "reranker_en", runtime=runtime).fingerprint for runtime in RUNTIMES)
    assert (one["backend"], one["onnxruntime"]) == ("onnx", metadata.version("onnxruntime"))
    assert (other["backend"], other["openvino"]) == ("openvino", metadata.version("openvino"))
    assert "openvino" not in one
    assert "onnxruntime" not in other


def test_int8_is_marked_and_runs_one_at_a_time_on_openvino_too(int8: Any) -> None:
    assert int8.fingerprint["quantised"] is True
    assert int8.batch_drift > MAX_BATCHED_DRIFT
    together = int8.score(MIXED_PAIRS)
    assert [int8.score([pair])[0] for pair in MIXED_PAIRS] == together.tolist()


def test_both_runtimes_read_the_int8_file_much_alike(int8: Any, carrier: Path) -> None:
    other = onnx_reranker(carrier / "reranker_en").score(MIXED_PAIRS)
    assert np.abs(int8.score(MIXED_PAIRS) - other).max() < 0.3 * other.std()


def test_the_number_of_threads_changes_no_bit(carrier: Path, int8: Any) -> None:
    three = onnx_reranker(carrier / "reranker_en", runtime="openvino", threads=3)
    assert three.score(MIXED_PAIRS).tolist() == int8.score(MIXED_PAIRS).tolist()


def test_a_loaded_model_travels_to_another_process(int8: Any) -> None:
    expected = int8.score(MIXED_PAIRS[:1])
    assert pickle.loads(pickle.dumps(int8)).score(MIXED_PAIRS[:1]).tolist() == expected.tolist()  # noqa: S301 - own bytes


def test_openvinos_own_format_is_read_with_its_weights_beside_it(int8: Any, carrier: Path, tmp_path: Path) -> None:
    expected = int8.score(MIXED_PAIRS[:3])
    import openvino

    source = carrier / "reranker_en"
    openvino.save_model(openvino.Core().read_model(str(source / "model.onnx")), tmp_path / "model.xml", False)
    shutil.copy(source / "tokenizer.json", tmp_path)
    converted = onnx_reranker(tmp_path, file="model.xml", runtime="openvino")
    assert converted.fingerprint["quantised"] is True
    assert np.allclose(converted.score(MIXED_PAIRS[:3]), expected, rtol=0, atol=1e-5)


def test_vectors_are_computed_too(carrier: Path) -> None:
    one, other = (
        onnx_embedder(carrier / "bge_small_en", runtime=runtime).embed_queries(["What is Debian?", "Bread"])
        for runtime in RUNTIMES
    )
    assert np.allclose(np.linalg.norm(other, axis=1), 1, atol=1e-6)
    assert (one * other).sum(axis=1).min() > 0.99


def test_a_graph_that_cannot_be_loaded_is_named_with_its_runtime(carrier: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    shutil.copy(carrier / "reranker_en" / "tokenizer.json", tmp_path)
    for runtime in RUNTIMES:
        with pytest.raises(ModelError, match=rf"model\.onnx cannot be loaded by {runtime}: "):
            onnx_reranker(tmp_path, runtime=runtime).batch_drift  # noqa: B018 - reading it is the test


def test_an_unknown_runtime_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reranker\.runtime is 'tensorrt'; expected onnxruntime or openvino"):
        onnx_reranker(tmp_path, runtime="tensorrt")


def test_a_missing_runtime_is_answered_with_what_to_install(carrier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("evalkit.models.runtimes.metadata.version", absent)
    monkeypatch.setitem(sys.modules, "openvino", None)
    reranker = onnx_reranker(carrier / "reranker_en", runtime="openvino")
    message = r"^runtime is openvino, which is not installed; run: pip install 'evalkit-rerank\[openvino\]'$"
    with pytest.raises(ModelError, match=message):
        reranker.fingerprint  # noqa: B018 - reading it is the test
    with pytest.raises(ModelError, match=message):
        reranker.score([("one", "two")])


def test_openvino_reports_its_import_to_nobody(carrier: Path, tmp_path: Path) -> None:
    """Left alone, it sends an event and writes an identifier into the home folder, but for CI, which is hidden here."""
    kept = {key: value for key, value in os.environ.items() if key not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(carrier / "reranker_en")],
        env={**kept, "HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "(1,) True\n"
    assert list(tmp_path.iterdir()) == []
