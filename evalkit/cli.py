"""Commands and exit codes; no logic.

Exit codes: 0 done, 1 a bug (with its traceback), 2 bad input or configuration (one message),
5 result invalid.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import EvalkitError, InvalidResultError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
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
    from evalkit.config import build_plan, build_sinks
    from evalkit.delivery import deliver
    from evalkit.pipeline import evaluate

    sinks = build_sinks(config)
    result = evaluate(build_plan(config))
    folder = deliver(result, sinks, Path(config.reports_dir))
    if result.status == "invalid":
        raise InvalidResultError(f"a self-check failed, see {folder}; do not use its numbers")
