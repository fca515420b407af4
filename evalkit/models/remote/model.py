"""A model behind a server: what it is called, and how much it is asked at a time."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any, TypedDict, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import text, whole_number
from evalkit.errors import ConfigError, ModelError
from evalkit.models.remote.connections import Role
from evalkit.models.remote.endpoint import Endpoint
from evalkit.provenance import without_credentials

_LOG = logging.getLogger("evalkit.models")

Context = TypeVar("Context")
Item = TypeVar("Item")


class Choices(TypedDict):
    """Settings of every model behind a server.

    url: The server's base, such as ``http://127.0.0.1:8080/v1``; without credentials.
    model: What the server calls the model.
    revision: What identifies its weights: a server does not say, and what is remembered is only as good as this.
    batch: Texts per request, at most; what the server finds too large is sent again in halves.
    concurrency: Requests under way at once, at most.
    key_variable, timeout_s, allow_remote, offline: see :class:`evalkit.models.remote.endpoint.Endpoint`.
    """

    url: str
    model: str
    revision: str
    batch: int
    concurrency: int
    key_variable: str
    timeout_s: int
    allow_remote: bool
    offline: bool


class RemoteModel:
    """A server, the model that is asked for there, and the size and number of requests.

    Args:
        role: Whose it is; settings are named after it.
        choices: Its settings.

    Raises:
        ConfigError: The URL is no address, carries credentials or leads elsewhere; or an argument is of the wrong kind.
    """

    def __init__(self, role: Role, **choices: Unpack[Choices]) -> None:
        for name, value in (("model", choices["model"]), ("revision", choices["revision"])):
            if isinstance(value, int | float) and not isinstance(value, bool):
                raise ConfigError(
                    f"{role}.{name} is of type {type(value).__name__}; expected text. What looks like a number is "
                    f"quoted twice for the shell: {role}.{name}='\"7431069\"'"
                )
            text(f"{role}.{name}", value)
            if not value.strip():
                raise ConfigError(f"{role}.{name} is empty; expected what names the model for good")
        whole_number(f"{role}.batch", choices["batch"], 1)
        whole_number(f"{role}.concurrency", choices["concurrency"], 1)
        self.endpoint = Endpoint(
            role,
            choices["url"],
            choices["key_variable"],
            choices["timeout_s"],
            choices["allow_remote"],
            choices["offline"],
        )
        self.model = choices["model"]
        self._role = role
        self._revision = choices["revision"]
        self._batch = choices["batch"]
        self._concurrency = choices["concurrency"]
        self._lock = Lock()
        self._taken = 0
        self._refused: int | None = None

    @property
    def weights(self) -> str:
        """The model and its revision; the address is no part of it."""
        return f"{self.model}@{self._revision}"

    def fields(self, name: str, given: object, taken: Sequence[str]) -> dict[str, Any]:
        """What is sent along with a request; no message quotes it, because a secret may be among it.

        Args:
            name: The setting, such as ``query_fields``.
            given: Its value.
            taken: Fields that evalkit sets itself.

        Raises:
            ConfigError: It is no mapping, sets what is taken, holds what looks like a secret, or is not JSON.
        """
        setting = f"{self._role}.{name}"
        found = {} if given is None else given
        if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
            raise ConfigError(f"{setting} is no mapping; expected one such as {{input_type: query}}, or null")
        if double := sorted(set(found) & set(taken)):
            raise ConfigError(f"{setting} sets {', '.join(double)}, which evalkit sets itself; take it out")
        if without_credentials(found) != found:
            raise ConfigError(
                f"{setting} holds what looks like a secret, and results would show it; take it out and put the key "
                f"into the environment variable {self.endpoint.key_variable}"
            )
        try:
            json.dumps(found, allow_nan=False)
        except (TypeError, ValueError):
            raise ConfigError(f"{setting} holds a value that JSON has no form for; expected text and numbers") from None
        return dict(found)

    def rows(
        self,
        groups: Sequence[tuple[Context, Sequence[str]]],
        ask: Callable[[Context, Sequence[str]], NDArray[Any] | None],
    ) -> NDArray[Any] | None:
        """One row per text, in the order of groups and texts; some requests are under way at once.

        Args:
            groups: Texts that may share a request, each with what is asked of them.
            ask: Sends one request; None where the server finds it too large.

        Returns:
            None where there is no text.

        Raises:
            ModelError: One of the requests failed; the others are given up.
        """
        size = self._batch
        pieces = [
            (context, texts[begin : begin + size]) for context, texts in groups for begin in range(0, len(texts), size)
        ]
        found = self._together(lambda piece: self._piece(ask, piece[0], piece[1]), pieces)
        return np.concatenate(found) if found else None

    def unusable(self, found: str, expected: str) -> ModelError:
        """The error that says what the server returned instead of what is documented."""
        return ModelError(f"{self.endpoint} returned {found}; expected what {expected} returns")

    def _together(self, work: Callable[[Item], NDArray[Any]], pieces: Sequence[Item]) -> list[NDArray[Any]]:
        if min(len(pieces), self._concurrency) <= 1:
            return [work(piece) for piece in pieces]
        try:
            with ThreadPoolExecutor(min(len(pieces), self._concurrency)) as pool:
                futures = [pool.submit(work, piece) for piece in pieces]
                try:
                    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                    return [future.result() for future in sorted(done, key=futures.index)]
                except BaseException:
                    # The others would be waited for, for minutes perhaps, and nobody reads what they return.
                    self.endpoint.abandon()
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        finally:
            self.endpoint.resume()

    def _piece(
        self, ask: Callable[[Context, Sequence[str]], NDArray[Any] | None], context: Context, texts: Sequence[str]
    ) -> NDArray[Any]:
        found: list[NDArray[Any]] = []
        begin = 0
        while begin < len(texts):
            batch = texts[begin : begin + self._batch]
            found.append(self._asked(ask, context, batch))
            begin += len(batch)
        return np.concatenate(found)

    def _asked(
        self, ask: Callable[[Context, Sequence[str]], NDArray[Any] | None], context: Context, batch: Sequence[str]
    ) -> NDArray[Any]:
        rows = ask(context, batch)
        if rows is not None:
            with self._lock:
                self._taken = max(self._taken, len(batch))
            return rows
        if len(batch) == 1:
            raise ModelError(
                f"{self.endpoint} finds a single text of {len(batch[0])} characters too large (status 413); let it "
                "cut texts (text-embeddings-inference: --auto-truncate), or raise its limit"
            )
        half = -(-len(batch) // 2)
        self._note_refusal(len(batch), half)
        return np.concatenate([self._asked(ask, context, part) for part in (batch[:half], batch[half:])])

    def _note_refusal(self, size: int, half: int) -> None:
        """Ask for less from now on where the size is to blame, and not the length of a few texts.

        One refusal may be due to these; a second one, where no request of that size was ever taken, hardly is.
        """
        with self._lock:
            again = self._refused is not None and size >= self._refused
            self._refused = min(size, self._refused or size)
            if not again or size <= self._taken or self._batch <= half:
                return
            self._batch = half
        _LOG.warning(
            "%s keeps finding %d texts too large (status 413): every request from now on holds %d at most, which costs "
            "more where each request has its price; set %s.batch to that",
            self.endpoint,
            size,
            half,
            self._role,
        )
