"""Connections to a model's server, and where texts must not go."""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from http.client import HTTPConnection, HTTPSConnection
from threading import Event, Lock
from typing import Literal, TypeAlias

from evalkit.errors import ConfigError, ModelError
from evalkit.models.remote.address import Address, is_here, is_own

_LOG = logging.getLogger("evalkit.models")

Role: TypeAlias = Literal["embedder", "reranker"]

_CONNECT_S = 10

_noticed: set[tuple[Role, str]] = set()
"""Role and host of every server elsewhere that this process has told its user of."""
_noticing = Lock()


class Connections:
    """As many connections to one server as requests are under way, kept for those that follow.

    Args:
        role: Whose server it is; settings are named after it.
        address: Where it listens.
        timeout_s: Longest wait for a connection, in seconds, where that is less than ten.
        allow_remote: Whether it may stand elsewhere than on this machine or in a private network.
        offline: Whether it may only stand on this machine, whatever ``allow_remote`` says.

    Raises:
        ConfigError: The address leads to where texts must not go.
    """

    def __init__(self, role: Role, address: Address, timeout_s: int, allow_remote: bool, offline: bool) -> None:
        self._role = role
        self._address = address
        self._timeout_s = timeout_s
        self._allow_remote = allow_remote
        self._offline = offline
        self._abandoned = Event()
        self._lock = Lock()
        self._idle: list[HTTPConnection] = []
        self._busy: list[HTTPConnection] = []
        if address.is_ip and not self._may_go_to(address.host):
            raise self._refused(address.host)
        if offline and not address.is_loopback:
            raise ConfigError(
                f"offline is true, but {role}.url names {address.host}, and only localhost and addresses such as "
                "127.0.0.1 are this machine for certain; name one of these, or set offline=false if texts may leave it"
            )
        weakref.finalize(self, _close, self._idle)

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self._abandoned.is_set()

    def abandon(self) -> None:
        """End every request that is under way, and take none until :meth:`resume`."""
        self._abandoned.set()
        with self._lock:
            for connection in self._busy:
                if connection.sock is not None:
                    with suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)

    def resume(self) -> None:
        """Take requests again."""
        self._abandoned.clear()

    def pause(self, seconds: float) -> None:
        """Wait, unless nobody does any more."""
        self._abandoned.wait(seconds)

    @contextmanager
    def one(self, with_key: bool) -> Iterator[HTTPConnection]:
        """A connection that nobody else uses meanwhile; closed where an exchange over it fails.

        Args:
            with_key: Whether a key crosses it.
        """
        with self._lock:
            connection = self._idle.pop() if self._idle else self._new(with_key)
            self._busy.append(connection)
        try:
            yield connection
        except BaseException:
            # What is left of a broken exchange must not be read as the answer to the next request.
            connection.close()
            raise
        finally:
            with self._lock:
                self._busy.remove(connection)
                self._idle.append(connection)

    def open(self, connection: HTTPConnection) -> None:
        """See to it that the connection stands, and that it leads to where texts may go.

        Raises:
            ConfigError: It does not.
            ModelError: Nobody waits for an answer any more.
            OSError: Nobody listens there.
        """
        if connection.sock is None or _hung_up(connection.sock):
            connection.close()
            connection.sock = self._connected()
        if self.abandoned:
            raise ModelError(f"the {self._role} was not asked any more, as another request failed")

    def announce(self, connection: HTTPConnection) -> None:
        """Say once per process, before the first text goes there, that texts leave."""
        if is_own(connection.sock.getpeername()[0]):
            return
        with _noticing:
            if (self._role, self._address.host) in _noticed:
                return
            _noticed.add((self._role, self._address.host))
        _LOG.warning(
            "TEXTS LEAVE YOUR NETWORK: queries and documents go to %s, the %s's server, as %s.allow_remote=true says; "
            "offline=true forbids it",
            self._address.host,
            self._role,
            self._role,
        )

    def _new(self, with_key: bool) -> HTTPConnection:
        host, port = self._address.host, self._address.port
        if self._address.encrypted:
            return HTTPSConnection(host, port, context=self._authorities)
        if not (self._idle or self._busy or self._address.is_loopback) and (self._allow_remote or with_key):
            _LOG.warning(
                "the %s at %s: texts and the key, if any, cross the network in the clear; use https",
                self._role,
                self._address,
            )
        return HTTPConnection(host, port)

    def _connected(self) -> socket.socket:
        """A socket to the first address of the server that texts may go to and where somebody listens."""
        host, port, seconds = self._address.host, self._address.port, min(_CONNECT_S, self._timeout_s)
        ips = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        allowed = [ip for ip in ips if self._may_go_to(ip)]
        if not allowed:
            raise self._refused(ips[0])
        connected = _first_of(allowed, port, seconds)
        # Heads and bodies go out at once, as http.client itself does it.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._authorities.wrap_socket(connected, server_hostname=host) if self._address.encrypted else connected

    @cached_property
    def _authorities(self) -> ssl.SSLContext:
        """Those that this machine trusts, or those of SSL_CERT_FILE."""
        return ssl.create_default_context()

    def _may_go_to(self, ip: str) -> bool:
        return is_here(ip) if self._offline else self._allow_remote or is_own(ip)

    def _refused(self, ip: str) -> ConfigError:
        found = self._address.host if self._address.is_ip else f"{self._address.host}, which is {ip}"
        if self._offline:
            return ConfigError(
                f"offline is true, but {self._role}.url leads to {found}, which is not this machine, and every text "
                "would be sent there; name a server on localhost, or set offline=false if that is meant"
            )
        return ConfigError(
            f"{self._role}.url leads to {found}: neither this machine nor a private network, and every text would be "
            f"sent there; set {self._role}.allow_remote=true if that is meant"
        )


def _first_of(ips: Sequence[str], port: int, seconds: int) -> socket.socket:
    for ip in ips[:-1]:
        with suppress(OSError):
            return socket.create_connection((ip, port), seconds)
    return socket.create_connection((ips[-1], port), seconds)


def _close(connections: Sequence[HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def _hung_up(connected: socket.socket) -> bool:
    """Whether the server closed an idle connection: there is something to read, and nothing was asked."""
    with selectors.DefaultSelector() as ready:
        ready.register(connected, selectors.EVENT_READ)
        return bool(ready.select(0))
