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
        self, function: Callable[[Sequence[Item]], Outcome], items: Sequence[Item], label: str
    ) -> Iterator[tuple[Sequence[Item], Outcome]]:
        """Yield each chunk with its outcome; the bar shows rate and remaining time, on a terminal only.

        A bar below another one goes away when it is full.
        """
        with tqdm(total=len(items), desc=label, unit="", disable=None, smoothing=0.05, leave=None) as bar:
            for start in range(0, len(items), self._chunk_size):
                chunk = items[start : start + self._chunk_size]
                yield chunk, function(chunk)
                bar.update(len(chunk))
