"""The address of a server that texts are sent to, and whether it is one of the user's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from evalkit.checks import text
from evalkit.errors import ConfigError

_LABEL = r"[A-Za-z0-9_-]{1,63}"
# ASCII alone: those who check a name and those who look it up differ on other signs that may stand for a dot.
_URL = re.compile(
    rf"(https?)://(?:\[([0-9a-fA-F:.]+)\]|({_LABEL}(?:\.{_LABEL})*\.?))(?::([0-9]{{1,5}}))?((?:/[!-~]*)?)"
)
_OWN_NETWORKS = tuple(
    ip_network(network)
    for network in (
        *("127.0.0.0/8", "::1/128"),  # this machine
        *("0.0.0.0/32", "::/128"),  # likewise, as servers print what they listen on
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),  # private: RFC 1918, RFC 4193
        *("169.254.0.0/16", "fe80::/10"),  # this link: RFC 3927, RFC 4291
    )
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.

    Attributes:
        encrypted: Whether it is asked over TLS.
        host: A name, or an IP address without brackets.
        port: Its TCP port.
        path: What precedes the paths of its calls; without a slash at the end.
    """

    encrypted: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, name: str, url: object, key_variable: str) -> Address:
        """Read a URL.

        Args:
            name: The setting that holds it, such as ``embedder.url``.
            url: Such as ``http://127.0.0.1:8080/v1``.
            key_variable: Where a key belongs, which people write into URLs.

        Raises:
            ConfigError: It is no address, or carries credentials.
        """
        text(name, url)
        if set("@?#") & set(str(url)):
            # Not repeated in the message: it would end up in logs.
            raise ConfigError(
                f"{name} carries credentials or parameters; write scheme, host, port and path only, and put the key "
                f"into the environment variable {key_variable}"
            )
        parts = _URL.fullmatch(str(url))
        if parts is None or not (_is_ip(parts[2] or "::1") and 0 < int(parts[4] or 1) < 2**16):
            raise ConfigError(f"{name} is {url!r}; expected an address like http://127.0.0.1:8080/v1")
        encrypted = parts[1] == "https"
        port = int(parts[4] or (443 if encrypted else 80))
        return cls(encrypted, parts[2] or parts[3], port, parts[5].rstrip("/"))

    def __str__(self) -> str:
        """The URL, with its port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.encrypted else 'http'}://{host}:{self.port}{self.path}"

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address: what a name stands for is known once it is looked up."""
        return _is_ip(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, by its usual name or by address."""
        return self.host == "localhost" or (self.is_ip and is_here(self.host))


def is_own(ip: str) -> bool:
    """Whether an IP address is of this machine, of its link or of a private network.

    The shared address space 100.64.0.0/10 is not: it belongs to a provider, although some virtual networks use it.
    """
    found = _unmapped(ip)
    return any(found in network for network in _OWN_NETWORKS)


def is_here(ip: str) -> bool:
    """Whether an IP address is of this machine alone; 0.0.0.0 and ::, asked for, are."""
    found = _unmapped(ip)
    return found.is_loopback or found.is_unspecified


def _unmapped(ip: str) -> IPv4Address | IPv6Address:
    """The address itself where IPv6 only carries one of IPv4."""
    found = ip_address(ip)
    return getattr(found, "ipv4_mapped", None) or found


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
