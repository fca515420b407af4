"""Bodies of requests: how long and how large each may be, and how much of them is held at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

from evalkit.serving.refusal import Refusal, client_gone
from evalkit.serving.settings import ServeSettings

if TYPE_CHECKING:
    from fastapi import Request

BIG = 2**18
"""Bytes from which a body is read aside from the event loop, and counts for what may be held at once."""

_LARGEST_AT_ONCE = 8


class Bodies:
    """Reads the bodies of one service.

    Args:
        settings: Limits.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._timeout_s = settings.timeout_s
        self._limit = settings.max_body_mb * 2**20
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request, end: float) -> AsyncIterator[bytes]:
        """All of a body, which counts as held until the caller has read it.

        One that is too large is read to its end without being kept, so that the client hears why.

        Args:
            request: Whose body.
            end: When its time is over, on the monotonic clock.

        Raises:
            Refusal: It is too large, too slow, cut off, or too much is being read already.
        """
        kept: list[bytes] = []
        try:
            await self._fill(kept, request, end)
            yield b"".join(kept)
        finally:
            self._let_go(kept)

    async def _fill(self, kept: list[bytes], request: Request, end: float) -> None:
        from starlette.requests import ClientDisconnect

        size = 0
        try:
            async with asyncio.timeout(end - monotonic()):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self._limit:
                        self._let_go(kept)
                        continue
                    kept.append(chunk)
                    self._held += len(chunk)
                    if size > BIG and self._held > _LARGEST_AT_ONCE * self._limit:
                        raise Refusal(503, "busy", "other large requests are being read; send it again later", 1)
        except TimeoutError:
            message = f"the request was not complete after {self._timeout_s} s; send it faster"
            raise Refusal(408, "incomplete", message) from None
        except ClientDisconnect:
            raise client_gone() from None
        if size > self._limit:
            raise Refusal(
                413,
                "body_too_large",
                f"a body of {size} bytes; expected {self._limit} at most: send fewer documents per request",
            )

    def _let_go(self, kept: list[bytes]) -> None:
        self._held -= sum(map(len, kept))
        kept.clear()
