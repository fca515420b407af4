"""Mined training data on disk: where ids meet their texts, which go into these files and nowhere else."""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.analysis.mined import Mined, Suspect, TrainingQuery
from evalkit.data.export import write_beir
from evalkit.errors import SinkError
from evalkit.types import Dataset, Document, Query

TRAIN = "train.jsonl"
"""Rows of FlagEmbedding's fine-tuning format."""

QUEUE = "label_queue.tsv"
"""What to label; no ``.json``, as FlagEmbedding reads every such file of a folder that it is given."""

ABOUT = "mined.json"

HELD_OUT = "heldout"
"""A BEIR folder of its own, whatever the queries came from."""

MARK = ("evalkit_mine", "held out")
"""In the metadata of each query that was held out, so that it stays with it wherever the data is moved or converted."""

_LABELS = ("query_id", "doc_id", "grade")
"""The queue's first columns, which are those of qrels; the grade is left to the labeller."""

_ABOUT_THEM = (
    "reason",
    "stage1_rank",
    "reranked_rank",
    "stage1_score",
    "rerank_score",
    "lead",
    "query",
    "document",
)
"""The queue's other columns."""


def key_of_text(text: str) -> bytes:
    """Equal for texts that differ in nothing but case, white space and the form of their signs."""
    alike = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.sha256(alike.encode()).digest()


def contents_of(documents: Iterable[Document]) -> dict[str, bytes]:
    """Document id -> a key of its text, for those that have any."""
    return {document.id: key_of_text(document.content) for document in documents if document.content}


def write(
    mined: Mined, about: Mapping[str, Any], dataset: Dataset, held_out: Sequence[str], out: Path, *, scored: bool
) -> None:
    """Write the folder beside its final place, then rename it.

    Args:
        mined: What to write.
        about: Where it comes from, without texts, for ``mined.json``.
        dataset: The texts; the documents and judgments of the queries that are held out.
        held_out: Ids of these queries; empty where there are none.
        out: The folder; one that holds something is not replaced.
        scored: Write the scores too; every passage must have one.

    Raises:
        SinkError: It cannot be written.
        DataError: Queries are held out, and an id cannot stand in a tab-separated file.
    """
    documents = {document.id: document.content for document in dataset.documents}
    queries = {query.id: query.text for query in dataset.queries}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
            # Made here and not by tempfile, so that its permissions are the user's.
            draft = Path(scratch, out.name)
            draft.mkdir()
            _write_lines(draft / TRAIN, _training_rows(mined.training, queries, documents, scored=scored))
            _write_queue(draft / QUEUE, mined.queue, queries, documents)
            _write_about(draft, about)
            if held_out:
                write_beir(_marked(dataset, held_out), draft / HELD_OUT)
                _write_about(draft / HELD_OUT, about)
            draft.rename(out)
    except OSError as error:
        raise SinkError(f"cannot write {out}: {error.strerror or error}; name another folder with --out") from error


def is_held_out(query: Query) -> bool:
    """Whether a query was held out from training."""
    name, value = MARK
    return query.metadata.get(name) == value


def _write_about(folder: Path, about: Mapping[str, Any]) -> None:
    text = json.dumps(about, ensure_ascii=False, indent=2, allow_nan=False)
    (folder / ABOUT).write_text(text + "\n", encoding="utf-8")


def _training_rows(
    training: Iterable[TrainingQuery], queries: Mapping[str, str], documents: Mapping[str, str], *, scored: bool
) -> Iterator[dict[str, Any]]:
    """Rows of FlagEmbedding's format, all with the same keys: its loader fills a key that is missing with null."""
    for asked in training:
        row: dict[str, Any] = {
            "query": queries[asked.query_id],
            "pos": [documents[one.doc_id] for one in asked.positives],
            "neg": [documents[one.doc_id] for one in asked.negatives],
        }
        if scored:
            row["pos_scores"] = [one.score for one in asked.positives]
            row["neg_scores"] = [one.score for one in asked.negatives]
        yield row


def _write_queue(
    path: Path, queue: Iterable[Suspect], queries: Mapping[str, str], documents: Mapping[str, str]
) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, dialect="excel-tab", lineterminator="\n")
        stream.write("\t".join((*_LABELS, "")))
        writer.writerow(_ABOUT_THEM)
        for one in queue:
            texts = (" ".join(text.split()) for text in (queries[one.query_id], documents[one.doc_id]))
            found = (one.reason, one.stage1_rank, one.reranked_rank, one.stage1_score, one.rerank_score, one.lead)
            # Quoted, an id would be another one in qrels, whose readers know no quotes.
            stream.write(f"{one.query_id}\t{one.doc_id}\t\t")
            writer.writerow((*found, *texts))


def _marked(dataset: Dataset, query_ids: Sequence[str]) -> Dataset:
    """The whole corpus, as retrieval is judged against all of it, with these queries and their judgments."""
    name, value = MARK
    wanted = set(query_ids)
    queries = (query for query in dataset.queries if query.id in wanted)
    return replace(
        dataset,
        queries=tuple(replace(query, metadata={**query.metadata, name: value}) for query in queries),
        qrels={query_id: dataset.qrels[query_id] for query_id in query_ids},
    )


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
