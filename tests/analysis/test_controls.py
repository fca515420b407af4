"""Each self-check passes on honest data and names the fault that was planted; none cries wolf on small data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis import derive as deriving
from evalkit.analysis.controls import check_candidates, controls
from evalkit.findings import Control
from evalkit.record import Scoring
from evalkit.result import Design, Evidence
from evalkit.types import Candidate, Metric, Run
from tests.analysis.evidence import (
    DATA_SETS,
    RECALL,
    design_of,
    listed,
    made,
    measured,
    n_documents,
    re_scored,
    real,
    scoring_of,
    subject_of,
)  # fmt: skip

NAMES = [
    "coverage", "duplicates", "top_k_1", "pool", "identity", "oracle", "random", "direction", "alignment", "labels",
    "short_lists", "ties", "truncated", "unjudged",
]  # fmt: skip


def run(
    evidence: Evidence, design: Design | None = None, n_documents: int = 1000, scoring: Scoring | None = None
) -> dict[str, Control]:
    design = design or design_of()
    runs, values, oracles = measured(evidence, design)
    subject = subject_of(n_documents, len(evidence.qrels))
    found = controls(evidence, design, subject, scoring or scoring_of(), runs, values, oracles)
    return {control.name: control for control in found}


def failures(found: dict[str, Control]) -> list[str]:
    return [name for name, control in found.items() if control.status == "failed"]


def flat(evidence: Evidence) -> list[float]:
    return [one.rerank_score or 0.0 for found in evidence.candidates.values() for one in found]


def with_flat(evidence: Evidence, scores: Sequence[float]) -> Evidence:
    """The same candidates with these scores, in the order of queries and ranks."""
    rest = iter(scores)
    return replace(
        evidence,
        candidates=re_scored(
            evidence.candidates, {key: [next(rest) for _ in found] for key, found in evidence.candidates.items()}
        ),
    )


def reversed_scores(evidence: Evidence) -> Evidence:
    return with_flat(evidence, [-score for score in flat(evidence)])


def shifted_scores(evidence: Evidence, step: int) -> Evidence:
    return with_flat(evidence, np.roll(flat(evidence), step).tolist())


def permuted_qrels(evidence: Evidence, seed: int = 0) -> Evidence:
    """Another chunking: the same ids name other passages."""
    ids = sorted(
        {one.doc_id for found in evidence.candidates.values() for one in found}
        | {doc_id for grades in evidence.qrels.values() for doc_id in grades}
    )
    other = dict(zip(ids, np.random.default_rng(seed).permutation(ids).tolist(), strict=True))
    qrels = {key: {other[doc_id]: grade for doc_id, grade in grades.items()} for key, grades in evidence.qrels.items()}
    return replace(evidence, qrels=qrels)


def test_everything_passes_on_honest_data() -> None:
    found = run(made(150))
    assert list(found) == NAMES
    assert {name for name, control in found.items() if control.status != "passed"} <= {"unjudged"}


@pytest.mark.parametrize("name", DATA_SETS)
def test_real_data_with_a_useful_reranker_is_never_at_fault(shared_data: Path, name: str) -> None:
    """Queries that BM25 cannot answer at all are left out; they are what ``coverage`` is for."""
    evidence = real(shared_data / name)
    answered = [key for key, found in evidence.candidates.items() if found]
    evidence = Evidence(
        {key: evidence.candidates[key] for key in answered}, {key: evidence.qrels[key] for key in answered}
    )
    found = run(evidence, n_documents=n_documents(shared_data / name))
    assert {control.name for control in found.values() if control.status != "passed"} <= {"short_lists", "unjudged"}


@pytest.mark.parametrize("name", ["debfaq-de", "scifact-en", "xquad-en2de"])
def test_planted_faults_are_named_on_real_data(shared_data: Path, name: str) -> None:
    honest = real(shared_data / name)
    size = n_documents(shared_data / name)

    found = run(reversed_scores(honest), n_documents=size)["direction"]
    assert found.status == "failed"
    assert "worse than chance: are the scores distances, sorted ascending?" in found.message

    for step in (1, -1):
        found = run(shifted_scores(honest, step), n_documents=size)["alignment"]
        assert found.status == "failed"
        assert "shifted by one against their pairs" in found.message

    found = run(permuted_qrels(honest), n_documents=size)["labels"]
    assert found.status == "failed"
    assert "another corpus or another chunking, and does stage 1 read this language?" in found.message


def test_a_query_without_candidates_is_counted_and_not_named() -> None:
    evidence = made(30)
    found = run(replace(evidence, candidates={**evidence.candidates, "q7": ()}))
    assert failures(found) == ["coverage"]
    assert "found 1 queries without candidates" in found["coverage"].message
    assert "q7" not in found["coverage"].message


def test_a_document_that_stands_twice_is_counted() -> None:
    evidence = made(30)
    q0, q4 = evidence.candidates["q0"], evidence.candidates["q4"]
    twice = (q0[0], replace(q0[1], doc_id=q0[0].doc_id), *q0[2:])
    thrice = (q4[0], *(replace(one, doc_id=q4[0].doc_id) for one in q4[1:3]), *q4[3:])
    broken = replace(evidence, candidates={**evidence.candidates, "q0": twice, "q4": thrice})
    coverage, duplicates = check_candidates(broken, 50)
    assert (coverage.status, duplicates.status) == ("passed", "failed")
    assert "found 3 repetitions in 2 of 30 queries" in duplicates.message


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda one: replace(one, rerank_score=None), "1 candidates without a score"),
        (lambda one: replace(one, stage1_rank=40), "1 with other ranks"),
    ],
)
def test_gaps_in_scores_and_ranks_are_counted(change: Callable[[Candidate], Candidate], what: str) -> None:
    evidence = made(30)
    first = evidence.candidates["q0"]
    broken = replace(evidence, candidates={**evidence.candidates, "q0": (first[0], change(first[1]), *first[2:])})
    coverage, duplicates = check_candidates(broken, 50)
    assert (coverage.status, duplicates.status) == ("failed", "passed")
    assert what in coverage.message


def test_a_score_is_missed_only_as_deep_as_candidates_are_reranked() -> None:
    evidence = made(30)
    first = evidence.candidates["q0"]
    gap = (*first[:10], replace(first[10], rerank_score=None), *first[11:])
    shallow = replace(evidence, candidates={**evidence.candidates, "q0": gap})
    assert [check_candidates(shallow, deepest)[0].status for deepest in (10, 11)] == ["passed", "failed"]


def ascending(candidates: Sequence[Candidate], top_k: int | None) -> tuple[str, ...]:
    head = sorted(candidates[:top_k], key=lambda one: one.rerank_score or 0.0) if top_k else candidates
    return tuple(one.doc_id for one in (*head, *candidates[top_k or len(candidates) :]))


def by_stage_1(candidates: Sequence[Candidate], top_k: int | None) -> tuple[str, ...]:  # noqa: ARG001 - that is the fault
    return tuple(one.doc_id for one in candidates)


def all_of_it(candidates: Sequence[Candidate], top_k: int | None) -> tuple[str, ...]:
    return tuple(one.doc_id for one in sorted(candidates, key=lambda one: -(one.rerank_score or 0) if top_k else 0))


def without_tail(candidates: Sequence[Candidate], top_k: int | None) -> tuple[str, ...]:
    head = sorted(candidates[:top_k], key=lambda one: -(one.rerank_score or 0)) if top_k else candidates
    return tuple(one.doc_id for one in head)


def ties_backwards(candidates: Sequence[Candidate], top_k: int | None) -> tuple[str, ...]:
    key = lambda one: (-(one.rerank_score or 0), -one.stage1_rank)  # noqa: E731
    head = sorted(candidates[:top_k], key=key) if top_k else candidates
    return tuple(one.doc_id for one in (*head, *candidates[top_k or len(candidates) :]))


@pytest.mark.parametrize(
    ("broken", "caught"),
    [
        (ascending, {"identity", "oracle"}),
        (by_stage_1, {"oracle", "random"}),
        (all_of_it, {"top_k_1"}),
        (without_tail, {"pool"}),
        (ties_backwards, {"oracle"}),
    ],
)
def test_a_broken_derive_is_caught(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[..., tuple[str, ...]], caught: set[str]
) -> None:
    monkeypatch.setattr(deriving, "rank", broken)
    assert caught <= set(failures(run(made(60))))


def test_a_wrong_oracle_is_caught_by_counting() -> None:
    """Its recall is half a point too low for one query at the smaller top-k."""
    evidence, design = made(30), design_of()
    runs, values, oracles = measured(evidence, design)
    wrong = {name: {metric: dict(found) for metric, found in one.items()} for name, one in oracles.items()}
    wrong["rerank@10"][RECALL]["q3"] -= 0.005
    found = controls(evidence, design, subject_of(1000, 30), scoring_of(), runs, values, wrong)
    (oracle,) = [control for control in found if control.status == "failed"]
    assert oracle.name == "oracle"
    assert "off by at most 0.005" in oracle.message


def test_a_pool_of_other_documents_is_caught() -> None:
    evidence, design = made(30), design_of()
    runs, values, oracles = measured(evidence, design)
    ranking = runs["rerank@50"].rankings
    other = Run("rerank@50", {**ranking, "q0": (*ranking["q0"][:-1], "a document from elsewhere")})
    found = controls(
        evidence, design, subject_of(1000, 30), scoring_of(), {**runs, "rerank@50": other}, values, oracles
    )
    assert [control.name for control in found if control.status == "failed"] == ["pool"]


def test_warnings_say_how_many() -> None:
    """30 queries of 50: a constant reranker ties all 1,500; one list is cut to 7; 6 of 100 pairs are truncated."""
    evidence = with_flat(made(30), [1.0] * 1500)
    evidence = replace(evidence, candidates={**evidence.candidates, "q0": evidence.candidates["q0"][:7]})
    found = run(evidence, scoring=scoring_of(100, 6))
    assert failures(found) == []
    assert {name: found[name].status for name in ("short_lists", "ties", "truncated", "direction")} == {
        "short_lists": "warned", "ties": "warned", "truncated": "warned", "direction": "skipped",
    }  # fmt: skip
    assert "found 1457 of 1457 (100.0 %)" in found["ties"].message
    assert "found fewer for 1 of 30 queries, the shortest list 7" in found["short_lists"].message
    assert "found 6 of 100 (6.0 %)" in found["truncated"].message


def test_unjudged_documents_on_top_warn() -> None:
    """Dense has 5 judged documents on top, reranked none: the unjudged share rises from 0 to 100 %."""
    documents = [f"d{number}" for number in range(20)]
    candidates = {f"q{n}": listed(documents, [float(place) for place in range(20)]) for n in range(4)}
    evidence = Evidence(candidates, {key: dict.fromkeys(documents[:5], 1) for key in candidates})
    found = run(evidence, design_of(20, (10, 20)))["unjudged"]
    assert found.status == "warned"
    assert "found 0.0 % in stage 1 and 100.0 % in rerank@20" in found.message


def test_a_useless_reranker_is_warned_about_and_not_failed() -> None:
    found = run(made(200, skill=0))
    assert failures(found) == []
    assert found["direction"].status == "warned"
    assert "shifted against their pairs, or the model does not read this language" in found["direction"].message


def test_translations_next_to_positives_are_no_shift() -> None:
    """The model reads only the unlabelled translation at rank 2: the neighbour's scores do fit better, but no edge."""
    rng = np.random.default_rng(0)
    candidates = {}
    for number in range(200):
        noise = rng.normal(size=30)
        noise[1] += 3
        candidates[f"q{number}"] = listed([f"d{place}" for place in range(30)], noise.tolist())
    found = run(Evidence(candidates, {key: {"d0": 1} for key in candidates}), design_of(30, (10, 30)))
    assert failures(found) == []
    assert found["alignment"].status == "warned"


def test_missing_documents_show_as_positives_near_the_top_or_nowhere() -> None:
    """Half of the positives are gone from stage 1, the others stand in its first 10 of 50."""
    honest = made(200, found=1.0)
    rng = np.random.default_rng(1)
    gone = {doc_id for grades in honest.qrels.values() for doc_id in grades if rng.random() < 0.6}
    candidates = {}
    for key, found in honest.candidates.items():
        positives = [one.doc_id for one in found if one.doc_id in honest.qrels[key] and one.doc_id not in gone]
        others = [one.doc_id for one in found if one.doc_id not in honest.qrels[key]]
        ranking = [*positives, *others, *(f"x{number}" for number in range(9))][:50]
        candidates[key] = listed(ranking, rng.normal(size=50).tolist())
    found = run(replace(honest, candidates=candidates))["labels"]
    assert found.status == "warned"
    assert "near the top or nowhere" in found.message


@pytest.mark.parametrize("metric", [Metric("mrr"), Metric("recall", 10)])
def test_metrics_without_a_cutoff_and_shallow_sweeps_are_checked_too(metric: Metric) -> None:
    """With top-k 3 and recall at 5, nothing can change."""
    found = run(made(40), design_of(50, (1, 3, 10, 50), metric))
    assert failures(found) == []
    found = run(made(40), design_of(3, (1, 3), Metric("mrr")))
    assert failures(found) == []
    assert "over 40 rankings" in found["random"].message
