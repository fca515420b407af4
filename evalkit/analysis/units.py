"""What is drawn together: the query, or the family of queries that are translations of one question.

Every resampling works on totals per unit, held as whole numbers in float64. Sums of whole numbers below
2**53 are exact in any order, so a matrix product gives the same bits on one thread and on many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.metrics import EPSILON
from evalkit.errors import DataError

GRAIN = 2.0**-30
"""Differences are counted in steps of this size, which is below the tie epsilon."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """The units of every resampling, numbered by first appearance.

    The estimand is always the mean over queries: the sum of unit totals divided by the sum of unit
    sizes, a ratio estimator where sizes vary.

    Attributes:
        query_ids: The queries, in the order of the rows of every array of values.
        index: Unit number of each query, shape (n_queries,).
        sizes: Queries of each unit, shape (n_units,).
    """

    query_ids: tuple[str, ...]
    index: NDArray[np.intp]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, query_ids: Sequence[str], families: Mapping[str, str]) -> Units:
        """Group queries by family.

        Args:
            query_ids: The evaluated queries, each once.
            families: query id -> family id. A query that it does not hold is a unit of its own, even
                where a family has the query's id as its name.

        Raises:
            DataError: No query, or one given twice.
        """
        if not query_ids:
            raise DataError("there is no query to resample; at least one is needed")
        if len(set(query_ids)) < len(query_ids):
            twice = next(query_id for query_id in query_ids if list(query_ids).count(query_id) > 1)
            raise DataError(f"query {twice!r} is given twice; every query counts once")
        numbers: dict[tuple[bool, str], int] = {}
        index = [
            numbers.setdefault((query_id in families, families.get(query_id, query_id)), len(numbers))
            for query_id in query_ids
        ]
        return cls(tuple(query_ids), np.array(index, dtype=np.intp), np.bincount(index).astype(np.int64))

    @property
    def n_queries(self) -> int:
        return len(self.query_ids)

    @property
    def n_units(self) -> int:
        return len(self.sizes)

    @property
    def typical_size(self) -> float:
        """Size of the unit that an average query lies in, sum(sizes**2) / n_queries; the weight of a pseudo-unit.

        Where sizes vary this is more than their mean, as a unit not seen yet may be one of the large ones.
        """
        return float((self.sizes**2).sum()) / self.n_queries

    def totals(self, values: Floats) -> Floats:
        """Sum values over each unit.

        Args:
            values: Shape (n_queries, m), rows in the order of ``query_ids``.

        Returns:
            Shape (n_units, m).
        """
        if values.ndim != 2 or len(values) != self.n_queries:
            raise ValueError(f"values have shape {values.shape}; expected ({self.n_queries}, m), a row per query")
        if self.n_units == self.n_queries:
            return values
        order = np.argsort(self.index, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        return np.asarray(np.add.reduceat(values[order], starts, axis=0))


def exact_totals(differences: Floats, units: Units) -> Floats:
    """Differences summed over units, as whole numbers of GRAIN.

    Differences up to EPSILON are ties and count as 0, and so does a unit whose queries cancel out: it
    carries no sign.

    Args:
        differences: Per-query differences, shape (n_queries, m), fractions in [-1, 1].
        units: What is drawn together.

    Returns:
        Shape (n_units, m).

    Raises:
        ValueError: A difference is not a number or lies outside [-1, 1].
    """
    possible = np.abs(differences) <= 1 + EPSILON
    if not possible.all():
        raise ValueError(f"a difference is {differences[~possible][0]}; expected fractions in [-1, 1]")
    tied = np.abs(differences) <= EPSILON
    totals = units.totals(np.where(tied, 0.0, np.rint(np.clip(differences, -1.0, 1.0) / GRAIN)))
    cancelled = np.abs(totals) <= units.sizes[:, None] * (EPSILON / GRAIN)
    return np.where(cancelled, 0.0, totals)


def count_differing(totals: Floats) -> NDArray[np.int64]:
    """Units that differ, per column of ``exact_totals``; shape (m,)."""
    return np.asarray(np.count_nonzero(totals, axis=0), dtype=np.int64)
