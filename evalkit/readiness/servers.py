"""Servers that a run would ask: whether it may, and whether they answer. No text is sent to any."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from evalkit.errors import ConfigError, EvalkitError
from evalkit.models.remote.address import Address, is_own
from evalkit.models.remote.connections import Connections
from evalkit.models.remote.endpoint import Endpoint
from evalkit.ports import Sink, VectorStore
from evalkit.provenance import without_credentials
from evalkit.readiness.outcome import Check, attempted
from evalkit.readiness.settings import held

_PATIENCE_S = 5.0
_PROBE = "doctor"
_SQLITE = "sqlite:///"


def model(name: str, part: object) -> Iterator[Check]:
    """A model behind a server: whether texts may go there, whether it answers, and whether its key is set.

    Args:
        name: What it is for, such as ``embedder``.
        part: The model.
    """
    for endpoint in held(part, Endpoint):
        (address,) = held(endpoint, Address)
        key = os.environ.get(endpoint.key_variable, "").strip()
        server, own = _reached(name, endpoint, address, with_key=bool(key))
        yield server
        yield _key(name, endpoint.key_variable, given=bool(key), own=own)


def vector_store(store: VectorStore, settings: Mapping[str, Any]) -> Check:
    """The engine of the vectors; a server is asked for its version, and for a collection that is not there."""
    if "url" not in settings:
        return Check("vector store", "ok", store.description)

    def look() -> str:
        try:
            store.open(_PROBE)
        finally:
            store.close()
        return f"{store.description} answers{_version(settings)}"

    return attempted("vector store", look)


def tracking(sinks: Mapping[str, Sink]) -> Iterator[Check]:
    """The MLflow store, where results are logged to one that is there already."""
    from evalkit.sinks.mlflow import MlflowSink, is_server, prepare

    sink = sinks.get("mlflow")
    if not isinstance(sink, MlflowSink):
        return
    shown = str(without_credentials(sink.tracking_uri))
    file = Path(sink.tracking_uri.removeprefix(_SQLITE))
    if sink.tracking_uri.startswith(_SQLITE) and not file.exists():
        yield Check("mlflow", "ok", f"{shown} will be made")
        return
    prepare()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        MlflowClient(tracking_uri=sink.tracking_uri).get_experiment_by_name(sink.experiment)
    # ImportError: the driver of a database is missing.
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        reason = without_credentials(f"{error}".partition("\n")[0])
        advice = "start it, name another with MLFLOW_TRACKING_URI, or go without: sinks.mlflow=null"
        yield Check("mlflow", "fault", f"{shown} cannot be used: {reason}", advice)
    else:
        yield Check("mlflow", "ok", f"{shown} {'answers' if is_server(sink.tracking_uri) else 'can be read'}")


def _reached(name: str, endpoint: Endpoint, address: Address, *, with_key: bool) -> tuple[Check, bool]:
    """Whether a connection stands, as the endpoint itself makes it; and whether it is to a server of the user's own."""
    (connections,) = held(endpoint, Connections)
    try:
        with connections.one(with_key) as connection:
            connections.open(connection)
            own = is_own(connection.sock.getpeername()[0])
    except EvalkitError as error:
        return Check(f"{name} server", "fault", str(error)), False
    except OSError as error:
        found = f"{endpoint} cannot be reached ({error.strerror or error})"
        return Check(f"{name} server", "fault", found, f"start it, or correct {name}.url"), address.is_loopback
    if own:
        return _health(name, address), True
    return Check(f"{name} server", "ok", f"{endpoint} answers; texts will leave"), False


def _health(name: str, address: Address) -> Check:
    """What the service says of itself, where it is one that has /health; a server of another kind need not."""
    answer = _asked(address, f"{address.path.removesuffix('/v1')}/health", {})
    status = answer[0] if answer else None
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        found, advice = f"{address} answers, and says that it is not ready", "wait until it has loaded its model"
        return Check(f"{name} server", "warning", found, advice)
    ready = ", and says that it is ready" if status == HTTPStatus.OK else ""
    return Check(f"{name} server", "ok", f"{address} answers{ready}")


def _key(name: str, variable: str, *, given: bool, own: bool) -> Check:
    if given:
        return Check(f"{name} key", "ok", f"{variable} is set")
    if own:
        return Check(f"{name} key", "ok", f"{variable} is not set; a server of your own may do without")
    return Check(f"{name} key", "warning", f"{variable} is not set", f"set it, unless {name}.url asks for none")


def _asked(address: Address, path: str, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
    """Status and body of a GET; None where there is no answer in HTTP."""
    kind = HTTPSConnection if address.encrypted else HTTPConnection
    connection = kind(address.host, address.port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path, headers={key: value for key, value in headers.items() if value})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _version(settings: Mapping[str, Any]) -> str:
    """What Qdrant says of itself at its root; empty where it says nothing, which keeps no run from starting."""
    variable = str(settings["api_key_env"])
    try:
        address = Address.parse("vector_store.url", settings["url"], variable)
        answer = _asked(address, f"{address.path}/", {"api-key": os.environ.get(variable, "")})
        return f", version {json.loads(answer[1])['version']}" if answer else ""
    except (ConfigError, ValueError, LookupError, TypeError):
        return ""
