"""Training data from evidence: positives, hard negatives, and the documents that a human should label first.

No text takes part: which documents there are, and which of them say the same, is told by keys.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from evalkit.analysis.derive import rank
from evalkit.checks import boolean, unfit, whole_number
from evalkit.result import Evidence
from evalkit.types import Candidate

Reason: TypeAlias = Literal["score", "same_text", "family", "contradiction"]

Contents: TypeAlias = Mapping[str, Hashable]
"""Document id -> a key of its text, equal where the texts are; a document that is not here cannot be used."""


@dataclass(frozen=True, slots=True)
class MiningRule:
    """Which candidates become negatives.

    Attributes:
        margin: An unjudged candidate is a negative only where its score lies further than this below the lowest score
            of the query's positives; in spreads, see :func:`spread_of`.
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
        scores = [one.score for one in self.positives if one.score is not None]
        return sum(
            one.judged and one.score is not None and one.score > min(scores, default=math.inf)
            for one in self.negatives
        )


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
class Tally:
    """What was left out.

    Attributes:
        without_positive: Queries of which no positive can be used; left out.
        without_negative: Queries of which no negative remained; left out.
        unranked: Queries of which no positive has a score: no unjudged candidate could be held against one.
        unheld: Unjudged candidates of these, and those without a score of their own.
        outside: Unjudged candidates that are clearly below the positives, beyond the ranks that were asked for.
        repeated: Negatives that say what another negative of the query says.
        unscored: Positives and negatives without a score that ``scored_only`` left out.
        surplus: Negatives beyond the number that was asked for.
    """

    without_positive: int = 0
    without_negative: int = 0
    unranked: int = 0
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
    left_out: Tally

    @property
    def scored(self) -> bool:
        """Every positive and every negative has a score: only then can scores be distilled."""
        return all(one.score is not None for query in self.training for one in (*query.positives, *query.negatives))


def mine(evidence: Evidence, contents: Contents, rule: MiningRule) -> Mined:
    """Choose positives and hard negatives for training, and the candidates that should be labelled first.

    Args:
        evidence: Candidates, judgments and families of the queries to mine.
        contents: The documents that can be used.
        rule: What becomes a negative.
    """
    spread, counts = spread_of(evidence), Counter[str]()
    relatives = _relatives(evidence)
    training: list[TrainingQuery] = []
    queue: list[Suspect] = []
    for query_id in evidence.qrels:
        miner = _Miner(query_id, evidence, contents, rule, spread, relatives.get(query_id, frozenset()))
        found, suspects = miner.sort()
        queue += suspects
        counts += miner.counts
        if found is not None:
            training.append(found)
    # Sorting is stable: of equal leads, the order of the data set and of stage 1 decides.
    queue.sort(key=lambda one: math.inf if one.lead is None else -one.lead)
    return Mined(len(evidence.qrels), tuple(training), tuple(queue), spread, Tally(**counts))


def spread_of(evidence: Evidence) -> float:
    """How far the scores of one query's candidates lie apart: their standard deviation, pooled over the queries.

    Pooled, so that a query of which all candidates score alike, or which has few, is held to the same measure.

    Returns:
        sqrt(sum of squared distances from the query's mean / number of scores), in logits; 0 where there is none.
    """
    squares, count = [], 0
    for found in evidence.candidates.values():
        scores = [one.rerank_score for one in found if one.rerank_score is not None]
        mean = math.fsum(scores) / max(len(scores), 1)
        squares += [(score - mean) ** 2 for score in scores]
        count += len(scores)
    return math.sqrt(math.fsum(squares) / max(count, 1))


def _relatives(evidence: Evidence) -> dict[str, frozenset[str]]:
    """Query id -> the documents that are relevant to any query of its family."""
    relevant: dict[str, set[str]] = {}
    for query_id, family in evidence.families.items():
        judged = evidence.qrels.get(query_id, {})
        relevant.setdefault(family, set()).update(doc_id for doc_id, grade in judged.items() if grade >= 1)
    return {query_id: frozenset(relevant[family]) for query_id, family in evidence.families.items()}


class _Miner:
    """One query's candidates, each put into its place."""

    def __init__(
        self,
        query_id: str,
        evidence: Evidence,
        contents: Contents,
        rule: MiningRule,
        spread: float,
        relatives: frozenset[str],
    ) -> None:
        self.counts = Counter[str]()
        self._query_id, self._rule, self._contents, self._relatives = query_id, rule, contents, relatives
        self._grades = evidence.qrels[query_id]
        self._found = evidence.candidates.get(query_id, ())
        scores = {one.doc_id: one.rerank_score for one in self._found}
        self._positives = [
            Passage(doc_id, scores.get(doc_id))
            for doc_id, grade in self._grades.items()
            if grade >= 1 and doc_id in contents and not (rule.exclude_self and doc_id == query_id)
        ]
        self._said = {contents[one.doc_id] for one in self._positives}
        known = [one.score for one in self._positives if one.score is not None]
        self._highest = max(known, default=None)
        self._threshold = min(known) - rule.margin * spread if known else None

    def sort(self) -> tuple[TrainingQuery | None, list[Suspect]]:
        """The query for training, where one can learn from it, and its suspects by stage-1 rank."""
        if not self._positives:
            self.counts["without_positive"] = 1
            return None, []
        if self._threshold is None:
            self.counts["unranked"] = 1
        places = rank(self._found, sum(one.rerank_score is not None for one in self._found))
        suspects: list[Suspect] = []
        negatives: list[Candidate] = []
        for one in self._found:
            if not self._usable(one):
                continue
            reason = self._suspicion(one)
            if reason is not None:
                suspects.append(self._suspect(one, reason, places))
            elif one.doc_id in self._grades or self._clear(one):
                negatives.append(one)
        return self._training(negatives), suspects

    def _usable(self, one: Candidate) -> bool:
        """Neither a positive nor the query itself, and in the corpus."""
        return one.doc_id in self._contents and one.doc_id != self._query_id and self._grades.get(one.doc_id, 0) < 1

    def _suspicion(self, one: Candidate) -> Reason | None:
        """Why a candidate cannot be taken for irrelevant; None where nothing speaks against it."""
        judged = one.doc_id in self._grades
        if self._contents[one.doc_id] in self._said:
            return "contradiction" if judged else "same_text"
        if judged:
            return None
        if one.doc_id in self._relatives:
            return "family"
        if self._threshold is None or one.rerank_score is None:
            return None
        return "score" if one.rerank_score >= self._threshold else None

    def _clear(self, one: Candidate) -> bool:
        """An unjudged candidate without suspicion lies below the positives, and among the ranks that were asked for."""
        if self._threshold is None or one.rerank_score is None:
            self.counts["unheld"] += 1
            return False
        if self._rule.first_rank <= one.stage1_rank <= (self._rule.last_rank or one.stage1_rank):
            return True
        self.counts["outside"] += 1
        return False

    def _suspect(self, one: Candidate, reason: Reason, places: Sequence[str]) -> Suspect:
        known = one.rerank_score is not None and self._highest is not None
        return Suspect(
            query_id=self._query_id,
            doc_id=one.doc_id,
            reason=reason,
            stage1_rank=one.stage1_rank,
            reranked_rank=places.index(one.doc_id) + 1,
            stage1_score=one.stage1_score,
            rerank_score=one.rerank_score,
            lead=one.rerank_score - self._highest if known else None,  # type: ignore[operator]
        )

    def _training(self, negatives: Sequence[Candidate]) -> TrainingQuery | None:
        chosen: dict[Any, Passage] = {}
        for one in sorted(negatives, key=self._hardest_first):
            self.counts["repeated"] += self._contents[one.doc_id] in chosen
            chosen.setdefault(
                self._contents[one.doc_id], Passage(one.doc_id, one.rerank_score, one.doc_id in self._grades)
            )
        positives, kept = self._with_scores(self._positives), self._with_scores(list(chosen.values()))
        if not positives or not kept:
            self.counts["without_negative" if positives else "without_positive"] = 1
            return None
        most = self._rule.negatives
        self.counts["surplus"] = max(0, len(kept) - most)
        return TrainingQuery(self._query_id, tuple(positives), tuple(kept[:most]))

    def _hardest_first(self, one: Candidate) -> tuple[bool, float, int]:
        score = -math.inf if one.rerank_score is None else one.rerank_score
        return one.doc_id not in self._grades, -score, one.stage1_rank

    def _with_scores(self, passages: list[Passage]) -> list[Passage]:
        kept = [one for one in passages if not self._rule.scored_only or one.score is not None]
        self.counts["unscored"] += len(passages) - len(kept)
        return kept
