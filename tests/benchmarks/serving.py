"""How much load does ``evalkit serve`` carry? ``make bench BENCH=serving``; needs wrk (Debian: apt-get install wrk).

The service runs as a process of its own with its default configuration, or the overrides behind the options; wrk sends
questions with documents of the bundled data set, each connection the next request as soon as it has its answer.

    load     requests per second and latency at 1, 8 and 64 clients, errors, memory (the default)
    ratio    micro-batching on against off: two services that are driven in turn (A B A B ...) with the same requests
    soak     resident memory every 10 s under load, and its slope (--seconds 600)
    restart  kill -9 in the middle of the load, and a new start on the same port

wrk corrects its latencies: where an answer takes more than twice the mean time between requests of a connection, it
adds the times that requests would have had that were not sent meanwhile (coordinated omission). Requests under way when
the time is over are not counted. A deadline of 60 s per request is the service's own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.composition import folder_of
from tests.benchmarks.one_pass import summary

CLIENTS = (1, 8, 64)
SAMPLE_S = 10
WARM_UP_S = 60

SCRIPT = """
local bodies, started, place = {}, 0, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local headers = { ["Content-Type"] = "application/json" }
function setup(thread)
  thread:set("first", started)
  started = started + 1
end
function request()
  place = place + 1
  return wrk.format("POST", nil, headers, bodies[(first * 7919 + place) % #bodies + 1])
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "us": %d, "p50": %d, "p95": %d, "p99": %d, "not_200": %d, "socket": %d, "timeout": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
"""


@dataclass(frozen=True)
class Measured:
    """What wrk found.

    Attributes:
        rate: Answers per second.
        p50, p95, p99: Latency in milliseconds, corrected as the module says.
        errors: Answers other than 200, broken connections, answers that never came.
    """

    rate: float
    p50: float
    p95: float
    p99: float
    errors: tuple[int, int, int]


class Served:
    """A service in a process of its own."""

    def __init__(self, overrides: Sequence[str]) -> None:
        words = [sys.executable, "-m", "evalkit", "serve", *overrides]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        found = next((line for line in iter(self.process.stdout.readline, "") if line.startswith("serving ")), None)
        if found is None:
            raise SystemExit("the service did not start; what it said stands above")
        self.url = found.split()[1].removesuffix(";")

    def rss(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def served(*overrides: str) -> Iterator[Served]:
    started = Served(overrides)
    try:
        yield started
    finally:
        started.process.terminate()
        started.process.wait()


def write_bodies(file: Path, documents: int) -> None:
    """Every question of the bundled English data set with so many of its documents, the same in every run."""
    folder, rng = folder_of("datasets") / "swiss_fiduciary" / "en", random.Random(1)
    questions, texts = (
        [json.loads(line)["text"] for line in (folder / name).read_text("utf-8").split("\n") if line]
        for name in ("queries.jsonl", "corpus.jsonl")
    )
    rng.shuffle(questions)
    rows = [json.dumps({"query": question, "documents": rng.sample(texts, documents)}) for question in questions]
    file.write_text("\n".join(rows), "utf-8")


def drive(url: str, scratch: Path, clients: int, seconds: int) -> Measured:
    script = scratch / "post.lua"
    script.write_text(SCRIPT)
    words = ["wrk", f"-t{min(clients, 2)}", f"-c{clients}", f"-d{seconds}s", "--timeout", "70s", "-s", str(script), url]
    variables = {**os.environ, "BODIES": str(scratch / "bodies.jsonl")}
    output = subprocess.run(words, check=True, capture_output=True, text=True, env=variables).stdout
    found: dict[str, Any] = json.loads(output.partition("RESULT ")[2].partition("\n")[0])
    good = found["requests"] - found["not_200"]
    p50, p95, p99 = (found[name] / 1000 for name in ("p50", "p95", "p99"))
    errors = (found["not_200"], found["socket"], found["timeout"])
    return Measured(good / found["us"] * 1e6, p50, p95, p99, errors)


def line(measured: Measured) -> str:
    return (
        f"{measured.rate:10.2f}  {measured.p50:8.0f}  {measured.p95:8.0f}  {measured.p99:8.0f}  "
        f"{'/'.join(map(str, measured.errors)):>9}"
    )


HEAD = f"{'requests/s':>10}  {'p50 ms':>8}  {'p95 ms':>8}  {'p99 ms':>8}  {'errors':>9}"


def load(options: argparse.Namespace, scratch: Path) -> None:
    with served("serve.port=0", *options.overrides) as service:
        drive(service.url, scratch, 1, 2)
        print(f"clients  {HEAD}  {'pairs/s':>8}  {'MiB':>6}")
        for clients in CLIENTS:
            found = drive(service.url, scratch, clients, options.seconds)
            pairs = found.rate * options.documents
            print(f"{clients:7}  {line(found)}  {pairs:8.1f}  {service.rss():6.0f}", flush=True)
    print("errors: answers other than 200 / broken connections / answers that never came")


def ratio(options: argparse.Namespace, scratch: Path) -> None:
    ways = {"on": "true", "off": "false"}
    rates: dict[str, list[float]] = {way: [] for way in ways}
    words = {way: ("serve.port=0", f"serve.micro_batching={value}", *options.overrides) for way, value in ways.items()}
    with served(*words["on"]) as on, served(*words["off"]) as off:
        services = {"on": on, "off": off}
        for service in services.values():
            drive(service.url, scratch, options.clients, 2)
        print(f"micro-batching, {options.clients} clients\nway  {HEAD}")
        for _ in range(options.repeat):
            for way, service in services.items():
                found = drive(service.url, scratch, options.clients, options.seconds)
                rates[way].append(found.rate)
                print(f"{way:3}  {line(found)}", flush=True)
    for way, measured in rates.items():
        print(f"{way:3} {summary(measured, ' requests/s')}")
    print(f"on / off: {summary([on / off for on, off in zip(*rates.values(), strict=True)], ' x')}")


def soak(options: argparse.Namespace, scratch: Path) -> None:
    samples: list[tuple[float, float]] = []
    with served("serve.port=0", *options.overrides) as service:
        over, started = threading.Event(), time.monotonic()

        def watch() -> None:
            while not over.wait(SAMPLE_S):
                samples.append((time.monotonic() - started, service.rss()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            found = drive(service.url, scratch, options.clients, options.seconds)
        finally:
            over.set()
            watcher.join()
    print(f"{options.clients} clients, {options.seconds} s\n{HEAD}\n{line(found)}")
    print("MiB every 10 s:", *(f"{mib:.0f}" for _, mib in samples))
    settled = np.array([sample for sample in samples if sample[0] >= WARM_UP_S])
    if len(settled) < 3:
        raise SystemExit(f"no slope from {len(settled)} samples after {WARM_UP_S} s; run it for longer (--seconds 600)")
    slope, level = np.polyfit(settled[:, 0], settled[:, 1], 1)
    spread = statistics.stdev(settled[:, 1] - slope * settled[:, 0] - level)
    error = spread / np.sqrt(((settled[:, 0] - settled[:, 0].mean()) ** 2).sum())
    print(f"after the first {WARM_UP_S} s: {60 * slope:+.3f} MiB per minute, standard error {60 * error:.3f}")


def restart(options: argparse.Namespace, scratch: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = f"serve.port={probe.getsockname()[1]}"
    first = Served([port, *options.overrides])
    results: list[Measured] = []
    driver = threading.Thread(
        target=lambda: results.append(drive(first.url, scratch, options.clients, options.seconds))
    )
    driver.start()
    time.sleep(options.seconds / 3)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    killed = time.monotonic()
    with served(port, *options.overrides) as second:
        away = time.monotonic() - killed
        driver.join()
        with urllib.request.urlopen(f"{second.url.removesuffix('/v1/rerank')}/metrics") as metrics:  # noqa: S310
            numbers = metrics.read().decode()
    answered = next(row.split()[-1] for row in numbers.splitlines() if 'route="/v1/rerank",status="200"' in row)
    print(f"killed after {options.seconds / 3:.0f} s of {options.seconds} s, ready again after {away:.1f} s\n{HEAD}")
    print(f"{line(results[0])}\nanswered after the restart: {float(answered):.0f}")


MODES = {"load": load, "ratio": ratio, "soak": soak, "restart": restart}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=MODES, default="load")
    parser.add_argument("--seconds", type=int, default=30, help="of each measurement")
    parser.add_argument("--documents", type=int, default=10, help="of a request")
    parser.add_argument("--clients", type=int, default=8, help="except for load, which takes 1, 8 and 64")
    parser.add_argument("--repeat", type=int, default=5, help="of ratio")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as reranker=bge_reranker_v2_m3")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk, which makes the load, is not installed; on Debian and Ubuntu: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
        scratch = Path(folder)
        write_bodies(scratch / "bodies.jsonl", options.documents)
        print(f"{options.documents} documents per request", flush=True)
        MODES[options.mode](options, scratch)


if __name__ == "__main__":
    main()
