"""Rankings that are written down, for tests of what is read from them."""

from __future__ import annotations

from evalkit.analysis.parts import Rankings
from evalkit.types import Run


def ranked(name: str, **orders: str) -> Run:
    """A run: query id -> ids of documents, best first, between spaces."""
    return Run(name, {query_id: tuple(order.split()) for query_id, order in orders.items()})


NO_RANKINGS: Rankings = (ranked("dense"), ranked("reranked"), ranked("oracle"))
