"""What transformers loads from a folder, in silence, and nothing of it left at random values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.errors import ModelError

_NAMES_SHOWN = 5


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


def load_tokenizer(folder: Path, trust_remote_code: bool = False) -> Any:
    """The folder's tokenizer.

    Args:
        folder: Where its files lie.
        trust_remote_code: Run the Python code that comes with them.

    Raises:
        ModelError: It has none that can be loaded.
    """
    with quiet():
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=trust_remote_code, local_files_only=True
            )
        # Code that comes with weights, and the tokenizers library, raise whatever they like.
        except Exception as error:
            raise ModelError(f"{folder} has no tokenizer that can be loaded: {error}") from error


def pretrained(kind: Any, folder: Path, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """A model as one of transformers' classes loads it, and that class's report on the weights.

    Raises:
        ModelError: The folder holds no such model.
    """
    try:
        model, report = kind.from_pretrained(str(folder), output_loading_info=True, **options)
    # The libraries' errors share no public base class.
    except Exception as error:
        raise ModelError(f"{folder} cannot be loaded: {error}") from error
    return model, report


def refuse_unfilled(folder: Path, model: Any, report: Mapping[str, Any], pooler: bool = True) -> None:
    """Refuse a model of which parameters would stay random: without weights, or with some of another shape.

    Args:
        folder: Where the weights lie.
        model: What they were loaded into.
        report: Of :func:`pretrained`.
        pooler: Whether transformers' pooler counts; what is drawn from the last hidden state never passes it.

    Raises:
        ModelError: There is such a parameter.
    """
    unfilled = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    if not pooler:
        unfilled = {name for name in unfilled if not name.startswith("pooler.")}
    if unfilled:
        shown = ", ".join(sorted(unfilled)[:_NAMES_SHOWN])
        raise ModelError(
            f"{folder} has no weights for {len(unfilled)} parameters of {type(model).__name__}, which would "
            f"stay random: {shown}{', ...' if len(unfilled) > _NAMES_SHOWN else ''}. Is it the right kind of "
            "model (embedder or reranker), and complete?"
        )
