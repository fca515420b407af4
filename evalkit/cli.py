"""Commands, their flags and exit codes; what each does is in ``commands``.

Exit codes: 0 done or passed, 1 a bug (with its traceback), 2 bad input or configuration (one message), 3 the gate
failed, 4 inconclusive under the strict policy, 5 the result is invalid, 130 stopped, 141
the reader of the output went away.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata

from evalkit.errors import EvalkitError

EXPORT = "write a model as an ONNX folder, checked against torch; exit 2, with nothing written, where they differ"
RESULT = "result folder, or its result.json; left out, the newest"

_REMEMBERING = ("run", "doctor")
"""Commands that score, and go on where they were stopped."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    # The table holds signs that some terminals and pipes cannot show; that must not cost a result.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Hydra reads the flags of run itself.
    known, rest = parser.parse_known_args(given[:1] if given[:1] == ["run"] else given)
    if known.command is None:
        parser.print_help()
        return 0
    # argparse gives a command the words before a flag; those behind it are left over.
    later = [word for word in rest if "words" in known and not word.startswith("-")]
    if len(later) < len(rest):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if later:
        known.words += later
    if known.command == "run":
        known.words = given[1:]
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("evalkit").setLevel(logging.INFO)
    try:
        return int(import_module(f"evalkit.commands.{known.command}").run(known))
    except EvalkitError as error:
        print(f"evalkit: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the output, such as head, has enough; what Python still holds of it must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        more = "; what was computed is remembered, start again to go on" if known.command in _REMEMBERING else ""
        print(f"evalkit: stopped{more}", file=sys.stderr)
        return 130


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
    _gate(_command(commands, "gate", "hold a result to the rules in conf/gate; exit 3 where one fails"))
    baseline = _command(commands, "baseline", "keep a result as what later ones must not fall behind")
    baseline.add_argument("--name", help="name of the file in reports/baselines; left out, the data set's")
    report = _command(commands, "report", "draw a result again; overrides measure it again, without a model")
    report.add_argument("--to", choices=("mlflow",), help="send the result there as it is; draw and measure nothing")
    _command(commands, "verify", "derive a result again from its candidates and judgments, and check every file")
    _mine(_command(commands, "mine", "write training data for a reranker or embedder, and a queue of what to label"))
    _data(commands.add_parser("data", help="look at a data set, or write it as a BEIR folder", allow_abbrev=False))
    ui = commands.add_parser("ui", help="MLflow's pages over the results that were logged", allow_abbrev=False)
    ui.add_argument("words", nargs="*", metavar="key=value", help="Hydra overrides, such as reports_dir=...")
    ui.add_argument("--port", type=int, default=5000, help="port of 127.0.0.1; left out, 5000")
    what = "a reranker behind /v1/rerank, for example: evalkit serve reranker=minilm_l12_en serve.port=8000"
    serve = commands.add_parser("serve", help=what, description=what, allow_abbrev=False)
    serve.add_argument("words", nargs="*", metavar="key=value", help="Hydra overrides, such as serve.host=0.0.0.0")
    _export(commands.add_parser("export", help=EXPORT, description=EXPORT, allow_abbrev=False))
    what = "whether a run with these overrides will start here, and with what; exit 2 where it will not"
    _doctor(commands.add_parser("doctor", help=what, description=what, allow_abbrev=False))
    compare = commands.add_parser("compare", help="two results side by side, paired by query", allow_abbrev=False)
    compare.add_argument("first", metavar="A", help="result folder")
    compare.add_argument("second", metavar="B", help="result folder; what changed from A to B is shown")
    compare.add_argument(
        "--html", metavar="FILE", nargs="?", const="compare.html", help="draw them into a page, compare.html by default"
    )
    return parser


def _export(command: argparse.ArgumentParser) -> None:
    command.add_argument("role", choices=("embedder", "reranker"), help="which model of the configuration")
    command.add_argument(
        "words", nargs="*", metavar="key=value", help="Hydra overrides, such as reranker=bge_reranker_v2_m3"
    )
    command.add_argument("--to", metavar="FOLDER", required=True, help="new folder to write")
    command.add_argument("--int8", action="store_true", help="also write the graph quantised to int8")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
    command.add_argument(
        "words", nargs="*", metavar="RESULT | key=value", help=f"{RESULT}; Hydra overrides, such as reports_dir=..."
    )
    return command


def _doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument("words", nargs="*", metavar="key=value", help="Hydra overrides, as for evalkit run")
    command.add_argument("--json", action="store_true", help="print what was found as JSON")
    command.add_argument(
        "--published",
        metavar="NAME",
        nargs="?",
        const="",
        help="run what published figures are of, by default the production pair; exit 5 where they are not reproduced",
    )


def _gate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--metric", help="metric that the expectation speaks of, such as recall@5")
    command.add_argument("--top-k", type=int, help="decision top-k")
    command.add_argument("--min-points", type=float, help="least gain in points; alone, it leaves the band open above")
    command.add_argument("--max-points", type=float, help="largest gain in points")
    command.add_argument("--decide-on", choices=("estimate", "lower_bound"), help="what is held against the band")
    command.add_argument(
        "--expectation",
        choices=("warn", "fail", "strict"),
        help="warn: say it; fail: exit 3 when below; strict: also exit 4 when inconclusive",
    )
    command.add_argument("--baseline", metavar="NAME", help="name of a file in reports/baselines")


def _data(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", metavar="check | convert", required=True)
    what = "what is wrong with a data set, and what it can tell; loads no model; exit 2 where a run would refuse it"
    check = actions.add_parser("check", help=what, description=what, allow_abbrev=False)
    _folder_and_overrides(check, "BEIR folder")
    check.add_argument("--json", action="store_true", help="print everything that was found as JSON")
    what = "write the data set that a run would evaluate as a BEIR folder"
    convert = actions.add_parser("convert", help=what, description=what, allow_abbrev=False)
    _folder_and_overrides(convert, "new folder to write")


def _folder_and_overrides(command: argparse.ArgumentParser, folder: str) -> None:
    command.add_argument(
        "words",
        nargs="*",
        metavar="FOLDER | key=value",
        help=f"{folder}; Hydra overrides, such as dataset=table dataset.path=faq.xlsx",
    )


def _mine(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", metavar="DIR", help="folder to write; left out, <result folder>-mined beside it")
    command.add_argument("--negatives", type=int, default=15, help="hard negatives per query, at most; left out, 15")
    command.add_argument(
        "--margin",
        type=float,
        default=0.5,
        help="an unjudged document scoring less than this below the lowest positive, in standard deviations of the "
        "scores, goes to the queue; left out, 0.5",
    )
    command.add_argument(
        "--ranks",
        metavar="FIRST-LAST",
        default="1-",
        help="stage-1 ranks of unjudged negatives, such as 10-50; left out, all that were scored",
    )
    command.add_argument("--scored-only", action="store_true", help="leave out what has no score, so that all have one")
    command.add_argument(
        "--holdout",
        type=float,
        metavar="SHARE",
        help="keep this share of the query families for evaluation, such as 0.5",
    )
    command.add_argument("--seed", type=int, default=0, help="of the holdout; left out, 0")
