"""``evalkit gate``: hold a finished result to rules, for CI."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from evalkit.analysis.gate import hold, self_checks
from evalkit.baseline import find
from evalkit.commands import words
from evalkit.config import reports_folder
from evalkit.errors import EvalkitError, SinkError
from evalkit.result import EvalResult
from evalkit.rules import EXIT_CODES, Ruling, gravest
from evalkit.sinks.junit import FILE, write_junit
from evalkit.sinks.summary import markdown, terminal_lines

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The file that GitHub shows on a run's page."""


def run(arguments: Namespace) -> int:
    """Hold a result to its rules, say what came of each, and leave ``junit.xml`` in its folder.

    Returns:
        0 passed, 2 a rule could not be held to this result, 3 failed, 4 inconclusive, 5 invalid; the first of
        5, 2, 3, 4 that applies.

    Raises:
        ConfigError: The rules are impossible, speak of what the result does not hold, or name no baseline.
        DataError: The result or the baseline is missing or damaged.
        ControlError: The result was changed after the run.
        SinkError: ``junit.xml`` or the summary cannot be written.
    """
    folder, config, overrides = words.read(arguments.words)
    # What an earlier gate said must not stand beside a refusal.
    (folder / FILE).unlink(missing_ok=True)
    result = words.untouched(folder)
    try:
        rulings = _rulings(result, config, overrides, arguments)
    except EvalkitError as error:
        _publish([Ruling("rules", "error", str(error))], result, folder)
        raise
    outcome = gravest(rulings)
    code = EXIT_CODES.get(outcome, 0)
    _publish(rulings, result, folder)
    print("\n".join([*terminal_lines(rulings), "", f"{outcome.upper()}  exit code {code}", f"result  {folder}"]))
    return code


def _rulings(
    result: EvalResult, config: DictConfig, overrides: Sequence[str], arguments: Namespace
) -> tuple[Ruling, ...]:
    checks = self_checks(result)
    if checks.status == "invalid":
        return (checks,)
    words.allow(overrides, ("gate", "reports_dir"), "gate")
    rules = words.rules(config, _flags(arguments))
    return hold(result, rules, find(reports_folder(config), rules.baseline, result.dataset.name))


def _flags(arguments: Namespace) -> dict[str, Any]:
    """The settings of the group ``gate`` that flags name."""
    names = ("metric", "top_k", "min_points", "max_points", "decide_on", "expectation", "baseline")
    flags = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if flags.get("baseline") == "null":
        flags["baseline"] = None
    return flags


def _publish(rulings: Sequence[Ruling], result: EvalResult, folder: Path) -> None:
    """``junit.xml`` beside what the run wrote, and GitHub's summary where there is one."""
    code = EXIT_CODES.get(gravest(rulings), 0)
    place: Path | str = folder
    try:
        write_junit(rulings, result, folder)
        place = os.environ.get(SUMMARY, "")
        if place:
            with Path(place).open("a", encoding="utf-8") as stream:
                stream.write(markdown(rulings, result, code))
    except OSError as error:
        found = "; ".join(f"{ruling.name}: {ruling.message}" for ruling in rulings if ruling.status in EXIT_CODES)
        raise SinkError(
            f"cannot write to {place}: {error.strerror or error}; the gate ended with {code}. {found}"
        ) from error
