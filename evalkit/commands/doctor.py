"""``evalkit doctor``: whether a run will start here, and whether this installation reproduces published figures."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict

from evalkit.commands.reproduce import DEFAULT, reproduce
from evalkit.commands.words import split
from evalkit.composition import compose_config
from evalkit.config import build_plan, build_sinks, reports_folder
from evalkit.errors import ConfigError, EvalkitError
from evalkit.readiness.examine import examine
from evalkit.readiness.outcome import Check, looked
from evalkit.readiness.software import software
from evalkit.sinks.escaping import one_line

SCHEMA_VERSION = 1


def run(arguments: Namespace) -> int:
    """Look before a run, or hold this installation to published figures.

    Returns:
        0, 2 where a run could not start, or 5 where published figures are not reproduced.

    Raises:
        ConfigError: The words are no overrides, there are no such figures, or what they need is not here.
        ControlError: A self-check of the run failed.
    """
    words, name = list(arguments.words), arguments.published
    # argparse takes the first word behind the flag for a name.
    if name is not None and "=" in name:
        words, name = [name, *words], ""
    named, overrides = split(words, "words", "expected overrides only")
    if named is not None:
        raise ConfigError(f"found {named}; expected overrides such as experiment=bge_m3, as for evalkit run")
    return look(overrides, arguments.json) if name is None else reproduce(name or DEFAULT, overrides, arguments.json)


def look(overrides: Sequence[str], as_json: bool) -> int:
    """Say of everything that a run with these overrides needs whether it is here; load nothing, send no text."""
    checks = _looked(overrides)
    status = "fault" if any(check.status == "fault" for check in checks) else "ready"
    if as_json:
        document = {"schema_version": SCHEMA_VERSION, "status": status, "checks": [asdict(check) for check in checks]}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            said = one_line(f"{check.found}{'; ' if check.advice else ''}{check.advice}")
            print(f"{check.status:<7}  {check.name:<{width}}  {said}")
        print("a run can start" if status == "ready" else "a run cannot start: mend what is marked as fault")
    return 2 if status == "fault" else 0


def _looked(overrides: Sequence[str]) -> list[Check]:
    try:
        config = compose_config(overrides)
        plan = build_plan(config)
        return list(examine(plan, build_sinks(config), reports_folder(config)))
    except EvalkitError as error:
        return [*looked("packages", lambda: software([])), Check("configuration", "fault", str(error))]
