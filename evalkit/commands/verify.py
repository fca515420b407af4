"""``evalkit verify``: derive a result again, and check every file and every number of it."""

from __future__ import annotations

from argparse import Namespace

from evalkit.commands.words import read
from evalkit.errors import ConfigError
from evalkit.provenance import without_secret
from evalkit.verify import Verified, verify


def run(arguments: Namespace) -> int:
    """Check one result folder and say what was checked.

    Raises:
        ConfigError: An override would ask for something else than the result was made for.
        DataError: There is no such result, or it is of another schema version.
        ControlError: A file or a number is not what it was.
    """
    folder, _, overrides = read(arguments.words)
    others = [word for word in overrides if not word.startswith("reports_dir=")]
    if others:
        raise ConfigError(
            f"verify checks what was asked of this result, and takes no override but reports_dir; found "
            f"{', '.join(map(without_secret, others))}. evalkit report measures a result otherwise"
        )
    found = verify(folder)
    print("\n".join(_lines(found)))
    print(f"verified    {folder}")
    if found.status == "invalid":
        print("note: it is the record of an invalid result, in which a self-check failed; quote no number of it")
    return 0


def _lines(found: Verified) -> list[str]:
    as_given = (
        "raw scores, tokens (but for the number of pairs beyond max_length), families, attributes, order of documents, "
        "facts of the data set, design, latency, timings, provenance"
    )
    if found.stopped:
        as_given += ", the interval of the early stop"
    if found.other_words is not None:
        as_given += f", the sentences of evalkit {found.other_words}"
    return [
        f"files       {found.files}, each with the SHA-256 of manifest.json",
        f"evidence    {found.n_candidates} candidates and {found.n_judgments} judgments of {found.n_queries} queries",
        f"derived     {found.values} values of result.json, {found.per_query} per query, {found.fates} rows of "
        f"attribution, {found.runs} runs",
        f"as given    {as_given}",
    ]
