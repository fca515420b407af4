"""The routes: who may ask, what is read, and how long a request waits."""

# No postponed annotations: FastAPI reads those of the handlers, whose types are imported inside of the function.
import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import asdict
from importlib import metadata
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from evalkit.serving.bodies import BIG, Bodies
from evalkit.serving.job import Job, Scored
from evalkit.serving.metrics import Metrics
from evalkit.serving.refusal import CLIENT_GONE, Refusal, client_gone, stopping
from evalkit.serving.settings import KEYS_VARIABLE, ServeSettings
from evalkit.serving.wire import RerankRequest, answer, failure, names_of, read_request
from evalkit.serving.worker import Worker

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

Found = TypeVar("Found")
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_LOG = logging.getLogger("evalkit.serving")

RERANK = {"/rerank": "2", "/v1/rerank": "1", "/v2/rerank": "2"}
"""Path -> the version of Cohere's API that it names. One handler: what differs between them is optional."""

_ROUTES = (*RERANK, "/health", "/metrics")


def build_app(worker: Worker, settings: ServeSettings, keys: Sequence[str], metrics: Metrics) -> "FastAPI":
    """The application, without what surrounds every request (``Surrounded``).

    ``/health`` is open, since orchestrators carry no keys, and says nothing that a client could not learn; ``/metrics``
    wants a key where there are some, as it shows how much is asked.

    Args:
        worker: Scores, and knows the model.
        settings: Limits.
        keys: Those that requests may carry; none where everybody may ask.
        metrics: Shown at ``/metrics``.
    """
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    # Pages of documentation would load scripts from elsewhere; a redirect would lead to the host that a client named.
    app = FastAPI(title="evalkit serve", version=_version(), docs_url=None, redoc_url=None, redirect_slashes=False)
    bodies = Bodies(settings)
    schema = {"content": {"application/json": {"schema": RerankRequest.model_json_schema()}}, "required": True}

    async def rerank(request: Request) -> Response:
        _require_key(request, keys)
        end = monotonic() + settings.timeout_s
        card = worker.card
        names = names_of(card.fingerprint, settings.model_names)
        async with bodies.read(request, end) as body:
            big = len(body) > BIG
            asked, pairs = await _aside(big, read_request, body, settings, names)
        scored = await _scores(request, worker, worker.submit(pairs, end), end)
        version = RERANK[request.scope["path"]]
        return await _aside(big, lambda: JSONResponse(answer(asked, scored, names[0], card.max_length, version)))

    for path in RERANK:
        app.post(path, openapi_extra={"requestBody": schema})(rerank)

    @app.get("/health")
    async def health() -> Response:
        found: dict[str, Any] = {"status": worker.state, "version": _version()}
        if worker.state == "ready":
            found |= {"model": names_of(worker.card.fingerprint)[0], **asdict(worker.card)}
        return JSONResponse(found, 200 if worker.state == "ready" else 503)

    @app.get("/metrics")
    async def exposition(request: Request) -> Response:
        _require_key(request, keys)
        return Response(metrics.exposition(), media_type=metrics.content_type)

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> Response:
        return _answer(refusal)

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        message = f"{error.detail}; the routes are POST {', '.join(RERANK)}, and GET /health and /metrics"
        refusal = Refusal(error.status_code, "no_such_route", message)
        return JSONResponse(failure(refusal), refusal.status, error.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return _answer(Refusal(500, "internal", f"the service failed ({type(error).__name__})"))

    return app


class Surrounded:
    """Counts each request, lets no exception out with its message, and sends clients elsewhere while stopping.

    Args:
        app: The application.
        worker: Tells whether the service is stopping.
        metrics: Where requests are counted.
    """

    def __init__(self, app: "FastAPI", worker: Worker, metrics: Metrics) -> None:
        self._app = app
        self._worker = worker
        self._metrics = metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, or another event of the ASGI protocol."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = monotonic(), 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._worker.state in {"stopping", "failed"}:
                    # The connection ends with its answer, so that none is cut between two requests.
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except asyncio.CancelledError:
            # By uvicorn, at the very end: a client that did not complete its request, or does not take its answer.
            if not status:
                await _answer(stopping())(scope, receive, observed)
        except Exception as error:
            # The client has its answer; uvicorn would log the message, which may quote a text.
            _LOG.error("the service failed on a request: %s", type(error).__name__)
        finally:
            # A path that nobody serves is the client's own words.
            route = scope["path"] if scope["path"] in _ROUTES else "other"
            self._metrics.answered(route, status or CLIENT_GONE, monotonic() - started)


def _answer(refusal: Refusal) -> "Response":
    from fastapi.responses import JSONResponse

    headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(failure(refusal), refusal.status, headers)


def _require_key(request: "Request", keys: Sequence[str]) -> None:
    """Compare with every key, in a time that does not tell how much of one was right."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    fits = [hmac.compare_digest(given.strip().encode("latin-1", "replace"), key.encode()) for key in keys]
    if keys and not (scheme.lower() == "bearer" and any(fits)):
        found = "no key" if not given else "a key that this service does not know"
        raise Refusal(
            401, "unauthorized", f"{found}; send Authorization: Bearer with one of those in its {KEYS_VARIABLE}"
        )


async def _aside(aside: bool, function: Callable[..., Found], *arguments: Any) -> Found:
    """What the function returns; in another thread if it takes long, so that others are answered meanwhile."""
    return await asyncio.to_thread(function, *arguments) if aside else function(*arguments)


async def _scores(request: "Request", worker: Worker, job: Job, end: float) -> Scored:
    """The job's scores, unless its time is over or the client goes away first: then it leaves the queue."""
    scored = asyncio.wrap_future(job.done)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        either: set[asyncio.Future[Any]] = {scored, gone}
        await asyncio.wait(either, timeout=max(0, end - monotonic()), return_when=asyncio.FIRST_COMPLETED)
        if scored.done():
            return scored.result()
        if gone.done():
            raise client_gone()
        raise Refusal(504, "timeout", "no scores within serve.timeout_s; send fewer documents, or ask again later")
    finally:
        gone.cancel()
        if not scored.done():
            scored.cancel()
            worker.drop(job)


async def _hung_up(request: "Request") -> None:
    # Once the body was read, this is all that is left to come.
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _version() -> str:
    return metadata.version("evalkit-rerank")
