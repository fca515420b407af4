"""``evalkit baseline``: keep a result as what later ones must not fall behind."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from evalkit.analysis.gate import expectation_of
from evalkit.analysis.metrics import mean
from evalkit.analysis.regression import Baseline
from evalkit.baseline import path_of, read, write
from evalkit.commands import words
from evalkit.config import reports_folder
from evalkit.errors import DataError


def run(arguments: Namespace) -> int:
    """Write ``reports/baselines/<name>.json`` and say what it replaces.

    Raises:
        ConfigError: The result is invalid or stopped early, or does not hold what the gate speaks of.
        DataError: There is no such result, or it is damaged.
        ControlError: The result was changed after the run.
        SinkError: The file cannot be written.
    """
    folder, config, overrides = words.read(arguments.words)
    words.allow(overrides, ("gate", "reports_dir"), "baseline")
    result = words.untouched(folder)
    kept = Baseline.of(result, expectation_of(result, words.rules(config)))
    path = path_of(reports_folder(config), arguments.name or result.dataset.name)
    replaced = _replaced(path, kept)
    write(kept, path)
    if result.provenance.derived_from is not None:
        print(f"note      measured again from {result.provenance.derived_from}: what it declares was chosen afterwards")
    print(f"kept      {kept.run_id}: {kept.metric} of {kept.system}, {kept.gain_points:+.1f} points over stage 1")
    print(replaced)
    print(f"baseline  {path}")
    print("Commit it: evalkit gate holds later results of the same data and models against it.")
    return 0


def _replaced(path: Path, kept: Baseline) -> str:
    """What stood there before, and how far the metric moved since."""
    if not path.exists():
        return "replaced  nothing"
    try:
        old = read(path)
    except DataError as error:
        return f"replaced  a file that could not be read: {error}"
    was = f"replaced  {old.run_id} of {old.created}"
    if (old.metric, old.top_k) != (kept.metric, kept.top_k):
        return f"{was}, which kept {old.metric} of {old.system}"
    before, now = (100 * mean(side.reranked) for side in (old, kept))
    others = "" if old.digest == kept.digest else "; it was of other data"
    return (
        f"{was}: {kept.metric} of {kept.system} moved by {now - before:+.1f} points, the gain over stage 1 by "
        f"{kept.gain_points - old.gain_points:+.1f}{others}"
    )
