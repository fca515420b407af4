"""A reranker behind a server: the one that answers in production, or one that somebody sells."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import text, unfit, whole_number
from evalkit.errors import ModelError
from evalkit.models.limits import SHORTEST_MAX_LENGTH, refuse_too_long
from evalkit.models.pair_tokens import PairTokens
from evalkit.models.remote.dialects import RERANK
from evalkit.models.remote.model import Choices, RemoteModel
from evalkit.models.remote.price import Meter, Price
from evalkit.models.weights import Weights
from evalkit.ports import Pair
from evalkit.types import Fingerprint

_LOG = logging.getLogger("evalkit.models")

_SATURATED = 1.0
_TOKENIZER = "tokenizer.json"


class HttpReranker:
    """Pairs to scores through a server, which is asked for one query and its documents at a time.

    The server cuts what is too long as it likes, and does not say so. Where it answers with a sigmoid, its scores lose
    resolution near 1: what ties there keeps the order of stage 1, and a warning says so. Ask for raw scores where it
    has them.

    Args:
        dialect: What it speaks: ``rerank``, ``cohere``, ``jina``, ``voyage``, ``mixedbread`` or ``tei``.
        fields: Sent along with every request, such as ``{raw_scores: true}``.
        price: ``{amount, currency, per}``, per ``1000_requests`` or ``million_tokens``; None where none is known.
        service: The settings that every model behind a server has.

    Raises:
        ConfigError: The URL is no address, carries credentials or leads elsewhere; or an argument is of the wrong kind.
    """

    def __init__(
        self,
        dialect: str,
        fields: Mapping[str, Any] | None,
        price: Mapping[str, Any] | None,
        **service: Unpack[Choices],
    ) -> None:
        text("reranker.dialect", dialect)
        if dialect not in RERANK:
            raise unfit("reranker.dialect", dialect, f"one of {', '.join(RERANK)}")
        self._remote = RemoteModel("reranker", **service)
        self._name = dialect
        self._dialect = RERANK[dialect]
        self._fields = self._remote.fields("fields", fields, self._dialect.taken)
        self._meter = Meter(Price.parse(price))
        self._warned = False

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the scores, as far as a client can know it; the address is none of it."""
        return {
            "backend": "http",
            "dialect": self._name,
            "weights": self._remote.weights,
            "fields": json.dumps(self._fields, sort_keys=True),
        }

    @property
    def device(self) -> str:
        """Where it runs, as far as a client can know it."""
        return f"the server {self._remote.endpoint.host}"

    @property
    def currency(self) -> str | None:
        """Of its price; None where none is known."""
        return self._meter.currency

    @property
    def billed(self) -> float | None:
        """Requests or tokens that its answers have billed; None where that, or the price, is not known."""
        return self._meter.billed

    def cost(self, billed: float) -> float | None:
        """Of so many requests or tokens; None where no price is known."""
        return self._meter.cost(billed)

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """The server's scores.

        Returns:
            Shape (n,), in the order of ``pairs``.

        Raises:
            ConfigError: The server stands where texts must not go; nothing was sent.
            ModelError: The server cannot be reached, refuses, or does not return a usable score for each pair.
        """
        places: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(pairs):
            places.setdefault(query, []).append(place)
        found = self._remote.rows(
            [(query, [pairs[place][1] for place in of_query]) for query, of_query in places.items()], self._ask
        )
        scores = np.empty(len(pairs))
        if found is not None:
            scores[[place for of_query in places.values() for place in of_query]] = found
        self._warn_of_ties(scores, list(places.values()))
        return scores

    def _ask(self, query: str, documents: Sequence[str]) -> NDArray[np.float64] | None:
        request = {**self._fields, **self._dialect.ask(self._remote.model, query, documents)}
        answer = self._remote.endpoint.post(self._dialect.path, request, len(documents))
        return None if answer is None else self._scores(answer, len(documents))

    def _scores(self, answer: bytes, n: int) -> NDArray[np.float64]:
        try:
            read = json.loads(answer)
            results = self._dialect.read(read)
        except (ValueError, LookupError, TypeError, RecursionError):
            raise self._unusable(
                "no list of results with their indices and scores; check reranker.url and reranker.dialect"
            ) from None
        self._meter.add(read)
        if len(results) != n:
            raise self._unusable(f"{len(results)} scores for {n} documents")
        # A score that goes with the wrong document would spoil the evaluation without a sign.
        by_index = {index: score for index, score in results if type(index) is int}
        if set(by_index) != set(range(n)):
            raise self._unusable(f"scores that are not numbered 0 to {n - 1}, each once")
        scores = [by_index[index] for index in range(n)]
        if kinds := {type(score) for score in scores} - {int, float}:
            raise self._unusable(f"scores that are no numbers, but {', '.join(sorted(map(_kind, kinds)))}")
        try:
            rows = np.array(scores, dtype=np.float64)
        except OverflowError:
            rows = np.array([math.inf])
        if not np.isfinite(rows).all():
            raise self._unusable("scores that are not finite; half precision can overflow: serve it in float32")
        return rows

    def _warn_of_ties(self, scores: NDArray[np.float64], places: Sequence[Sequence[int]]) -> None:
        saturated = max((int((scores[list(of_query)] == _SATURATED).sum()) for of_query in places), default=0)
        if saturated > 1 and not self._warned:
            self._warned = True
            _LOG.warning(
                "%s gave %d documents of one query the score 1, as a sigmoid does where it has no resolution left; "
                "their order is that of stage 1. Ask it for raw scores, if it has them (reranker.fields)",
                self._remote.endpoint,
                saturated,
            )

    def _unusable(self, found: str) -> ModelError:
        return self._remote.unusable(found, self._dialect.named)


class RerankerChoices(Choices):
    """Settings of every reranker behind a server; see :class:`HttpReranker`."""

    dialect: str
    fields: Mapping[str, Any] | None
    price: Mapping[str, Any] | None


class CountingHttpReranker(HttpReranker):
    """As :class:`HttpReranker`, with the tokenizer of the model that is served: long documents are read in windows.

    Tokens are counted, and windows made, as by the rerankers in process, so that the same model gives the same result
    there and here.

    Args:
        tokenizer: The folder that holds ``tokenizer.json``.
        max_length: Tokens per pair, special tokens included, beyond which the server cuts the document.
        service: Its settings.

    Raises:
        ConfigError: As :class:`HttpReranker`.
    """

    def __init__(self, tokenizer: Weights, max_length: int, **service: Unpack[RerankerChoices]) -> None:
        if not isinstance(tokenizer, Weights):
            raise unfit("reranker.tokenizer", tokenizer, "CarrierWeights, FolderWeights or HubWeights")
        whole_number("reranker.max_length", max_length, SHORTEST_MAX_LENGTH)
        super().__init__(**service)
        self._tokenizer = tokenizer
        self._max_length = max_length

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes the scores, and the windows that long documents are split into."""
        return {
            **super().fingerprint,
            "tokenizer": self._tokenizer.identity(),
            "max_length": self._max_length,
        }

    @property
    def max_length(self) -> int:
        """Tokens of a pair, special tokens included, beyond which the document is cut."""
        return self._max_length

    def count_tokens(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Tokens of each pair before anything is cut, special tokens included.

        Returns:
            Shape (n,).
        """
        return self._tokens.count([query for query, _ in pairs], [document for _, document in pairs])

    def windows(self, pairs: Sequence[Pair], overlap: int) -> list[list[str]]:
        """Each pair's document in windows that are read whole beside the query; one where it fits.

        Args:
            pairs: Queries and documents.
            overlap: Tokens that a window shares with the one before.
        """
        return self._tokens.windows([query for query, _ in pairs], [document for _, document in pairs], overlap, "")

    @cached_property
    def _tokens(self) -> PairTokens:
        from tokenizers import Tokenizer

        folder = self._tokenizer.locate_tokenizer()
        self._tokenizer.vouch(_TOKENIZER)
        refuse_too_long("reranker", self._max_length, folder)
        try:
            tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        # The library raises plain Exception.
        except Exception as error:
            raise ModelError(f"no tokenizer can be read from {folder / _TOKENIZER}: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        added = tokenizer.num_special_tokens_to_add(is_pair=True)
        return PairTokens(tokenizer, added, self._max_length, self._max_length * 3 // 4)


def _kind(kind: type) -> str:
    return "null" if kind is type(None) else kind.__name__
