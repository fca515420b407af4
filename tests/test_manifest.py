"""The manifest: which files a run wrote, and which of them are no longer what they were."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from evalkit import manifest
from evalkit.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.trec").write_text("a")
    (tmp_path / "b.json").write_text("b")
    manifest.seal(tmp_path)
    return tmp_path


def test_every_file_is_listed_by_its_relative_path(folder: Path) -> None:
    assert manifest.files(folder) == ["b.json", "runs/a.trec"]
    assert manifest.listed(folder) == {"b.json": sha256(b"b").hexdigest(), "runs/a.trec": sha256(b"a").hexdigest()}
    assert manifest.problems(folder) == {}


def test_what_was_changed_or_removed_is_named_and_what_was_added_is_not(folder: Path) -> None:
    (folder / "b.json").write_text("c")
    (folder / "runs" / "a.trec").unlink()
    (folder / "gate.xml").write_text("later")
    assert manifest.problems(folder) == {
        "b.json": "b.json was changed after the run",
        "runs/a.trec": "runs/a.trec is missing",
    }


def test_sealing_again_forgets_the_old_seal(folder: Path) -> None:
    (folder / "b.json").write_text("c")
    manifest.seal(folder)
    assert manifest.problems(folder) == {}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"files": []}', '"files"'])
def test_what_is_no_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="not a manifest of evalkit") as caught:
        manifest.problems(folder)
    assert caught.value.path == folder / "manifest.json"


def test_a_folder_without_manifest_is_half_a_result(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(DataError, match="missing; a run writes it last"):
        manifest.listed(folder)
