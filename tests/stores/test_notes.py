"""A note comes back as it was put, whole, whatever happens to the process that puts the next one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError, StoreError
from evalkit.ports import Notes
from evalkit.stores.notes import JsonNotes

from .conftest import Start

KEY, OTHER = bytes(range(32)), bytes(32)
NAME = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f.json"

DIE_IN_PUT = """
import os
import pathlib
import signal
import sys
from evalkit.stores.notes import JsonNotes

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

notes, key = JsonNotes(sys.argv[1]), bytes(range(32))
notes.put(key, {"generation": "old"})
if sys.argv[2] == "while it writes":
    os.fsync = die
else:
    pathlib.Path.replace = die
notes.put(key, {"generation": "new"})
"""

PUT_UNTIL_KILLED = """
import sys
from itertools import count
from evalkit.stores.notes import JsonNotes

notes = JsonNotes(sys.argv[1])
for number in count():
    notes.put(bytes(range(32)), {"number": number, "filling": [number] * 20_000})
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "notes"


@pytest.fixture
def notes(path: Path) -> Notes:
    return JsonNotes(path)


def test_a_note_comes_back_as_it_was_put(notes: Notes, path: Path) -> None:
    note = {"a": 1 / 3, "b": [1, None, True, "Zürich\u2028\U0001f9fe"], "c": {"d": -1e-300}}
    notes.put(KEY, note)
    assert notes.get(KEY) == JsonNotes(path).get(KEY) == note
    assert notes.get(OTHER) is None
    assert [file.name for file in path.iterdir()] == [NAME]


def test_the_last_note_counts(notes: Notes) -> None:
    notes.put(KEY, {"generation": "old", "more": 1})
    notes.put(OTHER, {"generation": "other"})
    notes.put(KEY, {"generation": "new"})
    assert notes.get(KEY) == {"generation": "new"}
    assert notes.get(OTHER) == {"generation": "other"}


def test_nothing_is_made_before_the_first_note(notes: Notes, path: Path) -> None:
    assert notes.get(KEY) is None
    assert not path.parent.exists()


@pytest.mark.parametrize("note", [{"a": float("nan")}, {"a": object()}])
def test_what_json_cannot_hold_is_refused_and_the_old_note_stays(notes: Notes, path: Path, note: Any) -> None:
    notes.put(KEY, {"generation": "old"})
    with pytest.raises((TypeError, ValueError)):
        notes.put(KEY, note)
    assert notes.get(KEY) == {"generation": "old"}
    assert len(list(path.iterdir())) == 1


@pytest.mark.parametrize("when", ["while it writes", "before it renames"])
def test_a_kill_in_the_middle_leaves_the_old_note(notes: Notes, path: Path, start: Start, when: str) -> None:
    process = start(DIE_IN_PUT, path, when)
    assert process.wait() < 0
    assert notes.get(KEY) == {"generation": "old"}
    notes.put(KEY, {"generation": "next"})
    assert notes.get(KEY) == {"generation": "next"}


def test_a_kill_at_any_time_leaves_a_whole_note(notes: Notes, path: Path, start: Start) -> None:
    process = start(PUT_UNTIL_KILLED, path)
    assert process.stdout is not None
    acknowledged = -1
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged == 10:
            process.kill()
    assert process.wait() < 0
    note = notes.get(KEY)
    assert note is not None
    assert note["number"] in (acknowledged, acknowledged + 1)
    assert note["filling"] == [note["number"]] * 20_000


def test_a_reader_meets_whole_notes_only(notes: Notes, path: Path, start: Start) -> None:
    process = start(PUT_UNTIL_KILLED, path)
    assert process.stdout is not None
    process.stdout.readline()
    for _ in range(200):
        note = notes.get(KEY)
        assert note is not None
        assert note["filling"] == [note["number"]] * 20_000
    process.kill()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]", b"null", b'"text"'])
def test_foreign_content_is_named_with_what_to_do_and_a_new_note_replaces_it(
    notes: Notes, path: Path, content: bytes
) -> None:
    path.mkdir(parents=True)
    (path / NAME).write_bytes(content)
    with pytest.raises(StoreError, match=r"not a note.*delete the file: only a measurement is lost") as caught:
        notes.get(KEY)
    assert str(path / NAME) in str(caught.value)
    notes.put(KEY, {"a": 1})
    assert json.loads((path / NAME).read_text()) == {"a": 1}


def test_a_place_that_cannot_hold_notes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notes = JsonNotes(tmp_path / "file" / "notes")
    with pytest.raises(StoreError, match=r"cannot be read .*name another folder with notes\.path"):
        notes.get(KEY)
    with pytest.raises(StoreError, match=r"cannot be written .*name another one with notes\.path"):
        notes.put(KEY, {})
    (tmp_path / NAME).mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        JsonNotes(tmp_path).put(KEY, {})
    assert {file.name for file in tmp_path.iterdir()} == {"file", NAME}, "no temporary file stays behind"


@pytest.mark.parametrize(("value", "found"), [(None, "null"), (5, "of type int"), ("", "empty")])
def test_what_is_no_path_is_refused(value: Any, found: str) -> None:
    with pytest.raises(ConfigError, match=rf"notes\.path is {found}; expected a path"):
        JsonNotes(value)
