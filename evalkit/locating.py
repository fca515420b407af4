"""Which result a command speaks of."""

from __future__ import annotations

import json
from pathlib import Path

from evalkit import checks
from evalkit.errors import DataError
from evalkit.folder import RESULT


def locate(named: str | None, reports: Path) -> Path:
    """The result folder that a command speaks of: the named one, or that of the newest run under ``reports``.

    What ``report`` measured again is no run: it has to be named.

    Raises:
        DataError: There is none.
    """
    if named is not None:
        path = checks.path("the result folder", named)
        folder = path.parent if path.name == RESULT else path
        if not _is_file(folder / RESULT):
            found = f"holds no {RESULT}" if folder.is_dir() else "no such folder"
            raise DataError(f"{found}; expected a result folder, such as reports/<dataset>/<run id>", folder)
        return folder
    paths = [path for path in reports.glob(f"*/*/{RESULT}") if not path.parent.name.startswith(".")]
    runs = [(age, path.parent) for path in paths if (age := _age(path)) is not None]
    if not runs:
        raise DataError("holds no result; start one with evalkit run, or name a result folder", reports)
    return max(runs)[1]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path.parent) from error


def _age(path: Path) -> tuple[str, int] | None:
    """By which results are ordered: when the run began, then when it was written; None for what is no run's own."""
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))["provenance"]
        return None if origin.get("derived_from") else (str(origin["created"]), path.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
