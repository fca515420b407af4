"""The one thread that owns the model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError
from evalkit.ports import CountsPairTokens, Pair, Reranker
from evalkit.serving.job import Job, Scored, Slice
from evalkit.serving.metrics import Metrics
from evalkit.serving.queue import Queue
from evalkit.serving.refusal import Refusal, broken, stopping
from evalkit.serving.settings import ServeSettings
from evalkit.types import Fingerprint

_LOG = logging.getLogger("evalkit.serving")

_WARM_UP: Pair = ("warm-up", "one pair, so that the first request finds everything loaded")

State = Literal["loading", "ready", "stopping", "failed"]


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


class Worker:
    """Scores what waits, one pass after the other.

    Args:
        reranker: Used by the worker's thread alone, from its loading on.
        settings: Limits of the queue and of a pass.
        metrics: Where passes are counted.
    """

    def __init__(self, reranker: Reranker, settings: ServeSettings, metrics: Metrics) -> None:
        self._reranker = reranker
        self._metrics = metrics
        self._grace_s = settings.grace_s
        self._queue = Queue(settings)
        self._lock = threading.Lock()
        self._state: State = "loading"
        self._end = 0.0
        self._thread: threading.Thread | None = None
        self._card: Card | None = None
        self.failure: BaseException | None = None
        metrics.watch(lambda: self._queue.pairs, lambda: self._queue.requests)

    @property
    def state(self) -> State:
        """``ready`` once a pair has been scored; ``failed`` where its thread ended by an error of its own."""
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
        return self._queue.busy

    def start(self, loaded: Callable[[], None], failed: Callable[[], None]) -> None:
        """Load the model and go to work, in another thread.

        Args:
            loaded: Called there once a pair has been scored.
            failed: Called there where that, or later the thread itself, does not succeed; ``failure`` says why.
        """
        # A daemon: a pass that nobody waits for must not keep the process.
        self._thread = threading.Thread(target=self._run, args=(loaded, failed), name="evalkit-worker", daemon=True)
        self._thread.start()

    def submit(self, pairs: Sequence[Pair], end: float) -> Job:
        """Put a request's pairs into the queue.

        Args:
            pairs: At least one.
            end: When its time is over, on the monotonic clock.

        Raises:
            Refusal: The scores would come too late, the queue is full, or the service is stopping.
        """
        if self._state != "ready":
            raise stopping()
        return self._queue.submit(pairs, end)

    def drop(self, job: Job) -> None:
        """Forget a request that nobody waits for."""
        self._queue.drop(job)

    def refuse(self) -> None:
        """Take nothing more; what waits is still scored, for the grace that begins now."""
        if self._enter("stopping"):
            self._end = monotonic() + self._grace_s

    def give_up(self) -> None:
        """Answer everything that is left with a refusal; the pass that is running goes on to its end."""
        self.refuse()
        self._queue.close(stopping)

    def close(self) -> bool:
        """Give up, and wait for the thread for what is left of the grace.

        Returns:
            Whether the thread has ended.
        """
        self.give_up()
        if self._thread is None:
            return True
        self._thread.join(max(0.0, self._end - monotonic()))
        return not self._thread.is_alive()

    def _enter(self, state: State) -> bool:
        """Go on to a later state; whether it is one."""
        with self._lock:
            later = state != self._state and self._state not in {"stopping", "failed"}
            if later:
                self._state = state
            return later

    def _run(self, loaded: Callable[[], None], failed: Callable[[], None]) -> None:
        # Bindings to Rust raise what is no Exception; whatever it is, nobody else would hear of it in a thread.
        try:
            if not self._load():
                return
            loaded()
        except BaseException as error:
            self.failure = error
            failed()
            return
        try:
            while slices := self._queue.take():
                self._queue.give_back(self._outcomes(slices))
        except BaseException as error:
            # Its message may quote a text.
            name = type(error).__name__
            _LOG.error("the worker failed: %s", name)
            self.failure = RuntimeError(f"the service's worker failed ({name}); start the service again")
            self._enter("failed")
            self._queue.close(broken)
            failed()

    def _load(self) -> bool:
        """Score a pair twice; whether the service still wants it."""
        # The first pass also loads the model, and says nothing about its speed.
        self._logits([_WARM_UP])
        if self._state != "loading":
            return False
        started = monotonic()
        self._logits([_WARM_UP])
        self._queue.measured(1, monotonic() - started)
        limit = self._reranker.max_length if isinstance(self._reranker, CountsPairTokens) else None
        self._card = Card(self._reranker.fingerprint, limit, self._reranker.device)
        return self._enter("ready")

    def _outcomes(self, slices: Sequence[Slice]) -> list[Scored | Refusal]:
        """Of each slice; where a pass of several fails, each is tried alone, so that only the culprit fails."""
        try:
            return list(self._scored([part.pairs for part in slices]))
        except BaseException as error:
            if len(slices) > 1:
                return [outcome for part in slices for outcome in self._alone(part)]
            # Its message may quote a text.
            _LOG.error("the model failed on a request of %d pairs: %s", len(slices[0].job.pairs), type(error).__name__)
            message = f"the model failed on this request ({type(error).__name__}); others are not affected"
            return [Refusal(500, "model_failed", message)]

    def _alone(self, part: Slice) -> list[Scored | Refusal]:
        """As long as somebody waits for it."""
        return [stopping()] if part.job.done.done() else self._outcomes([part])

    def _scored(self, requests: Sequence[Sequence[Pair]]) -> Iterator[Scored]:
        pairs = [pair for request in requests for pair in request]
        started = monotonic()
        logits = self._logits(pairs)
        seconds = monotonic() - started
        self._metrics.passed(len(pairs), seconds)
        self._queue.measured(len(pairs), seconds)
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

    def _logits(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """The model's logits of one pass.

        Raises:
            ModelError: They are not one finite number per pair.
        """
        logits = self._reranker.score(pairs)
        if logits.shape != (len(pairs),) or not np.isfinite(logits).all():
            raise ModelError(f"the reranker returned no finite number for each of {len(pairs)} pairs")
        return logits
