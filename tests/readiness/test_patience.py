"""What answers in time, and what does not."""

from __future__ import annotations

from threading import Event
from time import monotonic

import pytest

from evalkit.errors import StoreError
from evalkit.readiness.patience import within_patience
from tests.readiness.conftest import PATIENCE_S


def test_what_answers_in_time_answers_as_if_called() -> None:
    def refuse() -> None:
        raise StoreError("refused")

    assert within_patience(lambda: 3) == 3
    with pytest.raises(StoreError, match="refused"):
        within_patience(refuse)


@pytest.mark.usefixtures("hurry")
def test_what_does_not_is_left_to_itself() -> None:
    over = Event()
    began = monotonic()
    with pytest.raises(TimeoutError, match=rf"^gave no answer within {PATIENCE_S} s$"):
        within_patience(lambda: over.wait(60))
    assert monotonic() - began < 10 * PATIENCE_S
    over.set()
