"""``evalkit data check`` and ``evalkit data convert``: what is wrong with a data set, and the same as a BEIR folder."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from evalkit import checks
from evalkit.commands.data_lines import lines
from evalkit.commands.words import split
from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.data.export import write_beir
from evalkit.data.selection import Selection, dataset_digest
from evalkit.data.source import Source
from evalkit.errors import ConfigError
from evalkit.inspection.inspect import inspect
from evalkit.inspection.lengths import lengths
from evalkit.inspection.outcome import Inspection
from evalkit.new_folder import check_free

SCHEMA_VERSION = 1


def run(arguments: Namespace) -> int:
    """Look at a data set, or write it.

    Returns:
        0, or 2 where a run would refuse the data set.

    Raises:
        ConfigError: The data set is not clearly named, or its settings are impossible.
        DataError: Only when it is written: something is missing or breaks its format.
        SinkError: The folder cannot be written.
    """
    return check(arguments.words, as_json=arguments.json) if arguments.action == "check" else convert(arguments.words)


def check(words: Sequence[str], as_json: bool) -> int:
    """Say what is wrong with a data set, and what so much data can tell; no model is loaded.

    Raises:
        ConfigError: The data set is not clearly named, or its settings are impossible.
    """
    named, overrides = split(words, "data sets", "expected the folder of one, and overrides")
    plan = build_plan(_with_path(named, overrides))
    if not isinstance(plan.source, Source):
        raise ConfigError(
            f"{type(plan.source).__name__} can only be loaded; to be checked, a source derives from "
            f"{Source.__module__}.{Source.__name__}, which reads documents, queries and judgments apart"
        )
    found = inspect(plan.source, plan.family, plan.design.expectation, partial(lengths, plan.embedder, plan.reranker))
    print(_document(found) if as_json else "\n".join(lines(found)))
    return 2 if found.refused else 0


def convert(words: Sequence[str]) -> int:
    """Write the data set that a run with the same settings would evaluate.

    Raises:
        ConfigError: The folder is not named or not empty, or the data set's settings are impossible.
        DataError: Something is missing or breaks its format.
        SinkError: The folder cannot be written.
    """
    named, overrides = split(words, "folders", "expected one to write, and overrides")
    if named is None:
        raise ConfigError("found no folder to write; expected evalkit data convert FOLDER, and overrides")
    folder = checks.path("the folder to write", named)
    check_free(folder)
    dataset = build_plan(compose_config(overrides)).source.load()
    write_beir(dataset, folder)
    judgments = sum(map(len, dataset.qrels.values()))
    print(f"written   {len(dataset.documents)} documents, {len(dataset.queries)} queries, {judgments} judgments")
    if dataset.unjudged or dataset.without_positives:
        print(
            f"left out  {len(dataset.unjudged)} queries without a judgment, {len(dataset.without_positives)} without a "
            "positive"
        )
    if dataset.dangling:
        print(f"note      {len(dataset.dangling)} positives are not in the corpus: load with dataset.on_dangling=keep")
    print(f"digest    {dataset_digest(dataset.corpus_digest, dataset.queries, dataset.qrels, Selection())[:12]}")
    print(f"folder    {folder}")
    return 0


def _with_path(named: str | None, overrides: Sequence[str]) -> DictConfig:
    """The configuration; a folder alone is a BEIR folder."""
    if named is None:
        return compose_config(overrides)
    chosen = any(word.startswith("dataset=") for word in overrides)
    config = compose_config(overrides if chosen else ["dataset=beir", *overrides])
    if any(word.startswith("dataset.path=") for word in overrides):
        raise ConfigError(f"found both {named} and dataset.path; expected one of them")
    if "path" not in config.dataset.keys():  # noqa: SIM118 - one without a value counts
        raise ConfigError(f"found {named}, but this data set has no dataset.path; name it by its own settings")
    # Of a text, OmegaConf would read ${ and ??? as its own.
    config.dataset.path = Path(named)
    return config


def _document(found: Inspection) -> str:
    """Everything that was found, as JSON."""
    document = {"schema_version": SCHEMA_VERSION, "status": "refused" if found.refused else "usable", **asdict(found)}
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
