"""The one thread that owns the model, and the queue before it."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError
from evalkit.ports import CountsPairTokens, Pair, Reranker
from evalkit.serving.metrics import Metrics
from evalkit.serving.refusal import Refusal, stopping
from evalkit.serving.settings import ServeSettings
from evalkit.types import Fingerprint

_LOG = logging.getLogger("evalkit.serving")

_WARM_UP: Pair = ("warm-up", "one pair, so that the first request finds everything loaded")
_LONGEST_RETRY_S = 60
_NEWEST_SHARE = 0.2
"""Weight of the newest pass in the running mean of seconds per pair."""


@dataclass(frozen=True, slots=True)
class Card:
    """What the model is, read once it is loaded: a fingerprint may take a while.

    Attributes:
        fingerprint: Everything that changes the scores.
        max_length: Tokens of a pair beyond which it is cut; None where the reranker does not say.
        device: What it runs on.
    """

    fingerprint: Fingerprint
    max_length: int | None
    device: str


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of a request's pairs.

    Attributes:
        logits: Shape (n,), in the order of the pairs.
        tokens: Tokens that the model read; None where the reranker does not count them.
        cut: Pairs that are longer than the model reads.
    """

    logits: NDArray[np.float64]
    tokens: int | None
    cut: int


@dataclass(eq=False, slots=True)
class Job:
    """A request's pairs on their way through the queue.

    Attributes:
        pairs: At least one.
        since: When it was put into the queue, on the monotonic clock.
        done: Gets a ``Scored`` or a ``Refusal``.
    """

    pairs: Sequence[Pair]
    since: float = field(default_factory=monotonic)
    done: Future[Scored] = field(default_factory=Future)


class Worker:
    """Scores what waits, first come first served, one pass after the other.

    Args:
        reranker: Used by the worker's thread alone, from its loading on.
        settings: Limits of the queue and of a pass.
        metrics: Where passes are counted.
    """

    def __init__(self, reranker: Reranker, settings: ServeSettings, metrics: Metrics) -> None:
        self._reranker = reranker
        self._settings = settings
        self._metrics = metrics
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._waiting_pairs = 0
        self._scoring: list[Job] = []
        self._state: Literal["loading", "ready", "stopping"] = "loading"
        self._ended = False
        self._seconds_per_pair = 0.0
        self._thread: threading.Thread | None = None
        self._card: Card | None = None
        self.failure: Exception | None = None
        metrics.watch(lambda: self._waiting_pairs, lambda: len(self._waiting))

    @property
    def state(self) -> Literal["loading", "ready", "stopping"]:
        """``ready`` once a pair has been scored."""
        return self._state

    @property
    def card(self) -> Card:
        """What the model is.

        Raises:
            Refusal: It is not loaded yet.
        """
        if self._card is None:
            raise Refusal(503, "loading", "the model is being loaded; /health says when it is ready", 5)
        return self._card

    @property
    def busy(self) -> bool:
        """Whether a request has not got its scores yet."""
        with self._changed:
            return bool(self._waiting or self._scoring)

    def start(self, loaded: Callable[[], None], failed: Callable[[], None]) -> None:
        """Load the model and go to work, in another thread.

        Args:
            loaded: Called there once a pair has been scored.
            failed: Called there if that does not succeed; ``failure`` says why.
        """
        self._thread = threading.Thread(target=self._run, args=(loaded, failed), name="evalkit-worker")
        self._thread.start()

    def submit(self, pairs: Sequence[Pair]) -> Job:
        """Put a request's pairs into the queue.

        Raises:
            Refusal: The queue is full, or the service is stopping.
        """
        with self._changed:
            if self._state == "stopping":
                raise stopping()
            if self._waiting_pairs + len(pairs) > self._settings.max_queue_pairs:
                raise Refusal(
                    429,
                    "queue_full",
                    f"{self._waiting_pairs} pairs are waiting, and {len(pairs)} more would exceed the queue of "
                    f"{self._settings.max_queue_pairs}; send the request again later",
                    self._retry_after_s(),
                )
            job = Job(pairs)
            self._waiting.append(job)
            self._waiting_pairs += len(pairs)
            self._changed.notify()
            return job

    def drop(self, job: Job) -> None:
        """Forget a request that nobody waits for; one that is being scored is scored to its end."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                self._waiting_pairs -= len(job.pairs)
            job.done.cancel()

    def refuse(self) -> None:
        """Take nothing more; what waits is still scored."""
        with self._changed:
            self._state = "stopping"

    def give_up(self) -> None:
        """Answer everything that is left with a refusal; the pass that is running goes on to its end."""
        with self._changed:
            self._state = "stopping"
            self._ended = True
            for job in (*self._waiting, *self._scoring):
                _settle(job, stopping())
            self._waiting.clear()
            self._waiting_pairs = 0
            self._changed.notify()

    def close(self) -> None:
        """Give up, and wait until the thread has ended."""
        self.give_up()
        if self._thread is not None:
            self._thread.join()

    def _run(self, loaded: Callable[[], None], failed: Callable[[], None]) -> None:
        try:
            self._timed([_WARM_UP])
            self._timed([_WARM_UP])
            limit = self._reranker.max_length if isinstance(self._reranker, CountsPairTokens) else None
            self._card = Card(self._reranker.fingerprint, limit, self._reranker.device)
            with self._changed:
                if self._state == "stopping":
                    return
                self._state = "ready"
            loaded()
        except Exception as error:
            self.failure = error
            failed()
            return
        for batch in self._batches():
            outcomes = self._outcomes(batch)
            with self._changed:
                for job, outcome in zip(batch, outcomes, strict=True):
                    _settle(job, outcome)
                self._scoring = []

    def _batches(self) -> Iterator[list[Job]]:
        """Requests whose pairs go into one pass, until the service ends."""
        merges, most = self._settings.micro_batching, self._settings.max_batch_pairs
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if self._ended:
                    return
                if merges:
                    # What waited while the model worked has waited long enough.
                    left_s = self._waiting[0].since + self._settings.max_wait_ms / 1000 - monotonic()
                    self._changed.wait_for(lambda: self._ended or self._waiting_pairs >= most, max(0.0, left_s))
                while self._waiting and (not self._scoring or (merges and self._fits(most))):
                    self._scoring.append(self._waiting.popleft())
                    self._waiting_pairs -= len(self._scoring[-1].pairs)
                batch = self._scoring
            if batch:
                yield batch

    def _fits(self, most: int) -> bool:
        taken = sum(len(job.pairs) for job in self._scoring)
        return taken + len(self._waiting[0].pairs) <= most

    def _outcomes(self, batch: Sequence[Job]) -> list[Scored | Refusal]:
        """Of each request; where a pass of several fails, each is tried alone, so that only the culprit fails."""
        try:
            return list(self._scored([job.pairs for job in batch]))
        except Exception as error:
            if len(batch) > 1:
                return [outcome for job in batch for outcome in self._outcomes([job])]
            # Its message may quote a text.
            _LOG.error("the model failed on a request of %d pairs: %s", len(batch[0].pairs), type(error).__name__)
            message = f"the model failed on this request ({type(error).__name__}); others are not affected"
            return [Refusal(500, "model_failed", message)]

    def _scored(self, requests: Sequence[Sequence[Pair]]) -> Iterator[Scored]:
        pairs = [pair for request in requests for pair in request]
        logits = self._timed(pairs)
        counts, limit = None, self.card.max_length
        if isinstance(self._reranker, CountsPairTokens):
            counts = self._reranker.count_tokens(pairs)
        begin = 0
        for request in requests:
            part = slice(begin, begin + len(request))
            begin = part.stop
            if counts is None or limit is None:
                yield Scored(logits[part], None, 0)
            else:
                cut = int((counts[part] > limit).sum())
                self._metrics.cut.inc(cut)
                yield Scored(logits[part], int(np.minimum(counts[part], limit).sum()), cut)

    def _timed(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """The model's logits of one pass.

        Raises:
            ModelError: They are not one finite number per pair.
        """
        started = monotonic()
        logits = self._reranker.score(pairs)
        seconds = monotonic() - started
        if logits.shape != (len(pairs),) or not np.isfinite(logits).all():
            raise ModelError(f"the reranker returned no finite number for each of {len(pairs)} pairs")
        self._metrics.passed(len(pairs), seconds)
        # The first pass also loads the model, and says nothing about its speed: the second one replaces it.
        share = _NEWEST_SHARE if self._state != "loading" else 1.0
        self._seconds_per_pair += share * (seconds / len(pairs) - self._seconds_per_pair)
        return logits

    def _retry_after_s(self) -> int:
        """When the queue will have been worked off at the measured speed."""
        ahead = self._waiting_pairs + sum(len(job.pairs) for job in self._scoring)
        return min(_LONGEST_RETRY_S, max(1, math.ceil(ahead * self._seconds_per_pair)))


def _settle(job: Job, outcome: Scored | Refusal) -> None:
    """Hand the outcome over, unless nobody waits for it any more."""
    if job.done.done():
        return
    if isinstance(outcome, Refusal):
        job.done.set_exception(outcome)
    else:
        job.done.set_result(outcome)
