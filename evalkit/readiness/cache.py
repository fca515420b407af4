"""Whether what was computed before can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalkit.checks import path
from evalkit.readiness.outcome import Check
from evalkit.readiness.patience import within_patience
from evalkit.stages import Plan
from evalkit.stores.cache import SCHEMA_VERSION

_SQLITE = b"SQLite format 3\0"
_WRITE_AHEAD = b"\2\2"


def cache(plan: Plan) -> Iterator[Check]:
    """The file of vectors and scores, where there is one; it is opened only where that changes nothing."""
    settings = plan.config.get("cache", {})
    file = path("cache.path", settings["path"]) if "path" in settings else None
    if file is None or not file.is_file():
        return
    if file.stat().st_size == 0:
        yield Check("cache", "ok", f"{file} is empty, and will be filled")
    elif _is_foreign(file):
        yield Check("cache", "fault", f"{file} is another program's database", "name another file with cache.path")
    else:
        try:
            within_patience(lambda: _read(plan))
        except TimeoutError as error:
            yield Check("cache", "fault", f"{file} {error}", "wait for the process that keeps it locked, or stop it")
        else:
            yield Check("cache", "ok", "what was computed before can be read")


def _is_foreign(file: Path) -> bool:
    """Whether opening it would turn another program's database into one with a write-ahead log.

    Bytes 18 and 19 of a database tell whether it has one, bytes 60 to 63 hold its user_version:
    https://www.sqlite.org/fileformat2.html
    """
    with file.open("rb") as stream:
        header = stream.read(64)
    version = int.from_bytes(header[60:64], "big")
    return header.startswith(_SQLITE) and header[18:20] != _WRITE_AHEAD and version != SCHEMA_VERSION


def _read(plan: Plan) -> None:
    try:
        plan.cache.get([b""])
    finally:
        plan.cache.close()
