"""Python and packages, against what the project states."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from evalkit.provenance import versions
from evalkit.readiness.outcome import Check
from evalkit.readiness.settings import nodes, values

DISTRIBUTION = "evalkit-rerank"

_CHECKOUT = Path(__file__).parents[2] / "pyproject.toml"


def software(settings: Sequence[Mapping[str, Any]], stated: Mapping[str, Any] | None = None) -> Iterator[Check]:
    """Python, the packages that every installation needs, and the extras that a run needs.

    Args:
        settings: The nodes of the configuration that it uses.
        stated: The table ``project`` of pyproject.toml; None reads what is there.
    """
    project = project_table() if stated is None else stated
    yield _python(str(project["requires-python"]))
    yield _packages([Requirement(line) for line in project["dependencies"]])
    for extra in _needed(settings, project):
        yield _extra(extra, [Requirement(line) for line in project["optional-dependencies"][extra]])


def project_table() -> Mapping[str, Any]:
    """What the project states of itself: in a checkout its pyproject.toml, else what was installed with it."""
    if _CHECKOUT.is_file():
        project: dict[str, Any] = tomllib.loads(_CHECKOUT.read_text(encoding="utf-8"))["project"]
        return project
    installed = metadata.metadata(DISTRIBUTION)
    lines = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or []]
    by_extra = {
        extra: [_bare(line) for line in lines if line.marker and line.marker.evaluate({"extra": extra})]
        for extra in installed.get_all("Provides-Extra") or []
    }
    dependencies = [_bare(line) for line in lines if line.marker is None]
    return {
        "requires-python": installed["Requires-Python"],
        "dependencies": dependencies,
        "optional-dependencies": by_extra,
    }


def _bare(line: Requirement) -> str:
    return f"{line.name}{line.specifier}"


def _python(wanted: str) -> Check:
    found = platform.python_version()
    if SpecifierSet(wanted).contains(found):
        return Check("python", "ok", f"{found}; evalkit states {wanted}")
    return Check("python", "fault", f"{found}; evalkit states {wanted}", "make the environment anew with such a Python")


def _packages(requirements: list[Requirement]) -> Check:
    amiss = list(filter(None, map(_amiss, requirements)))
    if amiss:
        return Check("packages", "fault", "; ".join(amiss), f"run: pip install --upgrade {DISTRIBUTION}")
    deciding = ", ".join(f"{name} {version}" for name, version in versions().items())
    return Check("packages", "ok", f"as stated; those that decide numbers: {deciding}")


def _extra(extra: str, requirements: list[Requirement]) -> Check:
    amiss = list(filter(None, map(_amiss, requirements)))
    if amiss:
        advice = f"run: pip install '{DISTRIBUTION}[{extra}]'"
        return Check(f"extra {extra}", "fault", f"this configuration needs it: {'; '.join(amiss)}", advice)
    found = ", ".join(f"{line.name} {metadata.version(line.name)}" for line in requirements)
    return Check(f"extra {extra}", "ok", found)


def _amiss(line: Requirement) -> str | None:
    """What is wrong with an installed package; None where nothing is."""
    try:
        found = metadata.version(line.name)
    except metadata.PackageNotFoundError:
        return f"{line.name} is not installed"
    if line.specifier.contains(found, prereleases=True):
        return None
    return f"{line.name} {found} is installed, {line.specifier} is stated"


def _needed(settings: Sequence[Mapping[str, Any]], project: Mapping[str, Any]) -> list[str]:
    """The extras that settings ask for; in alphabetical order."""
    config = list(settings)
    targets = {str(node["_target_"]).rpartition(".")[2] for node in nodes(config)}
    paths = {str(value) for value in values(config, "path")}
    carriers = {str(value) for value in values(config, "distribution")}
    carried = {Requirement(line).name for line in project["optional-dependencies"].get("embedded", [])}
    asked = {
        "bm25": any(values(config, "stemmer")),
        "edge": "EdgeStore" in targets,
        "embedded": bool(carriers & carried),
        "excel": any(path.endswith(".xlsx") for path in paths),
        "ir-datasets": "IrDatasets" in targets,
        "openvino": "openvino" in values(config, "runtime"),
    }
    return [extra for extra, wanted in asked.items() if wanted and extra in project["optional-dependencies"]]
