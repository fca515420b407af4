"""The examples for CI: what they call exists, and what the gate writes is what they publish."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.sinks.junit import FILE

ROOT = Path(__file__).parents[1]
GITHUB: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "retrieval.yml").read_text())
GITLAB: dict[str, Any] = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())

STEPS: list[dict[str, Any]] = GITHUB["jobs"]["gate"]["steps"]
JOB: dict[str, Any] = GITLAB["retrieval"]
COMMANDS = {
    "github": [step["run"] for step in STEPS if "run" in step],
    "gitlab": [*JOB["before_script"], *JOB["script"]],
}


def step(name: str) -> dict[str, Any]:
    return next(found for found in STEPS if found.get("name") == name)


@pytest.mark.parametrize("place", COMMANDS)
def test_every_target_that_is_made_exists(place: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    made = [command.split()[1] for command in COMMANDS[place] if command.startswith("make ")]
    assert [target for target in made if not target.startswith(".")] == ["eval", "gate"]
    assert all(re.search(rf"^{re.escape(target)}:", makefile, flags=re.M) for target in made)


def test_what_is_published_is_what_the_gate_writes() -> None:
    written = f"reports/swiss_fiduciary/20260102-030405-abcdef/{FILE}"
    assert fnmatch(written, JOB["artifacts"]["reports"]["junit"])
    assert any(fnmatch(written, pattern) for pattern in step("Publish")["with"]["path"].split())


def test_scores_are_kept_also_when_the_gate_fails() -> None:
    assert JOB["artifacts"]["when"] == "always"
    assert [cache["when"] for cache in JOB["cache"] if ".evalkit" in cache["paths"]] == ["always"]
    saved = step("Save what was computed")
    assert saved["if"].startswith("${{ always()")
    assert STEPS.index(saved) > STEPS.index(step("Gate"))


def test_an_older_cache_is_restored_by_the_beginning_of_its_key() -> None:
    restored = step("Restore what was computed")["with"]
    keys = [restored["key"], *restored["restore-keys"].splitlines()]
    assert all(longer.startswith(shorter) for longer, shorter in pairwise(keys))
    assert "hashFiles('.ci/constraints.txt')" in keys[1]
