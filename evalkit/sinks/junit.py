"""``junit.xml``: one test case per rule of the gate, for every CI that shows test results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from evalkit.result import EvalResult
from evalkit.rules import Ruling

FILE = "junit.xml"

_ELEMENTS = {
    "invalid": "failure",
    "failed": "failure",
    "inconclusive": "failure",
    "error": "error",
    "skipped": "skipped",
}
"""What else than a pass becomes of a ruling."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write, escaped or not."""


def write_junit(rulings: Sequence[Ruling], result: EvalResult, folder: Path) -> None:
    """Write ``junit.xml`` into the result folder.

    Args:
        rulings: What the gate found.
        result: Of which result.
        folder: Its folder.

    Raises:
        OSError: The folder cannot be written.
    """
    kinds = [_ELEMENTS.get(ruling.status) for ruling in rulings]
    counts = {"tests": len(rulings), **{f"{kind}s": kinds.count(kind) for kind in ("failure", "error")}}
    suites = ElementTree.Element("testsuites", _texts(name="evalkit gate", **counts))
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        _texts(
            name=f"evalkit.{result.dataset.name}",
            **counts,
            skipped=kinds.count("skipped"),
            timestamp=result.provenance.created.partition("+")[0],
        ),
    )
    properties = ElementTree.SubElement(suite, "properties")
    about = {"run_id": result.run_id, "dataset_digest": result.dataset.digest, "stage_one": result.stage_one.method}
    for name, value in about.items():
        ElementTree.SubElement(properties, "property", _texts(name=name, value=value))
    for ruling, kind in zip(rulings, kinds, strict=True):
        case = ElementTree.SubElement(
            suite, "testcase", _texts(classname=f"evalkit.{result.dataset.name}", name=ruling.name)
        )
        # Some programs show the message, others the element's text.
        attributes = {} if kind is None else _texts(type=ruling.status, message=ruling.message)
        told = ElementTree.SubElement(case, kind or "system-out", attributes)
        told.text = _text(f"{ruling.status}: {ruling.message}")
    ElementTree.indent(suites)
    ElementTree.ElementTree(suites).write(folder / FILE, encoding="utf-8", xml_declaration=True)


def _texts(**values: object) -> dict[str, str]:
    return {name: _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value))
