"""What is read and written, without a socket."""

from __future__ import annotations

import json
import tracemalloc
from decimal import Decimal, getcontext
from time import process_time
from typing import Any

import numpy as np
import pytest

from evalkit.serving.job import Scored
from evalkit.serving.refusal import Refusal
from evalkit.serving.wire import RerankRequest, answer, names_of, read_request, sigmoid
from tests.serving.running import settings

NAMES = ("bge-reranker-v2-m3", "BAAI/bge-reranker-v2-m3")


def read(body: Any, **limits: Any) -> tuple[RerankRequest, list[tuple[str, str]]]:
    return read_request(body if isinstance(body, bytes) else json.dumps(body).encode(), settings(**limits), NAMES)


def refused(body: Any, **limits: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(body, **limits)
    return caught.value


def ranked(logits: list[float], **fields: Any) -> dict[str, Any]:
    documents = fields.pop("documents", [f"d{place}" for place in range(len(logits))])
    request = RerankRequest(query="q", documents=documents, **fields)
    return answer(request, Scored(np.array(logits), 7, fields.pop("cut", 0)), "m", 512, "2")


def test_documents_are_texts_or_objects_with_one() -> None:
    _, pairs = read({"query": "q", "documents": ["a", {"text": "b", "id": 3}]})
    assert pairs == [("q", "a"), ("q", "b")]


def test_rank_fields_make_the_text_in_their_order() -> None:
    documents = [{"title": "T", "text": "x", "body": "B"}, {"title": "only"}, "plain"]
    _, pairs = read({"query": "q", "documents": documents, "rank_fields": ["body", "title"]})
    assert [document for _, document in pairs] == ["B\nT", "only", "plain"]


def test_null_stands_for_an_absent_value() -> None:
    absent = dict.fromkeys(("model", "top_n", "rank_fields", "return_documents", "raw_scores", "max_tokens_per_doc"))
    request, _ = read({"query": "q", "documents": ["a"], **absent})
    assert (request.top_n, request.raw_scores) == (None, None)


def test_fields_that_are_not_known_are_taken() -> None:
    request, _ = read({"query": "q", "documents": ["a"], "truncation": True})
    assert request.query == "q"


@pytest.mark.parametrize("name", [*NAMES, None])
def test_the_model_is_asked_for_by_its_names_or_not_at_all(name: str | None) -> None:
    request, _ = read({"query": "q", "documents": ["a"], "model": name})
    assert request.model == name


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"SECRET", 400, "no JSON document in UTF-8. Invalid JSON: expected value at line 1 column 1"),
        (b'{"query": "\xff"}', 400, "Invalid JSON: invalid unicode code point"),
        (b'{"query": "\\ud800", "documents": ["SECRET"]}', 400, "no JSON document in UTF-8"),
        (b'{"query": "q", "documents": [{"text": "SECRET", "n": NaN}]}', 400, "Invalid JSON: expected value at line 1"),
        (b'{"query": "q", "documents": [{"text": "SECRET", "n": [-1e999]}]}', 400, "a number beyond those that can be"),
        (["SECRET"], 422, "body: Input should be an object"),
        ({"documents": ["SECRET"]}, 422, "query: Field required"),
        ({"query": ["SECRET"], "documents": ["a"]}, 422, "query: Input should be a valid string"),
        ({"query": "SECRET", "documents": []}, 422, "documents: List should have at least 1 item"),
        ({"query": "SECRET", "documents": "SECRET"}, 422, "documents: Input should be a valid list"),
        ({"query": "SECRET", "documents": ["a", 7]}, 422, "documents.1: Input should be a valid string"),
        ({"query": "SECRET", "documents": [{"SECRET": "SECRET"}]}, 422, "documents.0: no text under text"),
        ({"query": "q", "documents": [{"text": ["SECRET"]}]}, 422, "documents.0: no text under text"),
        ({"query": "q", "documents": [{"text": "SECRET"}], "rank_fields": ["SECRET"]}, 422, "under any of rank_fields"),
        ({"query": "SECRET", "documents": ["a"], "top_n": 0}, 422, "top_n: Input should be greater than or equal to 1"),
        ({"query": "SECRET", "documents": ["a"], "top_n": "3"}, 422, "top_n: Input should be a valid integer"),
        ({"query": 1, "documents": [2, 3], "top_n": 0}, 422, "and 1 more"),
        ({"query": "q", "documents": ["a"], "model": "SECRET"}, 404, "one model, bge-reranker-v2-m3; ask for it"),
    ],
)
def test_what_is_no_request_is_refused_without_a_quotation(body: Any, status: int, message: str) -> None:
    refusal = refused(body)
    assert refusal.status == status
    assert message in refusal.message
    assert "SECRET" not in refusal.message


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"query": "q", "documents": ["a", "b", "c"]}, "too_many_documents", "3 documents; expected 2 at most"),
        ({"query": "q", "documents": ["a" * 11]}, "too_long", "a text of 11 characters; expected 10 at most"),
        ({"query": "q" * 12, "documents": ["a"]}, "too_long", "a text of 12 characters; expected 10 at most"),
    ],
)
def test_a_request_beyond_the_limits_is_refused(body: Any, kind: str, message: str) -> None:
    refusal = refused(body, max_documents=2, max_text_chars=10)
    assert (refusal.status, refusal.kind) == (413, kind)
    assert message in refusal.message


def test_a_byte_order_mark_is_no_fault() -> None:
    request, _ = read(b'\xef\xbb\xbf{"query": "q", "documents": ["a"]}')
    assert request.query == "q"


@pytest.mark.parametrize(
    "body",
    [
        b'{"query": "a", "documents": [' + b"1," * 1_000_000 + b"1]}",
        b'{"query": "a", "documents": ["x"], "z": [' + b"{}," * 1_000_000 + b"{}]}",
        b'{"query": "a", "documents": ["x"], "z": ' + b"[" * 1_000_000,
        b'{"query": "a", "documents": [' + b'"x",' * 1_000_000 + b'"x"]}',
    ],
)
def test_a_small_body_that_holds_millions_of_values_makes_nothing_large(body: bytes) -> None:
    tracemalloc.start()
    try:
        refusal = refused(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (refusal.status, refusal.kind) == (413, "too_many_values")
    assert "more than 301000 strings, commas and brackets" in refusal.message
    assert peak < 2**20


def test_signs_within_texts_are_no_values() -> None:
    text = ',[{\\"' * 20_000
    request, _ = read({"query": "q", "documents": [text] * 2}, max_documents=2, max_text_chars=10**6)
    assert request.documents == [text, text]


@pytest.mark.parametrize("end", [b"", b"\\"])
def test_a_text_that_never_ends_is_read_once(end: bytes) -> None:
    """Quotation marks that are part of it would each begin another search to the end."""
    started = process_time()
    assert refused(b'{"query": "' + b'\\"' * 500_000 + end).kind == "invalid_json"
    assert process_time() - started < 1


@pytest.mark.parametrize("field", ["documents", "rank_fields"])
def test_the_first_bad_value_of_a_list_ends_its_reading(field: str) -> None:
    message = refused({"query": "q", "documents": ["a"], field: [1] * 200_000}).message
    assert message.count(f"{field}.0: ") == message.count(": ") <= 2


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        (["t", "t"], 422, "rank_fields: a name stands there twice"),
        ([f"f{place}" for place in range(101)], 422, "rank_fields: List should have at most 100 items"),
        (["t", "u"], 413, "a text of 11 characters; expected 10 at most"),
    ],
)
def test_rank_fields_make_no_small_request_large(fields: list[str], status: int, message: str) -> None:
    body = {"query": "q", "documents": [{"t": "12345", "u": "12345"}], "rank_fields": fields}
    refusal = refused(body, max_text_chars=10)
    assert refusal.status == status
    assert message in refusal.message


def test_results_are_sorted_by_score_and_ties_by_index() -> None:
    found = ranked([0.0, 2.0, -1.0, 2.0], raw_scores=True)
    assert [(result["index"], result["relevance_score"]) for result in found["results"]] == [
        (1, 2.0),
        (3, 2.0),
        (0, 0.0),
        (2, -1.0),
    ]


def test_the_order_is_that_of_the_logits_where_sigmoids_are_equal() -> None:
    found = ranked([40.0, 50.0, 45.0])
    assert [(result["index"], result["relevance_score"]) for result in found["results"]] == [(1, 1), (2, 1), (0, 1)]


def test_top_n_keeps_the_best() -> None:
    assert [result["index"] for result in ranked([0.0, 2.0, 1.0], top_n=2)["results"]] == [1, 2]
    assert len(ranked([0.0, 2.0], top_n=9)["results"]) == 2


def test_documents_come_back_as_they_were_sent_when_asked_for() -> None:
    sent = ["a", {"text": "b", "id": 3}]
    shown = ranked([1.0, 0.0], documents=sent, return_documents=True)["results"]
    assert [result["document"] for result in shown] == [{"text": "a"}, {"text": "b", "id": 3}]
    assert all("document" not in result for result in ranked([1.0, 0.0], documents=sent)["results"])


def test_what_is_not_used_is_said() -> None:
    assert ranked([1.0], max_tokens_per_doc=4)["meta"]["warnings"] == ["max_tokens_per_doc is not used"]
    assert "warnings" not in ranked([1.0])["meta"]


def test_documents_that_were_cut_are_counted() -> None:
    request = RerankRequest(query="q", documents=["a", "b"])
    found = answer(request, Scored(np.zeros(2), 1024, 2), "m", 512, "1")
    assert found["meta"] == {
        "api_version": {"version": "1"},
        "billed_units": {"search_units": 0},
        "warnings": ["2 documents were cut: with the query longer than the 512 tokens that the model reads"],
    }
    assert found["usage"] == {"prompt_tokens": 1024, "total_tokens": 1024}


def test_tokens_that_nobody_counted_are_null() -> None:
    assert (
        answer(RerankRequest(query="q", documents=["a"]), Scored(np.zeros(1), None, 0), "m", None, "1")["usage"] is None
    )


@pytest.mark.parametrize(
    "logit", [-800.0, -40.0, -11.159394264221191, -1e-9, 0.0, 0.5, 17.0, 17.0001, 36.0, 36.8, 800.0]
)
def test_the_sigmoid_is_right_to_the_last_digits(logit: float) -> None:
    getcontext().prec = 50
    exact = 1 / (1 + (-Decimal(logit)).exp())
    assert sigmoid(logit) == pytest.approx(float(exact), rel=1e-15, abs=5e-324)


def test_the_sigmoid_never_falls_and_stands_still_from_where_it_says() -> None:
    values = [sigmoid(logit) for logit in np.linspace(-800, 800, 40001).tolist()]
    assert values == sorted(values)
    assert sigmoid(36.7) < sigmoid(36.8) == 1
    assert sigmoid(-746) == 0 < sigmoid(-745)


def test_a_model_has_a_short_name_and_a_full_one() -> None:
    assert names_of({"weights": "BAAI/bge-reranker-v2-m3@953dc6f6"}, ["rerank-v3.5"]) == (*NAMES, "rerank-v3.5")
    assert names_of({"weights": "pkg==1.0/data/reranker_en sha256:7a08"})[0] == "reranker_en"
    assert names_of({"backend": "testing", "model": "overlap"}) == ("overlap", "overlap")
