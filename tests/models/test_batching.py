from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.models.batching import in_batches, plan_batches

LENGTHS = st.lists(st.integers(0, 600), max_size=80)
BUDGETS = st.integers(1, 3000)


@given(LENGTHS, BUDGETS, st.sampled_from([0.0, 1e-2, 1.37]))
def test_every_item_is_in_exactly_one_batch(lengths: list[int], budget: int, drift: float) -> None:
    batches = plan_batches(lengths, budget, drift)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(batches)


@given(LENGTHS, BUDGETS)
def test_a_padded_batch_keeps_to_the_budget_unless_one_item_alone_exceeds_it(lengths: list[int], budget: int) -> None:
    for batch in plan_batches(lengths, budget, 0.0):
        padded = len(batch) * max(lengths[position] for position in batch)
        assert padded <= budget or len(batch) == 1


@given(LENGTHS, BUDGETS)
def test_the_longest_items_come_first(lengths: list[int], budget: int) -> None:
    order = [lengths[position] for batch in plan_batches(lengths, budget, 0.0) for position in batch]
    assert order == sorted(lengths, reverse=True)


@given(LENGTHS, BUDGETS)
def test_a_drifting_model_gets_one_item_per_batch(lengths: list[int], budget: int) -> None:
    assert all(len(batch) == 1 for batch in plan_batches(lengths, budget, 0.0101))


def test_a_plan_worked_out_by_hand() -> None:
    assert plan_batches([10, 50, 20, 40, 10], 100, 1e-3) == [[1, 3], [2, 0, 4]]


@given(LENGTHS, BUDGETS)
def test_results_come_back_in_the_order_of_the_items(lengths: list[int], budget: int) -> None:
    rows = in_batches(lambda batch: np.array([[i, lengths[i]] for i in batch], np.float32), lengths, budget, 0.0)
    assert rows.tolist() == [[i, length] for i, length in enumerate(lengths)]


def test_threads_change_nothing() -> None:
    lengths = [(i * 37) % 91 + 1 for i in range(200)]
    forward = lambda batch: np.array([[i * 2] for i in batch], np.float32)  # noqa: E731 - shared by two calls
    with ThreadPoolExecutor(4) as pool:
        threaded = in_batches(forward, lengths, 300, 0.0, pool.map)
    assert np.array_equal(threaded, in_batches(forward, lengths, 300, 0.0))


def test_no_item_gives_no_row() -> None:
    assert in_batches(lambda _: pytest.fail("nothing to run"), [], 100, 0.0).shape == (0, 0)
