"""Rerankers behind a server, in each dialect: what is asked, which answers are taken, and what a fault costs."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest

from evalkit.errors import ModelError
from evalkit.executors.local import LocalExecutor
from evalkit.stage_two import rerank
from evalkit.stages import Log
from evalkit.testing import DictCache
from evalkit.types import Candidate, Candidates, Dataset
from tests.conftest import BeirWriter, beir, plan_of
from tests.models.asking import KEY, VARIABLE, reranker
from tests.models.model_server import Answer, Failure
from tests.models.rerank_server import Protocol, RerankServer, overlap

pytestmark = pytest.mark.usefixtures("pauses")

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
FIELDS: dict[Protocol, dict[str, Any]] = {"tei": {"raw_scores": True, "truncate": True}}
NAMED: dict[Protocol, str] = {
    "rerank": "the common /rerank",
    "cohere": "Cohere's /v2/rerank",
    "jina": "Jina's /v1/rerank",
    "voyage": "Voyage's /v1/rerank",
    "mixedbread": "Mixedbread's /v1/reranking",
    "tei": "text-embeddings-inference's /rerank",
}
PAIRS = [("rent bern", "rent"), ("tax", "tax in bern"), ("rent bern", "bern rent one two"), ("rent bern", "gold")]
SCORES = [0.5 - 0.001, 1 - 0.003, 1 - 0.004, 0 - 0.001]
"""By the rule of the server: half, all, all and none of the query's words, less a thousandth for each word."""
PRIVATE = "gold"


@pytest.fixture(params=PROTOCOLS)
def service(request: pytest.FixtureRequest) -> Iterator[RerankServer]:
    """A server of each protocol."""
    with RerankServer(request.param) as running:
        yield running


def asking(server: RerankServer, **changes: Any) -> Any:
    return reranker(server.url, dialect=server.protocol, **{"fields": FIELDS.get(server.protocol), **changes})


# --- what is asked --------------------------------------------------------------------------------


def test_scores_come_in_the_order_of_the_pairs_whatever_that_of_the_answer(service: RerankServer) -> None:
    scores = asking(service, batch=10).score(PAIRS)
    assert scores.dtype == np.float64
    assert scores.tolist() == pytest.approx(SCORES)


def test_one_query_and_its_documents_make_a_request_of_at_most_so_many(service: RerankServer) -> None:
    asking(service, batch=2).score(PAIRS)
    assert service.asked == [
        ("rent bern", ["rent", "bern rent one two"]),
        ("rent bern", ["gold"]),
        ("tax", ["tax in bern"]),
    ]


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        ("rerank", {"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2, "return_documents": False}),
        ("cohere", {"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2}),
        ("jina", {"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2, "return_documents": False}),
        ("voyage", {"model": "m", "query": "q", "documents": ["a", "b"], "top_k": 2, "return_documents": False}),
        ("mixedbread", {"model": "m", "query": "q", "input": ["a", "b"], "top_k": 2, "return_input": False}),
        ("tei", {"query": "q", "texts": ["a", "b"], "return_text": False, "raw_scores": True, "truncate": True}),
    ],
)
def test_the_request_is_the_protocols_and_asks_for_every_document_but_no_text(
    protocol: Protocol, body: dict[str, Any]
) -> None:
    with RerankServer(protocol) as server:
        asking(server).score([("q", "a"), ("q", "b")])
        (request,) = server.requests
        assert request.headers["Content-Type"] == "application/json"
        assert request.body == body


def test_fields_are_sent_along() -> None:
    with RerankServer("rerank") as server:
        reranker(server.url, fields={"raw_scores": True}).score([("q", "a")])
        assert server.requests[0].body["raw_scores"] is True


def test_no_pair_is_no_request(service: RerankServer) -> None:
    assert asking(service).score([]).tolist() == []
    assert service.connections == []


def test_texts_of_any_script_arrive_as_they_are(service: RerankServer) -> None:
    texts = ["Zürich, l'été", "税", "line\nbreak \u2028 \x00", "half a pair \ud83d", ""]
    asking(service, batch=5).score([(texts[0], text) for text in texts])
    assert service.asked == [(texts[0], texts)]


# --- faults ---------------------------------------------------------------------------------------

N = 4
QUERIES = ["q0", "q1", "q2"]


def corpus(write_beir: BeirWriter) -> tuple[Dataset, Candidates, Any]:
    """Three queries of four documents each; chunks of four pairs, so that each is one query's request."""
    documents = {f"d{n}": f"{PRIVATE} rent " + "word " * n for n in range(N)}
    queries = {query: f"rent {PRIVATE} {query}" for query in QUERIES}
    folder = write_beir(documents, queries, [(query, "d1", 1) for query in QUERIES])
    plan = plan_of(beir(folder), top_ks=(N,), executor=LocalExecutor(N))
    candidates = {query: tuple(Candidate(f"d{n}", n + 1, 1 - n / 10) for n in range(N)) for query in QUERIES}
    return plan.source.load(), candidates, plan


def right(dataset: Dataset) -> dict[str, list[float]]:
    contents = {document.id: document.content for document in dataset.documents}
    return {query.id: [overlap(query.text, contents[f"d{n}"]) for n in range(N)] for query in dataset.queries}


def found(candidates: Candidates) -> dict[str, list[float | None]]:
    return {query: [one.rerank_score for one in of] for query, of in candidates.items()}


REFUSED: dict[str, tuple[Any, str]] = {
    "too few": ([(0, 1.0), (1, 2.0), (2, 3.0)], "3 scores for 4 documents"),
    "too many": ([(n, 1.0) for n in range(5)], "5 scores for 4 documents"),
    "doubled": ([(0, 1.0), (1, 2.0), (1, 3.0), (3, 4.0)], "scores that are not numbered 0 to 3, each once"),
    "foreign": ([(0, 1.0), (1, 2.0), (2, 3.0), (4, 4.0)], "scores that are not numbered 0 to 3, each once"),
    "negative": ([(-1, 1.0), (0, 1.0), (1, 2.0), (2, 3.0)], "scores that are not numbered 0 to 3, each once"),
    "numbered by texts": ([(str(n), 1.0) for n in range(4)], "scores that are not numbered 0 to 3, each once"),
    "numbered by booleans": (
        [(False, 1.0), (True, 1.0), (2, 1.0), (3, 1.0)],
        "scores that are not numbered 0 to 3, each once",
    ),
    "NaN": ([(0, 1.0), (1, 2.0), (2, 3.0), (3, float("nan"))], "scores that are not finite"),
    "infinite": ([(0, 1.0), (1, 2.0), (2, 3.0), (3, float("-inf"))], "scores that are not finite"),
    "huge": ([(0, 1.0), (1, 2.0), (2, 3.0), (3, 10**400)], "scores that are not finite"),
    "null": ([(0, 1.0), (1, 2.0), (2, 3.0), (3, None)], "scores that are no numbers, but null"),
    "texts": ([(0, 1.0), (1, 2.0), (2, 3.0), (3, "0.5")], "scores that are no numbers, but str"),
    "booleans": ([(0, 1.0), (1, 2.0), (2, 3.0), (3, True)], "scores that are no numbers, but bool"),
    "no index": ([{"relevance_score": 1.0, "score": 1.0}] * 4, "no list of results with their indices and scores"),
    "no score": ([{"index": n} for n in range(4)], "no list of results with their indices and scores"),
    "an error": (Answer(200, {"error": PRIVATE}), "no list of results with their indices and scores"),
    "no JSON": (Answer(200, f"<html>{PRIVATE}</html>".encode()), "no list of results with their indices and scores"),
    "deep JSON": (Answer(200, b"[" * 100_000), "no list of results with their indices and scores"),
    "empty": (Answer(200, b""), "no list of results with their indices and scores"),
}
GIVEN_UP: dict[str, tuple[Failure, str]] = {
    "silent": ("silent", " gave no answer within 1 s; raise reranker.timeout_s or lower reranker.batch"),
    "redirect": (
        Answer(307, headers={"Location": "http://127.0.0.1:9/rerank"}),
        " sends on to another address (status 307), which is not followed; set reranker.url to that",
    ),
    "401": (Answer(401), f" wants a key (status 401); put it into the environment variable {VARIABLE}"),
    "404": (
        Answer(404),
        " answered with status 404; its own log says why: reranker.url must end where {path} begins, and reranker.model"
        " be one that it serves",
    ),
    "422": (
        Answer(422),
        " answered with status 422; its own log says why: often a text is empty, or longer than the model reads",
    ),
    "402": (Answer(402), " answered with status 402; its own log says why"),
    "500": (
        Answer(500),
        " answered with status 500; run again once it is well: what was computed before is remembered",
    ),
    "429": (
        Answer(429, headers={"Retry-After": "3600"}),
        " answered with status 429 and asks for 3600 s; run again once it is well: what was computed before is "
        "remembered",
    ),
    "cut": (
        "cut",
        " broke off before its answer was complete; run again once it is well: what was computed before is remembered",
    ),
    "half": (
        "half",
        " broke off before its answer was complete; run again once it is well: what was computed before is remembered",
    ),
}
PASSING: dict[str, tuple[Failure, list[float]]] = {
    "429": (Answer(429, headers={"Retry-After": "7"}), [7 + 1]),
    "429 in its own time": (Answer(429), [1]),
    "500": (Answer(500), [1]),
    "503": (Answer(503), [1]),
    "cut": ("cut", [1]),
    "half": ("half", [1]),
}


def fails(server: RerankServer, model: Any, write_beir: BeirWriter, how: Failure, times: int = 100) -> str:
    """The message of a run whose second request fails; nothing is lost by that, and nothing wrong is remembered."""
    dataset, candidates, plan = corpus(write_beir)
    cache = DictCache()
    plan = plan_of(plan.source, top_ks=(N,), executor=LocalExecutor(N), cache=cache)
    server.fail(how, times, after=1)
    with pytest.raises(ModelError) as caught:
        rerank(plan, model, dataset, candidates, Log())
    assert PRIVATE not in "".join(traceback.format_exception(caught.value))
    server.released.set()
    server.forgive()
    before = len(server.requests)
    scored, scoring = rerank(plan, model, dataset, candidates, Log())
    assert [query for query, _ in server.asked[before:]] == [f"rent {PRIVATE} {query}" for query in QUERIES[1:]]
    for query, scores in right(dataset).items():
        assert found(scored)[query] == pytest.approx(scores)
    assert scoring.pairs == 3 * N
    return str(caught.value)


@pytest.mark.parametrize("fault", REFUSED)
def test_an_answer_that_cannot_be_right_is_refused_and_costs_its_own_chunk(
    service: RerankServer, write_beir: BeirWriter, fault: str
) -> None:
    results, what = REFUSED[fault]
    how = results if isinstance(results, Answer) else service.holding(results)
    message = fails(service, asking(service, batch=N), write_beir, how)
    assert message.startswith(f"the reranker at {service.url} returned {what}")
    assert message.endswith(f"; expected what {NAMED[service.protocol]} returns")


@pytest.mark.parametrize("fault", GIVEN_UP)
def test_a_server_that_fails_is_named_and_costs_one_chunk(
    service: RerankServer, write_beir: BeirWriter, fault: str
) -> None:
    how, what = GIVEN_UP[fault]
    model = asking(service, batch=N, timeout_s=1)
    path = "/reranking" if service.protocol == "mixedbread" else "/rerank"
    assert fails(service, model, write_beir, how) == f"the reranker at {service.url}{what.format(path=path)}"


@pytest.mark.parametrize("fault", PASSING)
def test_what_is_over_soon_is_tried_again_and_costs_nothing(
    service: RerankServer, write_beir: BeirWriter, pauses: list[float], fault: str
) -> None:
    how, waited = PASSING[fault]
    dataset, candidates, plan = corpus(write_beir)
    service.fail(how, after=1)
    scored, _ = rerank(plan, asking(service, batch=N), dataset, candidates, Log())
    assert pauses == waited
    assert len(service.requests) == 4
    for query, scores in right(dataset).items():
        assert found(scored)[query] == pytest.approx(scores)


def test_a_query_is_asked_once_whatever_the_size_of_chunks(service: RerankServer, write_beir: BeirWriter) -> None:
    """Three queries of four documents in chunks of five: cut anywhere, they would take five requests, billed."""
    dataset, candidates, plan = corpus(write_beir)
    plan = plan_of(plan.source, top_ks=(N,), executor=LocalExecutor(N + 1))
    scored, _ = rerank(plan, asking(service, batch=N), dataset, candidates, Log())
    assert [len(documents) for _, documents in service.asked] == [N] * 3
    for query, scores in right(dataset).items():
        assert found(scored)[query] == pytest.approx(scores)


def test_an_answer_in_another_order_is_put_right(service: RerankServer) -> None:
    """Even one that does not follow its own scores."""
    service.fail(service.holding([(2, 0.2), (0, 0.9), (3, 0.1), (1, 0.5)]))
    assert asking(service, batch=4).score([("q", str(n)) for n in range(4)]).tolist() == [0.9, 0.5, 0.2, 0.1]


def test_whole_numbers_are_scores(service: RerankServer) -> None:
    service.fail(service.holding([(0, 3), (1, -2)]))
    assert asking(service).score([("q", "a"), ("q", "b")]).tolist() == [3, -2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_that_is_too_large_again_is_halved_for_good(
    protocol: Protocol, caplog: pytest.LogCaptureFixture
) -> None:
    with RerankServer(protocol, largest_batch=2) as small:
        model = asking(small, batch=8)
        texts = ["rent", "tax", "rent rent", "gold", "tax rent"]
        assert model.score([("rent", text) for text in texts]).tolist() == pytest.approx(
            [overlap("rent", text) for text in texts]
        )
        for _ in range(2):
            model.score([("rent", text) for text in texts[:3]])
        assert [len(documents) for _, documents in small.asked] == [5, 3, 2, 1, 2, 3, 2, 1, 2, 1]
    assert "keeps finding 3 texts too large (status 413): every request from now on holds 2 at most" in caplog.text


def test_a_single_document_that_is_too_large_is_told_by_its_length(service: RerankServer) -> None:
    service.fail(Answer(413), times=2)
    with pytest.raises(ModelError) as caught:
        asking(service).score([("q", f"{PRIVATE} rent"), ("q", f"{PRIVATE} tax")])
    assert PRIVATE not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value) == (
        f"the reranker at {service.url} finds a single text of 9 characters too large (status 413); let it cut texts "
        "(text-embeddings-inference: --auto-truncate), or raise its limit"
    )


def test_a_redirect_hears_nothing(service: RerankServer) -> None:
    with RerankServer(service.protocol) as elsewhere:
        service.fail(Answer(308, headers={"Location": f"{elsewhere.url}/rerank"}))
        with pytest.raises(ModelError, match=r"set reranker\.url to that"):
            asking(service).score(PAIRS)
        assert elsewhere.connections == []


def test_the_key_is_sent_and_shows_nowhere(
    service: RerankServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(VARIABLE, KEY)
    service.api_key = KEY
    model = asking(service)
    assert model.score(PAIRS).tolist() == pytest.approx(SCORES)
    service.api_key = "another"
    with pytest.raises(ModelError, match=f"refused the key in {VARIABLE}") as caught:
        model.score(PAIRS)
    shown = [str(caught.value), repr(model), repr(vars(model)), json.dumps(dict(model.fingerprint)), caplog.text]
    assert not any(secret in text for text in shown for secret in (KEY, PRIVATE))


@pytest.mark.parametrize(
    ("scores", "warned"), [([1.0, 1.0, 0.5], True), ([1.0, 0.9, 0.5], False), ([2.0, 2.0, 0.5], False)]
)
def test_scores_that_a_sigmoid_has_flattened_are_warned_about_once(
    service: RerankServer, caplog: pytest.LogCaptureFixture, scores: list[float], warned: bool
) -> None:
    model = asking(service, batch=3)
    service.fail(service.holding(list(enumerate(scores))), times=2)
    for _ in range(2):
        assert model.score([("q", "a"), ("q", "b"), ("q", "c")]).tolist() == scores
    told = f"the reranker at {service.url} gave 2 documents of one query the score 1, as a sigmoid does where it has no"
    assert caplog.text.count(told) == int(warned)


def test_one_document_at_1_of_each_query_is_no_tie(caplog: pytest.LogCaptureFixture) -> None:
    with RerankServer(scorer=lambda _, documents: [1.0] * len(documents)) as server:
        reranker(server.url).score([("q", "a"), ("r", "a")])
    assert caplog.text == ""
