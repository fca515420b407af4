"""The running service: its socket, its start, and an end that loses no request."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from evalkit.errors import ConfigError
from evalkit.ports import Reranker
from evalkit.serving.app import Surrounded, build_app
from evalkit.serving.connections import faults, guarded, room
from evalkit.serving.metrics import Metrics
from evalkit.serving.settings import ServeSettings
from evalkit.serving.worker import Worker

if TYPE_CHECKING:
    from uvicorn import Server

_CLOSING_S = 5
"""How long connections may take to receive their last answer."""

_LINGER_S = 1
"""How long the door stays open at least: what a client has just sent is answered."""

_LOOK_S = 0.02

_HEAD_S = 10
"""How long a request's head may take, unless ``timeout_s`` is shorter."""


class Service:
    """Serves one reranker until it is stopped.

    Args:
        reranker: What scores.
        settings: Where to listen, and limits.
        keys: Those that requests may carry; none where everybody may ask.

    Attributes:
        abandoned: Whether the model was still at work on what nobody waits for when the service ended. Its thread ends
            with the process, which should not tear Python down beneath it: ``os._exit``.
    """

    abandoned = False

    def __init__(self, reranker: Reranker, settings: ServeSettings, keys: Sequence[str]) -> None:
        self._settings = settings
        metrics = Metrics()
        self._worker = Worker(reranker, settings, metrics)
        app = build_app(self._worker, settings, keys, metrics)
        self._server = _server(Surrounded(app, self._worker, metrics), self._worker, settings)

    def run(self, ready: Callable[[str], None]) -> None:
        """Listen, load the model, and serve until a signal or ``stop``.

        Args:
            ready: Called with the service's address once a pair has been scored.

        Raises:
            ConfigError: The port cannot be used.
            EvalkitError: The model cannot be loaded.
            RuntimeError: The thread that owns the model failed; no request did that.
        """
        with _listen(self._settings) as listener:
            address = _address(listener)
            self._worker.start(lambda: ready(address), self.stop)
            try:
                self._server.run([listener])
            finally:
                self.abandoned = not self._worker.close()
        if self._worker.failure is not None:
            raise self._worker.failure

    def stop(self) -> None:
        """End it as a signal does; from any thread."""
        self._server.should_exit = True


def _server(app: Surrounded, worker: Worker, settings: ServeSettings) -> Server:
    from uvicorn import Config, Server

    class Stopping(Server):
        """Answers what waits before it closes its connections."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            asyncio.get_running_loop().set_exception_handler(faults())
            await super().startup(sockets)

        def handle_exit(self, sig: int, frame: object) -> None:  # noqa: ARG002 - uvicorn's signature
            if self.should_exit:
                # Whoever asks twice does not want to wait.
                signal.signal(sig, signal.SIG_DFL)
                os.kill(os.getpid(), sig)
            # uvicorn would raise the signal again at its end, and the exit code would tell of a failure.
            self.should_exit = True

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # The door stays open meanwhile: whoever comes late gets 503 and no connection that breaks off.
            worker.refuse()
            started = monotonic()
            while worker.busy and monotonic() < started + settings.grace_s:
                await asyncio.sleep(_LOOK_S)
            worker.give_up()
            await asyncio.sleep(started + _LINGER_S - monotonic())
            await super().shutdown(sockets)

    # Access lines would hold paths, and paths may hold anything. Its warnings are a line for each client that speaks no
    # HTTP, and advice to install what is left out on purpose.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    most, backlog = room()
    return Stopping(
        Config(
            app,
            loop="asyncio",
            http=guarded(min(_HEAD_S, settings.timeout_s), most),
            backlog=backlog,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_CLOSING_S,
        )
    )


def _listen(settings: ServeSettings) -> socket.socket:
    host, port = settings.host, settings.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigError(
            f"port {port} of {host} cannot be used: {error.strerror or error}; choose another, such as "
            f"serve.port={port % 60000 + 1}, or an address of this machine as serve.host"
        ) from error


def _address(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
