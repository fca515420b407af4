"""Self-checks of every evaluation: each can fail, and one that does makes the result invalid.

Those of the code (``identity``, ``oracle``, ``random``, ``top_k_1``, ``pool``) go through the very path that made the
result; those of the data hold it against what cannot be otherwise, or against chance. No message shows an id or a text.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np

from evalkit.analysis.chance import check_labels, check_random, with_scores
from evalkit.analysis.comparison import Values
from evalkit.analysis.derive import count_ties, derive, rank_perfectly
from evalkit.analysis.matrices import Floats, Matrices
from evalkit.analysis.metrics import EPSILON, JUDGED_CUTOFF, judged_share, measure
from evalkit.analysis.pairing import check_alignment, check_direction
from evalkit.errors import ControlError
from evalkit.findings import Control
from evalkit.record import Scoring
from evalkit.result import Design, Evidence, Subject
from evalkit.types import DENSE, Candidates, Metric, Run, System

SAMPLE = 200
"""Queries, at most, that a made-up reranker is tried on: it checks code, which is the same for all."""

TIED = 0.05
"""Share of tied candidates from which stage 1 decides a part of the ranking that the reranker gets credit for."""

TRUNCATED = 0.05
"""Share of cut pairs from which the cut, not the model, may decide."""

OBSERVED = ("store_complete", "store_finds", "replay")
"""Controls that need the store or the models at hand: ``probes`` makes them, and what is derived again keeps them."""

UNJUDGED = 0.05
"""Rise of the unjudged share of the top documents, from which labels may be missing rather than gains."""


def controls(
    evidence: Evidence,
    design: Design,
    subject: Subject,
    scoring: Scoring,
    runs: Mapping[str, Run],
    values: Values,
    oracles: Values,
) -> tuple[Control, ...]:
    """Check the evidence, the path from scores to metrics, and the scores and labels against chance.

    Args:
        evidence: Candidates with both scores, and judgments.
        design: The sweep, the expectation and the seed.
        subject: Size of the corpus, and positives outside it.
        scoring: Pairs and truncated pairs of stage 2.
        runs: The run of every system, as it was measured.
        values: Of every system.
        oracles: Of the perfect ranking of the same candidates, under each reranked system's name.

    """
    expectation, deepest = design.expectation, max(design.top_ks)
    cutoff = expectation.metric.cutoff or JUDGED_CUTOFF
    matrices = Matrices.of(evidence.candidates, evidence.qrels, max(deepest, _deepest_cutoff(design, cutoff)))
    return (
        *check_candidates(evidence, deepest, subject.unanswered),
        _top_k_1(evidence.candidates),
        _pool(evidence, runs),
        _identity(evidence, design, values),
        _oracle(evidence, design, matrices, oracles),
        check_random(evidence, matrices, expectation.top_k, cutoff, design.seed),
        check_direction(matrices, deepest),
        check_alignment(matrices, deepest),
        check_labels(matrices, subject, deepest),
        _short_lists(evidence, deepest),
        _ties(evidence.candidates),
        _truncated(scoring),
        _unjudged(evidence, runs, System("reranked", expectation.top_k)),
    )


def check_candidates(evidence: Evidence, deepest: int, unanswered: Collection[str] = ()) -> tuple[Control, Control]:
    """What must hold before anything can be ranked: every query and candidate covered, no document twice.

    Args:
        evidence: Candidates and the judged queries.
        deepest: Candidates of each query that need a score.
        unanswered: Queries that a run made elsewhere does not answer, as it is known.
    """
    return _coverage(evidence, deepest, unanswered), _duplicates(evidence.candidates)


def require_candidates(evidence: Evidence, deepest: int, unanswered: Collection[str] = ()) -> None:
    """Refuse candidates that cannot be ranked.

    Raises:
        ControlError: They are incomplete or repeat a document.
    """
    broken = [check for check in check_candidates(evidence, deepest, unanswered) if check.status == "failed"]
    if broken:
        raise ControlError("; ".join(f"control {check.name} failed: {check.message}" for check in broken))


def _gaps(evidence: Evidence, deepest: int) -> tuple[int, int, int]:
    """Queries without candidates, queries whose ranks are not 1..n, candidates without a score."""
    lists = [evidence.candidates.get(query_id, ()) for query_id in evidence.qrels]
    empty = len(_without_candidates(evidence))
    misranked = sum([one.stage1_rank for one in found] != list(range(1, len(found) + 1)) for found in lists)
    unscored = sum(one.rerank_score is None for found in lists for one in found[:deepest])
    return empty, misranked, unscored


def _without_candidates(evidence: Evidence) -> set[str]:
    return {query_id for query_id in evidence.qrels if not evidence.candidates.get(query_id)}


def _coverage(evidence: Evidence, deepest: int, unanswered: Collection[str]) -> Control:
    empty, misranked, unscored = _gaps(evidence, deepest)
    found = (
        f"expected candidates with ranks from 1 for each of {len(evidence.qrels)} queries, and a score for each of the "
        f"first {deepest}; found {empty} queries without candidates, {misranked} with other ranks, and {unscored} "
        "candidates without a score"
    )
    if empty and not (misranked or unscored) and set(unanswered) == _without_candidates(evidence):
        return Control("coverage", "warned", f"{found}. Stage 1 does not answer them: they count as 0")
    return _verdict("coverage", not (empty or misranked or unscored), found)


def _duplicates(candidates: Candidates) -> Control:
    surplus = [len(found) - len({one.doc_id for one in found}) for found in candidates.values()]
    return _verdict(
        "duplicates",
        not any(surplus),
        f"expected every document once among a query's candidates; found {sum(surplus)} repetitions in "
        f"{np.count_nonzero(surplus)} of {len(surplus)} queries",
    )


def _top_k_1(candidates: Candidates) -> Control:
    run = derive(candidates, System("reranked", 1))
    moved = sum(
        run.rankings.get(query_id) != tuple(one.doc_id for one in found) for query_id, found in candidates.items()
    )
    return _verdict(
        "top_k_1",
        not moved,
        f"expected reranking 1 candidate to change nothing; found another ranking for {moved} of {len(candidates)} "
        "queries",
    )


def _pool(evidence: Evidence, runs: Mapping[str, Run]) -> Control:
    """Compared as sets of documents: the same documents have the same recall, whatever the judgments."""
    pools = {query_id: {one.doc_id for one in found} for query_id, found in evidence.candidates.items()}
    changed = sum(
        len(run.rankings.get(query_id, ())) != len(pool) or pool != set(run.rankings.get(query_id, ()))
        for run in runs.values()
        for query_id, pool in pools.items()
    )
    return _verdict(
        "pool",
        not changed,
        f"expected each of {len(runs)} systems to rank exactly the stage-1 candidates, so that recall of the whole "
        f"list stays; found {changed} rankings of other documents",
    )


def _identity(evidence: Evidence, design: Design, values: Values) -> Control:
    """Scores that repeat the stage-1 order, at the largest top-k, through derive and measure."""
    metric, deepest = design.expectation.metric, max(design.top_ks)
    sample = _sample(evidence, design.seed)
    same = {
        key: with_scores(found, [-float(place) for place in range(1, deepest + 1)]) for key, found in sample.items()
    }
    run = derive(same, System("reranked", deepest))
    found = measure(run, {query_id: evidence.qrels[query_id] for query_id in sample}, [metric])[metric]
    dense = values[DENSE.name][metric]
    gains = [value - dense[query_id] for query_id, value in found.items()]
    return _verdict(
        "identity",
        not any(gains),
        f"expected a reranker that repeats the stage-1 order to gain exactly 0 points of {metric} at top-k {deepest}; "
        f"found {100 * math.fsum(gains) / max(len(gains), 1):+.4f} points, {sum(map(bool, gains))} of {len(gains)} "
        "queries changed",
    )


def _oracle(evidence: Evidence, design: Design, matrices: Matrices, oracles: Values) -> Control:
    """Grades as scores give the perfect ranking, and its recall is min(c, P) / R, by counting alone."""
    top_k, metrics = design.expectation.top_k, _recalls(design)
    sample = _sample(evidence, design.seed)
    graded = {
        key: with_scores(found, [float(evidence.qrels[key].get(one.doc_id, 0)) for one in found[:top_k]])
        for key, found in sample.items()
    }
    run = derive(graded, System("reranked", top_k))
    others = sum(
        run.rankings.get(query_id) != rank_perfectly(found, top_k, evidence.qrels[query_id])
        for query_id, found in sample.items()
    )
    furthest = 0.0
    for deep in design.top_ks:
        for metric in metrics:
            measured = oracles[System("reranked", deep).name][metric]
            difference = np.array([measured[key] for key in matrices.query_ids]) - _best_recall(matrices, deep, metric)
            furthest = max(furthest, float(np.abs(difference).max()))
    compared = f"{', '.join(map(str, metrics))} at every top-k" if metrics else "no recall, as none is configured"
    return _verdict(
        "oracle",
        not others and furthest <= EPSILON,
        f"expected grades as scores to rank as the oracle does, and its recall to be min(c, P) / R; found {others} of "
        f"{len(sample)} rankings that differ, and recall off by at most {furthest:.2g} (compared: {compared})",
    )


def _best_recall(matrices: Matrices, top_k: int, metric: Metric) -> Floats:
    cutoff = metric.cutoff or 0
    reach = np.minimum(cutoff, matrices.found(top_k)) if top_k > cutoff else matrices.found(cutoff)
    return np.asarray(reach / matrices.positives)


def _recalls(design: Design) -> list[Metric]:
    return [metric for metric in design.metrics if metric.name == "recall" and metric.cutoff is not None]


def _deepest_cutoff(design: Design, cutoff: int) -> int:
    return max([cutoff, *(metric.cutoff or 0 for metric in _recalls(design))])


def _sample(evidence: Evidence, seed: int) -> Candidates:
    """Some queries with candidates; all where they are few."""
    answered = [query_id for query_id in evidence.qrels if evidence.candidates.get(query_id)]
    places = np.random.default_rng([seed, 4]).permutation(len(answered))[:SAMPLE]
    return {answered[place]: evidence.candidates[answered[place]] for place in sorted(places)}


def _short_lists(evidence: Evidence, deepest: int) -> Control:
    lengths = [len(evidence.candidates.get(query_id, ())) for query_id in evidence.qrels]
    short = [length for length in lengths if length < deepest]
    return _verdict(
        "short_lists",
        not short,
        f"expected {deepest} candidates per query; found fewer for {len(short)} of {len(lengths)} queries, the "
        f"shortest list {min(lengths)}",
        "warned",
    )


def _ties(candidates: Candidates) -> Control:
    tied = count_ties(candidates)
    scored = sum(one.rerank_score is not None for found in candidates.values() for one in found)
    return _share("ties", tied, scored, TIED, "candidates to tie with another of their query")


def _truncated(scoring: Scoring) -> Control:
    if scoring.truncated is None:
        return Control(
            "truncated",
            "warned",
            "expected a reranker that counts tokens; found a service that cuts long documents as it likes and does not "
            "say so: the share of cut pairs is unknown, and none was read in windows",
        )
    if scoring.max_length is None:
        return Control("truncated", "skipped", "expected a reranker that counts tokens; found scores from a file")
    if scoring.windows:
        return Control(
            "truncated",
            "passed",
            f"expected no document to be cut; found {scoring.truncated} of {scoring.pairs} pairs longer than the "
            f"reranker's {scoring.max_length} tokens, and read in {scoring.windows} windows",
        )
    what = f"pairs to be longer than the reranker's {scoring.max_length} tokens"
    return _share("truncated", scoring.truncated, scoring.pairs, TRUNCATED, what)


def _share(name: str, count: int, total: int, limit: float, what: str) -> Control:
    share = count / total if total else 0.0
    facts = f"expected at most {100 * limit:g} % of {what}; found {count} of {total} ({100 * share:.1f} %)"
    return _verdict(name, share <= limit, facts, "warned")


def _unjudged(evidence: Evidence, runs: Mapping[str, Run], system: System) -> Control:
    before, after = (1 - judged_share(runs[name], evidence.qrels) for name in (DENSE.name, system.name))
    return _verdict(
        "unjudged",
        after - before <= UNJUDGED,
        f"expected the unjudged share of the top {JUDGED_CUTOFF} to rise by at most {100 * UNJUDGED:g} points; found "
        f"{100 * before:.1f} % in stage 1 and {100 * after:.1f} % in {system.name}",
        "warned",
    )


def _verdict(name: str, holds: bool, message: str, otherwise: Literal["failed", "warned"] = "failed") -> Control:
    return Control(name, "passed" if holds else otherwise, message)
