"""Training data from evidence: positives, hard negatives, and the documents that a human should label first.

No text takes part: which documents there are, and which of them say the same, is told by keys.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.analysis.derive import rank
from evalkit.analysis.mined import LeftOut, Mined, MiningRule, Passage, Reason, Suspect, TrainingQuery
from evalkit.result import Evidence
from evalkit.types import Candidate

Contents: TypeAlias = Mapping[str, Hashable]
"""Document id -> a key of its text, equal where the texts are; a document that is not here cannot be used."""


def mine(evidence: Evidence, contents: Contents, rule: MiningRule) -> Mined:
    """Choose positives and hard negatives for training, and the candidates that should be labelled first.

    Args:
        evidence: Candidates, judgments and families of the queries to mine.
        contents: The documents that can be used.
        rule: What becomes a negative.
    """
    spread, relatives, left_out = spread_of(evidence), _relatives(evidence), Counter[str]()
    training: list[TrainingQuery] = []
    queue: list[Suspect] = []
    for query_id in evidence.qrels:
        asked = _Asked.of(query_id, evidence, contents, relatives.get(query_id, frozenset()), rule, spread)
        if not asked.positives:
            left_out["without_positive"] += 1
            continue
        usable = [one for one in asked.candidates if asked.usable(one)]
        suspected = {one.doc_id: reason for one in usable if (reason := asked.reason(one)) is not None}
        queue += asked.suspects(suspected)
        kinds = [(one, asked.kind(one, rule)) for one in usable if one.doc_id not in suspected]
        left_out.update(kind for _, kind in kinds if kind != "negative")
        found = _training(asked, [one for one, kind in kinds if kind == "negative"], rule, left_out)
        if found is not None:
            training.append(found)
    # Sorting is stable: of equal leads, the order of the data set and of stage 1 decides.
    queue.sort(key=lambda one: math.inf if one.lead is None else -one.lead)
    return Mined(len(evidence.qrels), tuple(training), tuple(queue), spread, LeftOut(**left_out))


def spread_of(evidence: Evidence) -> float:
    """How far the scores of one query's candidates lie apart: their standard deviation, pooled over the queries.

    Pooled, so that a query whose candidates all score alike, or that has few, is held to the same measure.

    Returns:
        sqrt(sum of squared distances from the query's mean / number of scores), in logits; 0 where there is none.
    """
    squares: list[float] = []
    for found in evidence.candidates.values():
        scores = [one.rerank_score for one in found if one.rerank_score is not None]
        mean = math.fsum(scores) / max(len(scores), 1)
        squares += [(score - mean) ** 2 for score in scores]
    return math.sqrt(math.fsum(squares) / max(len(squares), 1))


def _relatives(evidence: Evidence) -> dict[str, frozenset[str]]:
    """Query id -> the documents that are relevant to any query of its family."""
    relevant: dict[str, set[str]] = {}
    for query_id, family in evidence.families.items():
        grades = evidence.qrels.get(query_id, {})
        relevant.setdefault(family, set()).update(doc_id for doc_id, grade in grades.items() if grade >= 1)
    return {query_id: frozenset(relevant[family]) for query_id, family in evidence.families.items()}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One query, and what its candidates are held against.

    Attributes:
        said: Keys of the positives' texts.
        relatives: Documents that are relevant to a query of its family.
        highest: The score of the highest positive; None where none has one.
        threshold: From here on, an unjudged candidate may be relevant; None likewise.
    """

    query_id: str
    candidates: tuple[Candidate, ...]
    grades: Mapping[str, int]
    contents: Contents
    positives: tuple[Passage, ...]
    said: frozenset[Hashable]
    relatives: frozenset[str]
    highest: float | None
    threshold: float | None

    @classmethod
    def of(
        cls,
        query_id: str,
        evidence: Evidence,
        contents: Contents,
        relatives: frozenset[str],
        rule: MiningRule,
        spread: float,
    ) -> _Asked:
        grades, candidates = evidence.qrels[query_id], evidence.candidates.get(query_id, ())
        scores = {one.doc_id: one.rerank_score for one in candidates}
        positives = tuple(
            Passage(doc_id, scores.get(doc_id))
            for doc_id, grade in grades.items()
            if grade >= 1 and doc_id in contents and not (rule.exclude_self and doc_id == query_id)
        )
        known = [one.score for one in positives if one.score is not None]
        return cls(
            query_id=query_id,
            candidates=candidates,
            grades=grades,
            contents=contents,
            positives=positives,
            said=frozenset(contents[one.doc_id] for one in positives),
            relatives=relatives,
            highest=max(known, default=None),
            threshold=min(known) - rule.margin * spread if known else None,
        )

    def usable(self, one: Candidate) -> bool:
        """Neither a positive nor the query itself, and at hand."""
        return one.doc_id in self.contents and one.doc_id != self.query_id and self.grades.get(one.doc_id, 0) < 1

    def reason(self, one: Candidate) -> Reason | None:
        """Why a candidate may be relevant though no judgment says so; None where nothing speaks for that."""
        judged, score = one.doc_id in self.grades, one.rerank_score
        found: Reason | None = None
        if self.contents[one.doc_id] in self.said:
            found = "contradiction" if judged else "same_text"
        elif not judged and one.doc_id in self.relatives:
            found = "family"
        elif not judged and score is not None and self.threshold is not None and score >= self.threshold:
            found = "score"
        return found

    def kind(self, one: Candidate, rule: MiningRule) -> Literal["negative", "unheld", "outside"]:
        """What becomes of a candidate that nothing speaks for: a judgment is believed, a score only below positives."""
        if one.doc_id in self.grades:
            return "negative"
        if one.rerank_score is None or self.threshold is None:
            return "unheld"
        within = rule.first_rank <= one.stage1_rank <= (rule.last_rank or one.stage1_rank)
        return "negative" if within else "outside"

    def suspects(self, reasons: Mapping[str, Reason]) -> list[Suspect]:
        """The candidates that have a reason, by stage-1 rank."""
        order = rank(self.candidates, sum(one.rerank_score is not None for one in self.candidates))
        places = {doc_id: place for place, doc_id in enumerate(order, start=1)}
        return [
            Suspect(
                query_id=self.query_id,
                doc_id=one.doc_id,
                reason=reasons[one.doc_id],
                stage1_rank=one.stage1_rank,
                reranked_rank=places[one.doc_id],
                stage1_score=one.stage1_score,
                rerank_score=one.rerank_score,
                lead=None if one.rerank_score is None or self.highest is None else one.rerank_score - self.highest,
            )
            for one in self.candidates
            if one.doc_id in reasons
        ]


def _training(
    asked: _Asked, negatives: Sequence[Candidate], rule: MiningRule, left_out: Counter[str]
) -> TrainingQuery | None:
    """Positives and the hardest negatives of one query; what is not taken is counted."""
    chosen: dict[Hashable, Passage] = {}
    for one in sorted(negatives, key=lambda one: _hardness(one, asked.grades)):
        passage = Passage(one.doc_id, one.rerank_score, one.doc_id in asked.grades)
        chosen.setdefault(asked.contents[one.doc_id], passage)
    left_out["repeated"] += len(negatives) - len(chosen)
    both = (asked.positives, tuple(chosen.values()))
    positives, kept = (tuple(one for one in of if not rule.scored_only or one.score is not None) for of in both)
    left_out["unscored"] += sum(map(len, both)) - len(positives) - len(kept)
    if not positives or not kept:
        left_out["without_negative" if positives else "without_positive"] += 1
        return None
    left_out["surplus"] += max(0, len(kept) - rule.negatives)
    return TrainingQuery(asked.query_id, positives, kept[: rule.negatives])


def _hardness(one: Candidate, grades: Mapping[str, int]) -> tuple[bool, float, int]:
    """Judged ones first, then the highest score first, and those without one last."""
    return one.doc_id not in grades, math.inf if one.rerank_score is None else -one.rerank_score, one.stage1_rank
