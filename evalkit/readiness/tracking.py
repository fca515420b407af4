"""Whether MLflow's store can be used, without making or changing it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from evalkit.ports import Sink
from evalkit.provenance import without_credentials
from evalkit.readiness.outcome import Check
from evalkit.readiness.patience import BACKSTOP_S, within_patience
from evalkit.sinks.mlflow import MlflowSink, is_server, prepare

_SQLITE = "sqlite:///"
_ONE_TRY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{BACKSTOP_S:.0f}"}
_ANOTHER = "name another with MLFLOW_TRACKING_URI, or go without: sinks.mlflow=null"


def tracking(sinks: Mapping[str, Sink]) -> Iterator[Check]:
    """The store that results are logged to, where it is there already."""
    sink = sinks.get("mlflow")
    if not isinstance(sink, MlflowSink):
        return
    shown = str(without_credentials(sink.tracking_uri))
    if sink.tracking_uri.startswith(_SQLITE):
        file = Path(sink.tracking_uri.removeprefix(_SQLITE))
        if not file.exists() or file.stat().st_size == 0:
            yield Check("mlflow", "ok", f"{shown} will be {'filled' if file.exists() else 'made'}")
            return
    prepare()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _one_try():
            within_patience(lambda: _asked(sink))
    # ImportError: the driver of a database is missing.
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        reason = without_credentials(f"{error}".partition("\n")[0])
        if "readonly database" in reason:
            found = f"{shown} is not of this version of MLflow, and a run would bring it up to date"
            yield Check("mlflow", "warning", found, f"keep a copy of it, {_ANOTHER}")
        else:
            yield Check("mlflow", "fault", f"{shown} cannot be used: {reason}", f"start it, {_ANOTHER}")
    else:
        yield Check("mlflow", "ok", f"{shown} {'answers' if is_server(sink.tracking_uri) else 'can be read'}")


def _asked(sink: MlflowSink) -> None:
    """Read from the store. MLflow's client fills an empty database, and brings an older one up to date."""
    from mlflow import MlflowClient
    from mlflow.store.db.db_types import DATABASE_ENGINES
    from sqlalchemy import create_engine

    uri = sink.tracking_uri
    if uri.startswith(_SQLITE):
        # With the driver's name in it, MLflow makes no folder named file: for what it takes for a path.
        place = quote(str(Path(uri.removeprefix(_SQLITE)).absolute()))
        uri = f"sqlite+pysqlite:///file:{place}?mode=ro&uri=true"
    elif uri.partition(":")[0].partition("+")[0] in DATABASE_ENGINES:
        # No way to keep the client from writing is common to them.
        create_engine(uri).connect().close()
        return
    MlflowClient(tracking_uri=uri).get_experiment_by_name(sink.experiment)


@contextmanager
def _one_try() -> Iterator[None]:
    """MLflow without second tries and long waits, and as it was afterwards."""
    before = {name: os.environ.get(name) for name in _ONE_TRY}
    os.environ.update(_ONE_TRY)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
