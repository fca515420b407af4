"""Connections: how long a request's head may take, how many are open at once, and what is said when there are none."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

_LOG = logging.getLogger("evalkit.serving")

_MOST = 4096
_OUT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_SAY_AGAIN_S = 60


def room() -> tuple[int, int]:
    """How many connections may be open, and how many of those that knock are let in at once.

    Half of the files that the process may open, so that the model, the log and a burst of clients find the rest.
    """
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if files == resource.RLIM_INFINITY else max(1, min(_MOST, files // 2))
    return most, max(1, min(128, most // 2))


def guarded(head_s: float, most: int) -> type[H11Protocol]:
    """The protocol of uvicorn, which waits for a head for ever and takes every connection, with an end to both.

    Where one connection too many is opened, the one goes that has kept the service waiting longest: whoever sends
    nothing, or half a request, cannot shut others out. Those to which an answer is owed stay.

    Args:
        head_s: Seconds from the first byte of a request, or from the opening, to the end of its head.
        most: Connections that may be open.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    waited_for: dict[H11Protocol, None] = {}

    class Guarded(H11Protocol):
        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._look()
            if len(self.connections) > most:
                oldest = next(iter(waited_for))
                del waited_for[oldest]
                oldest.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._forget()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._look()

        def on_response_complete(self) -> None:
            # From here on uvicorn's own time-out of idle connections counts, until the next byte.
            self._forget()
            super().on_response_complete()
            self._place()

        def _look(self) -> None:
            asked = self._place()
            if asked and self._head is not None:
                self._head.cancel()
                self._head = None
            elif not asked and self._head is None and not self.transport.is_closing():
                self._head = self.loop.call_later(head_s, self.transport.abort)

        def _place(self) -> bool:
            """Sort it in among those that are waited for; whether a request has its head."""
            asked = self.cycle is not None and not self.cycle.response_complete
            if self.transport.is_closing() or (asked and not self.cycle.more_body):
                waited_for.pop(self, None)
            else:
                waited_for.setdefault(self)
            return asked

        def _forget(self) -> None:
            waited_for.pop(self, None)
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return Guarded


def faults() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """What the event loop calls for errors that nobody caught: one line without a message, which may quote a text.

    Where the system has no file or memory left for a connection, asyncio calls it for each one that knocks; that is
    said once a minute.
    """
    said = -float(_SAY_AGAIN_S)

    def say(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _OUT_OF):
            _LOG.error("%s (%s)", context["message"], type(error).__name__)
        elif monotonic() - said >= _SAY_AGAIN_S:
            said = monotonic()
            _LOG.error("no connection can be taken: %s; raise the limit, such as ulimit -n", os.strerror(error.errno))

    return say
