"""What answers cost, by what they bill."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from threading import Lock
from typing import Any, Literal, get_args

from evalkit.checks import text, unfit
from evalkit.errors import ConfigError

_LOG = logging.getLogger("evalkit.models")

_Unit = Literal["1000_requests", "million_tokens"]
_UNITS: Mapping[_Unit, int] = {"1000_requests": 1000, "million_tokens": 1_000_000}
_MOST_AMOUNT = 1_000_000
_MOST_UNITS = 2**53
"""Beyond it, numbers of a JSON answer are no longer exact."""
_FORM = "null, or a mapping such as {amount: 2.0, currency: USD, per: 1000_requests}"


@dataclass(frozen=True, slots=True)
class Price:
    """A service's price, before tax.

    Args:
        amount: Of money.
        currency: Such as ``USD``.
        per: What it buys: ``1000_requests``, or ``million_tokens``.

    Raises:
        ConfigError: One of them is of the wrong kind.
    """

    amount: float
    currency: str
    per: _Unit

    def __post_init__(self) -> None:
        number = isinstance(self.amount, int | float) and not isinstance(self.amount, bool)
        if not (number and 0 <= self.amount <= _MOST_AMOUNT):
            raise unfit("reranker.price.amount", self.amount, "a number from 0 to a million")
        text("reranker.price.currency", self.currency)
        if not self.currency:
            raise ConfigError("reranker.price.currency is empty; expected one such as USD")
        if self.per not in get_args(_Unit):
            raise unfit("reranker.price.per", self.per, " or ".join(get_args(_Unit)))

    @classmethod
    def parse(cls, given: object) -> Price | None:
        """Read a setting; None where it is null.

        Raises:
            ConfigError: It is no price.
        """
        if given is None:
            return None
        names = [field.name for field in fields(cls)]
        if not isinstance(given, Mapping) or set(given) != set(names):
            raise unfit("reranker.price", given, _FORM)
        return cls(**given)


class Meter:
    """Adds up what answers bill; several threads may.

    Args:
        price: None where none is known: then nothing costs anything that could be told.
    """

    def __init__(self, price: Price | None) -> None:
        self._price = price
        self._requests = 0.0
        self._tokens: float | None = 0.0
        self._lock = Lock()

    @property
    def currency(self) -> str | None:
        """Of the price."""
        return None if self._price is None else self._price.currency

    @property
    def billed(self) -> float | None:
        """What all answers billed, in what the price counts; None without one, or where an answer does not say."""
        if self._price is None:
            return None
        return self._requests if self._price.per == "1000_requests" else self._tokens

    def cost(self, billed: float) -> float | None:
        """Of so many requests or tokens; None without a price."""
        return None if self._price is None else billed * self._price.amount / _UNITS[self._price.per]

    def add(self, answer: Any) -> None:
        """Count one answer: as one request, unless it says what it bills, with the tokens that it names.

        Cohere counts search units: a query with up to 100 documents, long ones in several parts
        (docs.cohere.com/docs/how-does-cohere-pricing-work). Others name tokens as ``usage.total_tokens``.

        Args:
            answer: JSON values of any form.
        """
        requests = _number(answer, "meta", "billed_units", "search_units")
        tokens = _number(answer, "usage", "total_tokens")
        with self._lock:
            self._requests += 1 if requests is None else requests
            missed = tokens is None and self._tokens is not None
            self._tokens = None if tokens is None or self._tokens is None else self._tokens + tokens
        if missed and self._price is not None and self._price.per == "million_tokens":
            _LOG.warning(
                "the reranker's answer does not name its tokens (usage.total_tokens): no cost will be shown, although "
                "reranker.price is per million_tokens; give one per 1000_requests, or null"
            )


def _number(answer: Any, *path: str) -> float | None:
    for key in path:
        answer = answer.get(key) if isinstance(answer, Mapping) else None
    number = isinstance(answer, int | float) and not isinstance(answer, bool) and 0 <= answer <= _MOST_UNITS
    return float(answer) if number else None
