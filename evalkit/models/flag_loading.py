"""How a model of the ``flag`` back end comes from its folder onto a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from evalkit.errors import ModelError
from evalkit.models.loading import pretrained, quiet, refuse_unfilled
from evalkit.models.torch_runtime import Dtype, Loaded


class Loader(Protocol):
    """Knows one kind of model and how to load it."""

    @property
    def name(self) -> str:
        """FlagEmbedding's class whose numbers it gives."""
        ...

    def load(self, folder: Path, dtype: Dtype, device: str) -> Loaded:
        """One copy on the device, in the number format: an object with ``model`` and ``tokenizer``.

        Raises:
            ModelError: The folder holds no such model, or one that lacks weights.
        """
        ...


@dataclass(frozen=True)
class FlagClass:
    """A class of FlagEmbedding, which loads model and tokenizer itself.

    Args:
        name: ``FlagReranker``, ``BGEM3FlagModel``, ``FlagModel`` or ``FlagLLMModel``.
        auto_class: transformers' class that it loads the weights with.
        options: Further arguments of FlagEmbedding's class.
        heads: Files without which it would draw weights at random.
    """

    name: Literal["FlagReranker", "BGEM3FlagModel", "FlagModel", "FlagLLMModel"]
    auto_class: Literal["AutoModelForSequenceClassification", "AutoModel"]
    options: Mapping[str, Any]
    heads: tuple[str, ...] = ()

    def load(self, folder: Path, dtype: Dtype, device: str) -> Loaded:
        """FlagEmbedding's object with its model on the device.

        Raises:
            ModelError: The folder holds no such model, or one that lacks weights.
        """
        import torch

        missing = [head for head in self.heads if not (folder / head).is_file()]
        if missing:
            raise ModelError(
                f"{folder} lacks {' and '.join(missing)}; expected the files of BAAI/bge-m3, whose sparse weights and "
                "multi-vectors would stay random without"
            )
        with quiet():
            import FlagEmbedding

            self._refuse_unfit(folder)
            try:
                library = getattr(FlagEmbedding, self.name)(str(folder), use_fp16=False, devices=device, **self.options)
            # The libraries' errors share no public base class.
            except Exception as error:
                raise ModelError(f"{folder} cannot be loaded as {self.name}: {error}") from error
        library.model.to(device=device, dtype=getattr(torch, dtype)).eval()
        return library

    def _refuse_unfit(self, folder: Path) -> None:
        """Refuse weights that leave parameters at random values, or give more than one number per pair.

        Loading onto the ``meta`` device matches names without reading numbers.
        """
        import transformers

        kind = getattr(transformers, self.auto_class)
        model, report = pretrained(kind, folder, device_map="meta", trust_remote_code=False)
        if self.auto_class == "AutoModelForSequenceClassification" and model.config.num_labels != 1:
            raise ModelError(
                f"{folder} gives {model.config.num_labels} numbers per pair; a reranker gives one "
                "(num_labels 1 in config.json)"
            )
        # Vectors are drawn from the last hidden state, which never passes the pooler.
        refuse_unfilled(folder, model, report, pooler=self.auto_class != "AutoModel")
