"""Run the batches here, one after the other, with a progress bar on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

from evalkit.checks import whole_number

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class LocalExecutor:
    """Works through chunks in this process.

    Args:
        chunk_size: Items between two commits: what a killed run loses at most.
    """

    def __init__(self, chunk_size: int) -> None:
        whole_number("executor.chunk_size", chunk_size, 1)
        self._chunk_size = chunk_size

    def map(
        self,
        function: Callable[[Sequence[Item]], Outcome],
        items: Sequence[Item],
        label: str,
        unit: Callable[[Item], object] | None = None,
    ) -> Iterator[tuple[Sequence[Item], Outcome]]:
        """Yield each chunk with its outcome; the bar shows rate and remaining time, on a terminal only.

        Neighbours of which ``unit`` says the same stay together where they fit into a chunk. A bar below another one
        goes away when it is full.
        """
        with tqdm(total=len(items), desc=label, unit="", disable=None, smoothing=0.05, leave=None) as bar:
            start = 0
            while start < len(items):
                chunk = items[start : self._end(items, start, unit)]
                yield chunk, function(chunk)
                bar.update(len(chunk))
                start += len(chunk)

    def _end(self, items: Sequence[Item], start: int, unit: Callable[[Item], object] | None) -> int:
        full = start + self._chunk_size
        if unit is None or full >= len(items):
            return full
        end = full
        while end > start and unit(items[end - 1]) == unit(items[end]):
            end -= 1
        # What fits into no chunk is cut.
        return full if end == start else end
