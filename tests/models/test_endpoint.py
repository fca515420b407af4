"""A server that embeds: how it is reached, asked again after a pause, and what becomes of its refusals."""

from __future__ import annotations

import datetime
import logging
import socket
import threading
from email.utils import format_datetime

import pytest

from evalkit.models.remote.connections import Connections
from tests.models.asking import TEXT, VARIABLE, ask, endpoint, refusal_of
from tests.models.embeddings_server import EmbeddingsServer
from tests.models.model_server import Answer, Failure

pytestmark = pytest.mark.usefixtures("pauses")

PAUSES = [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    "how",
    ["cut", "half", *(Answer(status) for status in (429, 500, 502, 503, 529))],
    ids=lambda how: str(getattr(how, "status", how)),
)
def test_what_may_be_over_soon_is_tried_again(server: EmbeddingsServer, how: Failure, pauses: list[float]) -> None:
    server.fail(how, times=2)
    assert ask(server)
    assert (len(server.requests), pauses) == (3, PAUSES[:2])


@pytest.mark.parametrize("how", ["cut", Answer(503)], ids=["cut", "503"])
def test_trying_again_has_an_end(server: EmbeddingsServer, how: Failure, pauses: list[float]) -> None:
    server.fail(how, times=100)
    assert "run again once it is well: what was computed before is remembered" in refusal_of(server)
    assert (len(server.requests), pauses) == (6, PAUSES)


def test_a_random_part_of_each_pause_is_waited(server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float]] = []
    waited: list[float] = []

    def quarter(low: float, high: float) -> float:
        drawn.append((low, high))
        return high / 4

    monkeypatch.setattr("evalkit.models.remote.endpoint.uniform", quarter)
    monkeypatch.setattr(Connections, "pause", lambda _, seconds: waited.append(seconds))
    server.fail(Answer(503), times=3)
    ask(server)
    assert drawn == [(0, 1), (0, 2), (0, 4)]
    assert waited == [0.25, 0.5, 1]


def test_a_second_try_is_logged_without_what_was_sent(
    server: EmbeddingsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.fail(Answer(503))
    ask(server)
    assert [record.getMessage() for record in caplog.records] == [
        f"the embedder at {server.url} answered with status 503; trying again in 1.0 s"
    ]


@pytest.mark.parametrize(
    ("asked_for", "pause"),
    [
        *(("7", 8), ("0", 1), ("60", 61), ("soon", 1), ("-5", 1), ("", 1)),
        ("Mon, 01 Jan 2027 00:00:00 +9999999999999999", 1),
    ],
)
def test_the_pause_is_the_one_that_the_server_asks_for_and_a_random_part_of_its_own(
    server: EmbeddingsServer, pauses: list[float], asked_for: str, pause: float
) -> None:
    """Many clients that are told 0, or the same date, would return at once. The part is 1 s here, its most."""
    server.fail(Answer(429, headers={"Retry-After": asked_for}))
    ask(server)
    assert pauses == [pause]


@pytest.mark.parametrize(("ahead_s", "least", "most"), [(30, 26, 31), (-30, 1, 1)])
def test_the_pause_may_end_at_a_date(
    server: EmbeddingsServer, pauses: list[float], ahead_s: int, least: float, most: float
) -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead_s)
    server.fail(Answer(503, headers={"Retry-After": format_datetime(then, usegmt=True)}))
    ask(server)
    assert least <= pauses[0] <= most


def test_a_server_that_asks_for_no_pause_is_not_pressed(server: EmbeddingsServer, pauses: list[float]) -> None:
    server.fail(Answer(429, headers={"Retry-After": "0"}), times=100)
    refusal_of(server)
    assert pauses == PAUSES


@pytest.mark.parametrize("status", [504, 524])
def test_an_answer_that_is_late_for_a_gateway_is_not_asked_for_again(
    server: EmbeddingsServer, pauses: list[float], status: int
) -> None:
    """The server behind it may still be at work."""
    server.fail(Answer(status))
    assert refusal_of(server) == (
        f"the embedder at {server.url} gave no answer in time (status {status}); raise the limit of what stands before "
        "it, or lower embedder.batch"
    )
    assert (len(server.requests), pauses) == (1, [])


def test_a_pause_that_is_too_long_is_left_to_the_user(server: EmbeddingsServer, pauses: list[float]) -> None:
    server.fail(Answer(429, headers={"Retry-After": "3600"}))
    assert "answered with status 429 and asks for 3600 s; run again" in refusal_of(server)
    assert pauses == []


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (400, "answered with status 400; its own log says why: often a text is empty, or longer than the model reads"),
        (422, "answered with status 422; its own log says why: often a text is empty, or longer than the model reads"),
        (401, f"wants a key (status 401); put it into the environment variable {VARIABLE}"),
        (403, f"wants a key (status 403); put it into the environment variable {VARIABLE}"),
        (404, "embedder.url must end where /embeddings begins, and embedder.model be one that it serves"),
        (402, "answered with status 402; its own log says why"),
        (204, "answered with status 204; its own log says why"),
    ],
)
def test_a_refusal_is_told_by_its_status_and_not_repeated(
    server: EmbeddingsServer, pauses: list[float], status: int, what: str
) -> None:
    """The server's own words are left out, since they quote the texts."""
    server.fail(Answer(status, body=b"" if status == 204 else None))
    message = refusal_of(server)
    assert message.startswith(f"the embedder at {server.url} ")
    assert what in message
    assert (len(server.requests), pauses) == (1, [])


def test_what_is_too_large_is_no_error_yet(server: EmbeddingsServer) -> None:
    server.fail(Answer(413))
    assert ask(server) is None


def test_an_answer_that_comes_before_everything_is_read_is_heard() -> None:
    """As from a proxy that knows by the length alone that the request is too large."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                connection.shutdown(socket.SHUT_RD)

        thread = threading.Thread(target=refuse)
        thread.start()
        found = endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}").post(
            "/embeddings", {"input": "a" * 20_000_000}, 1
        )
        thread.join()
    assert found is None


def test_one_connection_serves_every_request(server: EmbeddingsServer) -> None:
    asked = endpoint(server.url)
    assert [ask(asked) is not None for _ in range(3)] == [True] * 3
    server.fail(Answer(400))
    refusal_of(asked)
    ask(asked)
    assert len(server.connections) == 1


def test_a_connection_that_was_closed_while_idle_is_opened_anew_without_a_pause(
    server: EmbeddingsServer, pauses: list[float]
) -> None:
    asked = endpoint(server.url)
    ask(asked)
    server.hang_up()
    assert ask(asked)
    assert (len(server.requests), pauses) == (2, [])


def test_a_server_that_was_never_there_is_named_at_once(pauses: list[float]) -> None:
    with EmbeddingsServer() as gone:
        url = gone.url
    message = refusal_of(endpoint(url))
    assert f"the embedder at {url} cannot be reached (" in message
    assert message.endswith("refused); start it, or correct embedder.url")
    assert pauses == []


def test_a_server_that_answered_before_is_waited_for(pauses: list[float]) -> None:
    with EmbeddingsServer() as gone:
        asked = endpoint(gone.url)
        ask(asked)
    assert "cannot be reached any more" in refusal_of(asked)
    assert pauses == PAUSES


def test_a_name_that_stands_for_nothing_is_told() -> None:
    assert "cannot be reached" in refusal_of(endpoint("http://nothing.invalid:8080/v1"))


def test_a_connection_is_opened_as_for_a_request_and_nothing_is_sent(server: EmbeddingsServer) -> None:
    asked = endpoint(server.url)
    assert asked.reach()
    assert server.requests == []
    ask(asked)
    assert len(server.connections) == 1


def test_a_server_that_is_silent_is_given_up(server: EmbeddingsServer, pauses: list[float]) -> None:
    server.fail("silent")
    message = refusal_of(endpoint(server.url, timeout_s=1))
    assert "no answer within 1 s; raise embedder.timeout_s or lower embedder.batch" in message
    assert pauses == []


def test_an_answer_may_take_longer_than_a_connection(
    server: EmbeddingsServer, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.models.remote.connections._CONNECT_S", 0.2)
    server.fail("silent")
    timer = threading.Timer(0.6, server.released.set)
    timer.start()
    assert ask(server)
    timer.join()
    assert pauses == PAUSES[:1]


def test_a_server_of_something_else_is_recognised() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(f"220 {TEXT}\r\n".encode())

        thread = threading.Thread(target=greet)
        thread.start()
        message = refusal_of(endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join()
    assert "does not answer in HTTP" in message


def test_a_broken_exchange_leaves_nothing_to_the_next_one(server: EmbeddingsServer) -> None:
    asked = endpoint(server.url, timeout_s=1)
    server.fail("silent")
    refusal_of(asked)
    server.released.set()
    answer = ask(asked)
    assert answer is not None
    assert str(float(len(TEXT))) in answer.decode()
