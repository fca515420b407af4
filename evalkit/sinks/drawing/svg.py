"""A figure as SVG that can stand in the middle of a page."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from evalkit.sinks.drawing.canvas import INK, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REFERENCE = re.compile(r"#([\w.-]+)")
_FONT = re.compile(r"font-family: [^;]*")
_HREF = "{http://www.w3.org/1999/xlink}href"


def as_svg(figure: Figure) -> str:
    """The figure as one ``<svg>`` element: as wide as its place, in the page's colour, with its texts as text.

    The same figure gives the same text. Every id begins with the figure's name, so that several stand in one page.
    """
    stream = BytesIO()
    with settings():
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    written = stream.getvalue().decode()
    # Without prolog and document type, which belong to a file of its own.
    root = ElementTree.fromstring(written[written.index("<svg") :])  # noqa: S314 - what matplotlib wrote just now
    _clean(root, _new_ids(root, str(figure.get_label())))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    # Matplotlib says this in a style sheet, which would hold for the whole page.
    root.attrib |= {"xmlns": "http://www.w3.org/2000/svg", "stroke-linejoin": "round", "stroke-linecap": "butt"}
    return ElementTree.tostring(root, encoding="unicode")


def _new_ids(root: ElementTree.Element, name: str) -> dict[str, str]:
    """Old id -> new one, for those that something refers to; numbered, as matplotlib's are random."""
    attributes = [value for element in root.iter() for key, value in element.items() if key not in ("id", "d")]
    used = {found for value in attributes for found in _REFERENCE.findall(value)}
    old = [element.get("id", "") for element in root.iter()]
    return {one: f"{name}-{number}" for number, one in enumerate(one for one in old if one in used)}


def _clean(root: ElementTree.Element, ids: dict[str, str]) -> None:
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith("}style") or (child.tag.endswith("}defs") and not len(child)):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if _HREF in element.attrib:
            element.attrib["href"] = element.attrib.pop(_HREF)
        if element.attrib.get("id") not in ids:
            element.attrib.pop("id", None)
        for key, value in element.items():
            changed = _REFERENCE.sub(lambda found: "#" + ids.get(found[1], found[1]), value)
            element.attrib[key] = _FONT.sub("font-family: sans-serif", changed).replace(INK, "currentColor")
        if "id" in element.attrib:
            element.attrib["id"] = ids[element.attrib["id"]]
