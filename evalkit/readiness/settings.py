"""What a resolved configuration and the parts built from it hold, at any depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from evalkit.stages import Plan

Kind = TypeVar("Kind")


def nodes(config: Any) -> Iterator[Mapping[str, Any]]:
    """The nodes that name a class."""
    return (node for node in _mappings(config) if "_target_" in node)


def values(config: Any, key: str) -> list[Any]:
    """What stands under a key, wherever that is."""
    return [node[key] for node in _mappings(config) if key in node]


def used(plan: Plan) -> list[Mapping[str, Any]]:
    """The nodes of the configuration that a run will use: not those of an embedder whose place a run file takes."""
    others = [plan.config.get(name, {}) for name in ("dataset", "vector_store", "retrieval")]
    return [*(settings_of(part, plan.config) for part in models(plan).values()), *others]


def _mappings(config: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(config, Mapping):
        yield config
        config = list(config.values())
    for value in config if isinstance(config, list) else ():
        yield from _mappings(value)


def models(plan: Plan) -> dict[str, Any]:
    """Name -> model, or file of another system's: every part of a plan that has a fingerprint."""
    parts = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return {name: part for name, part in parts.items() if hasattr(type(part), "fingerprint")}


def settings_of(part: object, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node of the configuration that a part was built from; empty where there is none."""
    kind = type(part)
    name = f"{kind.__module__}.{kind.__qualname__}"
    return next((node for node in nodes(config) if node["_target_"] == name), {})


def held(part: object, kind: type[Kind]) -> list[Kind]:
    """The values of a kind that a part of evalkit holds as attributes, also those of its own parts.

    A plug-in need not say what it holds: its weights are found wherever it keeps them.
    """
    found: list[Kind] = []
    todo, seen = [part], set[int]()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, kind):
            found.append(value)
        elif type(value).__module__.startswith("evalkit.") or value is part:
            todo += list(getattr(value, "__dict__", {}).values())
    return found
