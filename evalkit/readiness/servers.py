"""Servers that a run would ask: whether it may, and whether they answer. No text is sent to any."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

from evalkit import checks
from evalkit.errors import ConfigError, EvalkitError
from evalkit.models.remote.address import Address
from evalkit.models.remote.endpoint import Endpoint
from evalkit.ports import VectorStore
from evalkit.readiness.outcome import Check
from evalkit.readiness.patience import BACKSTOP_S, within_patience
from evalkit.readiness.settings import held

_PROBE = "doctor"
_LONGEST_ANSWER = 1_000_000


def model(name: str, part: object, settings: Mapping[str, Any]) -> Iterator[Check]:
    """A model behind a server: whether texts may go there, whether it answers, and whether its key is set.

    Args:
        name: What it is for, such as ``embedder``.
        part: The model.
        settings: What it was built from.
    """
    for endpoint in held(part, Endpoint):
        (address,) = held(endpoint, Address)
        try:
            given = bool(endpoint.key())
        except ConfigError as error:
            # With such a key no request would leave, so no server is asked.
            yield Check(f"{name} key", "fault", str(error))
            continue
        server, own = _server(name, endpoint, address, settings.get("model"))
        yield server
        yield _key(name, endpoint.key_variable, given=given, own=own)


def vector_store(store: VectorStore, settings: Mapping[str, Any]) -> Iterator[Check]:
    """The engine of the vectors; a server is asked for its version, and for a collection that is not there."""
    if "url" not in settings:
        yield Check("vector store", "ok", store.description)
        return
    variable = str(settings["api_key_env"])
    checks.key(variable, os.environ.get(variable, ""))

    def look() -> str:
        try:
            store.open(_PROBE)
        finally:
            store.close()
        return _version(settings, variable)

    try:
        version = within_patience(look)
    except TimeoutError as error:
        yield Check(
            "vector store", "fault", f"{store.description} {error}", "start it anew, or correct vector_store.url"
        )
    else:
        yield Check("vector store", "ok", f"{store.description} answers{version}")


def _server(name: str, endpoint: Endpoint, address: Address, wanted: object) -> tuple[Check, bool]:
    """How the server is found, and whether it is one of the user's own."""

    def look() -> tuple[Check, bool]:
        # What is not the user's own may count requests, and has no /health that is known.
        if endpoint.reach():
            return _health(name, address, wanted), True
        return Check(f"{name} server", "ok", f"{endpoint} answers; texts will leave"), False

    try:
        return within_patience(look)
    except EvalkitError as error:
        return Check(f"{name} server", "fault", str(error)), address.is_loopback
    except TimeoutError as error:
        found, advice = f"{endpoint} {error}", f"start it anew, or correct {name}.url"
        return Check(f"{name} server", "fault", found, advice), address.is_loopback


def _health(name: str, address: Address, wanted: object) -> Check:
    """What the service says of itself, where it is one that has /health; a server of another kind need not."""
    status, body = _asked(address, f"{re.sub('/v[0-9]+$', '', address.path)}/health", {}) or (None, b"")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        found, advice = f"{address} answers, and says that it is not ready", "wait until it has loaded its model"
        return Check(f"{name} server", "warning", found, advice)
    if status != HTTPStatus.OK:
        return Check(f"{name} server", "ok", f"{address} answers")
    names = _names(body)
    if names and wanted not in names:
        found = f"{address} serves {names[0]}, and {name}.model is {wanted}"
        advice = f"set {name}.model={names[0]}, unless its serve.model_names holds the other"
        return Check(f"{name} server", "warning", found, advice)
    return Check(f"{name} server", "ok", f"{address} answers, and says that it is ready")


def _names(health: bytes) -> tuple[str, ...]:
    """What the model is called where evalkit serves it; empty where the answer is another service's."""
    from evalkit.serving.wire import names_of

    try:
        fingerprint = json.loads(health)["fingerprint"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()
    return names_of(fingerprint) if isinstance(fingerprint, dict) else ()


def _key(name: str, variable: str, *, given: bool, own: bool) -> Check:
    if given:
        return Check(f"{name} key", "ok", f"{variable} is set")
    if own:
        return Check(f"{name} key", "ok", f"{variable} is not set; a server of your own may do without")
    return Check(f"{name} key", "warning", f"{variable} is not set", f"set it, unless {name}.url asks for none")


def _asked(address: Address, path: str, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
    """Status and body of a GET, of which the end may be missing; None where there is no answer in HTTP."""
    kind = HTTPSConnection if address.encrypted else HTTPConnection
    connection = kind(address.host, address.port, timeout=BACKSTOP_S)
    try:
        connection.request("GET", path, headers={key: value for key, value in headers.items() if value})
        response = connection.getresponse()
        return response.status, response.read(_LONGEST_ANSWER)
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _version(settings: Mapping[str, Any], variable: str) -> str:
    """What Qdrant says of itself at its root; empty where it says nothing, which keeps no run from starting."""
    try:
        address = Address.parse("vector_store.url", settings["url"], variable)
        answer = _asked(address, f"{address.path}/", {"api-key": os.environ.get(variable, "")})
        return f", version {json.loads(answer[1])['version']}" if answer else ""
    except (ConfigError, ValueError, LookupError, TypeError):
        return ""
