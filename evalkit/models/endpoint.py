"""The embedder's server: its key, a connection that is kept, and second tries."""

from __future__ import annotations

import json
import logging
import os
import selectors
import socket
import ssl
import weakref
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from time import sleep, time
from typing import Any

from evalkit.checks import boolean, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.address import Address, is_own

_LOG = logging.getLogger("evalkit.models")

_CONNECT_S = 10
_PAUSES_S = (1, 2, 4, 8, 16)
_LONGEST_PAUSE_S = 60
_PASSING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


class Endpoint:
    """A server that is asked for one thing at a time; neither a proxy nor a redirect takes texts elsewhere.

    Args:
        url: The base of its paths, such as ``http://127.0.0.1:8080/v1``; without credentials.
        key_variable: Environment variable that holds the key; it may be unset where none is needed.
        timeout_s: Longest wait for an answer, in seconds.
        allow_remote: Whether it may stand elsewhere than on this machine or in a private network.

    Raises:
        ConfigError: The URL is no address, carries credentials or leads to where texts must not go; or an argument is
            of the wrong kind.
    """

    def __init__(self, url: str, key_variable: str, timeout_s: int, allow_remote: bool) -> None:
        whole_number("embedder.timeout_s", timeout_s, 1)
        boolean("embedder.allow_remote", allow_remote)
        self._address = Address.parse("embedder.url", url, key_variable)
        self._key_variable = key_variable
        self._timeout_s = timeout_s
        self._allow_remote = allow_remote
        self._answered = False
        if self._address.is_ip:
            self._check(self._address.host)

    def __str__(self) -> str:
        """What messages call it."""
        return f"the embedder at {self._address}"

    def post(self, path: str, payload: Mapping[str, Any]) -> bytes | None:
        """Send a JSON document, again after a pause where the server is overloaded or the connection breaks.

        Args:
            path: Below the base, such as ``/embeddings``.
            payload: JSON values.

        Returns:
            The answer as it came; None where the server finds the request too large.

        Raises:
            ConfigError: The server stands where texts must not go, or the key is none; nothing was sent.
            ModelError: It cannot be reached, does not answer in time, or refuses.
        """
        body = json.dumps(payload).encode()
        for pause_s in _PAUSES_S:
            try:
                return self._attempt(path, body)
            except _PassingError as error:
                wait_s = pause_s if error.retry_after_s is None else error.retry_after_s
                if wait_s > _LONGEST_PAUSE_S:
                    raise
                _LOG.warning("%s; trying again in %.0f s", error.found, wait_s)
                sleep(wait_s)
        return self._attempt(path, body)

    def _attempt(self, path: str, body: bytes) -> bytes | None:
        headers = self._headers()
        connection = self._connection
        try:
            self._open(connection)
            response, answer = self._exchange(connection, path, body, headers)
        except BaseException:
            # What is left of a broken exchange must not be read as the answer to the next request.
            connection.close()
            raise
        self._answered = True
        if response.status == HTTPStatus.OK:
            return answer
        if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return None
        if response.status in _PASSING:
            wait_s = _seconds(response.getheader("Retry-After"))
            asks = "" if wait_s is None else f" and asks for {wait_s:.0f} s"
            raise _PassingError(f"{self} answered with status {response.status}{asks}", wait_s)
        raise ModelError(f"{self} {self._refusal(path, response.status)}")

    def _open(self, connection: HTTPConnection) -> None:
        """See to it that the connection stands, and that it leads to where texts may go."""
        if connection.sock is not None and not _hung_up(connection.sock):
            return
        connection.close()
        try:
            connection.connect()
            ip = connection.sock.getpeername()[0]
        except ssl.SSLError as error:
            raise ModelError(
                f"{self} cannot be trusted ({error.reason or error}); use http:// where it has no certificate, and "
                "SSL_CERT_FILE where an authority of your own signed it"
            ) from None
        except OSError as error:
            # One that has answered before may be starting again.
            if self._answered:
                raise _PassingError(f"{self} cannot be reached any more ({error})") from None
            raise ModelError(f"{self} cannot be reached ({error}); start it, or correct embedder.url") from None
        self._check(ip)
        connection.sock.settimeout(self._timeout_s)

    def _exchange(
        self, connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[HTTPResponse, bytes]:
        try:
            # A server may say that this is too large before it has read everything.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request("POST", self._address.path + path, body, headers)
            response = connection.getresponse()
            return response, response.read()
        except TimeoutError:
            raise ModelError(
                f"{self} gave no answer within {self._timeout_s} s; raise embedder.timeout_s or lower embedder.batch"
            ) from None
        except (OSError, IncompleteRead):
            raise _PassingError(f"{self} broke off before its answer was complete") from None
        except HTTPException:
            raise ModelError(f"{self} does not answer in HTTP; check which server listens at embedder.url") from None

    @cached_property
    def _connection(self) -> HTTPConnection:
        host, port, seconds = self._address.host, self._address.port, min(_CONNECT_S, self._timeout_s)
        connection: HTTPConnection
        if self._address.encrypted:
            # Trusts this machine's authorities, or those of SSL_CERT_FILE.
            connection = HTTPSConnection(host, port, timeout=seconds, context=ssl.create_default_context())
        else:
            connection = HTTPConnection(host, port, timeout=seconds)
            if not self._address.is_loopback and (self._allow_remote or self._key()):
                _LOG.warning("%s: texts and the key, if any, cross the network in the clear; use https", self)
        weakref.finalize(self, connection.close)
        return connection

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "evalkit"}
        key = self._key()
        return {**headers, "Authorization": f"Bearer {key}"} if key else headers

    def _key(self) -> str:
        key = os.environ.get(self._key_variable, "").strip()
        # Found here, because http.client quotes the header that it refuses.
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigError(
                f"{self._key_variable} holds a sign that no header can carry; expected a key of printable ASCII "
                "without spaces; set it anew"
            )
        return key

    def _check(self, ip: str) -> None:
        if self._allow_remote or is_own(ip):
            return
        host = self._address.host
        raise ConfigError(
            f"embedder.url leads to {host if host == ip else f'{host}, which is {ip}'}: neither this machine nor a "
            "private network, and every text would be sent there; set embedder.allow_remote=true if that is meant"
        )

    def _refusal(self, path: str, status: int) -> str:
        found = f"answered with status {status}; its own log says why"
        match status:
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN if self._key():
                return f"refused the key in {self._key_variable} (status {status}); set one that it takes"
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                return f"wants a key (status {status}); put it into the environment variable {self._key_variable}"
            case HTTPStatus.NOT_FOUND:
                return f"{found}: embedder.url must end where {path} begins, and embedder.model be one that it serves"
            case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
                return f"{found}: often a text is empty, or longer than the model reads"
            case _ if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
                return f"sends on to another address (status {status}), which is not followed; set embedder.url to that"
        return found


class _PassingError(ModelError):
    """What may be over after a pause.

    Args:
        found: Who did what.
        retry_after_s: The pause that the server asks for, in seconds; None where it does not say.
    """

    def __init__(self, found: str, retry_after_s: float | None = None) -> None:
        self.found = found
        self.retry_after_s = retry_after_s
        super().__init__(f"{found}; run again once it is well: what was embedded before is remembered")


def _hung_up(connected: socket.socket) -> bool:
    """Whether the server closed an idle connection: there is something to read, and nothing was asked."""
    with selectors.DefaultSelector() as ready:
        ready.register(connected, selectors.EVENT_READ)
        return bool(ready.select(0))


def _seconds(retry_after: str | None) -> float | None:
    """A pause from now, given in seconds or as a date (RFC 9110); None where it is neither."""
    value = (retry_after or "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None
