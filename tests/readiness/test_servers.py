"""Servers that a run would ask: reached over real sockets, and sent no text."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from evalkit.composition import compose_config
from evalkit.config import build_plan, build_sinks
from evalkit.readiness import servers
from evalkit.readiness.outcome import Check
from tests.conftest import NewStore
from tests.stores.qdrant_server import QdrantServer

KEY = "EVALKIT_RERANKER_API_KEY"


class _Service(BaseHTTPRequestHandler):
    """A service that says by /health how it is, and notes down what it is asked."""

    health: int
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"GET {self.path}")
        self.send_response(self.health if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.asked.append(f"POST {self.path}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[str]]]:
    """Its base, and what it was asked; a parameter is the status of /health."""
    asked: list[str] = []
    handler = type("Service", (_Service,), {"health": getattr(request, "param", 200), "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
        server.shutdown()


@pytest.fixture
def closed() -> Iterator[int]:
    """A port of this machine on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def looked(url: str, *overrides: str) -> dict[str, Check]:
    named = ["reranker.model=m", "reranker.revision=r", f"reranker.url={url}"]
    plan = build_plan(compose_config(["reranker=http", *named, *overrides]))
    return {check.name: check for check in servers.model("reranker", plan.reranker)}


def store(*overrides: str) -> Check:
    plan = build_plan(compose_config(list(overrides)))
    return servers.vector_store(plan.store, plan.config["vector_store"])


def tracking(uri: str) -> list[Check]:
    return list(servers.tracking(build_sinks(compose_config([f"sinks.mlflow.tracking_uri={uri}"]))))


def test_a_service_that_is_ready_is_said_to_be(service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sesame")
    url, asked = service
    checks = looked(url)
    assert checks["reranker server"] == Check("reranker server", "ok", f"{url} answers, and says that it is ready")
    assert checks["reranker key"] == Check("reranker key", "ok", f"{KEY} is set")
    assert asked == ["GET /health"]


@pytest.mark.parametrize("service", [503], indirect=True)
def test_a_service_that_is_not_ready_is_a_warning(service: tuple[str, list[str]]) -> None:
    assert looked(service[0])["reranker server"].status == "warning"


@pytest.mark.parametrize("service", [404], indirect=True)
def test_a_server_of_another_kind_needs_no_health(
    service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    checks = looked(service[0])
    assert (checks["reranker server"].status, checks["reranker server"].found) == ("ok", f"{service[0]} answers")
    assert checks["reranker key"].found == f"{KEY} is not set; a server of your own may do without"


def test_a_server_that_is_not_there_is_a_fault(closed: int) -> None:
    check = looked(f"http://127.0.0.1:{closed}/v1")["reranker server"]
    assert check.status == "fault"
    assert check.found == f"the reranker at http://127.0.0.1:{closed}/v1 cannot be reached (Connection refused)"
    assert check.advice == "start it, or correct reranker.url"


def test_a_name_that_leads_elsewhere_is_a_fault(
    service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a name stands for is known once it is connected: here a peer outside of every private network."""
    monkeypatch.setattr("evalkit.models.remote.connections.is_own", lambda _: False)
    check = looked(service[0].replace("127.0.0.1", "localhost"))["reranker server"]
    assert check.status == "fault"
    assert "neither this machine nor a private network" in check.found
    assert service[1] == []


def test_elsewhere_a_key_that_is_not_set_is_a_warning(
    service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    for module in ("evalkit.models.remote.connections", "evalkit.readiness.servers"):
        monkeypatch.setattr(f"{module}.is_own", lambda _: False)
    checks = looked(service[0], "reranker.allow_remote=true")
    assert checks["reranker server"].found.endswith("answers; texts will leave")
    assert (checks["reranker key"].status, checks["reranker key"].found) == ("warning", f"{KEY} is not set")
    assert service[1] == []


def test_a_model_of_this_machine_asks_no_server() -> None:
    assert list(servers.model("reranker", build_plan(compose_config([])).reranker)) == []


def test_a_key_is_never_said(service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sesame")
    assert "sesame" not in str(looked(service[0]))


def test_qdrant_is_named_with_its_version() -> None:
    with QdrantServer() as qdrant:
        qdrant.fail("GET", 2, {"title": "qdrant - vector search engine", "version": "1.15.4"})
        check = store("vector_store=server", f"vector_store.url={qdrant.url}")
        assert not qdrant.collections
    assert (check.status, check.found) == ("ok", f"Qdrant server at {qdrant.url} answers, version 1.15.4")


def test_a_qdrant_that_is_not_there_is_a_fault(closed: int) -> None:
    check = store("vector_store=server", f"vector_store.url=http://127.0.0.1:{closed}")
    assert check.status == "fault"
    assert f"127.0.0.1:{closed}" in check.found


def test_a_qdrant_that_refuses_the_key_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "wrong")
    with QdrantServer(api_key="right") as qdrant:
        check = store("vector_store=server", f"vector_store.url={qdrant.url}")
    assert check.status == "fault"
    assert "QDRANT_API_KEY" in check.found


def test_an_engine_in_process_needs_no_server() -> None:
    assert store() == Check("vector store", "ok", "qdrant-client in process")


def test_a_tracking_store_that_is_not_there_will_be_made(tmp_path: Path) -> None:
    (check,) = tracking(f"sqlite:///{tmp_path}/mlflow.db")
    assert (check.status, check.found) == ("ok", f"sqlite:///{tmp_path}/mlflow.db will be made")
    assert list(tmp_path.iterdir()) == []


def test_a_tracking_store_that_is_there_is_read(tmp_path: Path, new_store: NewStore) -> None:
    uri = new_store(tmp_path)
    assert tracking(uri) == [Check("mlflow", "ok", f"{uri} can be read")]


def test_a_tracking_store_of_something_else_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"no database" * 100)
    (check,) = tracking(f"sqlite:///{file}")
    assert check.status == "fault"
    assert "sinks.mlflow=null" in check.advice


def test_a_tracking_server_that_is_not_there_is_a_fault(closed: int) -> None:
    (check,) = tracking(f"http://user:sesame@127.0.0.1:{closed}")
    assert check.status == "fault"
    assert check.found.startswith(f"http://127.0.0.1:{closed} cannot be used")
    assert "sesame" not in str(check)


def test_without_mlflow_no_store_is_looked_at() -> None:
    sinks: dict[str, Any] = build_sinks(compose_config(["sinks.mlflow=null"]))
    assert list(servers.tracking(sinks)) == []
