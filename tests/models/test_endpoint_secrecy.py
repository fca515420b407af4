"""A server that embeds: nobody else is told a text, and nothing tells the key."""

from __future__ import annotations

import datetime
import logging
import socket
import ssl
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.models import address
from tests.models.asking import KEY, TEXT, VARIABLE, ask, endpoint, refusal_of
from tests.models.embeddings_server import Answer, EmbeddingsServer

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


def heard(listener: socket.socket) -> Callable[[], bytes]:
    """Takes one connection; what came over it until its end."""
    found: list[bytes] = []

    def listen() -> None:
        connection, _ = listener.accept()
        with connection:
            found.extend(iter(lambda: connection.recv(1000), b""))

    thread = threading.Thread(target=listen)
    thread.start()

    def result() -> bytes:
        thread.join(10)
        return b"".join(found)

    return result


def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is whom the connection reached: here loopback, which is taken for an address elsewhere."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = heard(listener)
        asked = endpoint(f"http://localhost:{listener.getsockname()[1]}")
        monkeypatch.setattr(address, "_OWN_NETWORKS", ())
        message = refusal_of(asked, ConfigError)
        assert result() == b""
    assert "leads to localhost, which is 127.0.0.1: neither this machine" in message


def test_a_server_elsewhere_is_asked_where_that_is_meant(
    server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "_OWN_NETWORKS", ())
    assert ask(endpoint(server.url, allow_remote=True))


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
    server.fail(Answer(500))
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
