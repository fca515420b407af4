"""``evalkit mine``: from a finished result to training data, and to what should be labelled first."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evalkit import checks
from evalkit.analysis.derive import unmeasured
from evalkit.analysis.holdout import hold_out
from evalkit.analysis.mined import Mined, MiningRule
from evalkit.analysis.mining import mine
from evalkit.commands import mine_words, words
from evalkit.config import build_source
from evalkit.errors import ConfigError, ControlError, DataError
from evalkit.pipeline import describe
from evalkit.provenance import versions
from evalkit.result import EvalResult, Evidence, Subject
from evalkit.training import contents_of, is_held_out, key_of_text, write
from evalkit.types import Dataset, Document


def run(arguments: Namespace) -> int:
    """Write training data and a labelling queue beside a result, and say what was left out.

    Raises:
        ConfigError: A setting is impossible, the queries were held out, the data set cannot be found again, or the
            folder is there already.
        DataError: There is no such result, its data set is another one now, some candidates have no score of the
            system, or nothing can be learnt from it.
        ControlError: The result is invalid, or was changed after the run.
        SinkError: The folder cannot be written.
    """
    named, overrides = words.split(arguments.words)
    others = words.outside(overrides, ("dataset", "reports_dir"))
    if others:
        raise ConfigError(
            f"mine takes a finished result as it is, and overrides of dataset and reports_dir only; found "
            f"{', '.join(others)}"
        )
    moved = [word for word in overrides if not word.startswith("reports_dir=")]
    folder, _, _ = words.read([*([named] if named else []), *(word for word in overrides if word not in moved)])
    result = words.untouched(folder, "is mined")
    if result.assessment.status == "invalid":
        raise ControlError(
            f"{folder} is the record of an invalid result: a self-check failed, so its scores cannot be trusted. "
            "Nothing is mined from it"
        )
    _refuse_unmeasured(result, folder)
    rule = _rule(arguments, result)
    out = _out(arguments.out, folder)
    dataset = _load(result, moved)
    _refuse_held_out(dataset, folder)
    held_out = _held_out(arguments, result.evidence, dataset)
    evidence = _without(result.evidence, held_out)
    mined = mine(evidence, contents_of(_met(dataset, evidence)), rule)
    if not mined.training:
        raise DataError(
            f"none of {mined.queries} queries has both a positive and a negative: "
            f"{mined.left_out.without_positive} lack the one, {mined.left_out.without_negative} the other. Lower "
            "--margin, or judge more documents"
        )
    about = _about(arguments, result, rule, mined, held_out)
    write(mined, about, dataset, held_out, out, scored=about["scores_written"])
    print(
        "\n".join([*mine_words.found(mined, result, held_out, out), "", *mine_words.following(result, held_out, out)])
    )
    return 0


def _rule(arguments: Namespace, result: EvalResult) -> MiningRule:
    ranks = re.fullmatch(r"(\d{1,6})-(\d{1,6})?", arguments.ranks)
    if ranks is None:
        raise ConfigError(
            f"--ranks is {arguments.ranks!r}; expected the first and last stage-1 rank, such as 3-50 or 3-"
        )
    retrieval = result.provenance.config.get("retrieval")
    return MiningRule(
        margin=arguments.margin,
        negatives=arguments.negatives,
        first_rank=int(ranks[1]),
        last_rank=int(ranks[2]) if ranks[2] else None,
        scored_only=arguments.scored_only,
        exclude_self=isinstance(retrieval, Mapping) and retrieval.get("exclude_self") is True,
    )


def _out(asked: str | None, folder: Path) -> Path:
    """Where to write: never into a result, which is sent to MLflow as a whole, and never over labels."""
    sealed = folder.resolve()
    out = checks.path("--out", asked).resolve() if asked else sealed.with_name(f"{sealed.name}-mined")
    if out.is_relative_to(sealed):
        raise ConfigError(
            f"{out} is inside the result folder, which stays as it is; name a place outside it with --out"
        )
    if out.exists():
        raise ConfigError(
            f"{out} is there already, and may hold labels that somebody gave; move it, or name another folder with "
            "--out"
        )
    return out


def _refuse_unmeasured(result: EvalResult, folder: Path) -> None:
    """A candidate that was put last by a made-up number is no negative that anybody measured."""
    missing = unmeasured(result.evidence.candidates, result.scoring)
    if missing:
        raise DataError(
            f"{missing} of {missing + result.scoring.pairs} candidates have no score of the system that reranked them "
            "(reranker.missing=last), so nothing tells how hard they are; run again with a file that scores all of the "
            "first sweep.top_k candidates, and mine that result",
            folder,
        )


def _refuse_held_out(dataset: Dataset, folder: Path) -> None:
    """What an earlier mining held out is the newest result as soon as it has judged a model."""
    marked = sum(map(is_held_out, dataset.queries))
    if marked:
        raise ConfigError(
            f"{folder} is of queries that were held out from training: {marked} of {len(dataset.queries)} say so in "
            "their metadata. Mined, they could judge no trained model any more; name the result of the other queries"
        )


def _load(result: EvalResult, moved: Sequence[str]) -> Dataset:
    """The data set of a result, with its texts."""
    try:
        dataset = build_source(result.provenance.config, moved).load()
    except DataError as error:
        raise DataError(
            f"{error}. A result holds no texts, so its data is read again from where the run read it; where it lies "
            "elsewhere now, say so, for example dataset.path=..."
        ) from error
    found, then = describe(dataset), result.dataset
    if found.digest == then.digest:
        return dataset
    raise DataError(
        f"the data set {then.name!r} is not what the run read: digest {then.digest[:12]} then, {found.digest[:12]} "
        f"now. What differs: {_difference(then, found)}. The scores say nothing about other texts: bring back "
        "the data, or start the run again with evalkit run"
    )


def _difference(then: Subject, now: Subject) -> str:
    """Which parts of two data sets differ, in numbers where these tell."""
    parts = []
    if then.corpus_digest != now.corpus_digest:
        parts.append(f"documents ({then.n_documents} then, {now.n_documents} now)")
    if then.qrels_digest != now.qrels_digest:
        parts.append(f"judgments (of {then.n_queries} queries then, {now.n_queries} now)")
    return ", ".join(parts) or "the queries' texts or metadata, or the filters and limit that selected them"


def _held_out(arguments: Namespace, evidence: Evidence, dataset: Dataset) -> tuple[str, ...]:
    checks.whole_number("--seed", arguments.seed, 0)
    if arguments.holdout is None:
        return ()
    texts = {query.id: query.text for query in dataset.queries}
    questions = {query_id: key_of_text(texts[query_id]) for query_id in evidence.qrels}
    return hold_out(evidence.families, questions, arguments.holdout, arguments.seed)


def _met(dataset: Dataset, evidence: Evidence) -> Iterator[Document]:
    """The documents that are candidates or judged; a corpus may hold many more."""
    met = {one.doc_id for found in evidence.candidates.values() for one in found}
    met.update(doc_id for grades in evidence.qrels.values() for doc_id in grades)
    return (document for document in dataset.documents if document.id in met)


def _without(evidence: Evidence, held_out: Sequence[str]) -> Evidence:
    """What is left to mine."""
    gone = set(held_out)
    return replace(
        evidence,
        candidates={query_id: found for query_id, found in evidence.candidates.items() if query_id not in gone},
        qrels={query_id: grades for query_id, grades in evidence.qrels.items() if query_id not in gone},
        families={query_id: family for query_id, family in evidence.families.items() if query_id not in gone},
    )


def _about(
    arguments: Namespace, result: EvalResult, rule: MiningRule, mined: Mined, held_out: Sequence[str]
) -> dict[str, Any]:
    """``mined.json``: no text, no time and no place, so that mining again gives the same bytes."""
    return {
        "run_id": result.run_id,
        "dataset": {"name": result.dataset.name, "digest": result.dataset.digest},
        "reranker": dict(result.provenance.fingerprints.get("reranker", {})),
        "evalkit": versions().get("evalkit-rerank"),
        "settings": {**asdict(rule), "holdout": arguments.holdout, "seed": arguments.seed},
        "spread": mined.spread,
        "scores_written": not mine_words.why_unscored(mined),
        "counts": mine_words.counts(mined, held_out),
        "left_out": asdict(mined.left_out),
    }
