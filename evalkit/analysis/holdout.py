"""Which queries stay away from training, so that they can judge the trained model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping

from evalkit.checks import unfit
from evalkit.errors import ConfigError

_Name = tuple[str, str]
"""A family, or a query that has none."""


def hold_out(
    families: Mapping[str, str], questions: Mapping[str, Hashable], share: float, seed: int
) -> tuple[str, ...]:
    """Choose the queries that are held out: whole families, and equal questions together.

    On which side a family falls depends on its name and the seed alone. So it stays there when a data set grows: what
    was held out once never reaches a later training by mining again. The share is met on average.

    Args:
        families: Query id -> family, for the queries that have one.
        questions: Query id -> a key of its text, equal where the texts are; all queries, in order.
        share: Of the families, between 0 and 1.
        seed: Of the choice.

    Returns:
        Ids, in the order of ``questions``.

    Raises:
        ConfigError: The share is none, or all queries fall on one side.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise unfit("holdout", share, "a share between 0 and 1, such as 0.5")
    names = _joined(
        {
            query_id: ("family", families[query_id]) if query_id in families else ("query", query_id)
            for query_id in questions
        },
        questions,
    )
    held = tuple(query_id for query_id in questions if _place(names[query_id], seed) < share)
    if len(held) in (0, len(questions)):
        side = "mine" if held else "hold out"
        raise ConfigError(
            f"a holdout of {share:g} with seed {seed} leaves no query to {side}, of {len(questions)} in "
            f"{len(set(names.values()))} families; choose another share or seed"
        )
    return held


def _joined(names: Mapping[str, _Name], questions: Mapping[str, Hashable]) -> dict[str, _Name]:
    """Query id -> the first name of all that are tied to its own by equal questions."""
    parent: dict[_Name, _Name] = {}

    def first(name: _Name) -> _Name:
        while parent.get(name, name) != name:
            name = parent[name]
        return name

    asked: dict[Hashable, str] = {}
    for query_id, question in questions.items():
        one, other = first(names[query_id]), first(names[asked.setdefault(question, query_id)])
        parent[max(one, other)] = min(one, other)
    return {query_id: first(name) for query_id, name in names.items()}


def _place(name: _Name, seed: int) -> float:
    """A number in [0, 1) that looks drawn, and is the same wherever it is asked for."""
    digest = hashlib.sha256(json.dumps([seed, *name], ensure_ascii=False).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
