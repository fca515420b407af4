"""Long requests go to the model in slices, and what cannot be scored in time is refused at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.models.flag import FlagReranker
from evalkit.ports import CountsPairTokens, Pair, Reranker
from evalkit.testing import FunctionReranker
from tests.serving.running import Held, half_a_client, running, until
from tests.serving.test_load import WORDS, alone, asked, at_once, queued


def test_a_long_request_is_scored_in_slices_with_the_scores_of_one_pass(int8: Reranker) -> None:
    requests = [
        asked(3),
        ("how long are records kept?", [f"{word} kept {number}" for number in range(9) for word in WORDS]),
    ]
    expected = alone(int8, requests)
    with running(int8, max_batch_pairs=7) as service:
        assert at_once(service, requests) == expected
        assert service.metric("evalkit_batch_pairs_count") >= 16
        counted = service.rerank(*requests[1]).json()["usage"]["total_tokens"]
    assert isinstance(int8, CountsPairTokens)
    assert counted == int8.count_tokens([(requests[1][0], text) for text in requests[1][1]]).sum()


def test_slices_of_a_long_request_move_a_float32_model_by_rounding(float32: FlagReranker) -> None:
    request = ("how long are records kept?", [" ".join(WORDS[:size] * 4) for size in range(1, 13)])
    with running(float32, max_batch_pairs=5) as service:
        (found,) = at_once(service, [request])
    np.testing.assert_allclose(found, alone(float32, [request])[0], rtol=0, atol=2e-5)


@pytest.mark.parametrize("merged", [True, False])
def test_a_small_request_waits_for_a_slice_of_a_long_one(merged: bool) -> None:
    held = Held()
    with running(held, max_batch_pairs=4, micro_batching=merged) as service, ThreadPoolExecutor(8) as pool:
        sent = queued(service, pool, held, [["0"] * 10, ["1"]])
        assert service.metric("evalkit_queue_pairs") == 7
        held.free.set()
        assert [request.result().status_code for request in sent] == [200, 200]
    assert held.passes == [["0"] * 4, ["1"], ["0"] * 4, ["0"] * 2]


def test_a_client_that_hangs_up_costs_one_slice() -> None:
    held = Held()
    with running(held, max_batch_pairs=4) as service:
        held.free.clear()
        gone = half_a_client(service, json.dumps({"query": "a", "documents": ["gone"] * 9}))
        assert held.started.wait(10)
        gone.close()
        until(lambda: service.metric('evalkit_requests_total{route="/v1/rerank",status="499"}') == 1)
        assert service.metric("evalkit_queue_pairs") == 0
        held.free.set()
        assert service.rerank("a", ["2"]).status_code == 200
    assert held.passes == [["gone"] * 4, ["2"]]


def test_a_request_whose_time_is_over_costs_one_slice() -> None:
    held = Held()
    with running(held, max_batch_pairs=4, timeout_s=1) as service, ThreadPoolExecutor(1) as pool:
        (sent,) = queued(service, pool, held, [["0"] * 9])
        assert sent.result().status_code == 504
        held.free.set()
        assert service.rerank("a", ["2"]).status_code == 200
    assert held.passes == [["0"] * 4, ["2"]]


class Steady(FunctionReranker):
    """Takes so many seconds for a pair, and others for that of the warm-up."""

    def __init__(self, pair_s: float, warm_up_s: float) -> None:
        super().__init__()
        self._pair_s, self._warm_up_s = pair_s, warm_up_s

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        sleep(self._warm_up_s if pairs[0][0] == "warm-up" else self._pair_s * len(pairs))
        return super().score(pairs)


def test_more_than_can_be_scored_in_time_is_refused_at_once() -> None:
    """20 pairs of 0.01 s, for at most 2 s: ten of 40 clients can be served, and the others need not wait to hear no."""
    with running(Steady(0.01, 0.01), timeout_s=2) as service, ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: service.rerank("a", ["a"] * 20), range(40)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] >= 7
    assert statuses[429] >= 28
    assert statuses[200] + statuses[429] >= 39
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.json()["type"] for answer in refused} == {"overloaded"}
    assert {int(answer.headers["retry-after"]) for answer in refused} <= {1, 2}
    assert max(answer.elapsed.total_seconds() for answer in refused) < 1.5


def test_whoever_finds_nobody_ahead_is_tried_however_slow_the_model_was() -> None:
    with running(Steady(0.001, 1.0), timeout_s=2) as service:
        assert service.rerank("a", ["a"] * 20).status_code == 200
