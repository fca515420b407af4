"""How long others are waited for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

PATIENCE_S = 8.0
"""Longest wait for what one look asks of others, in seconds: somebody is waiting."""

BACKSTOP_S = 2 * PATIENCE_S
"""Time limit of a single wait, for libraries that want one: who waits for the whole gives up before, and says so."""

Outcome = TypeVar("Outcome")


def within_patience(work: Callable[[], Outcome]) -> Outcome:
    """What a call returns or raises, if it does so in time; one that does not is left to itself.

    The time limits of libraries are of single reads, and whoever sends a byte now and then is never late for one.

    Args:
        work: Asks a server, or waits for another process.

    Raises:
        TimeoutError: It took longer; the message is what to say of whom was asked.
    """
    outcome: Future[Outcome] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    # A thread that is no daemon would keep the process from ending.
    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if not outcome.done():
        raise TimeoutError(f"gave no answer within {PATIENCE_S:g} s")
    return outcome.result()
