"""Hydra nodes to objects: the only caller of ``instantiate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from evalkit.analysis.grouping import FamilyRule
from evalkit.analysis.metrics import parse_metrics
from evalkit.checks import boolean, path, settings, unfit, whole_number
from evalkit.composition import CONFIG_ERRORS, explain, folder_of
from evalkit.errors import ConfigError
from evalkit.findings import Expectation
from evalkit.ports import DatasetSource, Reranker, Sink
from evalkit.provenance import without_secret
from evalkit.record import LatencyBudget, LongDocuments
from evalkit.result import Design
from evalkit.serving.settings import ServeSettings
from evalkit.stage_one.choice import PARTS, embeds, fusion_of
from evalkit.stages import Plan
from evalkit.types import Metric

PLACES = ("reports_dir", "cache_dir", "sinks")
"""What says where results are, and nothing about them."""

GROUPS = {
    "expectation": ("metric", "top_k", "min_points", "max_points", "decide_on"),
    "latency": ("queries", "time_limit_s"),
    "long_documents": ("stage1", "stage2", "overlap"),
    "metrics": ("names",),
    "retrieval": ("exclude_self", "run", "sparse"),
    "statistics": ("resamples", "seed", "family", "family_pattern", "slices", "document_slices"),
    "sweep": ("top_k", "sequential"),
}
"""Those that are no class: name -> their settings."""


def build_plan(config: DictConfig, command: Sequence[str] = ()) -> Plan:
    """Turn a composed configuration into the parts of an evaluation; nothing is opened yet.

    Args:
        config: Composed.
        command: The words that led to it, for the record.

    Raises:
        ConfigError: A value is missing or impossible.
        EvalkitError: A part refuses its arguments.
    """
    try:
        if not embeds(config.retrieval):
            # Recorded as absent, and no value of it is asked for.
            config = cast(DictConfig, OmegaConf.merge(config, {"embedder": None}))
        resolved = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
        for name, known in GROUPS.items():
            settings(name, resolved.get(name), known, ("fusion",) if name == "retrieval" else ())
        retrieval, sweep, statistics = (resolved[name] for name in ("retrieval", "sweep", "statistics"))
        boolean("retrieval.exclude_self", retrieval["exclude_self"])
        boolean("sweep.sequential", sweep["sequential"])
        return Plan(
            source=_make(config, "dataset"),
            embedder=_embedder(config),
            reranker=_make(config, "reranker"),
            store=_make(config, "vector_store"),
            cache=_make(config, "cache"),
            executor=_make(config, "executor"),
            design=_design(resolved),
            sparse=None if retrieval["sparse"] is None else _make(config, "retrieval.sparse", PARTS["sparse"]),
            fusion=fusion_of(retrieval),
            family=FamilyRule(statistics["family"], statistics["family_pattern"]),
            sequential=sweep["sequential"],
            exclude_self=retrieval["exclude_self"],
            long=LongDocuments(**resolved["long_documents"]),
            latency=LatencyBudget(**resolved["latency"]),
            notes=_make(config, "notes"),
            config=resolved,
            command=tuple(command),
        )
    except CONFIG_ERRORS as error:
        raise explain(error) from error


def build_source(recorded: Mapping[str, Any], overrides: Sequence[str] = ()) -> DatasetSource:
    """The source of a stored result's data set, and no other part of its configuration; nothing is opened yet.

    A result may come from somebody else, so no class is made that neither ``conf/dataset`` nor the caller names.

    Args:
        recorded: The configuration that the result recorded.
        overrides: What has changed since, such as ``dataset.path=...``.

    Raises:
        ConfigError: No data set is recorded, an override names no setting of it, or a secret is missing.
        EvalkitError: The source refuses its arguments.
    """
    node = recorded.get("dataset")
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError("the result does not record where its data came from; start the run again with evalkit run")
    try:
        changed = _changes_of(node, overrides)
        complete = {**node, **changed}
        trusted = _targets(folder_of("conf") / "dataset") | {str(changed.get("_target_"))}
        unknown = sorted(_targets_in(complete) - trusted)
        if unknown:
            raise ConfigError(
                f"the data set of this result was read by {', '.join(unknown)}, which no file in conf/dataset names; "
                f"where you trust it, say so: dataset._target_={unknown[0]}"
            )
        masked = [name for name, value in complete.items() if "***" in str(value)]
        if masked:
            raise ConfigError(
                f"dataset.{masked[0]} was secret and is not part of the result; give it again: dataset.{masked[0]}=..."
            )
        return cast(DatasetSource, _make(OmegaConf.create({"dataset": complete}), "dataset"))
    except CONFIG_ERRORS as error:
        raise explain(error) from error


def _changes_of(node: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """What the overrides make of single settings of a stored data set; another one would be another result."""
    changed = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group, _, name = override.key_or_group.partition(".")
        if group != "dataset" or name not in node or override.is_delete() or override.is_sweep_override():
            raise ConfigError(
                f"{without_secret(override.input_line or override.key_or_group)} changes no single setting of this "
                f"result's data set; these are dataset.{', dataset.'.join(map(str, node))}"
            )
        changed[name] = override.value()
    return changed


def redesign(
    config: DictConfig, overrides: Sequence[str], stored: Mapping[str, Mapping[str, Any]]
) -> tuple[Design, FamilyRule]:
    """A stored design with what the overrides change of it, and nothing else.

    Args:
        config: Composed with these overrides: their values are read from there.
        overrides: Those of PLACES are no part of a design.
        stored: Group -> setting -> value; what it does not hold cannot be changed.

    Raises:
        ConfigError: An override needs the data or a model, or its value is impossible.
    """
    asked = {group: dict(values) for group, values in stored.items()}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group, _, name = override.key_or_group.partition(".")
        if group in PLACES:
            continue
        known = asked.get(group, {})
        wanted = [name] if name else list(known)
        if override.is_delete() or not known or not known.keys() >= set(wanted):
            able = ", ".join(f"{group}.{name}" for group, values in stored.items() for name in values)
            raise ConfigError(
                f"{without_secret(override.input_line or override.key_or_group)} cannot be answered from a stored "
                f"result: it needs the data or a model, so use evalkit run. Without them these can change: {able}"
            )
        try:
            known.update({name: _plain(config[group][name]) for name in wanted})
        except CONFIG_ERRORS as error:
            raise explain(error) from error
    statistics = asked["statistics"]
    return _design(asked), FamilyRule(statistics["family"], statistics["family_pattern"])


def _design(resolved: Mapping[str, Any]) -> Design:
    expected, sweep, metrics, statistics = (
        resolved[name] for name in ("expectation", "sweep", "metrics", "statistics")
    )
    top_ks = _list(sweep["top_k"], "sweep.top_k")
    for top_k in top_ks:
        whole_number("sweep.top_k", top_k, 1)
    whole_number("expectation.top_k", expected["top_k"], 1)
    highest = expected["max_points"]
    return Design(
        top_ks=tuple(top_ks),
        metrics=parse_metrics([str(name) for name in _list(metrics["names"], "metrics.names")]),
        expectation=Expectation(
            metric=Metric.parse(str(expected["metric"])),
            top_k=expected["top_k"],
            min_points=_number(expected["min_points"], "expectation.min_points"),
            max_points=None if highest is None else _number(highest, "expectation.max_points"),
            decide_on=expected["decide_on"],
        ),
        slices=_names(statistics["slices"], "statistics.slices"),
        document_slices=_names(statistics["document_slices"], "statistics.document_slices"),
        resamples=statistics["resamples"],
        seed=statistics["seed"],
    )


def build_sinks(config: DictConfig) -> dict[str, Sink]:
    """The sinks that are switched on, by name, in order.

    Raises:
        ConfigError: A sink refuses its arguments.
    """
    try:
        return {
            str(name): _make(config, f"sinks.{name}", "null, or a class with its arguments, as in conf/sinks/")
            for name, node in (config.sinks or {}).items()
            if node
        }
    except CONFIG_ERRORS as error:
        raise explain(error) from error


def build_reranker(config: DictConfig) -> Reranker:
    """The reranker alone; nothing is opened yet.

    Raises:
        ConfigError: It is what another system's scores were read from, or a value is missing or impossible.
        EvalkitError: It refuses its arguments.
    """
    try:
        reranker = _make(config, "reranker")
    except CONFIG_ERRORS as error:
        raise explain(error) from error
    if not hasattr(type(reranker), "score"):
        raise ConfigError(
            f"reranker is {config.reranker._target_}, which knows the scores of its file and scores no other text; "
            "expected a model, such as reranker=minilm_l12_en"
        )
    return cast(Reranker, reranker)


def build_serve_settings(config: DictConfig) -> ServeSettings:
    """Where the service listens and what it takes.

    Raises:
        ConfigError: A value is missing or impossible.
    """
    try:
        return cast(ServeSettings, _make(config, "serve"))
    except CONFIG_ERRORS as error:
        raise explain(error) from error


def reports_folder(config: DictConfig) -> Path:
    """Where results land.

    Raises:
        ConfigError: ``reports_dir`` is no text.
    """
    if not isinstance(config.reports_dir, str) or not config.reports_dir:
        raise ConfigError(f"reports_dir is {config.reports_dir!r}; expected a folder")
    return path("reports_dir", config.reports_dir)


def _embedder(config: DictConfig) -> Any:
    """What makes dense vectors, the run that stands in for them, or nothing where words alone are searched."""
    if config.retrieval.run is not None:
        return _make(config, "retrieval.run", PARTS["run"])
    return _make(config, "embedder") if embeds(config.retrieval) else None


def _make(config: DictConfig, name: str, expected: str | None = None) -> Any:
    node = OmegaConf.select(config, name, throw_on_missing=True)
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise unfit(name, node, expected or f"one of the options in conf/{name}/, such as {name}=...")
    return instantiate(node, _convert_="all")


def _targets(folder: Path) -> set[str]:
    """The classes that the files of a group name."""
    nodes = (OmegaConf.to_container(OmegaConf.load(file), resolve=False) for file in folder.glob("*.yaml"))
    return {name for node in nodes for name in _targets_in(node)}


def _targets_in(node: Any) -> set[str]:
    """The classes that a plain structure names, at any depth."""
    if isinstance(node, Mapping):
        named = {str(node["_target_"])} if "_target_" in node else set()
        return named.union(*map(_targets_in, node.values()))
    return set().union(*map(_targets_in, node)) if isinstance(node, list) else set()


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise unfit(name, value, f"a list, such as {name}=[...]")
    return value


def _names(value: Any, name: str) -> tuple[str, ...]:
    return tuple(map(str, _list(value, name)))


def _number(value: Any, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise unfit(name, value, "a number of points")
    return float(value)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
