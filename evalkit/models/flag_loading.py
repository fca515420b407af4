"""How a model of the ``flag`` back end comes from its folder onto a device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from evalkit.errors import ModelError

Dtype: TypeAlias = Literal["float32", "float16", "bfloat16"]

Loaded: TypeAlias = Any
"""One copy of a model on one device: an object with ``model``, ready to infer, and ``tokenizer``."""

_NAMES_SHOWN = 5


class Loader(Protocol):
    """Knows one kind of model and how to load it."""

    @property
    def name(self) -> str:
        """FlagEmbedding's class whose numbers it gives."""
        ...

    def load(self, folder: Path, dtype: Dtype, device: str) -> Loaded:
        """One copy on the device, in the number format and ready to infer.

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
            except (OSError, ValueError) as error:
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
        unfilled = names_unfilled(report)
        if self.auto_class == "AutoModel":
            # Vectors are drawn from the last hidden state, which never passes the pooler.
            unfilled = {name for name in unfilled if not name.startswith("pooler.")}
        refuse_unfilled(folder, model, unfilled)


def pretrained(kind: Any, folder: Path, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """A model as one of transformers' classes loads it, and that class's report on the weights.

    Raises:
        ModelError: The folder holds no such model.
    """
    try:
        model, report = kind.from_pretrained(str(folder), output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder} cannot be loaded: {error}") from error
    return model, report


def names_unfilled(report: Mapping[str, Any]) -> set[str]:
    """Parameters for which the files have no weights, or some of another shape."""
    return {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}


def refuse_unfilled(folder: Path, model: Any, unfilled: set[str]) -> None:
    """Refuse a model of which parameters would stay random.

    Raises:
        ModelError: There is one.
    """
    if unfilled:
        shown = ", ".join(sorted(unfilled)[:_NAMES_SHOWN])
        raise ModelError(
            f"{folder} has no weights for {len(unfilled)} parameters of {type(model).__name__}, which would "
            f"stay random: {shown}{', ...' if len(unfilled) > _NAMES_SHOWN else ''}. Is it the right kind of "
            "model (embedder or reranker), and complete?"
        )


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer.

    Raises:
        ModelError: It has none that can be loaded.
    """
    with quiet():
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"{folder} has no tokenizer that can be loaded: {error}") from error


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
