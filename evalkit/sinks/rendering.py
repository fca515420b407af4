"""From templates to one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.result import EvalResult
from evalkit.sinks import plots

PAGE = Path(__file__).parent / "page"


def render(template: str, **values: Any) -> str:
    """A page with its style and its script, which alone may run."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    script = (PAGE / "report.js").read_text(encoding="utf-8")
    return environment.get_template(template).render(
        style=(PAGE / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )


def drawn(result: EvalResult, prefix: str = "") -> dict[str, Mapping[str, str]]:
    """Every plot as SVG with its alternative text, by name.

    Args:
        result: What is drawn.
        prefix: Of every id, so that several results stand in one page.
    """
    found: dict[str, Mapping[str, str]] = {}
    for name, figure in plots.figures(result).items():
        figure.set_label(prefix + name)
        found[name] = {"svg": plots.as_svg(figure), "alternative": plots.alternative_text(result, name)}
    return found
