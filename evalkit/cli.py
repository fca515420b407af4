"""Commands and exit codes; no logic.

Exit codes: 0 done, 1 a bug (with its traceback), 2 bad input or configuration (one message), 130 stopped.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    # The table holds signs that some terminals and pipes cannot show; that must not cost a result.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    known, rest = parser.parse_known_args(arguments)
    if known.command is None:
        parser.print_help()
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("evalkit").setLevel(logging.INFO)
    try:
        _run(rest)
    except EvalkitError as error:
        print(f"evalkit: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("evalkit: stopped; what was computed is remembered, start again to go on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evalkit", description="Does the reranker earn its latency on your data?", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=metadata.version("evalkit-rerank"))
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser(
        "run",
        help="evaluate dense against reranked retrieval, for example: evalkit run sweep.top_k=[10,50]",
        add_help=False,
    )
    return parser


def _run(overrides: Sequence[str]) -> None:
    from evalkit.config import with_hydra

    with_hydra(_evaluate, overrides)


def _evaluate(config: DictConfig) -> None:
    from evalkit.config import build_plan, build_sinks, reports_folder
    from evalkit.delivery import deliver
    from evalkit.pipeline import evaluate

    sinks, reports = build_sinks(config), reports_folder(config)
    result = evaluate(build_plan(config))
    deliver(result, sinks, reports)
