"""Figures that others published, and whether a result reproduces them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.checks import text, unfit, whole_number
from evalkit.errors import ConfigError, DataError
from evalkit.result import Design, EvalResult
from evalkit.types import Metric

_FIGURE = ("system", "metric", "value", "tolerance")
_KEYS = ("of", "source", "measured", "tolerance_why", "n_documents", "n_queries", "figures")


@dataclass(frozen=True, slots=True)
class Figure:
    """One published number.

    Attributes:
        system: ``dense``, or ``rerank@K``.
        metric: What was measured.
        value: The mean that was published, as a fraction.
        tolerance: The largest difference that still counts as the same.
    """

    system: str
    metric: Metric
    value: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Published:
    """What was published, and of what.

    Attributes:
        of: The models and the data set.
        source: Where it stands: address, and the file or page.
        measured: What exactly was measured there, such as first stage, depth, prompts and lengths.
        tolerance_why: What may move a number that is reproduced.
        n_documents: Documents of the data set.
        n_queries: Its evaluated queries.
        figures: The numbers.
    """

    of: str
    source: str
    measured: str
    tolerance_why: str
    n_documents: int
    n_queries: int
    figures: tuple[Figure, ...]

    @classmethod
    def parse(cls, node: object) -> Published:
        """Read the node ``published`` of a configuration.

        Raises:
            ConfigError: It is missing, or something in it is.
        """
        if not isinstance(node, Mapping):
            raise ConfigError("the configuration has no published figures; expected a node 'published' with them")
        _complete("published", node, _KEYS)
        for name in ("of", "source", "measured", "tolerance_why"):
            text(f"published.{name}", node[name])
        for name in ("n_documents", "n_queries"):
            whole_number(f"published.{name}", node[name], 1)
        if not isinstance(node["figures"], list) or not node["figures"]:
            raise unfit("published.figures", node["figures"], f"a list of mappings with {', '.join(_FIGURE)}")
        return cls(**{**node, "figures": tuple(map(_figure, node["figures"]))})

    def check(self, design: Design) -> None:
        """Refuse a run that would not measure what was published.

        Raises:
            ConfigError: A metric or a system is not part of it.
        """
        systems = {"dense", *(f"rerank@{top_k}" for top_k in design.top_ks)}
        for figure in self.figures:
            if figure.metric not in design.metrics or figure.system not in systems:
                raise ConfigError(
                    f"{figure.metric} of {figure.system} was published, and this run would not measure it; put it into "
                    "metrics.names, and its top-k into sweep.top_k"
                )


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure beside what was found.

    Attributes:
        figure: What was published.
        found: The mean that was found, as a fraction.
    """

    figure: Figure
    found: float

    @property
    def difference(self) -> float:
        """Found less published."""
        return self.found - self.figure.value

    @property
    def reproduced(self) -> bool:
        """Whether the difference is within the tolerance."""
        return abs(self.difference) <= self.figure.tolerance


def held_against(published: Published, result: EvalResult) -> list[Comparison]:
    """Each figure beside what a result found.

    Raises:
        DataError: The data set is another one than that of the figures.
    """
    counts = (result.dataset.n_documents, result.dataset.n_queries)
    if counts != (published.n_documents, published.n_queries):
        raise DataError(
            f"{result.dataset.name} has {counts[0]} documents and {counts[1]} evaluated queries; the published figures "
            f"are of {published.n_documents} and {published.n_queries}, so this is another data set, or part of it"
        )
    means = result.assessment.metrics
    return [Comparison(figure, means[figure.system][figure.metric]) for figure in published.figures]


def _figure(node: object) -> Figure:
    if not isinstance(node, Mapping):
        raise unfit("published.figures", node, f"a mapping with {', '.join(_FIGURE)}")
    _complete("published.figures", node, _FIGURE)
    numbers = {name: node[name] for name in ("value", "tolerance")}
    for name, value in numbers.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise unfit(f"published.figures.{name}", value, "a fraction between 0 and 1")
    return Figure(str(node["system"]), Metric.parse(str(node["metric"])), **numbers)


def _complete(name: str, node: Mapping[Any, Any], keys: tuple[str, ...]) -> None:
    if set(node) != set(keys):
        raise ConfigError(f"{name} has the keys {', '.join(map(str, node))}; expected {', '.join(keys)}")
