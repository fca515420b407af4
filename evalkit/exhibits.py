"""What a report shows of single queries: values, drawn only where the user wants texts to be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placed:
    """A document and its rank, from 1, before and after reranking; None where it is not among the candidates."""

    doc_id: str
    dense_rank: int | None
    reranked_rank: int | None


@dataclass(frozen=True, slots=True)
class Example:
    """A query that won or lost at the decision top-k.

    Attributes:
        dense_value, reranked_value: The expectation's metric.
        gold: The relevant document that moved furthest.
        rival: The document without a grade of at least 1 that stands highest in the worse of the two rankings.
    """

    query_id: str
    dense_value: float
    reranked_value: float
    gold: Placed
    rival: Placed | None

    @property
    def change(self) -> float:
        """Reranked - dense, a fraction."""
        return self.reranked_value - self.dense_value


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of the queries and documents of the examples, by id; they stay in the local result folder."""

    queries: Mapping[str, str]
    documents: Mapping[str, str]
