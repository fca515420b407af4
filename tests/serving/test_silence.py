"""What was sent stands in no log, number or refusal."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving.running import Held, half_a_client, running, until

MARKER = "confidential-7319"


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """What everybody but the client logged, tracebacks included."""
    formatter = logging.Formatter("%(name)s %(message)s")
    service = (record for record in caplog.records if record.name.partition(".")[0] not in {"httpx", "httpcore"})
    return "\n".join(map(formatter.format, service))


def test_no_text_stands_anywhere(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    held, limits = Held(), {"max_documents": 3, "max_text_chars": 2000, "max_body_mb": 1, "timeout_s": 2}
    seen: dict[str, int] = {}
    with running(held, keys=("key",), **limits) as service, ThreadPoolExecutor(4) as pool:
        service.http.headers["Authorization"] = "Bearer key"

        def sent(name: str, body: object = None, path: str = "/v1/rerank", **headers: str) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = service.http.post(path, content=content, headers=headers)
            seen[name] = answer.status_code
            assert answer.status_code == 200 or MARKER not in answer.text, name

        good = {"query": MARKER, "documents": [MARKER, {"text": MARKER, MARKER: MARKER}]}
        sent("good", good)
        sent("returned", {**good, "return_documents": True})
        sent("warned", {**good, "max_tokens_per_doc": 5})
        sent("no json", f'{{"query": "{MARKER}" {MARKER}'.encode())
        sent("no utf-8", MARKER.encode() + b"\xff")
        sent("wrong type", {"query": [MARKER], "documents": {MARKER: MARKER}})
        sent("no text", {"query": "q", "documents": [{MARKER: MARKER}], "rank_fields": [MARKER + "x"]})
        sent("other model", {**good, "model": MARKER})
        sent("too many", {"query": MARKER, "documents": [MARKER] * 4})
        sent("too long", {"query": MARKER * 200, "documents": [MARKER]})
        sent("too large", {"query": MARKER * 100_000, "documents": [MARKER]})
        sent("other path", good, f"/{MARKER}")
        sent("in the path", good, f"/v1/rerank?{MARKER}={MARKER}")
        sent("wrong key", good, Authorization=f"Bearer {MARKER}")
        sent("model fails", {"query": MARKER, "documents": [f"poison {MARKER}"]})
        held.free.clear()
        held.started.clear()
        late = pool.submit(sent, "too late", good)
        assert held.started.wait(10)
        half_a_client(service, json.dumps(good)).close()
        half_a_client(service, MARKER, length=1000).close()
        half_a_client(service, f"{MARKER} no HTTP\r\n\r\n").close()
        late.result()
        held.free.set()
        until(lambda: service.metric("evalkit_queue_requests") == 0)
        shown = service.http.get("/metrics").text + service.http.get("/health").text
    captured = capfd.readouterr()
    assert MARKER not in shown
    assert MARKER not in captured.out + captured.err
    assert MARKER not in logged(caplog)
    assert any(MARKER in document for documents in held.passes for document in documents)
    assert "the model failed on a request of 1 pairs: ValueError" in caplog.text
    assert seen == {
        "good": 200, "returned": 200, "warned": 200, "no json": 400, "no utf-8": 400, "wrong type": 422, "no text": 422,
        "other model": 404, "too many": 413, "too long": 413, "too large": 413, "other path": 404, "in the path": 200,
        "wrong key": 401, "model fails": 500, "too late": 504,
    }  # fmt: skip


def test_an_exception_of_the_service_itself_tells_its_type_alone(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError(MARKER)

    monkeypatch.setattr("evalkit.serving.app.answer", broken)
    with running(Held()) as service:
        failed = service.rerank(MARKER, [MARKER])
        assert (failed.status_code, failed.json()["message"]) == (500, "the service failed (KeyError)")
        assert service.metric('evalkit_requests_total{route="/v1/rerank",status="500"}') == 1
    captured = capfd.readouterr()
    assert MARKER not in captured.out + captured.err + logged(caplog)
    assert "the service failed on a request: KeyError" in caplog.text


def test_clients_that_speak_something_else_fill_no_log(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with running(Held()) as service:
        upgraded = service.http.get("/health", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
        assert upgraded.status_code == 200
        with half_a_client(service, "no HTTP\r\n\r\n", length=1) as other:
            other.settimeout(5)
            assert other.recv(100)
    captured = capfd.readouterr()
    assert captured.out + captured.err + logged(caplog) == ""
