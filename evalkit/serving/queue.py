"""What waits for the model: who is next, and who is told to come later."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

from evalkit.ports import Pair
from evalkit.serving.job import Job, Scored, Slice
from evalkit.serving.refusal import Refusal, stopping
from evalkit.serving.settings import ServeSettings

_LONGEST_RETRY_S = 60
_OLDER_SHARE = 0.8
"""What a pass weighs in the measured speed against the one that follows it."""


class Queue:
    """Jobs in turn: each gets a slice of at most ``max_batch_pairs`` pairs, and stands at the end again for its rest.

    Args:
        settings: Limits of the queue and of a pass.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._scoring: list[Slice] = []
        self._closed = False
        # Seconds and pairs of the passes so far, older ones with less weight.
        self._spent_s = 0.0
        self._spent_pairs = 0.0

    @property
    def pairs(self) -> int:
        """Pairs that wait for the model."""
        with self._changed:
            return sum(job.rest for job in self._waiting) + sum(part.job.rest for part in self._scoring)

    @property
    def requests(self) -> int:
        """Requests that wait for the model."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a request has not got its scores yet."""
        with self._changed:
            return bool(self._waiting) or any(not part.job.done.done() for part in self._scoring)

    def submit(self, pairs: Sequence[Pair], end: float) -> Job:
        """Put a request's pairs at the end.

        Args:
            pairs: At least one.
            end: When its time is over, on the monotonic clock.

        Raises:
            Refusal: The queue is full or closed, or at the measured speed the scores would come too late.
        """
        with self._changed:
            if self._closed:
                raise stopping()
            waiting = self.pairs
            ahead = waiting + sum(len(part.pairs) for part in self._scoring)
            if waiting + len(pairs) > self._settings.max_queue_pairs:
                raise Refusal(
                    429,
                    "queue_full",
                    f"{waiting} pairs are waiting, and {len(pairs)} more would exceed the queue of "
                    f"{self._settings.max_queue_pairs}; send the request again later",
                    self._retry_after_s(ahead * self._pair_s),
                )
            late_s = (ahead + len(pairs)) * self._pair_s - (end - monotonic())
            # Whoever finds nobody ahead is tried in any case, so that a speed that was measured wrongly is mended.
            if ahead and late_s > 0:
                raise Refusal(
                    429,
                    "overloaded",
                    f"{ahead} pairs are ahead of {len(pairs)}, at {self._pair_s:.2g} s each more than serve.timeout_s, "
                    f"{self._settings.timeout_s} s, has room for; send the request again later",
                    self._retry_after_s(min(late_s, ahead * self._pair_s)),
                )
            job = Job(pairs)
            self._waiting.append(job)
            self._changed.notify()
            return job

    def drop(self, job: Job) -> None:
        """Forget a request that nobody waits for; of what is being scored, the slice goes on to its end."""
        with self._changed:
            job.done.cancel()
            if job in self._waiting:
                self._waiting.remove(job)

    def close(self, outcome: Callable[[], Refusal]) -> None:
        """Answer everything that is left with a refusal, and take nothing more."""
        with self._changed:
            self._closed = True
            for job in (*self._waiting, *(part.job for part in self._scoring)):
                job.settle(outcome())
            self._waiting.clear()
            self._changed.notify()

    def take(self) -> list[Slice]:
        """Wait for the slices of the next pass; none once the queue is closed.

        A request whose rest fits into a pass is not split: pairs of others fill what it leaves.
        """
        merges, most = self._settings.micro_batching, self._settings.max_batch_pairs
        with self._changed:
            while not self._closed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if merges and self._waiting:
                    # What waited while the model worked has waited long enough.
                    left_s = self._waiting[0].since + self._settings.max_wait_ms / 1000 - monotonic()
                    self._changed.wait_for(lambda: self._closed or self.pairs >= most, max(0.0, left_s))
                room = most
                while self._waiting and (room == most or (merges and min(self._waiting[0].rest, most) <= room)):
                    self._scoring.append(self._waiting.popleft().slice(most))
                    room -= len(self._scoring[-1].pairs)
                if self._scoring:
                    return list(self._scoring)
            return []

    def give_back(self, outcomes: Sequence[Scored | Refusal]) -> None:
        """What became of the slices that were taken, in their order; jobs that have more stand at the end again."""
        with self._changed:
            for part, outcome in zip(self._scoring, outcomes, strict=True):
                if isinstance(outcome, Refusal):
                    part.job.settle(outcome)
                else:
                    part.job.add(outcome)
                if part.job.rest:
                    self._waiting.append(part.job)
            self._scoring = []

    def measured(self, pairs: int, seconds: float) -> None:
        """Learn from a pass how long a pair takes."""
        with self._changed:
            self._spent_s = _OLDER_SHARE * self._spent_s + seconds
            self._spent_pairs = _OLDER_SHARE * self._spent_pairs + pairs

    @property
    def _pair_s(self) -> float:
        return self._spent_s / self._spent_pairs if self._spent_pairs else 0.0

    @staticmethod
    def _retry_after_s(seconds: float) -> int:
        return min(_LONGEST_RETRY_S, max(1, math.ceil(seconds)))
