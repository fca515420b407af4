"""Which files of a Hugging Face data set hold what: its card says, or the names of its folders."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.errors import ConfigError, DataError

_CARD = "README.md"
_SHARD = re.compile(r"-[0-9]{5}-of-([0-9]{5})")
_SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz")


class Files(NamedTuple):
    """The files of one configuration and split, and how many rows the card says they have."""

    files: list[Path]
    rows: int | None


def fetch(repo: str, revision: str, configs: Collection[str]) -> Path:
    """The folder of a snapshot in the local cache, with what these configurations need; the hub is asked for the rest.

    Args:
        repo: Owner and name.
        revision: A commit. The cache answers for this one only: the ``datasets`` library itself would fall back to
            whatever it had last.
        configs: Names; those that the card does not list are passed by.

    Raises:
        DataError: Neither the cache nor the hub has it.
    """
    from huggingface_hub import snapshot_download

    try:
        with quiet():
            folder = Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=[_CARD]))
            known = _card(folder)
            wanted = [pattern for name, config in known.items() if name in configs for pattern in _patterns(config)]
            allowed = [_CARD, *wanted, *(f"{pattern}/*" for pattern in wanted)] if known else None
            return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=allowed))
    except DataError:
        raise
    # Its own errors, OSError and those of an HTTP library that changes with its version.
    except Exception as error:
        raise DataError(
            f"the data set {repo} at {revision} is neither in the local Hugging Face cache nor to be had from the hub "
            f"({type(error).__name__}). Point HF_HOME at a cache that holds it, or run 'hf download {repo} "
            f"--repo-type dataset --revision {revision} --local-dir FOLDER' on a machine that reaches the hub, bring "
            "the folder here and set dataset.path=FOLDER"
        ) from error


def files_of(folder: Path, configs: Sequence[str], split: str, exact: bool) -> Files:
    """The files of the first of these configurations that there is.

    Args:
        folder: A data set's.
        configs: Names, the preferred one first.
        split: Which split to take.
        exact: Whether it must have that name; otherwise a configuration's only split will do.

    Raises:
        ConfigError: There is no such configuration or split; the message lists what there is.
        DataError: Files are missing, or the ``datasets`` library cannot make them out.
    """
    known = _card(folder)
    present = list(known) or sorted(_in_folder(folder))
    config = next((name for name in configs if name in present), None)
    if config is None:
        wanted = " or ".join(map(repr, configs))
        raise ConfigError(
            f"{folder} has no configuration {wanted}; it has: {', '.join(present) or 'none'}. Set dataset.corpus, "
            "dataset.queries and dataset.qrels to their names"
        )
    if not known and not (folder / config).is_dir():
        return Files([_in_folder(folder)[config]], None)
    return _split(folder, config, split, exact, {"name": config} if known else {"data_dir": config})


def _split(folder: Path, config: str, split: str, exact: bool, named: Mapping[str, str]) -> Files:
    from datasets import load_dataset_builder

    try:
        # The builder is asked which files it would read; it leaves locks where its cache is.
        with quiet(), tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
            builder = load_dataset_builder(str(folder), cache_dir=scratch, **named)
            data_files = {
                str(name): [Path(file) for file in files] for name, files in builder.config.data_files.items()
            }
            counts = {str(name): info.num_examples for name, info in (builder.info.splits or {}).items()}
    # Whatever it stumbles over: cards written by hand, patterns without a file.
    except Exception as error:
        what = f"the files of configuration {config!r} are not here or cannot be made out ({type(error).__name__})"
        raise DataError(f"{what}; fetch the data set again, or mend its {_CARD}", folder) from error
    if split not in data_files and (exact or len(data_files) != 1):
        found = ", ".join(data_files) or "none"
        raise ConfigError(
            f"{folder}: configuration {config!r} has no split {split!r}; set dataset.split to one of: {found}"
        )
    chosen = split if split in data_files else next(iter(data_files))
    _check_shards(folder, data_files[chosen])
    return Files(data_files[chosen], counts.get(chosen))


def _check_shards(folder: Path, files: Sequence[Path]) -> None:
    """Refuse a split some of whose numbered files are missing, as after a copy that was cut short."""
    for total in {int(found[1]) for file in files if (found := _SHARD.search(file.name))}:
        present = sum(f"-of-{total:05d}" in file.name for file in files)
        if present != total:
            what = f"{present} of the {total} files named such as {files[0].name} are here"
            raise DataError(f"{what}; fetch the data set again", folder)


def _card(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Configuration -> what the card says of it; empty where there is no card or it names none."""
    from huggingface_hub import DatasetCard

    path = folder / _CARD
    if not path.is_file():
        return {}
    try:
        configs = DatasetCard.load(path).data.to_dict().get("configs") or []
        return {str(config["config_name"]): config for config in configs}
    # YAML's own errors, and those of what is made of it.
    except Exception as error:
        raise DataError(
            f"the data set's card cannot be read ({type(error).__name__}); mend its header", path
        ) from error


def _patterns(config: Mapping[str, Any]) -> Iterator[str]:
    """Which files of the repository a configuration names."""
    given = config.get("data_files")
    folder = f"{config['data_dir']}/" if "data_dir" in config else ""
    if given is None:
        yield folder or "*"
    for entry in given if isinstance(given, list) else [given] if given else []:
        paths = entry.get("path") if isinstance(entry, Mapping) else entry
        for path in paths if isinstance(paths, list) else [paths]:
            yield f"{folder}{path}".removeprefix("./")


def _in_folder(folder: Path) -> dict[str, Path]:
    """Configuration -> folder or file of that name, in a data set without a card."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), "")
        if path.name[0] != "." and (path.is_dir() or suffix):
            found.setdefault(path.name.removesuffix(suffix), path)
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, no telemetry and no advice from Hugging Face's libraries, which are left as they were."""
    import datasets
    from datasets.utils import logging as datasets_logging
    from huggingface_hub import constants
    from huggingface_hub import utils as hub

    bars = [module for module in (datasets, hub) if not module.are_progress_bars_disabled()]
    levels = [(module, module.get_verbosity()) for module in (datasets_logging, hub.logging)]
    telemetry = constants.HF_HUB_DISABLE_TELEMETRY
    with warnings.catch_warnings():
        # Of the environment's own wish for progress bars.
        warnings.simplefilter("ignore")
        for module in bars:
            module.disable_progress_bars()
        for logging, _ in levels:
            logging.set_verbosity_error()
        constants.HF_HUB_DISABLE_TELEMETRY = True
        try:
            yield
        finally:
            constants.HF_HUB_DISABLE_TELEMETRY = telemetry
            for logging, level in levels:
                logging.set_verbosity(level)
            for module in bars:
                module.enable_progress_bars()
