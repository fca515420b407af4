"""The words of mining: what is asked of it, and what it finds. Documents and queries by id, never their texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.checks import boolean, unfit, whole_number

Reason: TypeAlias = Literal["score", "same_text", "family", "contradiction"]


@dataclass(frozen=True, slots=True)
class MiningRule:
    """Which candidates become negatives.

    Attributes:
        margin: An unjudged candidate is a negative only where its score lies further than this below the lowest score
            of the query's positives; in spreads, see :func:`evalkit.analysis.mining.spread_of`.
        negatives: Negatives per query, at most.
        first_rank, last_rank: Stage-1 ranks, from 1, among which unjudged negatives are looked for; None: to the end.
        scored_only: Leave out positives and negatives that have no score, so that scores can be distilled.
        exclude_self: The run left out the document whose id is the query's, so it is no positive either.
    """

    margin: float = 0.5
    negatives: int = 15
    first_rank: int = 1
    last_rank: int | None = None
    scored_only: bool = False
    exclude_self: bool = False

    def __post_init__(self) -> None:
        number = isinstance(self.margin, int | float) and not isinstance(self.margin, bool)
        if not (number and math.isfinite(self.margin) and self.margin >= 0):
            raise unfit("margin", self.margin, "a number of spreads of at least 0, such as 0.5")
        whole_number("negatives", self.negatives, 1)
        whole_number("the first rank", self.first_rank, 1)
        whole_number("the last rank", self.last_rank, self.first_rank, or_null=True)
        boolean("scored_only", self.scored_only)
        boolean("exclude_self", self.exclude_self)


@dataclass(frozen=True, slots=True)
class Passage:
    """A positive or negative of one query.

    Attributes:
        doc_id: The document.
        score: The reranker's raw score (logit); None where it never read the pair.
        judged: It has a grade.
    """

    doc_id: str
    score: float | None
    judged: bool = True


@dataclass(frozen=True, slots=True)
class TrainingQuery:
    """What a model can learn from one query: at least one positive, in the order of the judgments, and one negative.

    Judged negatives stand before unjudged ones; among each, the highest score stands first.
    """

    query_id: str
    positives: tuple[Passage, ...]
    negatives: tuple[Passage, ...]

    @property
    def hardest(self) -> int:
        """Judged negatives that score above a positive."""
        least = min((one.score for one in self.positives if one.score is not None), default=math.inf)
        return sum(one.judged and one.score is not None and one.score > least for one in self.negatives)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A candidate that may be relevant though no judgment says so, or one that judgments contradict each other about.

    Attributes:
        query_id: The query.
        doc_id: The document.
        reason: ``score``: unjudged, and not clearly below the query's positives. ``same_text``: unjudged, and it says
            what a positive says. ``family``: unjudged, and relevant to another query of the same family.
            ``contradiction``: judged not relevant, and it says what a positive says.
        stage1_rank: Its place in stage 1, from 1.
        reranked_rank: Its place after all scored candidates are reranked, from 1.
        stage1_score: As in the evidence.
        rerank_score: Likewise.
        lead: Its rerank score above that of the highest positive, in logits; None where one of them has none.
    """

    query_id: str
    doc_id: str
    reason: Reason
    stage1_rank: int
    reranked_rank: int
    stage1_score: float
    rerank_score: float | None
    lead: float | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What became neither training data nor a row of the queue.

    Attributes:
        without_positive: Queries of which no positive can be used.
        without_negative: Queries of which no negative remained.
        unheld: Unjudged candidates that could not be held against a positive: they, or all of those, have no score.
        outside: Unjudged candidates that are clearly below the positives, beyond the ranks that were asked for.
        repeated: Negatives that say what another negative of the query says.
        unscored: Positives and negatives without a score that ``scored_only`` left out.
        surplus: Negatives beyond the number that was asked for.
    """

    without_positive: int = 0
    without_negative: int = 0
    unheld: int = 0
    outside: int = 0
    repeated: int = 0
    unscored: int = 0
    surplus: int = 0


@dataclass(frozen=True, slots=True)
class Mined:
    """What was mined.

    Attributes:
        queries: Queries that were looked at.
        training: Those that a model can learn from, in the order of the data set.
        queue: What to label, the most telling first: by ``lead``, falling, and those without one last.
        spread: One spread of the scores, in logits.
        left_out: What is in neither.
    """

    queries: int
    training: tuple[TrainingQuery, ...]
    queue: tuple[Suspect, ...]
    spread: float
    left_out: LeftOut

    @property
    def positives(self) -> tuple[Passage, ...]:
        """All positives of the training data."""
        return tuple(one for query in self.training for one in query.positives)

    @property
    def negatives(self) -> tuple[Passage, ...]:
        """All negatives of the training data."""
        return tuple(one for query in self.training for one in query.negatives)
