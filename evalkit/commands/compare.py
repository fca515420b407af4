"""``evalkit compare A B``: two results side by side."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from evalkit import manifest
from evalkit.analysis.between import contrast
from evalkit.folder import locate, read_result
from evalkit.sinks.side_by_side import lines


def run(arguments: Namespace) -> int:
    """Show what differs between two results, and what that changed, paired by query.

    Raises:
        DataError: A result is missing or damaged, or they share no query or no metric.
    """
    folders = {name: locate(text, Path()) for name, text in (("A", arguments.first), ("B", arguments.second))}
    first, second = map(read_result, folders.values())
    print("\n".join(lines(contrast(first, second), first, second)))
    for name, folder in folders.items():
        for problem in manifest.problems(folder).values():
            print(f"note: {name}: {problem}; evalkit verify says what that means")
    return 0
