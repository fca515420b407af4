"""A model that sentence-transformers loaded, run in sorted batches: what its embedder and reranker share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit.checks import boolean, unfit, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import Rows
from evalkit.models.limits import SHORTEST_MAX_LENGTH, read_object, refuse_too_long, stated_limit
from evalkit.models.torch_runtime import Dtype, Tokens, TorchRuntime, quiet
from evalkit.models.weights import Weights
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding, Tokenizer

_LOG = logging.getLogger("evalkit.models")

_FILES_READ = ("*.json", "*/*.json", "*.jinja", "*.py", "*.safetensors", "*/*.safetensors", "*.bin", "*/*.bin")
_NAMES_SHOWN = 5
_ELSEWHERE = "--"
"""What the name of code in another repository holds, behind that repository's name."""


@dataclass(frozen=True)
class SentenceLibrary:
    """A sentence-transformers object, its tokenizer, and where and how precisely it runs.

    sentence-transformers loads, renders chat templates, pools and normalises; its own loop is left out because it
    sorts by characters, takes a fixed number of items per batch and cuts the longer text of a pair first.

    Args:
        class_name: ``CrossEncoder`` or ``SentenceTransformer``.
        weights: The folder with weights, configuration and tokenizer.
        dtype: Number format of weights and arithmetic.
        device: ``cpu``, ``cuda:0`` and so on; None takes the first GPU, or the CPU where there is none.
        max_length: Tokens per item, special tokens included; None means what the model's files say.
        token_budget: Tokens per batch, padding included.
        trust_remote_code: Run the Python code that comes with the weights.
    """

    class_name: Literal["CrossEncoder", "SentenceTransformer"]
    weights: Weights
    dtype: Dtype
    device: str | None
    max_length: int | None
    token_budget: int
    trust_remote_code: bool

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Weights):
            raise unfit(f"{self.role}.weights", self.weights, "CarrierWeights, FolderWeights or HubWeights")
        whole_number(f"{self.role}.max_length", self.max_length, SHORTEST_MAX_LENGTH, or_null=True)
        boolean(f"{self.role}.trust_remote_code", self.trust_remote_code)
        self.runtime  # noqa: B018 - refuses what it cannot be made of

    def __getstate__(self) -> dict[str, Any]:
        # Loaded weights stay where they are; a copy in another process loads its own.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def role(self) -> Literal["embedder", "reranker"]:
        """Whose model it is; errors name it."""
        return "reranker" if self.class_name == "CrossEncoder" else "embedder"

    @cached_property
    def runtime(self) -> TorchRuntime:
        """Where and how precisely it runs."""
        return TorchRuntime(self.role, self.dtype, self.device, self.token_budget)

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the numbers of any model; torch is asked only for the name of a GPU."""
        return {
            "backend": "sentence-transformers",
            "class": self.class_name,
            "weights": self.weights.identity(),
            "dtype": self.dtype,
            "device": self.runtime.processor,
            "max_length": self.max_length,
            "trust_remote_code": self.trust_remote_code,
            "sentence-transformers": metadata.version("sentence-transformers"),
            "tokenizers": metadata.version("tokenizers"),
            "torch": metadata.version("torch"),
            "transformers": metadata.version("transformers"),
        }

    @cached_property
    def limit(self) -> int:
        """Tokens per item, special tokens included, beyond which it is cut.

        Raises:
            ConfigError: Neither the configuration nor the model's files say it, or the model reads fewer.
        """
        if self.max_length is not None:
            return self.max_length
        folder = _transformer(self._tokenizer_folder)
        own = read_object(folder / "sentence_bert_config.json").get("max_seq_length")
        stated = stated_limit(folder)
        if isinstance(own, int):
            return own if stated is None else min(own, stated[0])
        if stated is None:
            raise ConfigError(f"{self.role}.max_length is null, but no file in {folder} says how much the model reads")
        return stated[0]

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, without the model as long as that is not loaded: counting needs no model."""
        return self.loaded.tokenizer if "loaded" in vars(self) else self._lone_tokenizer

    @property
    def backend(self) -> Tokenizer:
        """The tokenizer behind that one, which cuts and pads nothing."""
        tokenizer = self.tokenizer
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(f"{type(tokenizer).__name__} is no fast tokenizer; the model needs a tokenizer.json")
        backend: Tokenizer = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        return backend

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """What the model says of itself in ``config_sentence_transformers.json``, its prompts for one."""
        return read_object(self._tokenizer_folder / "config_sentence_transformers.json")

    @cached_property
    def loaded(self) -> Any:
        """sentence-transformers' object on the device, in the number format and ready to infer."""
        import torch

        folder = self._checked(self.weights.locate())
        adapter = folder / "adapter_config.json"
        if adapter.is_file():
            raise ModelError(f"{adapter} names another model as its base, which nothing here pins; merge the two first")
        options: dict[str, Any] = {"activation_fn": torch.nn.Identity()} if self.role == "reranker" else {}
        with quiet():
            import sentence_transformers

            try:
                library = getattr(sentence_transformers, self.class_name)(
                    str(folder),
                    device=self.runtime.torch_device,
                    trust_remote_code=self.trust_remote_code,
                    local_files_only=True,
                    **options,
                )
                self._refuse_unfilled(library.transformers_model, _transformer(folder))
            except (ImportError, OSError, RuntimeError, ValueError) as error:
                raise ModelError(f"{folder} cannot be loaded as {self.class_name}: {error}") from error
        return library.to(device=self.runtime.torch_device, dtype=getattr(torch, self.dtype)).eval()

    @cached_property
    def _lone_tokenizer(self) -> Any:
        folder = _transformer(self._tokenizer_folder)
        with quiet():
            from transformers import AutoTokenizer

            try:
                tokenizer: Any = AutoTokenizer.from_pretrained(
                    str(folder), trust_remote_code=self.trust_remote_code, local_files_only=True
                )
            except (ImportError, OSError, ValueError) as error:
                raise ModelError(f"{folder} has no tokenizer that can be loaded: {error}") from error
        return tokenizer

    @cached_property
    def _tokenizer_folder(self) -> Path:
        return self._checked(self.weights.locate_tokenizer())

    def _checked(self, folder: Path) -> Path:
        read = (path for pattern in _FILES_READ for path in sorted(folder.glob(pattern)))
        self.weights.vouch(*(path.relative_to(folder).as_posix() for path in read))
        if self.max_length is not None:
            refuse_too_long(self.role, self.max_length, _transformer(folder), folder)
        if self.trust_remote_code:
            _refuse_foreign_code(folder)
            _announce_code(self.weights.identity())
        return folder

    def items(self, encodings: Sequence[Encoding]) -> list[Tokens]:
        """Complete encodings as the model names them."""
        typed = "token_type_ids" in self.tokenizer.model_input_names
        return [
            {"input_ids": one.ids, "attention_mask": one.attention_mask}
            | ({"token_type_ids": one.type_ids} if typed else {})
            for one in encodings
        ]

    def run(self, items: Sequence[Tokens], batch_drift: float, forward: Callable[[Any], torch.Tensor]) -> Rows:
        """Run tokenised items through the model; see :meth:`TorchRuntime.run`."""

        def pad(chosen: Sequence[Tokens]) -> Any:
            columns = {name: [item[name] for item in chosen] for name in chosen[0]}
            return self.tokenizer.pad(columns, padding=True, return_tensors="pt")

        return self.runtime.run(items, batch_drift, pad, forward)

    def _refuse_unfilled(self, model: Any, folder: Path) -> None:
        """Refuse weights that leave parameters of the model at random values.

        Loading onto the ``meta`` device matches names without reading numbers.
        """
        _, report = type(model).from_pretrained(
            str(folder),
            config=model.config,
            output_loading_info=True,
            device_map="meta",
            trust_remote_code=self.trust_remote_code,
            local_files_only=True,
        )
        unfilled = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
        if self.role == "embedder":
            # Vectors are pooled from the last hidden state, which never passes transformers' pooler.
            unfilled = {name for name in unfilled if not name.startswith("pooler.")}
        if unfilled:
            shown = ", ".join(sorted(unfilled)[:_NAMES_SHOWN])
            raise ModelError(
                f"{folder} has no weights for {len(unfilled)} parameters of {type(model).__name__}, which would "
                f"stay random: {shown}{', ...' if len(unfilled) > _NAMES_SHOWN else ''}. Is it the right kind of "
                "model (embedder or reranker), and complete?"
            )


def modules_of(folder: Path) -> list[Mapping[str, Any]]:
    """What ``modules.json`` lists; nothing where there is none."""
    import json

    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        modules: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    return modules


def _transformer(folder: Path) -> Path:
    """Where the transformer's own files lie: in the folder itself, or where its first module does."""
    modules = modules_of(folder)
    return folder / str(modules[0].get("path", "")) if modules else folder


def _refuse_foreign_code(folder: Path) -> None:
    named = {*_auto_map(folder / "config.json"), *_auto_map(folder / "tokenizer_config.json")}
    named |= {str(module.get("type")) for module in modules_of(folder)}
    foreign = sorted(name for name in named if _ELSEWHERE in name)
    if foreign:
        raise ModelError(
            f"{folder} runs code of another repository, which no revision here pins: {', '.join(foreign)}. Put that "
            "code into a folder beside the weights, name it there without the repository, and use FolderWeights"
        )


def _auto_map(path: Path) -> Iterator[str]:
    found = read_object(path).get("auto_map")
    for value in found.values() if isinstance(found, Mapping) else ():
        yield from (str(name) for name in (value if isinstance(value, list) else [value]) if name is not None)


@cache
def _announce_code(identity: str) -> None:
    _LOG.warning("trust_remote_code is true: Python code that comes with %s runs on this machine", identity)
