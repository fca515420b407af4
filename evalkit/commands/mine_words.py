"""What ``evalkit mine`` says: what was found in numbers, and what to do with it. No text of a query or document."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from evalkit.analysis.mined import Mined, Reason
from evalkit.result import EvalResult
from evalkit.training import HELD_OUT, QUEUE, TRAIN

RERANKER = "FlagEmbedding.finetune.reranker.encoder_only.base"

EMBEDDER = "FlagEmbedding.finetune.embedder.encoder_only.base, or .m3 for BGE-M3"

FEW = 7
"""Negatives that FlagEmbedding draws for each query by default; where there are fewer it repeats some."""


def counts(mined: Mined, held_out: Sequence[str]) -> dict[str, int]:
    """What is in the files, by number."""
    return {
        "queries": mined.queries,
        "held_out": len(held_out),
        "training_queries": len(mined.training),
        "few_negatives": sum(len(query.negatives) < FEW for query in mined.training),
        "positives": len(mined.positives),
        "positives_without_score": sum(one.score is None for one in mined.positives),
        "negatives": len(mined.negatives),
        "negatives_without_score": sum(one.score is None for one in mined.negatives),
        "judged_negatives": sum(one.judged for one in mined.negatives),
        "judged_negatives_above_a_positive": sum(query.hardest for query in mined.training),
        "queue": len(mined.queue),
        **{f"queue_{reason}": sum(one.reason == reason for one in mined.queue) for reason in get_args(Reason)},
    }


def why_unscored(mined: Mined) -> str:
    """Why no scores are written; empty where they are: all of them, or none, as FlagEmbedding's loader wants it."""
    passages = (*mined.positives, *mined.negatives)
    without = sum(one.score is None for one in passages)
    if without:
        return f"{without} of {len(passages)} passages have none, which --scored-only leaves out"
    return ""


def found(mined: Mined, result: EvalResult, held_out: Sequence[str], out: Path) -> list[str]:
    """What was found, what was left out, and where it is."""
    count, left = counts(mined, held_out), mined.left_out
    reasons = [f"{count[f'queue_{name}']} by {name}" for name in get_args(Reason) if count[f"queue_{name}"]]
    unscored = why_unscored(mined)
    lines = [
        f"mined      {mined.queries} queries of {result.dataset.name}, run {result.run_id}"
        + (f"; {len(held_out)} others are held out" if held_out else ""),
        f"train      {count['training_queries']} queries",
        f"positives  {count['positives']}, of which {count['positives_without_score']} have no score",
        f"negatives  {count['negatives']}: {count['judged_negatives']} judged, of which "
        f"{count['judged_negatives_above_a_positive']} score above a positive, and "
        f"{count['negatives'] - count['judged_negatives']} unjudged",
        f"left out   queries: {left.without_positive} without a positive, {left.without_negative} without a negative",
        f"           candidates: {count['queue']} that may be relevant, {left.unheld} with nothing to hold them "
        f"against, {left.outside} beyond the ranks, {left.repeated} repeated texts, {left.unscored} without a score, "
        f"{left.surplus} more than asked for",
        f"queue      {count['queue']} to label" + (f": {', '.join(reasons)}" if reasons else ""),
        f"scores     not written: {unscored}"
        if unscored
        else "scores     written: --knowledge_distillation True learns from them",
        f"folder     {out}",
    ]
    if count["few_negatives"]:
        lines.append(
            f"note: {count['few_negatives']} queries have fewer than {FEW} negatives; FlagEmbedding repeats some"
        )
    return lines


def following(result: EvalResult, held_out: Sequence[str], out: Path) -> list[str]:
    """What to do next, and what never to do."""
    lines = [
        f"Label: write a grade into the third column of {QUEUE}. What is labelled becomes qrels, to be added to yours:",
        f"  {labelled(out / QUEUE)}",
        f"Fine-tune a reranker: {_training(result, out)}",
        f"An embedder learns from the same file: {EMBEDDER}",
    ]
    if not held_out:
        return [
            *lines,
            "Never judge the trained model on these queries, whose answers it has seen: use others, or --holdout 0.5.",
        ]
    settings = [f"dataset.path={_quoted(out / HELD_OUT)}", f"dataset.name={_quoted(f'{result.dataset.name}-heldout')}"]
    if result.dataset.dangling:
        settings.append("dataset.on_dangling=keep")
    return [
        *lines,
        f"Never judge the trained model on the mined queries, whose answers it has seen. The {len(held_out)} that were "
        "held out are for that; with the other options of this run:",
        f"  evalkit run {shlex.join(['dataset=beir', *settings])}",
    ]


def labelled(queue: Path) -> str:
    """The command that takes the labelled rows of a queue, as rows of qrels without a header."""
    return f"awk -F '\\t' -v OFS='\\t' 'NR > 1 && $3 != \"\" {{print $1, $2, $3}}' {shlex.quote(str(queue))}"


def _training(result: EvalResult, out: Path) -> str:
    """The command that trains a cross-encoder, which then reads as much of a pair as the run did, and its prompts."""
    # Hugging Face would keep a copy of the texts in the home directory.
    options = {"model_name_or_path": "MODEL", "train_data": out / TRAIN, "cache_path": out / "cache"}
    length = result.scoring.max_length
    if length is not None:
        options |= {"query_max_len": length // 8, "passage_max_len": length - length // 8}
    fingerprint = result.provenance.fingerprints.get("reranker", {})
    for part, option in (("query", "query_instruction_for_rerank"), ("document", "passage_instruction_for_rerank")):
        if fingerprint.get(f"{part}_prompt"):
            options[option] = str(fingerprint[f"{part}_prompt"])
    options["output_dir"] = "DIR"
    return f"python -m {RERANKER} " + shlex.join(f"--{name}={value}" for name, value in options.items())


def _quoted(value: object) -> str:
    """As Hydra reads it: in quotes where it holds other signs than those of plain words and paths."""
    text = str(value)
    return text if re.fullmatch(r"[\w./-]+", text) else '"' + text.replace('"', '\\"') + '"'
