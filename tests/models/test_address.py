"""Where texts may be sent: what counts as one's own, and which URLs are addresses at all."""

from __future__ import annotations

import pytest

from evalkit.errors import ConfigError
from evalkit.models.remote.address import Address, is_here, is_own


@pytest.mark.parametrize(
    "ip",
    [
        *("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"),  # noqa: S104 - compared, not bound
        *("10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "::ffff:192.168.1.1"),
        *("fd00::1", "fc00::1", "169.254.1.1", "fe80::1", "fe80::1%eth0"),
    ],
)
def test_this_machine_its_link_and_private_networks_are_own(ip: str) -> None:
    assert is_own(ip)


@pytest.mark.parametrize(
    "ip",
    [
        *("8.8.8.8", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.1.1", "192.169.0.0"),
        *("100.64.0.1", "100.127.255.254"),  # shared with a provider's other customers: RFC 6598
        *("203.0.113.1", "198.18.0.1", "240.0.0.1", "255.255.255.255"),  # documentation, benchmarks, reserved
        *("2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "fec0::1", "::2"),
    ],
)
def test_everything_else_is_not(ip: str) -> None:
    assert not is_own(ip)


@pytest.mark.parametrize(
    ("ip", "here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
     ("192.168.1.1", False), ("::ffff:10.0.0.1", False), ("fd00::1", False), ("8.8.8.8", False),
     ("0.0.0.0", True), ("::", True), ("0.0.0.1", False)],  # noqa: S104 - compared, not bound
)  # fmt: skip
def test_only_loopback_is_this_machine_or_what_stands_for_it(ip: str, here: bool) -> None:
    assert is_here(ip) is here


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://127.0.0.1:8080/v1", (False, "127.0.0.1", 8080, "/v1")),
        ("http://127.0.0.1:8080/v1/", (False, "127.0.0.1", 8080, "/v1")),
        ("https://embed.example", (True, "embed.example", 443, "")),
        ("http://embedder", (False, "embedder", 80, "")),
        (
            "http://text_embedder.default.svc.cluster.local./",
            (False, "text_embedder.default.svc.cluster.local.", 80, ""),
        ),
        ("http://[::1]:8080/a/b", (False, "::1", 8080, "/a/b")),
    ],
)
def test_a_url_is_read_in_parts(url: str, parts: tuple[bool, str, int, str]) -> None:
    found = Address.parse("embedder.url", url, "KEY")
    assert (found.encrypted, found.host, found.port, found.path) == parts
    assert Address.parse("embedder.url", str(found), "KEY") == found


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8080", "ftp://localhost", "http://", "http:///v1", "http://host:port", "http://host:0"),
        *("http://host:65536", "http://host:８０", "http://a..b", f"http://{'a' * 64}", "http://[::1", "http://[:::]"),
        *("http://[fe80::1%25eth0]", "http://host/a b", "http://127.0.0.1\n.example", "http://127.0.0.1\\.example"),
        *("http://evil。example", "http://evil．example", "http://host/\x7f"),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected an address like http://127.0.0.1:8080/v1"):
        Address.parse("embedder.url", url, "KEY")


@pytest.mark.parametrize(
    "url",
    [
        *("http://me:pa55word@localhost:8080/v1", "me:pa55word@localhost", "http://pa55word@localhost"),
        *("https://embed.example/v1?api-key=pa55word", "https://embed.example/v1#pa55word"),
    ],
)
def test_a_url_with_credentials_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"embedder\.url carries credentials .* environment variable KEY") as caught:
        Address.parse("embedder.url", url, "KEY")
    assert "pa55word" not in str(caught.value)


def test_a_url_that_is_no_text_is_refused_by_its_type() -> None:
    with pytest.raises(ConfigError, match=r"embedder\.url is of type int; expected text"):
        Address.parse("embedder.url", 8080, "KEY")


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost", True),
        ("http://127.0.0.2", True),
        ("http://[::1]", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
    ],
)
def test_only_this_machine_is_loopback(url: str, loopback: bool) -> None:
    assert Address.parse("embedder.url", url, "KEY").is_loopback is loopback
