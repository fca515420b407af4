"""What rerankers on torch have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.models.batching import Rows
from evalkit.models.torch_runtime import TorchRuntime
from evalkit.ports import Pair


class TorchReranker(ABC):
    """Pairs to scores; a subclass reads them.

    Args:
        runtime: Where and how precisely the model runs.
    """

    def __init__(self, runtime: TorchRuntime) -> None:
        self._runtime = runtime

    @property
    def device(self) -> str:
        """What it runs on, a GPU with its name; reading it loads no model."""
        return self._runtime.device_name

    @property
    def batch_drift(self) -> float:
        """How far a logit of an encoder moves with the other pairs of a batch; bfloat16 runs pair by pair for it."""
        return self._runtime.logit_drift

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Raw scores: logits, unless the class says otherwise.

        Returns:
            Shape (n,), in the order of ``pairs``.

        Raises:
            ModelError: Weights are missing or unfit, or a score is not finite.
        """
        if not pairs:
            return np.empty(0)
        return self._read(pairs).ravel().astype(np.float64)

    @abstractmethod
    def _read(self, pairs: Sequence[Pair]) -> Rows:
        """One finite number per pair, in order; there is at least one pair."""
