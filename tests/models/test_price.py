"""What answers cost: prices by hand, and answers that bill in their own way, or do not say."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.models.remote.price import Meter, Price
from tests.models.asking import reranker
from tests.models.rerank_server import Protocol, RerankServer

PER_SEARCH = Price(2.0, "USD", "1000_requests")
PER_TOKEN = Price(0.05, "USD", "million_tokens")


def metered(price: Price | None, *answers: Any) -> float | None:
    meter = Meter(price)
    for answer in answers:
        meter.add(answer)
    return None if meter.billed is None else meter.cost(meter.billed)


def test_requests_cost_by_their_number() -> None:
    """2 USD per 1,000, so 0.6 cents for three."""
    assert metered(PER_SEARCH, {}, [], {"usage": {"total_tokens": 9}}) == pytest.approx(0.006)


def test_an_answer_that_bills_search_units_counts_as_so_many() -> None:
    """More than 100 documents are two units, and 0 are none: 2 + 2 + 0; an answer that says nothing is one request."""
    billed = [{"meta": {"billed_units": {"search_units": units}}} for units in (2, 2, 0)]
    assert metered(PER_SEARCH, *billed) == pytest.approx(0.008)
    assert metered(PER_SEARCH, *billed, {}) == pytest.approx(0.010)


def test_a_whole_number_of_units_costs_what_multiplication_says() -> None:
    """A thousand requests at 2 USD per thousand; sums of 0.002 would be 1.9999999999999993 or so."""
    assert metered(PER_SEARCH, *[{}] * 1000) == 2.0


@pytest.mark.parametrize("tokens", [10**400, 1e308, -1, True])
def test_a_number_that_no_bill_can_hold_is_none(tokens: Any) -> None:
    assert metered(PER_TOKEN, {"usage": {"total_tokens": tokens}}) is None


@pytest.mark.parametrize(("price", "told"), [(PER_TOKEN, 1), (PER_SEARCH, 0), (None, 0)])
def test_that_no_cost_can_be_shown_is_said_once(
    price: Price | None, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    metered(price, {"usage": {"total_tokens": 7}}, {}, {}, {"usage": {"total_tokens": 7}}, {})
    assert caplog.text.count("does not name its tokens (usage.total_tokens): no cost will be shown") == told


def test_tokens_cost_by_what_answers_say() -> None:
    """0.05 USD per million: 300,000 tokens are 1.5 cents."""
    assert metered(PER_TOKEN, *({"usage": {"total_tokens": tokens}} for tokens in (100_000, 200_000))) == (
        pytest.approx(0.015)
    )


@pytest.mark.parametrize(
    "answer", [{}, [], None, {"usage": None}, {"usage": {}}, {"usage": {"total_tokens": "7"}}, {"usage": 7}]
)
def test_where_an_answer_does_not_say_nothing_is_claimed(answer: Any) -> None:
    assert metered(PER_TOKEN, {"usage": {"total_tokens": 100}}, answer, {"usage": {"total_tokens": 100}}) is None


def test_without_a_price_nothing_is_claimed() -> None:
    assert metered(None, {"usage": {"total_tokens": 100}}) is None
    assert Meter(None).currency is None


@pytest.mark.parametrize(
    ("protocol", "price", "cost"),
    [
        ("cohere", {"amount": 2.0, "currency": "USD", "per": "1000_requests"}, 3 * 2.0 / 1000),
        ("tei", {"amount": 1, "currency": "CHF", "per": "1000_requests"}, 3 / 1000),
        ("rerank", {"amount": 50, "currency": "EUR", "per": "million_tokens"}, 14 * 50 / 1e6),
        ("jina", {"amount": 50, "currency": "EUR", "per": "million_tokens"}, 14 * 50 / 1e6),
        ("voyage", {"amount": 50, "currency": "EUR", "per": "million_tokens"}, 14 * 50 / 1e6),
        ("mixedbread", {"amount": 50, "currency": "EUR", "per": "million_tokens"}, 14 * 50 / 1e6),
        ("cohere", {"amount": 50, "currency": "EUR", "per": "million_tokens"}, None),
        ("tei", {"amount": 50, "currency": "EUR", "per": "million_tokens"}, None),
        ("voyage", None, None),
    ],
)
def test_a_reranker_adds_up_what_its_answers_bill(protocol: Protocol, price: Any, cost: float | None) -> None:
    """Two queries, batches of two: three requests. Words: 2 x 3 of one query, 1 x 1 of the other, 7 of documents."""
    with RerankServer(protocol) as server:
        fields = {"raw_scores": True, "truncate": True} if protocol == "tei" else None
        model = reranker(server.url, dialect=protocol, price=price, fields=fields)
        model.score([("rent bern", "a"), ("rent bern", "a b"), ("rent bern", "c"), ("tax", "a b c")])
        assert len(server.requests) == 3
    spent = None if model.billed is None else model.cost(model.billed)
    assert spent == (None if cost is None else pytest.approx(cost))
    assert model.currency == (None if price is None else price["currency"])


@pytest.mark.parametrize(
    ("price", "message"),
    [
        (2.0, "reranker.price is 2.0; expected null, or a mapping such as {amount: 2.0, currency: USD, per: "),
        ({"amount": 2.0}, "reranker.price is {'amount': 2.0}; expected null, or a mapping"),
        (
            {"amount": "2", "currency": "USD", "per": "1000_requests"},
            "reranker.price.amount is '2'; expected a number from 0 to a million",
        ),
        (
            {"amount": -1, "currency": "USD", "per": "1000_requests"},
            "reranker.price.amount is -1; expected a number from 0 to a million",
        ),
        (
            {"amount": float("inf"), "currency": "USD", "per": "1000_requests"},
            "reranker.price.amount is inf; expected a number from 0 to a million",
        ),
        (
            {"amount": 10**400, "currency": "USD", "per": "1000_requests"},
            "reranker.price.amount is 1000000",
        ),
        ({"amount": 2, "currency": None, "per": "1000_requests"}, "reranker.price.currency is null; expected text"),
        (
            {"amount": 2, "currency": "", "per": "1000_requests"},
            "reranker.price.currency is empty; expected one such as USD",
        ),
        (
            {"amount": 2, "currency": "USD", "per": "month"},
            "reranker.price.per is 'month'; expected 1000_requests or million_tokens",
        ),
    ],
)
def test_a_price_of_another_form_is_refused(price: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        reranker(price=price)
    assert str(caught.value).startswith(message)
