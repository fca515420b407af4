"""Hand one finished result to every sink: first the folder, whole or not at all, then the rest."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

from evalkit import manifest
from evalkit.errors import SinkError
from evalkit.ports import Sink
from evalkit.result import EvalResult


def deliver(result: EvalResult, sinks: Mapping[str, Sink], reports: Path) -> Path:
    """Write ``reports/<dataset>/<run id>/``, then publish it.

    The folder is written beside its final place and renamed. A publisher that fails does not keep the
    others from their turn.

    Returns:
        The result folder.

    Raises:
        SinkError: The folder could not be written, or a publisher failed after it was.
    """
    final = _free(reports / result.dataset.name / result.run_id)
    result = replace(result, run_id=final.name)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
        try:
            for sink in sinks.values():
                if not sink.publishes:
                    sink.write(result, staging)
            manifest.seal(staging)
            staging.chmod(0o755)
            staging.rename(final)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SinkError(
            f"cannot write {final}: {reason}; nothing computed is lost. Start again, or set reports_dir to a folder "
            "that you can write"
        ) from error
    _publish(result, sinks, final)
    return final


def redraw(result: EvalResult, sinks: Mapping[str, Sink], folder: Path) -> list[str]:
    """Draw what is missing in the folder of a stored result, then publish it; what is there stays as it is.

    Returns:
        Relative paths of the files that were drawn.

    Raises:
        SinkError: The folder could not be written, or a publisher failed.
    """
    drawn = []
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
            for sink in sinks.values():
                if not sink.publishes:
                    sink.write(result, Path(scratch))
            for name in manifest.files(Path(scratch)):
                target = folder / name
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    Path(scratch, name).rename(target)
                    drawn.append(name)
    except OSError as error:
        raise SinkError(f"cannot write {folder}: {error.strerror or error}; make it and its parent writable") from error
    _publish(result, sinks, folder)
    return drawn


def _publish(result: EvalResult, sinks: Mapping[str, Sink], folder: Path) -> None:
    """Give every publisher its turn, then raise the first failure."""
    failures: list[Exception] = []
    for sink in sinks.values():
        if sink.publishes:
            try:
                sink.write(result, folder)
            except Exception as error:
                failures.append(error)
    if failures:
        raise failures[0]


def _free(folder: Path) -> Path:
    """The folder itself, or its name with the first number that is not taken."""
    if not folder.exists():
        return folder
    return next(other for n in count(2) if not (other := folder.with_name(f"{folder.name}-{n}")).exists())
