"""The cache returns what was put, to the bit, whatever happens to the process that put it."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import StoreError
from evalkit.ports import Cache
from evalkit.stores.cache import SqliteCache

from .conftest import Start

BATCH = 200

PUT_UNTIL_KILLED = """
import hashlib
import sys
import numpy as np
from evalkit.stores.cache import SqliteCache

cache = SqliteCache(sys.argv[1])
for batch in range(int(sys.argv[2]), int(sys.argv[3])):
    keys = [hashlib.sha256(f"{batch}/{row}".encode()).digest() for row in range(200)]
    cache.put((key, np.array([batch, row + 1 / 3])) for row, key in enumerate(keys))
    print(batch, flush=True)
"""


def key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def batch_keys(batch: int) -> list[bytes]:
    return [key(f"{batch}/{row}") for row in range(BATCH)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "cache.sqlite"


@pytest.fixture
def cache(path: Path) -> Iterator[Cache]:
    opened = SqliteCache(path)
    yield opened
    opened.close()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_come_back_to_the_bit_in_their_type(cache: Cache, dtype: type[np.floating]) -> None:
    limits = np.finfo(dtype)
    numbers = np.array([1 / 3, -0.0, limits.max, limits.tiny, limits.smallest_subnormal, np.nan, np.inf], dtype)
    cache.put([(key("a"), numbers), (key("empty"), numbers[:0])])
    cache.close()
    found = cache.get([key("a"), key("empty")])
    assert found[key("a")].dtype == dtype
    assert found[key("a")].tobytes() == numbers.tobytes()
    assert found[key("empty")].shape == (0,)


def test_float32_takes_half_the_space(tmp_path: Path) -> None:
    sizes = {}
    for dtype in (np.float32, np.float64):
        cache = SqliteCache(tmp_path / np.dtype(dtype).name)
        cache.put((key(str(row)), np.zeros(1024, dtype)) for row in range(200))
        cache.close()
        sizes[dtype] = (tmp_path / np.dtype(dtype).name).stat().st_size
    assert sizes[np.float32] < 0.6 * sizes[np.float64]


def test_only_known_keys_come_back(cache: Cache) -> None:
    assert cache.get([]) == {}
    assert cache.get([key("a")]) == {}
    cache.put([(key("a"), np.ones(2))])
    assert set(cache.get([key("a"), key("b"), key("a")])) == {key("a")}


def test_a_known_key_keeps_its_value(cache: Cache) -> None:
    for value in (1.0, 2.0):
        cache.put([(key("a"), np.array([value]))])
    assert cache.get([key("a")])[key("a")] == [1.0]


def test_the_constructor_opens_nothing(path: Path) -> None:
    SqliteCache(path).close()
    assert not path.parent.exists()


def test_a_put_that_fails_leaves_nothing(cache: Cache) -> None:
    def numbers() -> Iterator[tuple[bytes, np.ndarray]]:
        yield key("a"), np.ones(2)
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        cache.put(numbers())
    assert cache.get([key("a")]) == {}


@pytest.mark.parametrize("numbers", [np.ones(2, np.int64), np.ones(2, np.float16), np.ones((2, 2))])
def test_what_would_come_back_changed_is_refused(cache: Cache, numbers: np.ndarray) -> None:
    with pytest.raises(TypeError, match="cannot remember"):
        cache.put([(key("a"), numbers)])


def test_a_hundred_thousand_keys_are_found_within_seconds(cache: Cache) -> None:
    keys = [key(str(row)) for row in range(100_000)]
    cache.put((some, np.array([row, 1.0])) for row, some in enumerate(keys))
    begin = time.perf_counter()
    found = cache.get(keys)
    assert time.perf_counter() - begin < 5
    assert [int(found[some][0]) for some in keys] == list(range(100_000))


@pytest.mark.parametrize("puts", [1, 30])
def test_a_kill_during_put_loses_at_most_that_put(path: Path, start: Start, puts: int) -> None:
    process = start(PUT_UNTIL_KILLED, path, 0, 100_000)
    assert process.stdout is not None
    acknowledged = -1
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged == puts - 1:
            process.kill()  # the lines still to be read were acknowledged before
    assert process.wait() < 0

    cache = SqliteCache(path)
    counts = [len(cache.get(batch_keys(batch))) for batch in range(acknowledged + 2)]
    assert counts[:-1] == [BATCH] * (acknowledged + 1)
    assert counts[-1] in (0, BATCH)
    assert cache.get(batch_keys(0)[3:4]).popitem()[1].tolist() == [0, 3 + 1 / 3]
    cache.close()


def test_processes_that_start_together_write_one_file(path: Path, start: Start) -> None:
    writers = [start(PUT_UNTIL_KILLED, path, first, first + 25) for first in (0, 25, 50)]
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    cache = SqliteCache(path)
    assert all(len(cache.get(batch_keys(batch))) == BATCH for batch in range(75))
    cache.close()


def test_a_new_file_that_another_process_is_opening_is_waited_for(cache: Cache, path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, other.close)
    release.start()
    cache.put([(key("a"), np.ones(2))])
    release.join()
    assert set(cache.get([key("a")])) == {key("a")}


@pytest.mark.parametrize("damage", ["foreign bytes", "damaged page"])
def test_a_damaged_file_is_named_with_what_to_do(cache: Cache, path: Path, damage: str) -> None:
    cache.put((some, np.ones(2)) for some in batch_keys(0))
    cache.close()
    content = path.read_bytes()
    path.write_bytes(b"\xee" * 10_000 if damage == "foreign bytes" else content[:4096] + b"\xee" * len(content[4096:]))
    with pytest.raises(StoreError, match=r"damaged.* delete the file: only speed is lost") as caught:
        cache.get(batch_keys(0))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("version", [0, 2])
def test_a_file_of_another_version_is_refused(cache: Cache, path: Path, version: int) -> None:
    cache.put([(key("a"), np.ones(2))])
    cache.close()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {version}")
    other.close()
    with pytest.raises(StoreError, match=rf"schema version {version}, this evalkit reads version 1"):
        cache.get([key("a")])


def test_a_file_that_stays_locked_is_given_up(cache: Cache, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.stores.cache._BUSY_S", 0.2)
    cache.put([(key("a"), np.ones(2))])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process kept the cache locked"):
        cache.put([(key("b"), np.ones(2))])
    assert set(cache.get([key("a"), key("b")])) == {key("a")}  # readers need not wait
    other.close()
    cache.put([(key("b"), np.ones(2))])


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("file/cache.sqlite", "its folder cannot be made"),
        ("folder", "unable to open database file.*make it and its folder writable"),
    ],
)
def test_a_place_that_cannot_hold_the_file_is_refused(tmp_path: Path, place: str, found: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=rf"{tmp_path / place}: .*{found}"):
        SqliteCache(tmp_path / place).get([key("a")])
