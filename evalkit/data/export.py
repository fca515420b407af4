"""A data set as a BEIR folder, which reads back as the same documents, queries and judgments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from evalkit.errors import DataError
from evalkit.new_folder import check_free, written_whole
from evalkit.types import Dataset

_BREAKING = "\t\n"
"""Signs that end a column or a row of the judgments."""
_LONGEST_SHOWN = 40


def write_beir(dataset: Dataset, folder: Path) -> None:
    """Write ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/test.tsv``, all or nothing.

    The folder is written beside its final place and renamed.

    Args:
        dataset: The evaluated queries are written, and no others.
        folder: A new or empty one.

    Raises:
        ConfigError: It holds something already.
        DataError: An id cannot stand in a tab-separated file.
        SinkError: It cannot be written.
    """
    folder = folder.resolve()
    check_free(folder)
    _check_ids(dataset)
    with written_whole(folder) as staging:
        _write(dataset, staging)


def _check_ids(dataset: Dataset) -> None:
    judged = (doc_id for grades in dataset.qrels.values() for doc_id in grades)
    for name in chain(dataset.qrels, judged, (document.id for document in dataset.documents)):
        if any(sign in name for sign in _BREAKING) or name != name.strip():
            raise DataError(
                f"the id {name[:_LONGEST_SHOWN]!r} holds a tab, a line break or outer white space, which no file of "
                "judgments keeps; rename it in the source"
            )


def _write(dataset: Dataset, folder: Path) -> None:
    _write_lines(
        folder / "corpus.jsonl",
        (
            _row({"_id": one.id, "title": one.title, "text": one.text, "metadata": one.metadata})
            for one in dataset.documents
        ),
    )
    _write_lines(
        folder / "queries.jsonl",
        (_row({"_id": one.id, "text": one.text, "metadata": one.metadata}) for one in dataset.queries),
    )
    (folder / "qrels").mkdir()
    _write_lines(folder / "qrels" / "test.tsv", _judgments(dataset))


def _judgments(dataset: Dataset) -> Iterator[str]:
    yield "query-id\tcorpus-id\tscore"
    for query_id, grades in dataset.qrels.items():
        yield from (f"{query_id}\t{doc_id}\t{grade}" for doc_id, grade in grades.items())


def _row(values: Mapping[str, Any]) -> str:
    line = json.dumps(values, ensure_ascii=False)
    # Metadata may hold half of a surrogate pair, which only an escape can write.
    return line if _encodable(line) else json.dumps(values)


def _encodable(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in lines)
