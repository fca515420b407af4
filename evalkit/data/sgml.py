"""TREC's markup: topics, and documents in TRECTEXT. Neither is XML; closing tags of topics may be missing."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from evalkit.data.rows import Row
from evalkit.errors import DataError

Lines = Iterable[tuple[int, str]]
"""(1-based number, text) of lines without their ends."""

_TEXT_TAGS = ("TEXT", "LP", "LEADPARA")
_TITLE_TAGS = ("TITLE", "HEADLINE", "HL", "HEAD", "TTL")
CONTENT_TAGS = _TEXT_TAGS + _TITLE_TAGS
"""What a document's text and title stand in."""

_DOCUMENT = re.compile(r"<(/?)DOC(?:\s[^<>]*)?>", re.IGNORECASE)
_DOCNO = re.compile(r"<DOCNO\s*>(.*?)</DOCNO\s*>", re.IGNORECASE | re.DOTALL)
_INSIDE = r"([^<]*(?:<(?!/\1\s*>)[^<]*)*)"
"""All up to the closing tag, or to the end; unrolled, which takes a fraction of the time of ``.*?``."""
_TEXT = re.compile(rf"<({'|'.join(_TEXT_TAGS)})(?:\s[^<>]*)?>{_INSIDE}", re.IGNORECASE)
_TITLE = re.compile(rf"<({'|'.join(_TITLE_TAGS)})(?:\s[^<>]*)?>{_INSIDE}</", re.IGNORECASE)
_MARKUP = re.compile(r"<!--.*?-->|</?[A-Za-z][A-Za-z0-9_.:-]*(?:\s[^<>]*)?/?>", re.DOTALL)
_ENTITY = re.compile(r"&#?[A-Za-z0-9]{1,31};")
_SPACE = re.compile(r"[ \t\r\n]+")
"""Not ``\\s``: U+0085 and its like are part of a text."""

_TOPIC = re.compile(r"<(/?)(?:top|topic)(?:\s([^<>]*))?>", re.IGNORECASE)
_NUMBER = re.compile(r"""\b(?:number|id|qid)\s*=\s*["']([^"']*)["']""", re.IGNORECASE)
_FIELD = re.compile(r"(^[ \t]*)?<(/?)([A-Za-z][A-Za-z0-9_-]*)(?:\s[^<>]*)?>", re.MULTILINE)
_LABELS = {
    "number": r"(?:topic\s+)?number",
    "title": r"topic|title",
    "description": r"description",
    "narrative": r"narrative",
    "dom": r"domain",
    "smry": r"summary",
    "con": r"concept(?:s|\(s\))?",
}
"""What stands in front of a field's text, as in ``<num> Number: 301``."""
_SAME = {"num": "number", "desc": "description", "narr": "narrative"}


def documents(lines: Lines) -> Iterator[tuple[int, Row]]:
    """(line of ``<DOC>``, row) of each document: ``_id``, ``title`` and ``text``, all markup removed.

    Raises:
        DataError: A ``<DOC>`` is not closed, or there is none; the error names a line and no file.
    """
    start = 0
    for start, body in _documents(lines):
        yield start, _document(body)
    if not start:
        raise DataError("no <DOC> here; expected documents between <DOC> and </DOC>")


def topics(lines: Lines) -> Iterator[tuple[int, Row]]:
    """(line of ``<top>``, row) of each topic: ``_id`` and the fields that it has.

    ``num``, ``desc`` and ``narr`` are called ``number``, ``description`` and ``narrative``; all others keep their tag's
    name, in lower case. A topic may also be ``<topic number="1">``, as in TREC's later tracks.
    """
    start, attributes, body = 0, "", list[str]()
    for number, line in lines:
        position = 0
        for mark in _TOPIC.finditer(line):
            if start:
                yield start, _topic(attributes, "\n".join([*body, line[position : mark.start()]]))
            start, attributes, body = (0, "", []) if mark[1] else (number, mark[2] or "", [])
            position = mark.end()
        if start:
            body.append(line[position:])
    if start:
        yield start, _topic(attributes, "\n".join(body))


def _documents(lines: Lines) -> Iterator[tuple[int, str]]:
    start, number, body = 0, 0, list[str]()
    for number, line in lines:
        position = 0
        for mark in _DOCUMENT.finditer(line):
            if bool(mark[1]) != bool(start):
                told = f"<DOC> of line {start} is not closed by </DOC>" if start else "</DOC> without <DOC>"
                raise DataError(told, None, number)
            if start:
                yield start, "\n".join([*body, line[position : mark.start()]])
            start, body = (0 if start else number), []
            position = mark.end()
        if start:
            body.append(line[position:])
    if start:
        raise DataError("the file ends inside this <DOC>; it may have been cut off", None, start)


def _document(body: str) -> Row:
    docno = _DOCNO.search(body)
    rest = body.replace(docno[0], "", 1) if docno else body
    texts = [_plain(text) for _, text in _TEXT.findall(rest)]
    titles = [_plain(title) for _, title in _TITLE.findall(_TEXT.sub("", rest))]
    row = {"title": " ".join(titles[:1]), "text": "\n".join(text for text in texts if text)}
    return {"_id": docno[1].strip(), **row} if docno else row


def _plain(markup: str) -> str:
    """Text without tags and with entities resolved, one line for each line that says something."""
    text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), _MARKUP.sub(" ", markup))
    return "\n".join(filter(None, (_SPACE.sub(" ", line).strip(" ") for line in text.split("\n"))))


def _topic(attributes: str, body: str) -> Row:
    fields = dict[str, str]()
    name = ""
    position = 0
    for mark in _FIELD.finditer(body):
        tag = mark[3].lower()
        known = _SAME.get(tag, tag)
        # Inside a line only TREC's own tags open a field; any other is markup of the text.
        if name and mark[1] is None and known not in _LABELS and known != name:
            continue
        _append(fields, name, body[position : mark.start()])
        name = "" if mark[2] else known
        position = mark.end()
    _append(fields, name, body[position:])
    number = _NUMBER.search(attributes)
    found = {"number": number[1]} if number else {}
    row = {name: _field(name, text) for name, text in {**found, **fields}.items()}
    return {"_id": row.pop("number"), **row} if "number" in row else row


def _append(fields: dict[str, str], name: str, text: str) -> None:
    if name:
        fields[name] = f"{fields[name]}\n{text}" if name in fields else text


def _field(name: str, text: str) -> str:
    label = _LABELS.get(name)
    bare = re.sub(rf"^\s*(?:{label})\s*:", "", text, count=1, flags=re.IGNORECASE) if label else text
    # An id may look like markup, as in <urn:x>.
    return _SPACE.sub(" ", bare if name == "number" else _plain(bare)).strip(" ")
