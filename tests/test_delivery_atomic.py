"""The result folder appears at once and complete, or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from evalkit.delivery import deliver
from evalkit.errors import SinkError
from evalkit.pipeline import evaluate
from evalkit.result import EvalResult
from tests.conftest import BeirWriter, beir, plan_of


@pytest.fixture
def result(write_beir: BeirWriter) -> EvalResult:
    documents = {f"d{number}": f"word{number} text" for number in range(12)}
    return evaluate(plan_of(beir(write_beir(documents, {"q": "word3"}, [("q", "d3", 1)]))))


@pytest.fixture
def final(result: EvalResult, tmp_path: Path) -> Path:
    return tmp_path / "reports" / "beir" / result.run_id


class FolderSink:
    """Writes a file and one in a subfolder, then does what it was told to.

    Attributes:
        folder: Where it was told to write.
        inodes: Relative path -> inode of all that lay there when it had written.
    """

    publishes = False

    def __init__(self, name: str, then: Callable[[], object] = lambda: None) -> None:
        self._name = name
        self._then = then
        self.folder = Path()
        self.inodes: dict[str, int] = {}

    def write(self, result: EvalResult, folder: Path) -> None:  # noqa: ARG002 - part of the port
        self.folder = folder
        (folder / "parts").mkdir(exist_ok=True)
        (folder / self._name).write_text(f"{self._name}, whole")
        (folder / "parts" / self._name).write_text(f"part of {self._name}, whole")
        self.inodes = inodes(folder)
        self._then()


def inodes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_ino for path in (folder, *folder.rglob("*"))}


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_final_folder_does_not_exist_while_sinks_write(result: EvalResult, final: Path, tmp_path: Path) -> None:
    existed: list[bool] = []
    sinks = {name: FolderSink(name, lambda: existed.append(final.exists())) for name in ("a", "b", "c")}
    assert deliver(result, sinks, tmp_path / "reports") == final
    assert existed == [False, False, False]


def test_what_the_sinks_wrote_becomes_the_final_folder_itself_and_is_never_copied(
    result: EvalResult, final: Path, tmp_path: Path
) -> None:
    """A copy would be seen half done and would have new inodes; a folder that was renamed keeps its own."""
    first, last = FolderSink("a"), FolderSink("b")
    deliver(result, {"a": first, "b": last}, tmp_path / "reports")
    assert set(last.inodes) == {".", "a", "b", "parts", "parts/a", "parts/b"}
    found = inodes(final)
    del found["manifest.json"]
    assert found == last.inodes
    assert first.folder == last.folder
    assert not last.folder.exists()


def test_the_folder_is_complete_and_readable_by_others_when_it_gets_its_name(
    result: EvalResult, final: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], int, bool]] = []

    def watch(rename: Callable[..., None]) -> Callable[..., None]:
        def watched(source: Any, target: Any, **options: Any) -> None:
            if Path(target) == final:
                seen.append((listing(Path(source)), stat.S_IMODE(Path(source).stat().st_mode), final.exists()))
            rename(source, target, **options)

        return watched

    monkeypatch.setattr(os, "rename", watch(os.rename))
    monkeypatch.setattr(os, "replace", watch(os.replace))
    deliver(result, {"a": FolderSink("a"), "b": FolderSink("b")}, tmp_path / "reports")
    assert seen == [({"a", "b", "manifest.json", "parts", "parts/a", "parts/b"}, 0o755, False)]


def fail(error: BaseException) -> Callable[[], object]:
    def raise_it() -> None:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ZeroDivisionError(), ZeroDivisionError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SinkError("refused"), SinkError),
        (OSError(errno.ENOSPC, "No space left on device"), SinkError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_later_sink_that_fails_leaves_nothing_of_the_earlier_ones(
    result: EvalResult, final: Path, tmp_path: Path, error: BaseException, raised: type[BaseException]
) -> None:
    writer, broken = FolderSink("a"), FolderSink("b", fail(error))
    with pytest.raises(raised):
        deliver(result, {"a": writer, "b": broken}, tmp_path / "reports")
    assert set(broken.inodes) >= {"a", "b"}
    assert list(final.parent.iterdir()) == []


def test_a_folder_that_another_process_put_there_meanwhile_is_left_as_it_is(
    result: EvalResult, final: Path, tmp_path: Path
) -> None:
    def other_process() -> None:
        final.mkdir()
        (final / "a").write_text("of the other process")

    writer = FolderSink("a", other_process)
    with suppress(SinkError):
        assert deliver(result, {"a": writer}, tmp_path / "reports") != final
    assert listing(final) == {"a"}
    assert (final / "a").read_text() == "of the other process"
    assert not writer.folder.exists()
