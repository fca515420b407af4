"""``evalkit report``: draw a result again, or measure it otherwise, without a model."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from evalkit import manifest
from evalkit.commands.words import outside, read, untouched
from evalkit.config import PLACES, build_sinks, redesign, reports_folder
from evalkit.delivery import deliver, redraw
from evalkit.errors import ConfigError, ControlError
from evalkit.ports import Sink
from evalkit.remeasure import remeasure, rule_of, settings_of
from evalkit.result import EvalResult


def run(arguments: Namespace) -> int:
    """Draw what is missing in a result folder; with overrides of the design, make a new result beside it.

    With ``--to``, send the result there instead.

    Raises:
        ConfigError: The stored candidates cannot answer what the overrides ask.
        DataError: There is no such result, or it is damaged.
        SinkError: Something could not be written.
        ControlError: The evidence was changed after the run, or a self-check of the new result failed.
    """
    folder, config, overrides = read(arguments.words)
    stored = untouched(folder, "is drawn")
    if arguments.to is not None:
        if not any(word.startswith("reports_dir=") for word in overrides):
            # The local store lies beside the results, wherever the command is given.
            config.reports_dir = str(_reports(stored, folder, config))
        _send(stored, folder, arguments.to, build_sinks(config), overrides)
        return 0
    sinks = _asked(build_sinks(config), overrides)
    before = stored.design, rule_of(stored)
    design, rule = redesign(config, overrides, settings_of(*before))
    if (design, rule) == before:
        _draw(stored, sinks, folder)
        return 0
    result = remeasure(stored, design, rule)
    made = deliver(result, sinks, _reports(stored, folder, config))
    print(f"measured again without a model from {folder}")
    if result.assessment.status == "invalid":
        raise ControlError(f"the result in {made} is invalid. {result.assessment.verdict.reason}")
    return 0


def _send(stored: EvalResult, folder: Path, name: str, sinks: Mapping[str, Sink], overrides: Sequence[str]) -> None:
    """Publish what is there: nothing is drawn or measured."""
    others = outside(overrides, PLACES)
    if others:
        raise ConfigError(
            f"--to {name} sends a result as it is; found {', '.join(others)}. Measure it "
            "otherwise first, without --to, and then send the new folder"
        )
    if name not in sinks:
        raise ConfigError(f"sinks.{name} is null, so there is no place to send the result to; leave that override out")
    sinks[name].write(stored, folder)


def _asked(sinks: Mapping[str, Sink], overrides: Sequence[str]) -> dict[str, Sink]:
    """Those that write the folder, the terminal, and a publisher such as MLflow only where an override names it."""
    return {
        name: sink
        for name, sink in sinks.items()
        if not sink.publishes
        or name == "terminal"
        or any(word.lstrip("+").startswith(f"sinks.{name}") for word in overrides)
    }


def _reports(stored: EvalResult, folder: Path, config: DictConfig) -> Path:
    """Where the new folder is a sibling of the first; ``reports_dir`` where that one was moved out of its place."""
    parent = folder.resolve().parent
    return parent.parent if parent.name == stored.dataset.name else reports_folder(config)


def _draw(stored: EvalResult, sinks: Mapping[str, Sink], folder: Path) -> None:
    drawn = redraw(stored, sinks, folder)
    print(f"drawn   {', '.join(drawn)}" if drawn else "drawn   nothing, as no file is missing")
    for name, sentence in manifest.problems(folder).items():
        if name in drawn:
            print(f"note: {name} is not byte for byte what the run drew, which another version of evalkit did")
        else:
            print(f"note: {sentence} and stays as it is; delete it to have it drawn again")
