"""What only a store on disk can meet: killed processes, locks and damage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from qdrant_edge import Distance, EdgeConfig, EdgeShard, EdgeVectorParams

from evalkit.errors import StoreError
from evalkit.stores.edge import EdgeStore

from .conftest import Start
from .test_contract import assert_nearest, random_vectors

ADD_UNTIL_KILLED = """
import sys
import numpy as np
from evalkit.stores.edge import EdgeStore

vectors = np.load(sys.argv[2])
store = EdgeStore(sys.argv[1])
store.open("a")
for start in range(0, len(vectors), 50):
    store.add([f"d{i}" for i in range(start, start + 50)], vectors[start : start + 50])
    print(start + 50, flush=True)
"""

HOLD = """
import sys
import time
from evalkit.stores.edge import EdgeStore

store = EdgeStore(sys.argv[1])
store.open("a")
print("open", flush=True)
time.sleep(60)
"""


def opened(path: Path) -> EdgeStore:
    store = EdgeStore(path)
    store.open("a")
    return store


def fill(path: Path) -> None:
    store = opened(path)
    store.add(["a", "b", "c"], random_vectors(3))
    store.close()


@pytest.mark.parametrize("acknowledged", [50, 2000])
def test_every_acknowledged_document_survives_a_kill(tmp_path: Path, start: Start, acknowledged: int) -> None:
    vectors, ids = random_vectors(20_000), [f"d{i}" for i in range(20_000)]
    np.save(tmp_path / "vectors.npy", vectors)
    process = start(ADD_UNTIL_KILLED, tmp_path / "edge", tmp_path / "vectors.npy")
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == acknowledged:
            process.kill()  # while it adds the next ones; the lines still to be read were acknowledged too
        acknowledged = max(acknowledged, int(line))
    assert process.wait() < 0

    store = opened(tmp_path / "edge")
    held = len(ids) - len(store.missing(ids))
    assert held >= acknowledged
    assert store.missing(ids) == ids[held:]
    assert_nearest(store.search(vectors[:5], 20), ids[:held], vectors[:held], vectors[:5], 20)
    store.add(ids[held : held + 10], vectors[held : held + 10])
    store.close()


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path, start: Start) -> None:
    process = start(HOLD, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    with pytest.raises(StoreError, match=rf"{tmp_path / 'a'}: process {process.pid} is using it"):
        opened(tmp_path)
    other = EdgeStore(tmp_path)
    other.open("b")  # another collection is free
    other.close()

    process.kill()
    process.wait()
    opened(tmp_path).close()


def test_a_second_store_of_this_process_is_refused_as_well(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(StoreError, match=f"process {os.getpid()} is using it"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


@pytest.mark.parametrize("kind", ["error", "panic"])
def test_a_damaged_folder_is_named_with_what_to_do(tmp_path: Path, kind: str) -> None:
    fill(tmp_path)
    pattern = {"error": "segments/*/segment.json", "panic": "segments/*/vector_storage/vectors/status.dat"}
    (file,) = (tmp_path / "a").glob(pattern[kind])
    file.write_bytes(b"")
    for _ in range(2):  # a failed opening leaves no lock behind
        with pytest.raises(StoreError, match="delete it, and its documents are embedded again") as caught:
            opened(tmp_path)
        assert str(tmp_path / "a") in str(caught.value)


def test_damage_that_shows_in_search_is_reported(tmp_path: Path) -> None:
    fill(tmp_path)
    store = opened(tmp_path)
    (page,) = (tmp_path / "a").glob("segments/*/payload_storage/page_0.dat")
    page.write_bytes(b"\xff" * page.stat().st_size)
    with pytest.raises(StoreError, match="damaged"):
        store.search(random_vectors(1), 3)
    store.close()


def test_what_a_kill_during_creation_leaves_is_replaced(tmp_path: Path) -> None:
    config = EdgeConfig(vectors=EdgeVectorParams(size=3, distance=Distance.Dot))
    for folder in ("a", "a.new"):
        EdgeShard.create(str(tmp_path / folder), config).close()
    store = opened(tmp_path)
    assert store.missing(["a"]) == ["a"]
    store.close()
    fill(tmp_path)
    assert not (tmp_path / "a.new").exists()


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written .* choose another vector_store\.path"):
        opened(tmp_path / "file")
