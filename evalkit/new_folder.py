"""Folders that appear whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.errors import ConfigError, SinkError


def check_free(folder: Path) -> None:
    """Refuse a folder with something in it, before anything is read for it.

    Raises:
        ConfigError: It is a file, or not empty.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty, and nothing in it is replaced; name a new or empty folder")
    elif folder.exists():
        raise ConfigError(f"{folder} is a file; name a new or empty folder")


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder to write into: renamed to its final place once the block is through, removed where it is not.

    Args:
        folder: The final place, resolved; new or empty.

    Raises:
        SinkError: It cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            yield staging
            staging.chmod(0o755)
            staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise SinkError(
            f"cannot write {folder}: {error.strerror or error}; name a folder that you can write"
        ) from error
