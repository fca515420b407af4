"""Which files a run wrote, and whether they are still what they were."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from evalkit.errors import DataError

NAME = "manifest.json"


def seal(folder: Path) -> None:
    """Write ``manifest.json``: the SHA-256 of every file in the folder, by its relative path."""
    digests = {name: _digest(folder / name) for name in files(folder)}
    text = json.dumps({"algorithm": "sha256", "files": digests}, ensure_ascii=False, indent=2)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")


def files(folder: Path) -> list[str]:
    """Relative path of every file in the folder but the manifest, sorted."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != NAME
    )


def listed(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of the files that the run wrote.

    Raises:
        DataError: The manifest is missing or cannot be read.
    """
    path = folder / NAME
    try:
        digests = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in digests.items()}
    except OSError as error:
        raise DataError("missing; a run writes it last, so this folder is no complete result", path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError("not a manifest of evalkit; expected an object with the digests of files", path) from error


def problems(folder: Path) -> dict[str, str]:
    """What is no longer as the run wrote it: file -> one sentence; files that were added later are nobody's matter.

    Raises:
        DataError: The manifest is missing, or it or a file that it lists cannot be read.
    """
    found = {}
    for name, digest in listed(folder).items():
        file = folder / name
        try:
            if not file.is_file():
                found[name] = f"{name} is missing"
            elif _digest(file) != digest:
                found[name] = f"{name} was changed after the run"
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror or error})", file) from error
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
