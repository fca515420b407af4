"""A model that FlagEmbedding loaded, run in sorted batches: what its embedder and reranker share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from evalkit.checks import text, unfit, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import Batch, Rows, in_batches
from evalkit.models.limits import SHORTEST_MAX_LENGTH, refuse_too_long
from evalkit.models.weights import Weights
from evalkit.models.windows import Spans
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch

Dtype: TypeAlias = Literal["float32", "float16", "bfloat16"]

Tokens: TypeAlias = dict[str, list[int]]
"""One item as a tokenizer returns it: ``input_ids`` and its companions."""

_DTYPES = ("float32", "float16", "bfloat16")
_FILES_READ = ("config.json", "tokenizer.json", "*.safetensors", "*.bin")
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class FlagLibrary:
    """A FlagEmbedding object, its model and tokenizer, and where and how precisely it runs.

    FlagEmbedding loads and tokenises; its own loop is left out because it runs the first batch
    twice, pads every call to its longest item and takes every RuntimeError for a full memory.

    Args:
        class_name: FlagEmbedding's class: ``FlagReranker``, ``BGEM3FlagModel`` or ``FlagModel``.
        auto_class: transformers' class that it loads the weights with.
        options: Further arguments of FlagEmbedding's class.
        weights: The folder with weights, configuration and tokenizer.
        dtype: Number format of weights and arithmetic.
        device: ``cpu``, ``cuda:0`` and so on; None takes the first GPU, or the CPU where there is none.
        max_length: Tokens per item, special tokens included.
        token_budget: Tokens per batch, padding included.
    """

    class_name: Literal["FlagReranker", "BGEM3FlagModel", "FlagModel"]
    auto_class: Literal["AutoModelForSequenceClassification", "AutoModel"]
    options: dict[str, Any]
    weights: Weights
    dtype: Dtype
    device: str | None
    max_length: int
    token_budget: int

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ConfigError(f"dtype is {self.dtype!r}; known are {', '.join(_DTYPES)}")
        if self.device == "cpu":
            _refuse_half_on_cpu(self.dtype)
        if not isinstance(self.weights, Weights):
            raise unfit(f"{self.role}.weights", self.weights, "CarrierWeights, FolderWeights or HubWeights")
        text(f"{self.role}.device", self.device, or_null=True)
        whole_number(f"{self.role}.max_length", self.max_length, SHORTEST_MAX_LENGTH)
        whole_number(f"{self.role}.token_budget", self.token_budget, 1)

    def __getstate__(self) -> dict[str, Any]:
        # Loaded weights stay where they are; a copy in another process loads its own.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def role(self) -> Literal["embedder", "reranker"]:
        """Whose model it is; errors name it."""
        return "reranker" if self.class_name == "FlagReranker" else "embedder"

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the numbers of any model; torch is asked only for the name of a GPU."""
        return {
            "backend": "flag",
            "class": self.class_name,
            "weights": self.weights.identity(),
            "dtype": self.dtype,
            "device": "cpu" if self.device == "cpu" else _processor(self.torch_device),
            "max_length": self.max_length,
            "FlagEmbedding": metadata.version("FlagEmbedding"),
            "tokenizers": metadata.version("tokenizers"),
            "torch": metadata.version("torch"),
            "transformers": metadata.version("transformers"),
        }

    @cached_property
    def torch_device(self) -> str:
        """The device that is used."""
        import torch

        device = self.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
        if device == "cpu":
            _refuse_half_on_cpu(self.dtype)
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(f"device is {device}, but torch sees no GPU; use device=cpu with dtype=float32")
        return device

    @property
    def device_name(self) -> str:
        """The device that is used, a GPU with its name: ``cpu``, or ``cuda:0 (NVIDIA L4)``."""
        device, processor = self.torch_device, _processor(self.torch_device)
        return device if processor == device else f"{device} ({processor})"

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, without the model as long as that is not loaded: counting needs no model."""
        return self.loaded.tokenizer if "loaded" in vars(self) else self._lone_tokenizer

    def spans(self, texts: Sequence[str]) -> list[Spans]:
        """Begin and end of every token of each text, in characters; special tokens left out."""
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        spans: list[Spans] = encoded["offset_mapping"]
        return spans

    @cached_property
    def loaded(self) -> Any:
        """FlagEmbedding's object, its model on the device, in the number format and ready to infer."""
        import torch

        folder = self._folder
        with _quiet():
            import FlagEmbedding

            _refuse_unfilled(folder, self.auto_class)
            try:
                library = getattr(FlagEmbedding, self.class_name)(
                    str(folder), use_fp16=False, devices=self.torch_device, **self.options
                )
            except (OSError, ValueError) as error:
                raise ModelError(f"{folder} cannot be loaded as {self.class_name}: {error}") from error
        library.model.to(device=self.torch_device, dtype=getattr(torch, self.dtype)).eval()
        return library

    @cached_property
    def _lone_tokenizer(self) -> Any:
        folder = self._checked(self.weights.locate_tokenizer())
        with _quiet():
            from transformers import AutoTokenizer

            try:
                tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
            except (OSError, ValueError) as error:
                raise ModelError(f"{folder} has no tokenizer that can be loaded: {error}") from error
        return tokenizer

    @cached_property
    def _folder(self) -> Path:
        return self._checked(self.weights.locate())

    def _checked(self, folder: Path) -> Path:
        self.weights.vouch(*(path.name for pattern in _FILES_READ for path in sorted(folder.glob(pattern))))
        refuse_too_long(self.role, self.max_length, folder)
        return folder

    def run(self, items: Sequence[Tokens], batch_drift: float, forward: Callable[[Any], torch.Tensor]) -> Rows:
        """Run tokenised items through the model.

        Args:
            items: Complete items, cut to length.
            batch_drift: How far a result moves with its batch; see ``plan_batches``.
            forward: Padded tensors, as the tokenizer names them, to one row per item.

        Returns:
            One row per item, in order.

        Raises:
            ModelError: A number is not finite, or one item alone does not fit into memory.
        """
        import torch
        from FlagEmbedding.utils.tokenizer_compat import pad_with_compat

        def forward_batch(batch: Batch) -> Rows:
            chosen = [items[position] for position in batch]
            inputs = pad_with_compat(self.tokenizer, chosen, padding=True, return_tensors="pt")
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


def _refuse_half_on_cpu(dtype: Dtype) -> None:
    if dtype != "float32":
        raise ConfigError(
            f"dtype {dtype} needs a GPU: on the CPU it rounds the weights and gains nothing; use dtype=float32"
        )


def _refuse_unfilled(folder: Path, auto_class: str) -> None:
    """Refuse weights that leave parameters of the model at random values.

    Loading onto the ``meta`` device matches names without reading numbers.
    """
    import transformers

    try:
        model, report = getattr(transformers, auto_class).from_pretrained(
            str(folder), output_loading_info=True, device_map="meta"
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder} cannot be loaded: {error}") from error
    unfilled = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    if auto_class == "AutoModel":
        # Dense vectors are drawn from the last hidden state, which never passes the pooler.
        unfilled = {name for name in unfilled if not name.startswith("pooler.")}
    elif model.config.num_labels != 1:
        raise ModelError(
            f"{folder} gives {model.config.num_labels} numbers per pair; a reranker gives one "
            "(num_labels 1 in config.json)"
        )
    if unfilled:
        shown = ", ".join(sorted(unfilled)[:_NAMES_SHOWN])
        raise ModelError(
            f"{folder} has no weights for {len(unfilled)} parameters of {type(model).__name__}, which would "
            f"stay random: {shown}{', ...' if len(unfilled) > _NAMES_SHOWN else ''}. Is it the right kind of "
            "model (embedder or reranker), and complete?"
        )


def _processor(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


@contextmanager
def _quiet() -> Iterator[None]:
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
