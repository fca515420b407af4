"""``evalkit ui``: MLflow's pages over the store that results are logged to, on this machine only."""

from __future__ import annotations

import os
import socket
import sys
from argparse import Namespace
from pathlib import Path

from evalkit.commands.words import split
from evalkit.composition import compose_config
from evalkit.config import build_sinks
from evalkit.errors import ConfigError, SinkError
from evalkit.provenance import without_credentials
from evalkit.sinks.mlflow import MlflowSink, is_server, prepare
from evalkit.sinks.tracking.views import address

HOST = "127.0.0.1"
"""MLflow asks nobody for a password, so it is not shown to other machines."""

_SQLITE = "sqlite:///"


def run(arguments: Namespace) -> int:
    """Print the address of the runs table, and become its server, unless the store is a server itself.

    Raises:
        ConfigError: There is no such store or experiment yet, or the port is taken.
        SinkError: The store cannot be read.
    """
    sink = _store(arguments.words)
    uri, found = sink.tracking_uri, _experiment_id(sink.tracking_uri, sink.experiment)
    if is_server(uri):
        print(f"mlflow  {address(without_credentials(uri), found)}")
        return 0
    _require_free(arguments.port)
    print(f"mlflow  {address(f'http://{HOST}:{arguments.port}', found)}")
    print("        in a few seconds; Ctrl-C stops it", flush=True)
    _serve(uri, arguments.port)
    return 0


def _serve(uri: str, port: int) -> None:
    words = ["-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    # Jobs are for language-model judges, and eight more processes.
    lean = {"MLFLOW_UVICORN_OPTS": "--log-level warning", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # The URI may hold a password, and everybody on the machine can see arguments.
    variables = {**lean, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    os.execve(sys.executable, [sys.executable, *words], variables)  # noqa: S606 - a fixed program, and no shell


def _store(words: list[str]) -> MlflowSink:
    named, overrides = split(words)
    if named is not None:
        raise ConfigError(f"evalkit ui shows every result that was logged; found {named}, expected overrides only")
    sink = build_sinks(compose_config(overrides)).get("mlflow")
    if not isinstance(sink, MlflowSink):
        raise ConfigError("sinks.mlflow is switched off, so nothing is logged to MLflow; leave that override out")
    return sink


def _experiment_id(uri: str, experiment: str) -> str:
    file = Path(uri.removeprefix(_SQLITE))
    if uri.startswith(_SQLITE) and not file.exists():
        raise ConfigError(
            f"no result was logged to MLflow yet: there is no {file}. evalkit run makes it; if your results are "
            "elsewhere, pass reports_dir=..., or set MLFLOW_TRACKING_URI"
        )
    prepare()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    shown = without_credentials(uri)
    try:
        found = MlflowClient(tracking_uri=uri).get_experiment_by_name(experiment)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        reason = without_credentials(f"{error}".partition("\n")[0])
        raise SinkError(f"MLflow at {shown} cannot be read: {reason}; start it, or name another") from error
    if found is None:
        raise ConfigError(
            f"MLflow at {shown} has no experiment {experiment!r}; evalkit run logs to it, and so does "
            "evalkit report --to mlflow with a result that is there"
        )
    return str(found.experiment_id)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        # As the server will: what a stopped one left behind does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"port {port} of {HOST} cannot be used: {error}. An MLflow that still runs may hold it; choose "
                f"another, such as evalkit ui --port {port % 60000 + 1}"
            ) from error
