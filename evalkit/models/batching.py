"""How items are cut into batches, and how their results find their way back; no model in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.float32]
"""Shape (n, width): one row per item."""

Batch: TypeAlias = Sequence[int]
"""Positions of items, longest item first."""

MAX_BATCHED_DRIFT = 1e-2
"""A model whose results move further than this with their neighbours gets one item per pass."""


def plan_batches(lengths: Sequence[int], token_budget: int, batch_drift: float) -> list[Batch]:
    """Cut items into batches of similar length, longest first.

    Longest first, because a batch that does not fit into memory then shows at once.

    Args:
        lengths: Tokens of each item.
        token_budget: Tokens of a batch at most, padding included; a longer item gets its own batch.
        batch_drift: How far a result moves with the other items of its batch; above
            ``MAX_BATCHED_DRIFT`` every item gets its own batch.

    Returns:
        Batches that hold every position exactly once.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    if batch_drift > MAX_BATCHED_DRIFT:
        return [[position] for position in order]
    batches: list[Batch] = []
    while order:
        longest = max(1, lengths[order[0]])
        size = max(1, token_budget // longest)
        batches.append(order[:size])
        order = order[size:]
    return batches


def in_batches(
    forward: Callable[[Batch], Rows],
    lengths: Sequence[int],
    token_budget: int,
    batch_drift: float,
    apply: Callable[[Callable[[Batch], Rows], Iterable[Batch]], Iterable[Any]] = map,
) -> Rows:
    """Run every item through ``forward``, batch by batch.

    Args:
        forward: One batch to one row per item of it, in the batch's order.
        lengths: Tokens of each item.
        token_budget: As for ``plan_batches``.
        batch_drift: As for ``plan_batches``.
        apply: ``map``, or the ``map`` of a thread pool.

    Returns:
        One row per item, in the order of ``lengths``; shape (0, 0) where there is no item.
    """
    batches = plan_batches(lengths, token_budget, batch_drift)
    if not batches:
        return np.empty((0, 0), dtype=np.float32)
    rows = np.concatenate(list(apply(forward, batches)))
    ordered = np.empty_like(rows)
    ordered[np.concatenate(batches)] = rows
    return ordered
