"""A model's server: its key, what it is sent, and second tries."""

from __future__ import annotations

import json
import logging
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from random import uniform
from time import time
from typing import Any

from evalkit.checks import boolean, text, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.remote.address import Address
from evalkit.models.remote.connections import Connections, Role

_LOG = logging.getLogger("evalkit.models")

_PAUSES_S = (1, 2, 4, 8, 16)
_LONGEST_PAUSE_S = 60


class Endpoint:
    """A server that texts are sent to; neither a proxy nor a redirect takes them elsewhere.

    After a broken connection, 429 or 5xx it is tried again, after pauses that double and of which a random part is
    waited, so that many clients do not return at once. One that gives no answer in time is not asked again: it may
    still be at work, and would do the same work twice, or bill it twice.

    Args:
        role: Whose server it is; settings are named after it.
        url: The base of its paths, such as ``http://127.0.0.1:8080/v1``; without credentials.
        key_variable: Environment variable that holds the key; it may be unset where none is needed.
        timeout_s: Longest wait for an answer, in seconds.
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

    def post(self, path: str, payload: Mapping[str, Any]) -> bytes | None:
        """Send a JSON document, again after a pause where the server is overloaded or the connection breaks.

        Several threads may ask at once; each request has a connection to itself.

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
                wait_s = uniform(0, pause_s) if error.retry_after_s is None else error.retry_after_s  # noqa: S311
                if wait_s > _LONGEST_PAUSE_S or self._connections.abandoned:
                    raise
                _LOG.warning("%s; trying again in %.1f s", error.found, wait_s)
                self._connections.pause(wait_s)
        return self._attempt(path, body)

    def abandon(self) -> None:
        """End every request that is under way, whose answers nobody waits for, and take none until :meth:`resume`."""
        self._connections.abandon()

    def resume(self) -> None:
        """Take requests again."""
        self._connections.resume()

    def _attempt(self, path: str, body: bytes) -> bytes | None:
        key = self._key()
        with self._connections.one(bool(key)) as connection:
            self._open(connection)
            response, answer = self._exchange(connection, path, body, _headers(key))
        self._answered = True
        if response.status == HTTPStatus.OK:
            return answer
        if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return None
        if response.status == HTTPStatus.TOO_MANY_REQUESTS or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            wait_s = _seconds(response.getheader("Retry-After"))
            asks = "" if wait_s is None else f" and asks for {wait_s:.0f} s"
            raise _PassingError(f"{self} answered with status {response.status}{asks}", wait_s)
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
                f"{self} gave no answer within {self._timeout_s} s; raise {self._role}.timeout_s or lower "
                f"{self._role}.batch"
            ) from None
        except (OSError, IncompleteRead):
            raise _PassingError(f"{self} broke off before its answer was complete") from None
        except HTTPException:
            raise ModelError(
                f"{self} does not answer in HTTP; check which server listens at {self._role}.url"
            ) from None

    def _key(self) -> str:
        key = os.environ.get(self.key_variable, "").strip()
        # Found here, because http.client quotes the header that it refuses.
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigError(
                f"{self.key_variable} holds a sign that no header can carry; expected a key of printable ASCII "
                "without spaces; set it anew"
            )
        return key

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
        retry_after_s: The pause that the server asks for, in seconds; None where it does not say.
    """

    def __init__(self, found: str, retry_after_s: float | None = None) -> None:
        self.found = found
        self.retry_after_s = retry_after_s
        super().__init__(f"{found}; run again once it is well: what was computed before is remembered")


def _headers(key: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "evalkit"}
    return {**headers, "Authorization": f"Bearer {key}"} if key else headers


def _seconds(retry_after: str | None) -> float | None:
    """A pause from now, given in seconds or as a date (RFC 9110); None where it is neither."""
    value = (retry_after or "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None
