"""A server that embeds: nobody else is told a text, and nothing tells the key."""

from __future__ import annotations

import datetime
import logging
import re
import socket
import ssl
import traceback
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.models.remote import address, connections
from evalkit.models.remote.endpoint import Endpoint
from tests.models.asking import KEY, TEXT, VARIABLE, ask, endpoint, refusal_of
from tests.models.embeddings_server import EmbeddingsServer
from tests.models.model_server import Answer

pytestmark = pytest.mark.usefixtures("pauses")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_and_its_end_hears_nothing(server: EmbeddingsServer, status: int) -> None:
    with EmbeddingsServer() as elsewhere:
        server.fail(Answer(status, headers={"Location": f"{elsewhere.url}/embeddings"}))
        message = refusal_of(server)
        assert f"sends on to another address (status {status}), which is not followed" in message
        assert (elsewhere.requests, elsewhere.connections) == ([], [])


def test_a_proxy_of_the_environment_hears_nothing(server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddingsServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert ask(server)
        assert (proxy.requests, proxy.connections) == ([], [])


def test_an_address_elsewhere_is_refused_before_anything_is_opened() -> None:
    for url in (
        "http://8.8.8.8/v1",
        "https://[2001:4860:4860::8888]/v1",
        "http://[::ffff:8.8.8.8]",
        "http://100.64.0.1",
    ):
        with pytest.raises(ConfigError, match=r"neither this machine nor a private .* embedder\.allow_remote=true"):
            endpoint(url)
        assert endpoint(url, allow_remote=True)


def unheard(listener: socket.socket) -> bool:
    """Whether nobody has connected: a TLS handshake would tell the name that is asked for."""
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """What counts is what the name stands for: here loopback, which is taken for an address elsewhere."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked = endpoint(f"{scheme}://localhost:{listener.getsockname()[1]}")
        monkeypatch.setattr(address, "_OWN_NETWORKS", ())
        message = refusal_of(asked, ConfigError)
        assert unheard(listener)
    assert re.search(r"leads to localhost, which is (127\.0\.0\.1|::1): neither this machine", message)


def test_of_several_addresses_only_those_are_asked_that_texts_may_go_to(
    server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a network where machines have a public address beside their private one."""
    found: Any = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in ("203.0.113.1", "127.0.0.1")]
    looked_up, tried = socket.getaddrinfo, list[object]()

    def both(host: str, *rest: Any, **named: Any) -> Any:
        tried.append(host)
        return found if host == "embedder.invalid" else looked_up(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert ask(endpoint(f"http://embedder.invalid:{server.port}/v1"))
    assert tried == ["embedder.invalid", "127.0.0.1"]


def test_a_server_elsewhere_is_asked_where_that_is_meant(
    server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "_OWN_NETWORKS", ())
    assert ask(endpoint(server.url, allow_remote=True))


@pytest.mark.parametrize(
    "url",
    [
        *("http://10.0.0.1/v1", "http://192.168.1.1:80", "http://[fd00::1]", "https://8.8.8.8"),
    ],
)
@pytest.mark.parametrize("allow_remote", [False, True])
def test_offline_forbids_every_address_but_this_machine(url: str, allow_remote: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        endpoint(url, allow_remote=allow_remote, offline=True)
    host = url.partition("//")[2].strip("[]").partition("/")[0].partition(":8")[0].strip("]")
    assert str(caught.value) == (
        f"offline is true, but embedder.url leads to {host}, which is not this machine, and every text would be sent "
        "there; name a server on localhost, or set offline=false if that is meant"
    )


def test_offline_a_server_on_this_machine_is_asked(server: EmbeddingsServer) -> None:
    assert ask(endpoint(server.url, offline=True))
    assert ask(endpoint(server.url.replace("127.0.0.1", "localhost"), offline=True))


def test_offline_what_counts_is_what_a_name_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where somebody gave the name localhost to another machine: here, nothing is taken for this one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked = endpoint(f"http://localhost:{listener.getsockname()[1]}", allow_remote=True, offline=True)
        monkeypatch.setattr(connections, "is_here", lambda _: False)
        message = refusal_of(asked, ConfigError)
        assert unheard(listener)
    assert re.search(r"offline is true, but embedder.url leads to localhost, which is (127\.0\.0\.1|::1), ", message)


@pytest.mark.parametrize("host", ["api.cohere.com", "embedder:8080", "localhost.example", "127.1"])
def test_offline_a_name_is_not_even_looked_up(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some, such as 127.1, would stand for this machine."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it was looked up"))
    with pytest.raises(ConfigError) as caught:
        endpoint(f"http://{host}/v1", allow_remote=True, offline=True)
    assert str(caught.value) == (
        f"offline is true, but embedder.url names {host.partition(':')[0]}, and only localhost and addresses such as "
        "127.0.0.1 are this machine for certain; name one of these, or set offline=false if texts may leave it"
    )


def test_offline_what_a_server_prints_that_listens_everywhere_is_this_machine(server: EmbeddingsServer) -> None:
    everywhere = server.url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - asked, not bound
    assert ask(endpoint(everywhere, offline=True))


NOTICE = "TEXTS LEAVE YOUR NETWORK: queries and documents go to 127.0.0.1, the embedder's server, as "


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is taken for an address elsewhere, and nobody was told of any yet."""
    monkeypatch.setattr(address, "_OWN_NETWORKS", ())
    monkeypatch.setattr(connections, "_noticed", set())


@pytest.mark.usefixtures("elsewhere")
def test_that_texts_leave_is_said_once_per_server_and_before_they_do(
    server: EmbeddingsServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests_then: list[int] = []
    announce = connections.Connections.announce

    def announced(self: connections.Connections, connection: HTTPConnection) -> None:
        requests_then.append(len(server.requests))
        announce(self, connection)

    monkeypatch.setattr(connections.Connections, "announce", announced)
    for _ in range(2):
        asked = endpoint(server.url, allow_remote=True)
        ask(asked)
        server.hang_up()
        ask(asked)
    told = [record for record in caplog.records if "TEXTS LEAVE" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING]
    assert told[0].getMessage() == f"{NOTICE}embedder.allow_remote=true says; offline=true forbids it"
    assert requests_then[0] == 0


@pytest.mark.usefixtures("elsewhere")
def test_where_no_text_is_sent_nothing_is_said(server: EmbeddingsServer, caplog: pytest.LogCaptureFixture) -> None:
    assert not endpoint(server.url, allow_remote=True).reach()
    assert caplog.text == ""


@pytest.mark.usefixtures("elsewhere")
def test_it_is_said_of_each_role(server: EmbeddingsServer, caplog: pytest.LogCaptureFixture) -> None:
    ask(Endpoint("embedder", server.url, VARIABLE, 20, True, False))
    ask(Endpoint("reranker", server.url, VARIABLE, 20, True, False))
    assert [role for role in ("embedder", "reranker") if f"the {role}'s server" in caplog.text] == [
        "embedder",
        "reranker",
    ]


def test_within_ones_own_network_nothing_is_said(server: EmbeddingsServer, caplog: pytest.LogCaptureFixture) -> None:
    ask(endpoint(server.url, allow_remote=True))
    assert caplog.text == ""


def test_a_server_with_an_ipv6_address_is_asked() -> None:
    try:
        running = EmbeddingsServer(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with running:
        assert ask(running)
        assert running.requests[0].headers["Host"] == f"[::1]:{running.port}"


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f" {KEY}\n")
    with EmbeddingsServer(api_key=KEY) as locked:
        assert ask(locked)


def test_a_wrong_key_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "wrong-key")
    with EmbeddingsServer(api_key=KEY) as locked:
        message = refusal_of(locked)
    assert f"refused the key in {VARIABLE} (status 401); set one that it takes" in message
    assert "wrong-key" not in message


def test_without_a_key_none_is_sent(server: EmbeddingsServer) -> None:
    ask(server)
    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize("key", ["pa55\nword", "pa55 word", "pa55wörd", "pa55word\x7f"], ids=ascii)
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(
    server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    with pytest.raises(ConfigError, match=f"{VARIABLE} holds a sign") as caught:
        ask(server)
    assert "pa55" not in "".join(traceback.format_exception(caught.value))
    assert server.connections == []


def test_neither_key_nor_text_shows_anywhere(
    server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(VARIABLE, KEY)
    asked = endpoint(server.url)
    server.fail(Answer(503))
    ask(asked)
    server.fail(Answer(400))
    shown = [refusal_of(asked), str(asked), repr(asked), repr(vars(asked)), caplog.text]
    assert caplog.records
    assert not any(secret in text for text in shown for secret in (KEY, TEXT))


@pytest.mark.parametrize(
    ("url", "key", "allow_remote", "warned"),
    [
        ("http://127.0.0.1:{port}", KEY, True, False),
        ("http://localhost:{port}", KEY, True, False),
        ("http://embedder.invalid:{port}", KEY, False, True),
        ("http://embedder.invalid:{port}", "", True, True),
        ("http://embedder.invalid:{port}", "", False, False),
        ("https://embedder.invalid:{port}", KEY, True, False),
    ],
)
def test_what_crosses_a_network_in_the_clear_is_warned_about(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    url: str,
    key: str,
    allow_remote: bool,
    warned: bool,
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    with EmbeddingsServer() as gone:
        port = gone.port
    refusal_of(endpoint(url.format(port=port), allow_remote=allow_remote))
    assert ("cross the network in the clear; use https" in caplog.text) is warned


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of localhost, signed by nobody else, and what a server needs to show it."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography comes with MLflow")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made: Any = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, plain, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def test_a_certificate_of_ones_own_authority_is_trusted_where_the_environment_names_it(
    certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate
    with EmbeddingsServer(tls=context) as server:
        url = f"https://localhost:{server.port}/v1"
        message = refusal_of(endpoint(url))
        assert "cannot be trusted (CERTIFICATE_VERIFY_FAILED)" in message
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        asked = endpoint(url)
        known = len(server.connections)
        assert ask(asked)
        assert ask(asked)
        assert len(server.connections) == known + 1


def test_a_server_without_tls_is_not_asked_over_it(server: EmbeddingsServer) -> None:
    message = refusal_of(endpoint(server.url.replace("http:", "https:")))
    assert "cannot be trusted" in message
    assert server.requests == []
