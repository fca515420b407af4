"""A model's server: its key, what it is sent, and second tries."""

from __future__ import annotations

import json
import logging
import os
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from random import uniform
from time import time
from typing import Any

from evalkit.checks import boolean, text, unfit, whole_number
from evalkit.checks import key as checked_key
from evalkit.errors import ConfigError, ModelError
from evalkit.models.remote.address import Address, is_own
from evalkit.models.remote.connections import Connections, Role
from evalkit.models.remote.exchange import OversizedAnswer, exchange

_LOG = logging.getLogger("evalkit.models")

_PAUSES_S = (1, 2, 4, 8, 16)
_LONGEST_PAUSE_S = 60
_DAY_S = 86_400
_TIMED_OUT = (HTTPStatus.GATEWAY_TIMEOUT, 524)
"""Said by what stands before a server; the latter by Cloudflare."""

_MOST_BYTES = 64 * 2**20
_MOST_BYTES_PER_TEXT = 128 * 2**10
"""Of an answer: a vector of 4,096 numbers takes up to 100 kB."""


class Endpoint:
    """A server that texts are sent to; neither a proxy nor a redirect takes them elsewhere.

    After a broken connection, 429 or 5xx it is tried again, after pauses that double and of which a random part is
    waited, on top of what the server asks for, so that many clients do not return at once. One that gives no answer in
    time (504 and 524 too) is not asked again: it may still be at work, and would do it twice, or bill it twice.

    Args:
        role: Whose server it is; settings are named after it.
        url: The base of its paths, such as ``http://127.0.0.1:8080/v1``; without credentials.
        key_variable: Environment variable that holds the key; it may be unset where none is needed.
        timeout_s: Longest wait for the whole of an answer, in seconds.
        allow_remote: Whether it may stand elsewhere than on this machine or in a private network.
        offline: Whether it may only stand on this machine, whatever ``allow_remote`` says.

    Raises:
        ConfigError: The URL is no address, carries credentials or leads to where texts must not go; or an argument is
            of the wrong kind.
    """

    def __init__(
        self, role: Role, url: str, key_variable: str, timeout_s: int, allow_remote: bool, offline: bool
    ) -> None:
        text(f"{role}.key_variable", key_variable)
        if not key_variable.isidentifier():
            # Not repeated in the message: it may be the key itself.
            raise ConfigError(f"{role}.key_variable is no name of an environment variable; expected one like API_KEY")
        whole_number(f"{role}.timeout_s", timeout_s, 1)
        if timeout_s > _DAY_S:
            raise unfit(f"{role}.timeout_s", timeout_s, f"a whole number of seconds, a day ({_DAY_S}) at most")
        boolean(f"{role}.allow_remote", allow_remote)
        boolean("offline", offline)
        self.key_variable = key_variable
        self._role = role
        self._address = Address.parse(f"{role}.url", url, key_variable)
        self._timeout_s = timeout_s
        self._connections = Connections(role, self._address, timeout_s, allow_remote, offline)
        self._answered = False

    def __str__(self) -> str:
        """What messages call it."""
        return f"the {self._role} at {self._address}"

    @property
    def host(self) -> str:
        """Its name or IP address."""
        return self._address.host

    def post(self, path: str, payload: Mapping[str, Any], texts: int) -> bytes | None:
        """Send a JSON document, again after a pause where the server is overloaded or the connection breaks.

        Several threads may ask at once; each request has a connection to itself.

        Args:
            path: Below the base, such as ``/embeddings``.
            payload: JSON values.
            texts: How many it asks something of: the more, the longer the answer may be.

        Returns:
            The answer as it came; None where the server finds the request too large.

        Raises:
            ConfigError: The server stands where texts must not go, or the key is none; nothing was sent.
            ModelError: It cannot be reached, does not answer in time or answers without end, or refuses.
        """
        body = json.dumps(payload).encode()
        for pause_s in _PAUSES_S:
            try:
                return self._attempt(path, body, texts)
            except _PassingError as error:
                if error.retry_after_s > _LONGEST_PAUSE_S or self._connections.abandoned:
                    raise
                wait_s = error.retry_after_s + uniform(0, pause_s)  # noqa: S311
                _LOG.warning("%s; trying again in %.1f s", error.found, wait_s)
                self._connections.pause(wait_s)
        return self._attempt(path, body, texts)

    def abandon(self) -> None:
        """End every request that is under way, whose answers nobody waits for, and take none until :meth:`resume`."""
        self._connections.abandon()

    def resume(self) -> None:
        """Take requests again."""
        self._connections.resume()

    def reach(self) -> bool:
        """Open a connection as a request would, and send nothing over it.

        Returns:
            Whether the server is of this machine or of a private network.

        Raises:
            ConfigError: The server stands where texts must not go, or the key is none.
            ModelError: It cannot be reached, or not be trusted.
        """
        with self._connections.one(bool(self.key())) as connection:
            self._open(connection)
            return is_own(connection.sock.getpeername()[0])

    def key(self) -> str:
        """What its environment variable holds; empty where that is unset.

        Raises:
            ConfigError: No header can carry it.
        """
        key = os.environ.get(self.key_variable, "").strip()
        # Found here, because http.client quotes the header that it refuses.
        checked_key(self.key_variable, key)
        return key

    def _attempt(self, path: str, body: bytes, texts: int) -> bytes | None:
        key = self.key()
        with self._connections.one(bool(key)) as connection:
            self._open(connection)
            self._connections.announce(connection)
            response, answer = self._exchange(connection, path, body, _headers(key), texts)
        self._answered = True
        if response.status == HTTPStatus.OK:
            return answer
        if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return None
        if response.status in _TIMED_OUT:
            raise ModelError(
                f"{self} gave no answer in time (status {response.status}); raise the limit of what stands before it, "
                f"or lower {self._role}.batch"
            )
        if response.status == HTTPStatus.TOO_MANY_REQUESTS or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            wait_s = _seconds(response.getheader("Retry-After"))
            asks = "" if wait_s is None else f" and asks for {wait_s:.0f} s"
            raise _PassingError(f"{self} answered with status {response.status}{asks}", wait_s or 0)
        raise ModelError(f"{self} {self._refusal(path, response.status, bool(key))}")

    def _open(self, connection: HTTPConnection) -> None:
        try:
            self._connections.open(connection)
        except ssl.SSLError as error:
            raise ModelError(
                f"{self} cannot be trusted ({error.reason or error}); use http:// where it has no certificate, and "
                "SSL_CERT_FILE where an authority of your own signed it"
            ) from None
        except OSError as error:
            # One that has answered before may be starting again.
            if self._answered:
                raise _PassingError(f"{self} cannot be reached any more ({error})") from None
            raise ModelError(f"{self} cannot be reached ({error}); start it, or correct {self._role}.url") from None

    def _exchange(
        self, connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str], texts: int
    ) -> tuple[HTTPResponse, bytes]:
        most = _MOST_BYTES + texts * _MOST_BYTES_PER_TEXT
        try:
            return exchange(connection, self._address.path + path, body, headers, self._timeout_s, most)
        except TimeoutError:
            raise ModelError(
                f"{self} gave no answer within {self._timeout_s} s; raise {self._role}.timeout_s or lower "
                f"{self._role}.batch"
            ) from None
        except OversizedAnswer:
            raise ModelError(
                f"{self} answered a request of {texts} texts with more than {most // 2**20} MiB, and nothing of it was "
                f"kept; check which server listens at {self._role}.url"
            ) from None
        except (OSError, IncompleteRead):
            raise _PassingError(f"{self} broke off before its answer was complete") from None
        except HTTPException:
            raise ModelError(
                f"{self} does not answer in HTTP; check which server listens at {self._role}.url"
            ) from None

    def _refusal(self, path: str, status: int, with_key: bool) -> str:
        found = f"answered with status {status}; its own log says why"
        match status:
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN if with_key:
                return f"refused the key in {self.key_variable} (status {status}); set one that it takes"
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                return f"wants a key (status {status}); put it into the environment variable {self.key_variable}"
            case HTTPStatus.NOT_FOUND:
                return (
                    f"{found}: {self._role}.url must end where {path} begins, and {self._role}.model be one that it "
                    "serves"
                )
            case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
                return f"{found}: often a text is empty, or longer than the model reads"
            case _ if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
                return (
                    f"sends on to another address (status {status}), which is not followed; set {self._role}.url to "
                    "that"
                )
        return found


class _PassingError(ModelError):
    """What may be over after a pause.

    Args:
        found: Who did what.
        retry_after_s: The pause that the server asks for, in seconds; 0 where it does not say.
    """

    def __init__(self, found: str, retry_after_s: float = 0) -> None:
        self.found = found
        self.retry_after_s = retry_after_s
        super().__init__(f"{found}; run again once it is well: what was computed before is remembered")


def _headers(key: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "evalkit"}
    return {**headers, "Authorization": f"Bearer {key}"} if key else headers


def _seconds(retry_after: str | None) -> float | None:
    """A pause from now, given in seconds or as a date (RFC 9110); None where it is neither."""
    value = (retry_after or "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    # The latter of a date, or a time zone, that no calendar has.
    except (ValueError, OverflowError):
        return None
