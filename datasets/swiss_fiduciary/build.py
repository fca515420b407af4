"""Build the Swiss fiduciary office data sets (corpus, queries, qrels) from the files in source/.

Usage: python build.py [--part en|four] [--check]

``en`` is the English part, ``four`` the same office in German, French, Italian and English. Everything is
deterministic: the text variant of a passage is chosen by a SHA-256 of the client and the passage kind, so two runs
write the same bytes.
"""

from __future__ import annotations

import argparse
import sys

import english
import four_languages
from office import HERE, BuildError

PARTS = {"en": english.build, "four": four_languages.build}


def main() -> int:
    """Write the files, or with --check compare them with those already written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", choices=PARTS, help="one part only (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if the files are not up to date")
    options = parser.parse_args()
    stale = []
    for part in [options.part] if options.part else PARTS:
        try:
            files = PARTS[part]()
        except BuildError as error:
            print(f"build.py: {part}: {error}", file=sys.stderr)
            return 1
        for name, content in files.items():
            if not up_to_date(part, name, content, options.check):
                stale.append(f"{part}/{name}")
    if stale:
        print(f"build.py: not up to date: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale else 0


def up_to_date(part: str, name: str, content: str, check: bool) -> bool:
    """Write one file; or only look whether it holds this."""
    path, data = HERE / part / name, content.encode("utf-8")
    if check:
        return path.is_file() and path.read_bytes() == data
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return True


if __name__ == "__main__":
    sys.exit(main())
