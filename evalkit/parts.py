"""What is found for a part of the queries or documents: slices, and languages.

Means are fractions; what is named ``*_points``, ``ci_low`` and ``ci_high`` is in points, as in ``findings``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalkit.types import Metric

SIGNIFICANT = 0.05
"""Level of every test of parts."""


@dataclass(frozen=True, slots=True)
class PartGain:
    """The gain at the decision top-k for a part of the queries, or of the documents.

    Attributes:
        p_adjusted: Holm over all parts of one table.
        note: Where the part is too small to tell; empty otherwise.
    """

    metric: Metric
    top_k: int
    baseline_mean: float
    candidate_mean: float
    delta_points: float
    ci_low: float
    ci_high: float
    p_value: float
    p_adjusted: float
    headroom_points: float
    n_queries: int
    n_units: int
    note: str

    @property
    def certain(self) -> bool:
        """Whether it is a gain or a loss, by the adjusted test and by its interval."""
        return self.p_adjusted < SIGNIFICANT and not self.ci_low <= 0 <= self.ci_high


@dataclass(frozen=True, slots=True)
class SliceGain(PartGain):
    """The gain for the queries that share one attribute; or, of documents that share one, for what is relevant there.

    Attributes:
        of: Whose attribute it is.
        attribute: Key of the metadata.
        value: Its value.
    """

    of: Literal["query", "document"]
    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class LanguageGain(PartGain):
    """The gain for queries in one language, on the relevant documents in one language.

    Attributes:
        query_lang: Language of the queries.
        document_lang: Language of the documents: only these are ranked, and only these count as relevant. None: all
            documents, in one pooled ranking.
        candidates: Mean number of these documents among candidates(top_k).
    """

    query_lang: str
    document_lang: str | None
    candidates: float


@dataclass(frozen=True, slots=True)
class LanguageBias:
    """How much of the top of the pooled ranking is in the asker's own language; shares are fractions.

    Attributes:
        query_lang: Language of the queries; None: all rows together.
        cutoff: Documents of the top, those aside that name no language.
        relevant_share: Share of the relevant documents that are in the asker's language: what the top would hold if it
            were drawn from these alone.
        dense_share, reranked_share: Of the top of either ranking.
        delta_points: 100 x (reranked - dense).
        ci_low, ci_high: Its interval.
    """

    query_lang: str | None
    cutoff: int
    relevant_share: float
    dense_share: float
    reranked_share: float
    delta_points: float
    ci_low: float
    ci_high: float
    n_queries: int


@dataclass(frozen=True, slots=True)
class Languages:
    """The language table: the gain by language of queries and documents, and what the ranking prefers.

    Attributes:
        gains: Cells by document language, then query language, and pooled rows; without these where documents are in
            one language.
        bias: By query language, where any document is in it, and last over all of these; none where documents are in
            one language.
    """

    gains: tuple[LanguageGain, ...]
    bias: tuple[LanguageBias, ...]

    @property
    def cells(self) -> tuple[LanguageGain, ...]:
        """The gains by query language x document language, without those of the pooled rankings."""
        return tuple(gain for gain in self.gains if gain.document_lang is not None)


@dataclass(frozen=True, slots=True)
class LengthGain(PartGain):
    """The gain on the relevant candidates that the reranker reads whole, or on those that are too long for it.

    The metric is recall at the decision's cutoff, with these candidates as R.

    Attributes:
        length: ``fits`` within the reranker's max_length beside the query, or is ``longer``.
        pairs: Candidates of that length among the first top-k, relevant or not.
        positives: The relevant ones among them.
        contribution_points: What they add to the gain of recall over all queries; those of both lengths sum to it.
    """

    length: Literal["fits", "longer"]
    pairs: int
    positives: int
    contribution_points: float
