"""Derive a stored result again, and hold every number of it against what its candidates and judgments give."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from evalkit import manifest
from evalkit.analysis.derive import count_ties, order_hits, order_run
from evalkit.errors import ControlError, DataError
from evalkit.folder import RESULT, TABLES, read_document, read_result
from evalkit.provenance import versions
from evalkit.record import Scoring, Sequential
from evalkit.remeasure import ANALYSIS, assess_again
from evalkit.result import Assessment, EvalResult
from evalkit.sinks.document import as_document
from evalkit.sinks.trec import format_run
from evalkit.stages import key_of
from evalkit.types import Candidates, Run

CLOSE = 1e-9
"""Numbers this close are equal: another processor may add up in another order."""

SHOWN = 8
"""Differences of result.json that a message names: one changed score moves hundreds of numbers."""

GIVEN = ("schema_version", "run_id", "design", "stage_one", "timings", "provenance")
"""Blocks of result.json that nothing else in the folder determines."""

WORDS = ("reason", "advice", "message", "setting", "note")
"""Sentences: another version of evalkit may put the same numbers otherwise."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked and found as it should be.

    Attributes:
        run_id: The result's.
        status: The result's: one that is invalid can be just what a run wrote.
        files: Files whose SHA-256 is the manifest's.
        n_queries, n_candidates, n_judgments: The evidence.
        values: Numbers, texts and nulls of ``result.json`` that follow from it.
        per_query: Values per query, system and metric.
        fates: Rows of ``attribution.parquet``.
        runs: TREC runs.
        stopped: The run stopped early: the interval at its end is taken as given.
        other_words: Sentences were not compared, as this other version of evalkit wrote them; None where they were.
    """

    run_id: str
    status: str
    files: int
    n_queries: int
    n_candidates: int
    n_judgments: int
    values: int
    per_query: int
    fates: int
    runs: int
    stopped: bool
    other_words: str | None = None


def verify(folder: Path) -> Verified:
    """Check every file of a result folder, then every number that follows from its evidence and design.

    Raw scores, families, attributes, facts of the data set, latency and timings have no other source in the folder: for
    them, and for the design, the manifest alone stands. Tokens are held against the number of truncated pairs.

    Raises:
        DataError: It is no complete result folder, or one of another schema version.
        ControlError: A file or a number is not what it was; the message names it.
    """
    listed, changed = manifest.listed(folder), manifest.problems(folder)
    if RESULT not in changed:
        read_document(folder)
    try:
        stored, told = read_result(folder), read_document(folder)
        derived = _derive(stored)
    except (DataError, ControlError) as error:
        raise _mismatch(folder, [*changed.values(), str(error)]) from error
    runs, expected = derived.assessment.runs, as_document(derived)
    other_words = _other_evalkit(stored)
    if other_words is not None:
        told, expected = _without_words(told), _without_words(expected)
    found = [
        *changed.values(),
        *_unlisted(listed, runs),
        *_stage1(stored.evidence.candidates),
        *_tokens(stored.evidence.candidates, stored.scoring),
        *_runs(folder, runs, changed),
        *_per_query(stored.assessment, derived.assessment),
        *_fates(stored.assessment, derived.assessment),
        *_few([f"{RESULT}: {difference}" for difference in differences(told, expected)]),
    ]
    if found:
        raise _mismatch(folder, [*found, *_other_versions(stored)])
    evidence = stored.evidence
    return Verified(
        run_id=stored.run_id,
        status=derived.assessment.status,
        files=len(listed),
        n_queries=len(evidence.qrels),
        n_candidates=sum(map(len, evidence.candidates.values())),
        n_judgments=sum(map(len, evidence.qrels.values())),
        values=sum(_count(block) for name, block in told.items() if name not in GIVEN),
        per_query=sum(len(values) for found in derived.assessment.per_query.values() for values in found.values()),
        fates=len(derived.assessment.fates),
        runs=len(runs),
        stopped=stored.sequential is not None,
        other_words=other_words,
    )


def differences(told: Any, derived: Any, place: str = "") -> Iterator[str]:
    """Where a plain structure is not what was derived: the path, with both values."""
    if isinstance(told, Mapping) and isinstance(derived, Mapping):
        for key in dict.fromkeys((*derived, *told)):
            inside = f"{place}.{key}" if place else str(key)
            if key not in told:
                yield f"{inside} is missing"
            elif key not in derived:
                yield f"{inside} was not expected"
            else:
                yield from differences(told[key], derived[key], inside)
    elif isinstance(told, list) and isinstance(derived, list):
        if len(told) != len(derived):
            yield f"{place} has {len(told)} entries; {len(derived)} were derived"
        for number, (one, other) in enumerate(zip(told, derived, strict=False)):
            yield from differences(one, other, f"{place}[{number}]")
    elif not _equal(told, derived):
        one, other = _shown(told, derived)
        yield f"{place} is {one}; {other} was derived"


def _derive(stored: EvalResult) -> EvalResult:
    """The same result, with all that follows from evidence and design derived again."""
    evidence, subject, sequential = stored.evidence, stored.dataset, stored.sequential
    if sequential is None:
        subject = replace(subject, n_queries=len(evidence.qrels), qrels_digest=key_of(evidence.qrels).hex())
    else:
        sequential = replace(
            sequential,
            spent_queries=len(evidence.qrels),
            total_queries=subject.n_queries,
            seed=stored.design.seed,
            side=_side(sequential, stored.design.expectation.min_points),
        )
    scoring = replace(stored.scoring, ties=count_ties(evidence.candidates))
    derived = replace(stored, dataset=subject, scoring=scoring, sequential=sequential)
    return replace(derived, assessment=assess_again(derived, stored.design, evidence))


def _side(ended: Sequential, edge: float) -> Literal["above", "below"] | None:
    """The side on which the interval leaves the edge."""
    if ended.ci_low >= edge - CLOSE:
        return "above"
    return "below" if ended.ci_high <= edge + CLOSE else None


def _equal(told: Any, derived: Any) -> bool:
    kinds = {type(told), type(derived)}
    if float in kinds and kinds <= {float, int}:
        return math.isclose(told, derived, rel_tol=CLOSE, abs_tol=CLOSE)
    return len(kinds) == 1 and bool(told == derived)


def _shown(told: Any, derived: Any) -> tuple[str, str]:
    """Both values; of long texts the part where they part, of long blocks the beginning."""
    if not (isinstance(told, str) and isinstance(derived, str)):
        return _begun(repr(told)), _begun(repr(derived))
    same = next((place for place, (one, other) in enumerate(zip(told, derived, strict=False)) if one != other), 0)
    begin = max(0, same - 30)
    one, other = (
        repr("..." * (begin > 0) + text[begin : begin + 90] + "..." * (len(text) > begin + 90))
        for text in (told, derived)
    )
    return one, other


def _begun(text: str) -> str:
    return f"{text[:90]}..." if len(text) > 90 else text


def _other_evalkit(stored: EvalResult) -> str | None:
    """The version of evalkit that wrote the result, where that is not this one."""
    there = stored.provenance.versions.get("evalkit-rerank", "unknown")
    return None if there == versions().get("evalkit-rerank") else there


def _without_words(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_words(entry) for key, entry in value.items() if key not in WORDS}
    return [_without_words(entry) for entry in value] if isinstance(value, list) else value


def _count(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _unlisted(listed: Mapping[str, str], runs: tuple[Run, ...]) -> Iterator[str]:
    for name in (RESULT, *TABLES, *(_file_of(run) for run in runs)):
        if name not in listed:
            yield f"{manifest.NAME} does not list {name}"


def _stage1(candidates: Candidates) -> Iterator[str]:
    """Stage 1 ranks by score, ties by document id, rising in dense retrieval and falling in a TREC run."""
    moved = 0, 0
    for found in candidates.values():
        hits = [(one.doc_id, one.stage1_score) for one in found]
        orders = order_hits(hits, len(hits)), order_run(hits)
        rising, falling = ([one.doc_id for one in order] != [doc_id for doc_id, _ in hits] for order in orders)
        moved = moved[0] + rising, moved[1] + falling
    if min(moved):
        yield f"candidates.parquet: ranks do not follow the stage-1 scores in {min(moved)} of {len(candidates)} queries"


def _tokens(candidates: Candidates, scoring: Scoring) -> Iterator[str]:
    """Each scored candidate has tokens, and as many pairs are too long as were counted.

    Candidates of equal texts are one pair, which has one number of tokens; there are at most as many as scores - pairs.
    """
    found, limit = [one for listed in candidates.values() for one in listed], scoring.max_length
    wrong = sum((one.tokens is not None) != (limit is not None and one.rerank_score is not None) for one in found)
    if wrong:
        asked = "none, as nothing counted them" if limit is None else "tokens of the scored ones, and of no other"
        yield f"candidates.parquet: tokens of {wrong} candidates are missing or surplus; expected {asked}"
    longer = [one.tokens for one in found if one.tokens is not None and limit is not None and one.tokens > limit]
    repeated = max(0, sum(one.rerank_score is not None for one in found) - scoring.pairs)
    least = max(len(longer) - repeated, len(set(longer)))
    if not (limit is None if scoring.truncated is None else least <= scoring.truncated <= len(longer)):
        fit = f"{least} to {len(longer)} pairs are too long by the tokens of candidates.parquet"
        yield f"{RESULT}: scoring.truncated is {scoring.truncated}; {fit}"


def _per_query(stored: Assessment, derived: Assessment) -> Iterator[str]:
    told, expected = (
        {
            (system, str(metric), query_id): value
            for system, by_metric in found.per_query.items()
            for metric, values in by_metric.items()
            for query_id, value in values.items()
        }
        for found in (stored, derived)
    )
    name = "per_query.parquet"
    if told.keys() != expected.keys():
        absent, surplus = len(expected.keys() - told.keys()), len(told.keys() - expected.keys())
        yield f"{name}: {absent} of {len(expected)} values are missing, and {surplus} were not expected"
    wrong = [key for key in expected if key in told and not _equal(told[key], expected[key])]
    if wrong:
        system, metric, _ = wrong[0]
        yield (
            f"{name}: {len(wrong)} of {len(expected)} values are not as derived; the first, {metric} of {system}, is "
            f"{told[wrong[0]]!r}, and {expected[wrong[0]]!r} was derived"
        )


def _fates(stored: Assessment, derived: Assessment) -> Iterator[str]:
    wrong = sum(one != other for one, other in zip_longest(stored.fates, derived.fates))
    if wrong:
        yield f"attribution.parquet: {wrong} of {len(derived.fates)} rows are not as derived"


def _runs(folder: Path, runs: tuple[Run, ...], changed: Mapping[str, str]) -> Iterator[str]:
    there = {_file_of(run): run for run in runs if (folder / _file_of(run)).is_file()}
    for run in runs:
        if _file_of(run) not in (*there, *changed):
            yield f"{_file_of(run)} is missing"
    wrong = [name for name, run in there.items() if (folder / name).read_bytes() != "".join(format_run(run)).encode()]
    if wrong:
        yield f"{', '.join(wrong)}: not the ranking that the candidates give"


def _file_of(run: Run) -> str:
    return f"runs/{run.name}.trec"


def _other_versions(stored: EvalResult) -> list[str]:
    here, there = versions(), stored.provenance.versions
    others = [f"{name} {there[name]} then, {here[name]} now" for name in ANALYSIS if there.get(name) != here.get(name)]
    return [f"other versions may round otherwise: {'; '.join(others)}"] if others else []


def _few(found: list[str]) -> list[str]:
    return [*found[:SHOWN], f"{RESULT}: and {len(found) - SHOWN} more"] if len(found) > SHOWN else found


def _mismatch(folder: Path, found: list[str]) -> ControlError:
    lines = "".join(f"\n  {line}" for line in found)
    return ControlError(f"{folder} is not what a run wrote:{lines}\nUse a copy that verifies, or start the run again")
