"""A model of the ``flag`` back end on its devices: what its embedders and rerankers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from evalkit.checks import unfit, whole_number
from evalkit.models.batching import Batch, Rows
from evalkit.models.flag_loading import Loader
from evalkit.models.limits import SHORTEST_MAX_LENGTH, refuse_too_long
from evalkit.models.loading import load_tokenizer
from evalkit.models.torch_runtime import Loaded, Tokens, TorchRuntime
from evalkit.models.weights import Weights
from evalkit.models.windows import Spans
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch

_FILES_READ = ("config.json", "tokenizer.json", "*.safetensors", "*.bin", "*.pt")


@dataclass(frozen=True)
class FlagLibrary:
    """A model, its tokenizer, and where and how precisely it runs.

    FlagEmbedding loads and tokenises; its own loop is left out because it runs the first batch
    twice, pads every call to its longest item and takes every RuntimeError for a full memory.

    Args:
        loader: What kind of model it is.
        weights: The folder with weights, configuration and tokenizer.
        runtime: Where and how precisely it runs.
        max_length: Tokens per item, special tokens included.
    """

    loader: Loader
    weights: Weights
    runtime: TorchRuntime
    max_length: int

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Weights):
            raise unfit(f"{self.runtime.settings}.weights", self.weights, "CarrierWeights, FolderWeights or HubWeights")
        whole_number(f"{self.runtime.settings}.max_length", self.max_length, SHORTEST_MAX_LENGTH)

    def __getstate__(self) -> dict[str, Any]:
        # Loaded weights stay where they are; a copy in another process loads its own.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the numbers of any model; torch is asked only for the name of a GPU."""
        return {
            "backend": "flag",
            "class": self.loader.name,
            "weights": self.weights.identity(),
            "dtype": self.runtime.dtype,
            "device": self.runtime.processors,
            "max_length": self.max_length,
            "FlagEmbedding": metadata.version("FlagEmbedding"),
            "tokenizers": metadata.version("tokenizers"),
            "torch": metadata.version("torch"),
            "transformers": metadata.version("transformers"),
        }

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, without the model as long as that is not loaded: counting needs no model."""
        return self.copies[0].tokenizer if "copies" in vars(self) else self._lone_tokenizer

    def tokens(self, *columns: Sequence[str]) -> list[list[list[int]]]:
        """The tokens of every text of each column, uncut, special ones left out."""
        return [self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] for texts in columns]

    def spans(self, texts: Sequence[str]) -> list[Spans]:
        """Begin and end of every token of each text, in characters; special tokens left out."""
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        spans: list[Spans] = encoded["offset_mapping"]
        return spans

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        """Each text on its own, cut to length; this loads the model."""
        tokens = self.copies[0].tokenizer(list(texts), truncation=True, max_length=self.max_length)
        return [{name: tokens[name][row] for name in tokens} for row in range(len(texts))]

    def cut(
        self, queries: Sequence[str], documents: Sequence[str], query_max_length: int
    ) -> list[tuple[list[int], list[int]]]:
        """The tokens of each pair, special ones left out, cut text by text; this loads the model.

        As in ``compute_score_single_gpu``, a document may be as long as a pair until both are joined.
        """
        tokenizer = self.copies[0].tokenizer
        cut = (
            tokenizer(list(texts), add_special_tokens=False, max_length=limit, truncation=True)["input_ids"]
            for texts, limit in ((queries, query_max_length), (documents, self.max_length))
        )
        return list(zip(*cut, strict=True))

    def run(self, items: Sequence[Tokens], batch_drift: float, forward: Callable[[Loaded, Any], torch.Tensor]) -> Rows:
        """Run tokenised items through the model; see :meth:`TorchRuntime.run`."""
        return self.runtime.run(self.copies, items, batch_drift, forward)

    def run_batches(
        self, items: Sequence[Tokens], batch_drift: float, forward: Callable[[Loaded, Any, Batch], NDArray[Any]]
    ) -> NDArray[Any]:
        """Run tokenised items through the model; see :meth:`TorchRuntime.run_batches`."""
        return self.runtime.run_batches(self.copies, items, batch_drift, forward)

    @cached_property
    def copies(self) -> list[Loaded]:
        """The model, once per device."""
        folder = self._checked(self.weights.locate())
        return [self.loader.load(folder, self.runtime.dtype, device) for device in self.runtime.devices]

    @cached_property
    def _lone_tokenizer(self) -> Any:
        return load_tokenizer(self._checked(self.weights.locate_tokenizer()))

    def _checked(self, folder: Path) -> Path:
        self.weights.vouch(*(path.name for pattern in _FILES_READ for path in sorted(folder.glob(pattern))))
        refuse_too_long(self.runtime.settings, self.max_length, folder)
        return folder
