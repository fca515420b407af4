"""Servers that a run would ask: reached over real sockets, and sent no text."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic

import pytest

from evalkit.composition import compose_config
from evalkit.config import build_plan, build_reranker
from evalkit.errors import ConfigError
from evalkit.readiness import outcome, servers
from evalkit.readiness.outcome import Check
from evalkit.testing import FunctionReranker
from tests.readiness.conftest import PATIENCE_S
from tests.serving.running import running
from tests.stores.qdrant_server import QdrantServer

KEY = "EVALKIT_RERANKER_API_KEY"
NAMED = ["reranker.model=m", "reranker.revision=r"]


class _Service(BaseHTTPRequestHandler):
    """A service that says by /health how it is, and notes down what it is asked."""

    health: int
    asked: list[str]
    body = b""

    def do_GET(self) -> None:
        self.asked.append(f"GET {self.path}")
        self.send_response(self.health if self.path == "/health" else 404)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

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


def looked(url: str, *overrides: str) -> dict[str, Check]:
    plan = build_plan(compose_config(["reranker=http", *NAMED, f"reranker.url={url}", *overrides]))
    return {check.name: check for check in servers.model("reranker", plan.reranker, plan.config["reranker"])}


def store(*overrides: str) -> Check:
    plan = build_plan(compose_config(list(overrides)))
    (check,) = outcome.looked("vector store", lambda: servers.vector_store(plan.store, plan.config["vector_store"]))
    return check


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
    assert check.found.startswith(f"the reranker at http://127.0.0.1:{closed}/v1 cannot be reached (")
    assert check.found.endswith("start it, or correct reranker.url")


def test_a_name_that_leads_elsewhere_is_a_fault(
    service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a name stands for is known once it is connected: here a peer outside of every private network."""
    monkeypatch.setattr("evalkit.models.remote.connections.is_own", lambda _: False)
    check = looked(service[0].replace("127.0.0.1", "localhost"))["reranker server"]
    assert check.status == "fault"
    assert "neither this machine nor a private network" in check.found
    assert service[1] == []


def test_elsewhere_a_key_that_is_not_set_is_a_warning_and_no_text_is_said_to_leave(
    service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The notice belongs before the first text, and stays due: it is given once per process."""
    monkeypatch.delenv(KEY, raising=False)
    for module in ("connections", "endpoint"):
        monkeypatch.setattr(f"evalkit.models.remote.{module}.is_own", lambda _: False)
    checks = looked(service[0], "reranker.allow_remote=true")
    assert checks["reranker server"].found.endswith("answers; texts will leave")
    assert (checks["reranker key"].status, checks["reranker key"].found) == ("warning", f"{KEY} is not set")
    assert service[1] == []
    assert "TEXTS LEAVE" not in caplog.text


def test_a_model_of_this_machine_asks_no_server() -> None:
    plan = build_plan(compose_config([]))
    assert list(servers.model("reranker", plan.reranker, plan.config["reranker"])) == []


def test_a_key_is_never_said(service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sesame")
    assert "sesame" not in str(looked(service[0]))


@pytest.mark.parametrize("key", ["ses ame", "sesamé", "ses\tame"])
def test_a_key_that_no_header_can_carry_is_a_fault_that_does_not_show_it(
    service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """As the run says it, and before a server is asked."""
    monkeypatch.setenv(KEY, key)
    reranker = build_reranker(compose_config(["reranker=http", *NAMED, f"reranker.url={service[0]}"]))
    with pytest.raises(ConfigError) as refused:
        reranker.score([("query", "document")])
    assert looked(service[0]) == {"reranker key": Check("reranker key", "fault", str(refused.value))}
    assert key not in str(refused.value)
    assert service[1] == []


def test_a_server_without_tls_is_told_of_as_the_run_tells(service: tuple[str, list[str]]) -> None:
    url = service[0].replace("http:", "https:")
    check = looked(url)["reranker server"]
    assert check.status == "fault"
    assert "use http:// where it has no certificate" in check.found


@pytest.mark.parametrize("base", ["", "/v1", "/v2", "/v2/"])
def test_health_stands_beside_any_version_of_the_interface(service: tuple[str, list[str]], base: str) -> None:
    url, asked = service
    check = looked(url.removesuffix("/v1") + base)["reranker server"]
    assert check.found.endswith("answers, and says that it is ready")
    assert asked == ["GET /health"]


@pytest.mark.usefixtures("hurry")
def test_a_server_that_drips_is_a_fault_in_time(dripping: int) -> None:
    """No byte of it is late; /health as a whole is."""
    began = monotonic()
    check = looked(f"http://127.0.0.1:{dripping}/v1")["reranker server"]
    assert monotonic() - began < 10 * PATIENCE_S
    url = f"http://127.0.0.1:{dripping}/v1"
    assert (check.status, check.found) == ("fault", f"the reranker at {url} gave no answer within {PATIENCE_S} s")


@pytest.mark.parametrize(("model", "status"), [("m", "warning"), ("words-in-common", "ok")])
def test_our_own_service_is_asked_which_model_it_serves(model: str, status: str) -> None:
    with running(FunctionReranker(name="somebody/words-in-common")) as served:
        check = looked(f"{served.url}/v1", f"reranker.model={model}")["reranker server"]
    assert check.status == status
    assert ("serves words-in-common, and reranker.model is m" in check.found) is (status == "warning")


@pytest.mark.parametrize("body", [b"[]", b'{"fingerprint": "x"}', b"\xff", b"[" * 100_000])
def test_what_another_service_says_of_its_health_is_not_read(
    service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(_Service, "body", body)
    assert looked(service[0])["reranker server"].status == "ok"


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


@pytest.mark.usefixtures("hurry")
def test_a_qdrant_that_is_silent_is_a_fault_in_time(silent: int) -> None:
    began = monotonic()
    check = store("vector_store=server", f"vector_store.url=http://127.0.0.1:{silent}")
    assert monotonic() - began < 10 * PATIENCE_S
    found = f"Qdrant server at http://127.0.0.1:{silent} gave no answer within {PATIENCE_S} s"
    assert (check.status, check.found) == ("fault", found)


def test_a_key_for_qdrant_that_no_header_can_carry_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "sesamé")
    with QdrantServer() as qdrant:
        check = store("vector_store=server", f"vector_store.url={qdrant.url}")
        assert qdrant.requests == []
    assert check.status == "fault"
    assert "QDRANT_API_KEY holds a sign that no header can carry" in check.found


def test_an_engine_in_process_needs_no_server() -> None:
    assert store() == Check("vector store", "ok", "qdrant-client in process")
