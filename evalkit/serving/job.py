"""A request's pairs on their way to the model, one slice after the other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from evalkit.ports import Pair
from evalkit.serving.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of pairs.

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
    """A request's pairs; at most one slice of them is with the model.

    Attributes:
        pairs: At least one.
        since: When it was put into the queue, on the monotonic clock.
        done: Gets a ``Scored`` or a ``Refusal``.
        taken: Pairs that went to the model.
        parts: What came back, in order.
    """

    pairs: Sequence[Pair]
    since: float = field(default_factory=monotonic)
    done: Future[Scored] = field(default_factory=Future)
    taken: int = 0
    parts: list[Scored] = field(default_factory=list)

    @property
    def rest(self) -> int:
        """Pairs that have yet to go to the model; none once nobody waits for them."""
        return 0 if self.done.done() else len(self.pairs) - self.taken

    def slice(self, most: int) -> Slice:
        """The next pairs for the model, ``most`` of them unless fewer are left."""
        begin, self.taken = self.taken, min(self.taken + most, len(self.pairs))
        return Slice(self, self.pairs[begin : self.taken])

    def add(self, part: Scored) -> None:
        """Take a slice's outcome, and hand all over with the last."""
        self.parts.append(part)
        if self.taken == len(self.pairs):
            counts = [part.tokens for part in self.parts if part.tokens is not None]
            logits = np.concatenate([part.logits for part in self.parts])
            self.settle(Scored(logits, sum(counts) if counts else None, sum(part.cut for part in self.parts)))

    def settle(self, outcome: Scored | Refusal) -> None:
        """Hand the outcome over, unless nobody waits for it any more."""
        # The event loop may cancel at any moment, so that only the future itself can tell.
        if self.done.done() or not self.done.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Refusal):
            self.done.set_exception(outcome)
        else:
            self.done.set_result(outcome)


@dataclass(frozen=True, slots=True)
class Slice:
    """Pairs of one job that go into one pass."""

    job: Job
    pairs: Sequence[Pair]
