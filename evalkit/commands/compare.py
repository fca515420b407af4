"""``evalkit compare A B``: two results side by side."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from evalkit.analysis.between import contrast
from evalkit.commands.words import untouched
from evalkit.errors import SinkError
from evalkit.locating import locate
from evalkit.sinks.html_pair import pair_page
from evalkit.sinks.side_by_side import lines


def run(arguments: Namespace) -> int:
    """Show what differs between two results, and what that changed, paired by query.

    Raises:
        DataError: A result is missing or damaged, or they share no query or no metric.
        ControlError: A result was changed after its run.
        SinkError: The page cannot be written.
    """
    folders = {name: locate(text, Path()) for name, text in (("A", arguments.first), ("B", arguments.second))}
    first, second = map(untouched, folders.values())
    found = contrast(first, second)
    print("\n".join(lines(found, first, second)))
    if arguments.html is not None:
        _write(Path(arguments.html), pair_page(found, first, second))
        print(f"page    {arguments.html}")
    return 0


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}; name another file with --html") from error
