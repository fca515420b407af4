"""A Qdrant server on loopback: the REST calls that evalkit needs, over a real socket, computed with NumPy.

It follows https://api.qdrant.tech and refuses, with status 400, what an evaluation must never send: an
approximate search, or an upload that does not wait.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Literal, TypeAlias
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import numpy as np

Failure: TypeAlias = int | Literal["cut"] | dict[str, Any]
"""A status, a connection that is cut before the answer, or another answer with status 200."""


@dataclass
class Collection:
    """Vectors and payloads by point id; sparse where the collection was made for a named sparse vector."""

    config: dict[str, Any]
    vectors: dict[str, Any] = field(default_factory=dict)
    payloads: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def named(self) -> str | None:
        """The name of its sparse vector."""
        return next(iter(self.config.get("sparse_vectors") or ()), None)

    @property
    def info(self) -> dict[str, Any]:
        hnsw = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000}
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "points_count": len(self.vectors),
            "payload_schema": {},
            "config": {
                "params": {
                    "vectors": self.config["vectors"],
                    "sparse_vectors": self.config.get("sparse_vectors"),
                    "shard_number": 1,
                    "on_disk_payload": True,
                },
                "hnsw_config": hnsw | self.config.get("hnsw_config", {}),
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
                "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
            },
        }

    def upsert(self, body: dict[str, Any]) -> None:
        batch = body["batch"]
        if self.named is not None:
            sparse = batch["vectors"][self.named]
            for point, vector, payload in zip(batch["ids"], sparse, batch["payloads"], strict=True):
                terms = zip(vector["indices"], map(np.float32, vector["values"]), strict=True)
                self.vectors[str(UUID(point))] = dict(terms)
                self.payloads[str(UUID(point))] = payload
            return
        for point, vector, payload in zip(batch["ids"], batch["vectors"], batch["payloads"], strict=True):
            if len(vector) != self.config["vectors"]["size"]:
                raise BadRequestError(f"Vector dimension error: {payload}")
            self.vectors[str(UUID(point))] = np.array(vector, np.float32)
            self.payloads[str(UUID(point))] = payload

    def retrieve(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """The points that are there, in Qdrant's own order rather than the request's."""
        records: list[dict[str, Any]] = [{"id": point} for point in sorted(set(request["ids"]) & set(self.vectors))]
        if request.get("with_vector") is True:
            for record in records:
                # Qdrant writes the shortest decimals that name the float32, not those of its double.
                record["vector"] = self._written(self.vectors[record["id"]])
        return records

    def _written(self, vector: Any) -> Any:
        if self.named is None:
            return [float(str(number)) for number in vector]
        return {self.named: {"indices": list(vector), "values": [float(str(weight)) for weight in vector.values()]}}

    def search(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("params", {}).get("exact") is not True:
            raise BadRequestError("an evaluation must search with exact: true")
        if request.get("using") != self.named:
            raise BadRequestError(f"Not existing vector name error: {request.get('using')}")
        if self.named is not None:
            return {"points": self._share_a_term(request)}
        scores = np.stack(list(self.vectors.values())) @ np.array(request["query"]["nearest"], np.float32)
        points = np.array(list(self.vectors))
        best = np.argsort(-scores)[: request["limit"]]
        hits = zip(points[best], scores[best].tolist(), strict=True)
        return {
            "points": [
                {"id": point, "version": 0, "score": score, "payload": self.payloads[point]} for point, score in hits
            ]
        }

    def _share_a_term(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        asked = request["query"]["nearest"]
        weights = dict(zip(asked["indices"], map(np.float32, asked["values"]), strict=True))
        scores = {
            point: float(sum(vector[term] * weights[term] for term in vector.keys() & weights.keys()))
            for point, vector in self.vectors.items()
            if vector.keys() & weights.keys()
        }
        best = sorted(scores, key=lambda point: -scores[point])[: request["limit"]]
        return [{"id": point, "version": 0, "score": scores[point], "payload": self.payloads[point]} for point in best]


class BadRequestError(Exception):
    """What Qdrant answers with status 400; like Qdrant's, its text quotes what was sent."""


class QdrantServer:
    """Runs while its ``with`` block does.

    Args:
        api_key: The key that requests must carry, or None for a server without keys.
    """

    def __init__(self, api_key: str | None = None) -> None:
        self.api_key = api_key
        self.collections: dict[str, Collection] = {}
        self.requests: list[str] = []
        self._failures: dict[tuple[str, int], Failure] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"qdrant": self}))
        # server_close() then waits for every handler, so that no thread or socket is left behind.
        self._http.daemon_threads = False
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def fail(self, method: str, nth: int, how: Failure) -> None:
        """Answer the ``nth`` request of that method, counted from now, as ``how`` says."""
        self._failures[method, self._count(method) + nth] = how

    def received(self, method: str, path: str) -> Failure | None:
        """Note a request down; how it must fail, or None."""
        self.requests.append(f"{method} {path}")
        return self._failures.get((method, self._count(method)))

    def _count(self, method: str) -> int:
        return sum(line.startswith(f"{method} ") for line in self.requests)

    def __enter__(self) -> QdrantServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    qdrant: ClassVar[QdrantServer]

    def do_GET(self) -> None:
        self._answer("GET")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def _answer(self, method: str) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        how = self.qdrant.received(method, self.path)
        if how == "cut":
            self.close_connection = True
        elif isinstance(how, dict):
            self._send(200, how)
        elif how is not None:
            self._send(how, {"status": {"error": f"Service internal error: {body}"}})
        elif self.qdrant.api_key is not None and self.headers.get("api-key") != self.qdrant.api_key:
            self._send(401, {"status": {"error": "Must provide an API key or an Authorization bearer token"}})
        else:
            try:
                self._send(200, {"result": self._result(method, body), "status": "ok", "time": 0.0})
            except BadRequestError as error:
                self._send(400, {"status": {"error": f"Wrong input: {error}"}})
            except KeyError as error:
                self._send(404, {"status": {"error": f"Not found: Collection {error} doesn't exist!"}})

    def _result(self, method: str, body: Any) -> Any:
        address = urlsplit(self.path)
        parts = re.fullmatch(r"/collections/([^/]+)(/.*)?", address.path)
        assert parts is not None, self.path
        name, call, collections = parts[1], f"{method} {parts[2] or '/'}", self.qdrant.collections
        result: Any = True
        match call:
            case "GET /exists":
                result = {"exists": name in collections}
            case "GET /":
                result = collections[name].info
            case "PUT /":
                collections[name] = Collection(body)
            case "PUT /points":
                if parse_qs(address.query).get("wait") != ["true"]:
                    raise BadRequestError("an evaluation must upload with wait=true")
                collections[name].upsert(body)
                result = {"operation_id": 0, "status": "completed"}
            case "POST /points":
                result = collections[name].retrieve(body)
            case "POST /points/count":
                result = {"count": len(collections[name].vectors)}
            case "POST /points/query/batch":
                result = [collections[name].search(request) for request in body["searches"]]
            case _:
                raise BadRequestError(f"{call} is not part of this server")
        return result

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(HTTPStatus(status))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
