"""What all sources share: which queries and documents take part, and what language they are in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict, Unpack

from evalkit.checks import text
from evalkit.data.judgments import Judgments
from evalkit.data.selection import Selection, assemble
from evalkit.types import Dataset, Document, Query


class Choices(TypedDict):
    """Settings of every source.

    name: Name of the data set in results; None takes that of the folder, file or data set.
    filters, limit, seed, corpus_filter, on_dangling, lang: see :class:`evalkit.data.selection.Selection`.
    """

    name: str | None
    filters: Mapping[str, Any] | None
    limit: int | None
    seed: int
    corpus_filter: Mapping[str, Any] | None
    on_dangling: Literal["error", "keep"]
    lang: Mapping[str, str | None] | None


class Source(ABC):
    """A data set somewhere; a subclass reads its three parts, everything else is done here.

    Args:
        known_as: The data set's name where ``name`` is None.
        choices: The settings that every source has.
    """

    def __init__(self, known_as: str, **choices: Unpack[Choices]) -> None:
        text("dataset.name", choices["name"], or_null=True)
        self._name = choices["name"] or known_as
        self._selection = Selection(
            choices["filters"] or {},
            choices["limit"],
            choices["seed"],
            choices["corpus_filter"] or {},
            choices["on_dangling"],
            choices["lang"] or {},
        )

    @property
    def name(self) -> str:
        """Name of the data set in results."""
        return self._name

    @property
    def selection(self) -> Selection:
        """Which queries and documents take part."""
        return self._selection

    @abstractmethod
    def documents(self) -> Iterable[Document]:
        """The whole corpus, ids unique."""

    @abstractmethod
    def queries(self) -> Iterable[Query]:
        """All queries, ids unique."""

    @abstractmethod
    def judgments(self) -> Judgments:
        """All judgments."""

    def load(self) -> Dataset:
        """Read, check and select.

        Raises:
            DataError: Something is missing or breaks its format.
        """
        return assemble(self._name, self.documents(), self.queries(), self.judgments(), self._selection)
