"""Stages of a system that ran elsewhere: its run as stage 1, its scores as stage 2, held against the data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evalkit.analysis.derive import count_ties, order_run
from evalkit.errors import ConfigError, DataError
from evalkit.ports import FoundRun, FoundScores
from evalkit.record import Scoring
from evalkit.stages import Log, Plan
from evalkit.types import Candidate, Candidates, Dataset


def check_plan(plan: Plan) -> None:
    """Refuse a run that should stop early although there is nothing to save.

    Raises:
        ConfigError: The scores come from a file.
    """
    if plan.sequential and isinstance(plan.reranker, FoundScores):
        raise ConfigError(
            "sweep.sequential saves work of the reranker, but these scores come from a file; leave it out"
        )


def found_candidates(plan: Plan, found: FoundRun, dataset: Dataset, log: Log) -> tuple[Candidates, tuple[str, ...]]:
    """What the run returned for the evaluated queries, all of it, in trec_eval's order.

    Args:
        plan: The sweep, and whether self-retrieval is left out.
        found: The run.
        dataset: Queries and documents.
        log: Where time is noted.

    Returns:
        Candidates, none for a query that the run lacks; and what a careful reader should know.

    Raises:
        DataError: The run knows none of the queries or none of the documents.
        ConfigError: It is less deep than the sweep asks.
    """
    with log.phase("load_run"):
        hits = found.read()
    log.computed.update(documents=0, queries=0)
    candidates = {
        query.id: order_run(hit for hit in hits.get(query.id, ()) if not (plan.exclude_self and hit[0] == query.id))
        for query in dataset.queries
    }
    deepest = max(map(len, candidates.values()))
    if not deepest:
        raise DataError(
            f"the run of stage 1 answers none of the {len(candidates)} evaluated queries; are its query ids those of "
            "the data set?"
        )
    known = {document.id for document in dataset.documents}
    strange = sum(one.doc_id not in known for answers in candidates.values() for one in answers)
    total = sum(map(len, candidates.values()))
    if strange == total:
        raise DataError(
            f"none of the {total} documents that the run of stage 1 returned is in the corpus; are its document ids "
            "those of the data set?"
        )
    if strange and not isinstance(plan.reranker, FoundScores):
        raise DataError(
            f"{strange} of {total} documents that the run of stage 1 returned are not in the corpus, so that the "
            "reranker has no text to read; complete the corpus, or bring the scores of stage 2 too "
            "(reranker=score_file)"
        )
    if deepest < max(plan.design.top_ks):
        raise ConfigError(
            f"sweep.top_k asks for {max(plan.design.top_ks)} candidates, but the run of stage 1 holds at most "
            f"{deepest} per query; lower sweep.top_k, or retrieve more"
        )
    notes = []
    if strange:
        notes.append(
            f"{strange} of {total} retrieved documents are not in the corpus; they count as the judgments say, and as "
            "not relevant where there is none"
        )
    return candidates, tuple(notes)


def unanswered(candidates: Candidates) -> tuple[str, ...]:
    """The queries that stage 1 did not answer; they count as 0."""
    return tuple(query_id for query_id, answers in candidates.items() if not answers)


def found_scores(
    plan: Plan, given: FoundScores, retrieved: Candidates, log: Log
) -> tuple[Candidates, Scoring, tuple[str, ...]]:
    """The first max(top-k) candidates with the scores that the other system gave.

    Args:
        plan: The sweep.
        given: The scores.
        retrieved: Candidates of stage 1.
        log: Where time and work are noted.

    Returns:
        Candidates with scores, how these came about, and what a careful reader should know.

    Raises:
        ConfigError: Candidates without a score leave the sweep's top-k undecided.
        DataError: No candidate has a score, some lack one, or the scores show that more candidates were reranked.
    """
    top_k = max(plan.design.top_ks)
    with log.phase("load_scores"):
        scores = given.scores()
    log.computed["pairs"] = 0
    scored = [one.doc_id in scores.get(query_id, {}) for query_id, found in retrieved.items() for one in found[:top_k]]
    pairs, missing = len(scored), scored.count(False)
    if missing == pairs:
        raise DataError(
            f"none of the {pairs} candidates has a score in the file of stage 2; are both files of one system, and are "
            "their ids those of the data set?"
        )
    _check_missing(plan, given, retrieved, scores, missing, pairs)
    candidates = {query_id: _scored(found, scores.get(query_id, {}), top_k) for query_id, found in retrieved.items()}
    surplus = sum(
        len(scores.get(query_id, {}).keys() - {one.doc_id for one in found}) for query_id, found in retrieved.items()
    )
    notes = []
    if missing:
        notes.append(f"{missing} of {pairs} candidates have no score and stand behind those that have one")
    if surplus:
        notes.append(f"{surplus} scores of stage 2 are of documents that stage 1 did not return, and were left out")
    return candidates, Scoring(pairs - missing, 0, None, count_ties(candidates)), tuple(notes)


def _check_missing(
    plan: Plan,
    given: FoundScores,
    retrieved: Candidates,
    scores: Mapping[str, Mapping[str, float]],
    missing: int,
    pairs: int,
) -> None:
    if not missing:
        return
    top_ks = sorted(plan.design.top_ks)
    if given.missing == "error":
        complete = [
            top_k
            for top_k in top_ks
            if all(
                one.doc_id in scores.get(query_id, {}) for query_id, found in retrieved.items() for one in found[:top_k]
            )
        ]
        remedy = f"Lower sweep.top_k to {complete}, which is covered; write" if complete else "Write"
        raise DataError(
            f"{missing} of {pairs} candidates have no score in the file of stage 2, at top-k {top_ks[-1]}. {remedy} "
            "all scores; or, if the system returns only its best ones, set reranker.missing=last and sweep.top_k to "
            "the one number that it reranks"
        )
    # Where no score is missing, deeper ones are harmless: the top-k is then known in full.
    deepest = max(
        (
            one.stage1_rank
            for query_id, found in retrieved.items()
            for one in found[top_ks[-1] :]
            if one.doc_id in scores.get(query_id, {})
        ),
        default=None,
    )
    if deepest is not None:
        raise DataError(
            f"reranker.missing is last, and {missing} of {pairs} candidates have no score at top-k {top_ks[-1]}; but "
            f"the file of stage 2 has scores down to rank {deepest} of stage 1, so the system reranked more than "
            f"sweep.top_k says; set sweep.top_k=[{deepest}], or the larger number that it reranks"
        )
    if len(top_ks) > 1:
        raise ConfigError(
            f"reranker.missing is last, and {missing} of {pairs} candidates have no score: only the top-k that the "
            f"system reranked can be judged, but sweep.top_k is {top_ks}; name that one"
        )


def _scored(found: tuple[Candidate, ...], scores: Mapping[str, float], top_k: int) -> tuple[Candidate, ...]:
    # Below every score of the query, however large these are, and in stage-1 order; where none is known, any will do.
    lowest = min((scores[one.doc_id] for one in found[:top_k] if one.doc_id in scores), default=0.0)
    step = max(1.0, abs(lowest))
    return (
        *(
            replace(one, rerank_score=scores.get(one.doc_id, lowest - step * (1 + one.stage1_rank / top_k)))
            for one in found[:top_k]
        ),
        *found[top_k:],
    )
