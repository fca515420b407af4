"""The data set that ships is what its sources say and has no fault, and its check finds every fault that is planted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.planted import DATA, IN_ENGLISH, IN_FOUR, Copy, Plant

PASSAGES = [
    ("de-abend-vat", "abend", "vat", None, "eins zwei drei"),
    ("de-abend-closing-2023", "abend", "closing", 2023, "eins zwei drei vier fünf"),
    ("fr-matin-vat", "matin", "vat", None, "un deux trois quatre"),
    ("de-note-tea", None, "note", None, "eins zwei"),
    ("fr-note-tea", None, "note", None, "un deux"),
    ("it-note-tea", None, "note", None, "uno due"),
    ("en-note-tea", None, "note", None, "one two"),
]
QUESTIONS = [("abend-rate", "named"), ("tea-when", "general")]
JUDGED = {
    "abend-rate": {"de-abend-vat": 2, "fr-matin-vat": 0},
    "tea-when": {"de-note-tea": 2, "fr-note-tea": 2, "it-note-tea": 2, "en-note-tea": 2},
}
SEVEN_TABLES = """### four

| passages | de | fr | it | en | all | share |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| VAT | 1 | 1 | 0 | 0 | 2 | 29 % |
| closing notes 2023 | 1 | 0 | 0 | 0 | 1 | 14 % |
| general office note | 1 | 1 | 1 | 1 | 4 | 57 % |
| **all** | 3 | 2 | 1 | 1 | 7 | 100 % |

Length: 2 to 5, median 2 words.

| questions | de | fr | it | en | all | share |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| name the client | 1 | 1 | 1 | 1 | 4 | 50 % |
| about the general notes | 1 | 1 | 1 | 1 | 4 | 50 % |
| **all** | 2 | 2 | 2 | 2 | 8 | 100 % |

Length: 1 to 1, median 1 words.

| passages with grade 1 or 2, per question | de | fr | it | en | all | share |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| 1 | 1 | 1 | 1 | 1 | 4 | 50 % |
| 4 | 1 | 1 | 1 | 1 | 4 | 50 % |
| **all** | 2 | 2 | 2 | 2 | 8 | 100 % |

| the same in the language with most of them | de | fr | it | en | all | share |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| 1 | 2 | 2 | 2 | 2 | 8 | 100 % |
| **all** | 2 | 2 | 2 | 2 | 8 | 100 % |

| the same in the asker's language | de | fr | it | en | all | share |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| 0 | 0 | 1 | 1 | 1 | 3 | 38 % |
| 1 | 2 | 1 | 1 | 1 | 5 | 62 % |
| **all** | 2 | 2 | 2 | 2 | 8 | 100 % |

| the answers are | de | fr | it | en | all | share |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| in the asker's language only | 1 | 0 | 0 | 0 | 1 | 12 % |
| in the asker's language and others | 1 | 1 | 1 | 1 | 4 | 50 % |
| in other languages only | 0 | 1 | 1 | 1 | 3 | 38 % |
| **all** | 2 | 2 | 2 | 2 | 8 | 100 % |

| judgments | de | fr | it | en | all | share |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| grade 2 | 2 | 1 | 1 | 1 | 5 | 21 % |
| grade 1 | 3 | 4 | 4 | 4 | 15 | 62 % |
| grade 0 | 1 | 1 | 1 | 1 | 4 | 17 % |
"""
"""Counted by hand from the lines above."""


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DATA / name), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def faults(output: str) -> dict[str, list[str]]:
    """Check -> the lines under it, for the checks that failed."""
    found: dict[str, list[str]] = {}
    below: list[str] = []
    for line in output.splitlines():
        if line.startswith("  FAULT"):
            below = found[line[9:31].strip()] = []
        elif line.startswith("           "):
            below.append(line.strip())
    return found


def test_the_built_files_follow_from_their_sources() -> None:
    done = script("build.py", "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_every_check_passes_on_both_parts_and_prints_one_line() -> None:
    done = script("check.py")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == ["en", "four"]
    assert [line.split()[0] for line in lines if line.startswith(" ")] == ["ok"] * (2 * 19)


@pytest.mark.parametrize(
    ("part", "plant"),
    [("en", plant) for plant in IN_ENGLISH] + [("four", plant) for plant in IN_FOUR],
    ids=[plant.__name__ for plant in IN_ENGLISH + IN_FOUR],
)
def test_a_planted_fault_is_found_by_the_right_checks_and_named(tmp_path: Path, part: str, plant: Plant) -> None:
    copy = Copy(tmp_path, part)
    expected = plant(copy)
    copy.write()
    done = script("check.py", "--part", part, str(tmp_path))
    found = faults(done.stdout)
    assert done.returncode == 1, done.stderr
    assert set(found) == set(expected)
    for check, names in expected.items():
        assert [name for name in names if not any(name in line for line in found[check])] == [], found[check]
        assert [line for line in found[check] if not any(name in line for name in names)] == []


def test_every_check_can_fail(tmp_path: Path) -> None:
    """Together, the planted faults trip every check that is printed."""
    tripped = {name for part, plants in (("en", IN_ENGLISH), ("four", IN_FOUR)) for plant in plants
               for name in plant(Copy(tmp_path / plant.__name__, part))}  # fmt: skip
    printed = {line[9:31].strip() for line in script("check.py", "--part", "en").stdout.splitlines()[1:]}
    assert tripped == printed


def test_faults_are_told_by_place_and_never_by_text(tmp_path: Path) -> None:
    copy = Copy(tmp_path, "en")
    copy.passages[0]["text"] += " Schweinehalter zahlen CHF 1250 MwSt."
    copy.write()
    done = script("check.py", "--part", "en", str(tmp_path))
    assert set(faults(done.stdout)) == {"amounts", "MWST"}
    assert not any(word in done.stdout for word in ("Schweinehalter", "1250"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus.jsonl", None, "corpus.jsonl cannot be read"),
        ("corpus.jsonl", "", "corpus.jsonl, line 1: not JSON"),
        ("corpus.jsonl", '{"_id": "en-a-vat", "text": "a"', "corpus.jsonl, line 1: not JSON"),
        ("queries.jsonl", '{"_id": "en-q-a", "text": "a"}', "queries.jsonl, line 1: expected an object with"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tgrade\n", "test.tsv, line 1: expected"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nen-q-a\ten-a-vat\t3\n", "test.tsv, line 2: expected"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    file = Copy(tmp_path, "en").file(name)
    if content is None:
        file.unlink()
    else:
        file.write_text(content, encoding="utf-8")
    done = script("check.py", "--part", "en", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_composition_counts_by_language_what_a_hand_counts(tmp_path: Path) -> None:
    languages = ("de", "fr", "it", "en")
    corpus: list[dict[str, Any]] = []
    for name, client, kind, year, text in PASSAGES:
        metadata = {"lang": name[:2], "client": client, "kind": kind} | ({"year": year} if year else {})
        corpus.append({"_id": name, "title": "Title", "text": text, "metadata": metadata})
    queries = [
        {"_id": f"{lang}-q-{family}", "text": family[:3], "metadata": {"lang": lang, "kind": kind, "family": family}}
        for lang in languages
        for family, kind in QUESTIONS
    ]
    qrels = ["query-id\tcorpus-id\tscore"]
    for lang in languages:
        for family, graded in JUDGED.items():
            for name, grade in graded.items():
                qrels.append(f"{lang}-q-{family}\t{name}\t{grade if name[:2] == lang else min(grade, 1)}")
    (tmp_path / "four" / "qrels").mkdir(parents=True)
    (tmp_path / "four" / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)) + "\n")
    (tmp_path / "four" / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)) + "\n")
    (tmp_path / "four" / "qrels" / "test.tsv").write_text("\n".join(qrels) + "\n")
    done = script("check.py", "--part", "four", "--composition", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == SEVEN_TABLES + "\n"
