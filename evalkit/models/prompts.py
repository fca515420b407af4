"""What a model card wants before a query and before a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit.checks import text
from evalkit.ports import Pair
from evalkit.types import Fingerprint


@dataclass(frozen=True, slots=True)
class Prompts:
    """Texts that are put before every query and every document.

    Args:
        role: Whose they are; errors name it.
        query: Put before every query; empty puts nothing.
        document: Put before every document.

    Raises:
        ConfigError: One of them is no text.
    """

    role: Literal["embedder", "reranker"]
    query: str
    document: str

    def __post_init__(self) -> None:
        text(f"{self.role}.query_prompt", self.query)
        text(f"{self.role}.document_prompt", self.document)

    @property
    def fingerprint(self) -> Fingerprint:
        """Both, as they change every number."""
        return {"query_prompt": self.query, "document_prompt": self.document}

    def queries(self, texts: Sequence[str]) -> list[str]:
        """Queries as the model reads them."""
        return [self.query + one for one in texts]

    def documents(self, texts: Sequence[str]) -> list[str]:
        """Documents as the model reads them."""
        return [self.document + one for one in texts]

    def pairs(self, pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
        """Queries, and beside them documents, as the model reads them."""
        return self.queries([query for query, _ in pairs]), self.documents([document for _, document in pairs])
