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
from evalkit.models.loading import load_tokenizer, pretrained, quiet, refuse_unfilled
from evalkit.models.torch_runtime import Loaded, Tokens, TorchRuntime
from evalkit.models.weights import Weights
from evalkit.types import Fingerprint

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding, Tokenizer

_LOG = logging.getLogger("evalkit.models")

_FILES_READ = ("*.json", "*/*.json", "*.jinja", "*.py", "*.safetensors", "*/*.safetensors", "*.bin", "*/*.bin")
_ELSEWHERE = "--"
"""What the name of code in another repository holds, behind that repository's name."""


@dataclass(frozen=True)
class SentenceLibrary:
    """A sentence-transformers object, its tokenizer, and where and how precisely it runs.

    sentence-transformers loads, renders chat templates, pools and normalises; its own loop is left out because it
    sorts by characters, takes a fixed number of items per batch and cuts the longer text of a pair first.

    Args:
        class_name: What sentence-transformers calls such a model.
        weights: The folder with weights, configuration and tokenizer.
        runtime: Where and how precisely it runs.
        max_length: Tokens per item, special tokens included; None means what the model's files say.
        trust_remote_code: Run the Python code that comes with the weights.
    """

    class_name: Literal["CrossEncoder", "SentenceTransformer"]
    weights: Weights
    runtime: TorchRuntime
    max_length: int | None
    trust_remote_code: bool

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Weights):
            raise unfit(f"{self.runtime.settings}.weights", self.weights, "CarrierWeights, FolderWeights or HubWeights")
        whole_number(f"{self.runtime.settings}.max_length", self.max_length, SHORTEST_MAX_LENGTH, or_null=True)
        boolean(f"{self.runtime.settings}.trust_remote_code", self.trust_remote_code)

    def __getstate__(self) -> dict[str, Any]:
        # Loaded weights stay where they are; a copy in another process loads its own.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the numbers of any model; torch is asked only for the name of a GPU."""
        return {
            "backend": "sentence-transformers",
            "class": self.class_name,
            "weights": self.weights.identity(),
            "dtype": self.runtime.dtype,
            "device": self.runtime.processors,
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
            raise ConfigError(
                f"{self.runtime.settings}.max_length is null, but no file in {folder} says how much the model reads"
            )
        return stated[0]

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, without the model as long as that is not loaded: counting needs no model."""
        return self.copies[0].tokenizer if "copies" in vars(self) else self._lone_tokenizer

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
    def copies(self) -> list[Loaded]:
        """sentence-transformers' object, once per device, in the number format and ready to infer."""
        folder = self._checked(self.weights.locate())
        adapter = folder / "adapter_config.json"
        if adapter.is_file():
            raise ModelError(f"{adapter} names another model as its base, which nothing here pins; merge the two first")
        return [self._load(folder, device) for device in self.runtime.devices]

    def _load(self, folder: Path, device: str) -> Loaded:
        import torch

        options: dict[str, Any] = {"activation_fn": torch.nn.Identity()} if self.class_name == "CrossEncoder" else {}
        with quiet():
            import sentence_transformers

            try:
                library = getattr(sentence_transformers, self.class_name)(
                    str(folder),
                    device=device,
                    trust_remote_code=self.trust_remote_code,
                    local_files_only=True,
                    **options,
                )
                self._refuse_unfilled(library.transformers_model, _transformer(folder))
            except ModelError:
                raise
            # Code that comes with weights raises whatever it likes.
            except Exception as error:
                raise ModelError(f"{folder} cannot be loaded as {self.class_name}: {error}") from error
        return library.to(device=device, dtype=getattr(torch, self.runtime.dtype)).eval()

    @cached_property
    def _lone_tokenizer(self) -> Any:
        return load_tokenizer(_transformer(self._tokenizer_folder), self.trust_remote_code)

    @cached_property
    def _tokenizer_folder(self) -> Path:
        return self._checked(self.weights.locate_tokenizer())

    def _checked(self, folder: Path) -> Path:
        read = (path for pattern in _FILES_READ for path in sorted(folder.glob(pattern)))
        self.weights.vouch(*(path.relative_to(folder).as_posix() for path in read))
        if self.max_length is not None:
            refuse_too_long(self.runtime.settings, self.max_length, _transformer(folder), folder)
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

    def run(self, items: Sequence[Tokens], batch_drift: float, forward: Callable[[Loaded, Any], torch.Tensor]) -> Rows:
        """Run tokenised items through the model; see :meth:`TorchRuntime.run`."""
        return self.runtime.run(self.copies, items, batch_drift, forward)

    def _refuse_unfilled(self, model: Any, folder: Path) -> None:
        """Refuse weights that leave parameters of the model at random values.

        Loading onto the ``meta`` device matches names without reading numbers.
        """
        _, report = pretrained(
            type(model),
            folder,
            config=model.config,
            device_map="meta",
            trust_remote_code=self.trust_remote_code,
            local_files_only=True,
        )
        # Vectors are pooled from the last hidden state, which never passes transformers' pooler.
        refuse_unfilled(folder, model, report, pooler=self.class_name == "CrossEncoder")


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
