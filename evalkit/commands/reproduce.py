"""``evalkit doctor --published``: whether this installation computes what others published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from evalkit.composition import compose_config, folder_of
from evalkit.config import build_plan, build_sinks, reports_folder
from evalkit.delivery import deliver
from evalkit.errors import ConfigError, ControlError
from evalkit.pipeline import evaluate
from evalkit.provenance import without_secret
from evalkit.published import Comparison, Published, held_against
from evalkit.readiness.data import dataset
from evalkit.readiness.examine import inputs
from evalkit.sinks.escaping import one_line
from evalkit.sinks.table import aligned
from evalkit.stages import Plan

NOT_REPRODUCED = 5
"""As for a result that is invalid: what this installation computes cannot be trusted."""

DEFAULT = "bge_m3"
"""The published figures that are meant where none are named: those of the production pair."""

SCHEMA_VERSION = 1

_GROUP = "experiment/published"


def reproduce(name: str, overrides: Sequence[str], as_json: bool) -> int:
    """Evaluate what published figures are of, as any run does, and hold the result to them.

    Raises:
        ConfigError: There are no such figures, or what they need is not here.
        ControlError: A self-check of the run failed.
    """
    words = [f"experiment=published/{name}", *overrides]
    config = _composed(name, words)
    published = Published.parse(
        OmegaConf.to_container(config.published, resolve=True) if "published" in config else None
    )
    plan = build_plan(config, ("run", *words))
    published.check(plan.design)
    _require_inputs(plan, name)
    sinks, reports = build_sinks(config), reports_folder(config)
    if as_json:
        sinks.pop("terminal", None)
    result = evaluate(plan)
    folder = deliver(result, sinks, reports)
    if result.assessment.status == "invalid":
        raise ControlError(f"the result in {folder} is invalid. {result.assessment.verdict.reason}")
    found = held_against(published, result)
    reproduced = all(entry.reproduced for entry in found)
    if as_json:
        print(json.dumps(_document(name, published, found, folder), ensure_ascii=False, indent=2))
    else:
        print("\n".join(_lines(published, found, overrides)))
    return 0 if reproduced else NOT_REPRODUCED


def _composed(name: str, words: Sequence[str]) -> DictConfig:
    try:
        return compose_config(words)
    except ConfigError as error:
        if f"Could not find '{_GROUP}/{name}'" not in str(error):
            raise
        shipped = sorted(file.stem for file in (folder_of("conf") / _GROUP).glob("*.yaml"))
        raise ConfigError(
            f"there are no published figures {name!r}; there are: {', '.join(shipped)}. One of your own is a file "
            f"FOLDER/{_GROUP}/{name}.yaml, found by hydra.searchpath=[file:///FOLDER]"
        ) from error


def _require_inputs(plan: Plan, name: str) -> None:
    """Say at once, and of all of them, which data and weights have to be brought here."""
    checks = [dataset(plan)[0], *inputs(plan)]
    lacking = [f"{check.name}: {check.found}; {check.advice}" for check in checks if check.status == "fault"]
    if lacking:
        raise ConfigError(f"what the published figures of {name} are of cannot be run here. {'. '.join(lacking)}")


def _lines(published: Published, found: Sequence[Comparison], overrides: Sequence[str]) -> list[str]:
    rows = [
        [
            f"{entry.figure.system} {entry.figure.metric}",
            f"{entry.figure.value:.5f}",
            f"{entry.found:.5f}",
            f"{entry.difference:+.5f}",
            f"{entry.figure.tolerance:g}",
            "yes" if entry.reproduced else "NO",
        ]
        for entry in found
    ]
    reproduced = all(entry.reproduced for entry in found)
    changed = f" with {' '.join(map(without_secret, overrides))}" if overrides else ""
    return [
        "",
        f"published  {one_line(published.of)}",
        f"source     {one_line(published.source)}",
        f"measured   {one_line(published.measured)}",
        f"tolerance  {one_line(published.tolerance_why)}",
        "",
        *aligned(("figure", "published", "found", "difference", "tolerance", "within"), rows),
        "",
        f"this installation{changed} {'reproduces' if reproduced else 'does NOT reproduce'} the published figures",
    ]


def _document(name: str, published: Published, found: Sequence[Comparison], folder: Path) -> dict[str, Any]:
    reproduced = all(entry.reproduced for entry in found)
    return {
        "schema_version": SCHEMA_VERSION,
        "status": "reproduced" if reproduced else "not reproduced",
        "name": name,
        "of": published.of,
        "source": published.source,
        "figures": [
            {
                "system": entry.figure.system,
                "metric": str(entry.figure.metric),
                "published": entry.figure.value,
                "found": entry.found,
                "difference": entry.difference,
                "tolerance": entry.figure.tolerance,
                "reproduced": entry.reproduced,
            }
            for entry in found
        ],
        "result": str(folder),
    }
