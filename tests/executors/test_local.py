"""Chunks in order, nothing on a pipe."""

from __future__ import annotations

import pytest

from evalkit.errors import ConfigError
from evalkit.executors.local import LocalExecutor


def test_chunks_come_in_order_with_their_outcomes() -> None:
    found = list(LocalExecutor(chunk_size=3).map(sum, [1, 2, 3, 4, 5, 6, 7], "items"))
    assert found == [([1, 2, 3], 6), ([4, 5, 6], 15), ([7], 7)]


@pytest.mark.parametrize(
    ("items", "chunks"),
    [
        ("aabbcc", ["aabb", "cc"]),
        ("aaabbbcc", ["aaa", "bbb", "cc"]),
        ("aaaabbbb", ["aaaa", "bbbb"]),
        ("aaaaaabb", ["aaaa", "aabb"]),
        ("abcdeeee", ["abcd", "eeee"]),
        ("", []),
    ],
)
def test_neighbours_of_one_unit_share_a_chunk_where_they_fit(items: str, chunks: list[str]) -> None:
    found = LocalExecutor(chunk_size=4).map(len, items, "items", unit=str)
    assert [chunk for chunk, _ in found] == chunks


def test_each_chunk_is_handed_over_before_the_next_is_worked_on() -> None:
    """What was computed is remembered before anything else can go wrong."""
    seen: list[int] = []

    def work(_: object) -> int:
        seen.append(len(seen))
        return len(seen)

    for place, _ in enumerate(LocalExecutor(chunk_size=1).map(work, "abc", "items")):
        assert len(seen) == place + 1


def test_no_bar_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    list(LocalExecutor(chunk_size=1).map(len, "abc", "items"))
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize("size", [0, -1])
def test_a_chunk_holds_at_least_one_item(size: int) -> None:
    with pytest.raises(ConfigError, match="whole number of at least 1"):
        LocalExecutor(chunk_size=size)
