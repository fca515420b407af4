"""Prove what the data set says of itself, from the built files alone: nothing of build.py or of source/ is read.

Usage: python check.py [FOLDER] [--part en|four] [--composition]

Prints a line for each check and under it a line for each fault, by ids and never by text. The exit code is 1 where
there is a fault. With --composition, prints the tables of the datasheet instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import composition
import content
import structure
from built import PARTS, Finding, Part, UnreadableError, read

CHECKS: dict[str, Callable[[Part], Finding]] = {
    "ids": structure.ids,
    "answers": structure.answers,
    "tags": structure.tags,
    "families": structure.families,
    "family grades": structure.family_grades,
    "notes and files": structure.notes_and_files,
    "grades": structure.grades,
    "many answers": structure.many_answers,
    "languages of passages": content.languages_of_passages,
    "languages of questions": content.languages_of_questions,
    "near questions": content.near_questions,
    "same passages": content.same_passages,
    "leaks": content.leaks,
    "copies": content.copies,
    "lengths": content.lengths,
    "sharp s": content.sharp_s,
    "amounts": content.amounts,
    "umlauts": content.umlauts,
    "MWST": content.vat,
}


def main() -> int:
    """Check the parts, or print how they are composed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent, help="of the data set")
    parser.add_argument("--part", choices=PARTS, help="one part only (default: all)")
    parser.add_argument("--composition", action="store_true", help="print the tables of the datasheet, check nothing")
    options = parser.parse_args()
    faults = 0
    for name in [options.part] if options.part else PARTS:
        try:
            part = read(options.folder, name)
        except UnreadableError as error:
            print(f"check.py: {error}", file=sys.stderr)
            return 1
        if options.composition:
            print(composition.tables(part))
        else:
            faults += report(part)
    return 1 if faults else 0


def report(part: Part) -> int:
    """Print a line for each check and each of its faults; the number of faults is returned."""
    total = 0
    print(
        f"{part.name}: {len(part.passages)} passages, {len(part.questions)} questions, {len(part.judgments)} judgments"
    )
    for name, check in CHECKS.items():
        finding = check(part)
        print(f"  {'FAULT' if finding.faults else 'ok':5}  {name:22}  {finding.shown}")
        for fault in finding.faults:
            print(f"           {fault}")
        total += len(finding.faults)
    return total


if __name__ == "__main__":
    sys.exit(main())
