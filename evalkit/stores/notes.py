"""Small facts that outlive a run: one JSON file per key."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from evalkit import checks
from evalkit.errors import StoreError


class JsonNotes:
    """Notes in a folder that several processes may use at once; the last one to write a note wins.

    Args:
        path: The folder; it is made at the first note.

    Raises:
        ConfigError: The path is no path.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = checks.path("notes.path", path)

    def get(self, key: bytes) -> Mapping[str, Any] | None:
        """The note of that key; None where there is none.

        Args:
            key: Content key, such as a SHA-256 digest.

        Raises:
            StoreError: The file cannot be read, or holds something else than a note.
        """
        file = self._file(key)
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"{file}: cannot be read ({error.strerror}); make it readable, or name another folder with notes.path"
            ) from error
        except ValueError as error:
            raise _foreign(file, str(error)) from error
        if not isinstance(note, dict):
            raise _foreign(file, f"found a JSON {type(note).__name__}")
        return note

    def put(self, key: bytes, note: Mapping[str, Any]) -> None:
        """Remember a note in place of the former one, whole or not at all.

        Args:
            key: Content key, such as a SHA-256 digest.
            note: JSON values; no number that is not finite.

        Raises:
            StoreError: The file cannot be written.
        """
        text = json.dumps(note, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
        file = self._file(key)
        unborn = file.with_name(f".{file.stem}.{uuid4().hex}.new")
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            try:
                with unborn.open("w", encoding="utf-8") as stream:
                    stream.write(text)
                    stream.flush()
                    # Else a power failure can leave an empty file under the final name.
                    os.fsync(stream.fileno())
                unborn.replace(file)
            finally:
                unborn.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{file}: cannot be written ({error.strerror}); make its folder writable, or name another one with "
                "notes.path"
            ) from error

    def _file(self, key: bytes) -> Path:
        return self._path / f"{key.hex()}.json"


def _foreign(file: Path, found: str) -> StoreError:
    return StoreError(
        f"{file}: not a note, which is a JSON object ({found}); delete the file: only a measurement is lost"
    )
