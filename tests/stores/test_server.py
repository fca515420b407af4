"""What only a store on a server can meet: keys, broken connections and other people's collections."""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Iterator

import pytest

from evalkit.errors import ConfigError, StoreError
from evalkit.stores.base import point_id
from evalkit.stores.qdrant import ServerStore

from .conftest import KEY_VARIABLE, server_store
from .qdrant_server import Collection, Failure, QdrantServer
from .test_contract import assert_nearest, random_vectors

KEY = "s3cret-key"
IDS = [f"d{i}" for i in range(50)]


@pytest.fixture
def store(server: QdrantServer) -> Iterator[ServerStore]:
    opened = server_store(server.url, batch_size=10)
    opened.open("a")
    yield opened
    opened.close()


@pytest.fixture
def locked_server() -> Iterator[QdrantServer]:
    with QdrantServer(api_key=KEY) as running:
        yield running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_search_is_exact_and_uploads_wait(server: QdrantServer, store: ServerStore) -> None:
    store.add(IDS, random_vectors(50))
    store.search(random_vectors(25, seed=8), 5)
    uploads = [line for line in server.requests if line.startswith("PUT /collections/test-a/points")]
    searches = [line for line in server.requests if line.endswith("/points/query/batch")]
    assert uploads == ["PUT /collections/test-a/points?wait=true"] * 5
    assert len(searches) == 3  # the server refuses any that is not exact


def test_no_graph_is_built_for_a_collection_that_is_searched_exactly(server: QdrantServer, store: ServerStore) -> None:
    store.add(IDS, random_vectors(50))
    assert server.collections["test-a"].info["config"]["hnsw_config"]["m"] == 0


@pytest.mark.parametrize("how", [500, 429, "cut"])
def test_an_interrupted_upload_is_resumed(server: QdrantServer, store: ServerStore, how: Failure) -> None:
    vectors = random_vectors(50)
    server.fail("PUT", nth=4, how=how)  # the collection and two batches get through
    with pytest.raises(StoreError, match="uploading"):
        store.add(IDS, vectors)
    again = server_store(server.url)
    again.open("a")
    assert again.missing(IDS) == IDS[20:]
    again.add(IDS[20:], vectors[20:])
    assert_nearest(again.search(vectors[:3], 7), IDS, vectors, vectors[:3], 7)
    again.close()


def test_an_error_of_the_server_carries_its_status_and_none_of_its_text(
    server: QdrantServer, store: ServerStore
) -> None:
    server.fail("PUT", nth=2, how=500)
    with pytest.raises(StoreError) as caught:
        store.add(IDS, random_vectors(50))
    assert "status 500" in str(caught.value)
    assert server.url in str(caught.value)
    assert "d7" not in "".join(traceback.format_exception(caught.value))  # the server quotes the upload


def test_hits_that_are_fewer_than_the_collection_holds_are_refused(server: QdrantServer, store: ServerStore) -> None:
    store.add(IDS, random_vectors(50))
    server.fail("POST", nth=2, how={"result": [{"points": []}], "status": "ok"})  # the first one counts
    with pytest.raises(StoreError, match="returned fewer"):
        store.search(random_vectors(1), 5)


def test_vectors_are_fetched_once_each_in_batches(server: QdrantServer, store: ServerStore) -> None:
    ids = [f"d{i}" for i in range(1500)]
    store.add(ids, random_vectors(1500))
    server.requests.clear()
    store.vectors(ids * 3)
    assert server.requests == ["POST /collections/test-a/points"] * 2


@pytest.mark.parametrize("vector", [None, [1.0], {"title": [1.0] * 24}, [[1.0]] * 24], ids=repr)
def test_a_vector_of_another_shape_is_refused(server: QdrantServer, store: ServerStore, vector: object) -> None:
    store.add(IDS, random_vectors(50))
    record = {"id": str(point_id("d0")), "vector": vector}
    server.fail("POST", nth=1, how={"result": [record], "status": "ok"})
    with pytest.raises(StoreError, match="not of dimension 24"):
        store.vectors(["d0"])


def test_a_vector_that_was_not_asked_for_is_refused(server: QdrantServer, store: ServerStore) -> None:
    store.add(IDS, random_vectors(50))
    record = {"id": str(point_id("d1")), "vector": [1.0] * 24}
    server.fail("POST", nth=1, how={"result": [record], "status": "ok"})
    with pytest.raises(StoreError, match="not asked for"):
        store.vectors(["d0"])


def test_a_server_that_fails_while_vectors_are_read_is_reported(server: QdrantServer, store: ServerStore) -> None:
    store.add(IDS, random_vectors(50))
    server.fail("POST", nth=1, how=500)
    with pytest.raises(StoreError, match="reading vectors of a collection: it answered with status 500"):
        store.vectors(IDS)


def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StoreError) as caught:
        server_store(url).open("a")
    for part in (url, "opening", "refused", "docker run", "vector_store=memory"):
        assert part in str(caught.value)


def test_a_server_that_is_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreError, match=r"no answer within 1 s; raise vector_store.timeout_s"):
            ServerStore(url, KEY_VARIABLE, timeout_s=1, batch_size=64, prefix="").open("a")


def test_a_server_that_is_not_qdrant_is_recognised_and_not_quoted(server: QdrantServer) -> None:
    server.fail("GET", nth=1, how={"result": "words of d7"})
    with pytest.raises(StoreError, match="not Qdrant's") as caught:
        server_store(server.url).open("a")
    assert "d7" not in "".join(traceback.format_exception(caught.value))


def test_a_loopback_server_is_reached_past_a_proxy(server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    store = server_store(server.url)
    store.open("a")
    store.add(IDS, random_vectors(50))
    assert store.missing([*IDS, "absent"]) == ["absent"]
    store.close()


@pytest.mark.parametrize(
    "vectors",
    [{"size": 24, "distance": "Cosine"}, {"title": {"size": 24, "distance": "Dot"}}],
    ids=["distance", "named vectors"],
)
def test_a_collection_made_for_something_else_is_refused(server: QdrantServer, vectors: dict[str, object]) -> None:
    server.collections["test-a"] = Collection({"vectors": vectors})
    with pytest.raises(StoreError, match=r"not evalkit's: set another vector_store.prefix"):
        server_store(server.url).open("a")


def test_a_point_of_someone_else_is_refused(server: QdrantServer, store: ServerStore) -> None:
    store.add(IDS, random_vectors(50))
    payloads = server.collections["test-a"].payloads
    payloads.update({point: {} for point in payloads})
    with pytest.raises(StoreError, match="without 'doc_id'"):
        store.search(random_vectors(1), 5)


def test_the_key_comes_from_the_environment(locked_server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    store = server_store(locked_server.url)
    store.open("a")
    store.add(IDS, random_vectors(50))
    assert store.missing(IDS) == []
    store.close()


def test_a_missing_key_is_asked_for(locked_server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(StoreError, match=f"wants a key .status 401.*{KEY_VARIABLE}"):
        server_store(locked_server.url).open("a")


def test_a_wrong_key_is_named_by_its_variable(locked_server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "wrong-key")
    with pytest.raises(StoreError, match=f"the key in {KEY_VARIABLE} was refused .status 401") as caught:
        server_store(locked_server.url).open("a")
    assert "wrong-key" not in "".join(traceback.format_exception(caught.value))


def test_the_key_shows_in_no_text(
    locked_server: QdrantServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    store = server_store(locked_server.url)
    store.open("a")
    store.add(IDS, random_vectors(50))
    locked_server.fail("POST", nth=1, how=500)
    with pytest.raises(StoreError) as caught:
        store.search(random_vectors(1), 5)
    shown = [
        repr(store),
        str(store),
        repr(vars(store)),
        caplog.text,
        *traceback.format_exception(caught.value),
    ]
    store.close()
    assert caplog.records
    assert not any(KEY in text for text in shown)


@pytest.mark.parametrize(
    "url",
    ["http://me:pa55word@localhost:6333", "me:pa55word@localhost", "https://q.example?api-key=pa55word"],
)
def test_a_url_with_credentials_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=KEY_VARIABLE) as caught:
        server_store(url)
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "localhost:6333", "ftp://localhost", "http://", "http://host:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected an address like http://localhost:6333"):
        server_store(url)


def test_a_key_over_plain_http_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with pytest.raises(StoreError, match="cannot be reached"):
        server_store("http://qdrant.invalid:6333").open("a")
    assert "use https" in caplog.text
