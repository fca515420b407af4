"""``evalkit compare A B``: two results side by side."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from evalkit.analysis.between import contrast
from evalkit.commands.words import untouched
from evalkit.locating import locate
from evalkit.sinks.side_by_side import lines


def run(arguments: Namespace) -> int:
    """Show what differs between two results, and what that changed, paired by query.

    Raises:
        DataError: A result is missing or damaged, or they share no query or no metric.
        ControlError: A result was changed after its run.
    """
    folders = {name: locate(text, Path()) for name, text in (("A", arguments.first), ("B", arguments.second))}
    first, second = map(untouched, folders.values())
    print("\n".join(lines(contrast(first, second), first, second)))
    return 0
