"""How long do loading and checking a large corpus take, and in how much memory? ``make bench BENCH=corpus``.

A BEIR folder of 100,000 documents of about 120 words and 1,000 queries is written to a temporary folder. ``load`` reads
it as a run does; ``check`` is ``evalkit data check`` with the tokenizers of the default models. Each is a process of
its own, in turn (A B A B ...). Printed: seconds of the whole process, of which those that a processor worked for it
(which other processes hardly change), and peak resident memory, as median and range.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from evalkit.composition import compose_config
from evalkit.config import build_plan
from tests.benchmarks.one_pass import summary

WORDS = 20_000
"""Different words; the first are drawn most, as in real texts."""

POSITIVES = (1, 1, 1, 2, 3)
"""Positives per query, in turn; each query also has one document of grade 0."""


def texts(count: int, shortest: int, longest: int, rng: random.Random) -> Iterator[str]:
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    words = list(itertools.islice(("".join(parts) for parts in itertools.product(syllables, repeat=3)), WORDS))
    rng.shuffle(words)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, WORDS + 1)))
    for _ in range(count):
        yield " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(shortest, longest)))


def write(folder: Path, documents: int, queries: int) -> None:
    rng = random.Random(1)
    (folder / "qrels").mkdir(parents=True)
    with (folder / "corpus.jsonl").open("w") as stream:
        for number, text in enumerate(texts(documents, 80, 160, rng)):
            row = {"_id": f"doc-{number}", "title": "", "text": text, "metadata": {"lang": "en"}}
            stream.write(json.dumps(row) + "\n")
    with (folder / "queries.jsonl").open("w") as stream:
        for number, text in enumerate(texts(queries, 6, 14, rng)):
            stream.write(json.dumps({"_id": f"q-{number}", "text": text, "metadata": {"lang": "en"}}) + "\n")
    with (folder / "qrels" / "test.tsv").open("w") as stream:
        stream.write("query-id\tcorpus-id\tscore\n")
        for number in range(queries):
            found = rng.sample(range(documents), POSITIVES[number % len(POSITIVES)] + 1)
            for place, document in enumerate(found):
                stream.write(f"q-{number}\tdoc-{document}\t{int(place > 0)}\n")


def measured(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds of a process, processor seconds of all its threads, and its peak resident memory in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--load", metavar="FOLDER", help="only load this folder: what the measured process does")
    options = parser.parse_args()
    if options.load:
        dataset = build_plan(compose_config(["dataset=beir", f"dataset.path={options.load}"])).source.load()
        print(len(dataset.documents), len(dataset.queries))
        return
    with tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
        folder = Path(scratch, "corpus")
        write(folder, options.documents, options.queries)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"{options.documents} documents, {options.queries} queries: {size / 2**20:.0f} MiB", flush=True)
        ways = {
            "load": [sys.executable, "-m", __spec__.name, "--load", str(folder)],
            "check": [sys.executable, "-m", "evalkit", "data", "check", str(folder)],
        }
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
        for _ in range(options.repeat):
            for name, arguments in ways.items():
                found[name].append(measured(arguments))
    for name, runs in found.items():
        seconds, worked, memory = map(list, zip(*runs, strict=True))
        print(f"{name:6} wall {summary(seconds, ' s')}")
        print(f"{'':6} processor {summary(worked, ' s')}")
        print(f"{'':6} peak memory {summary(memory, ' MiB')}")


if __name__ == "__main__":
    main()
