"""Rerankers on loopback, each with its documented protocol; whatever this does not name is refused.

Results come back by falling score, as everywhere. A service bills one search unit for up to 100 documents, or one token
per word: those of the query once for each document, and those of the documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tests.models.model_server import Answer, ModelServer, Request

Protocol: TypeAlias = Literal["rerank", "cohere", "jina", "voyage", "mixedbread", "tei"]

Result: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Documented:
    """One protocol, as its documentation states it: path, fields of a request with their types, and the answer."""

    base: str
    path: str
    required: Mapping[str, type]
    optional: Mapping[str, type]
    answer: Callable[[list[Result], int], Any]
    score: str = "relevance_score"
    texts: str = "documents"
    fixed: Mapping[str, Any] = field(default_factory=dict)


_ASKED = {"model": str, "query": str, "documents": list}

PROTOCOLS: Mapping[Protocol, Documented] = {
    "rerank": Documented(
        "/v1",
        "/v1/rerank",
        _ASKED,
        {"top_n": int, "return_documents": bool, "raw_scores": bool},
        lambda results, tokens: {"id": "1", "model": "m", "results": results, "usage": {"total_tokens": tokens}},
    ),
    "cohere": Documented(
        "/v2",
        "/v2/rerank",
        _ASKED,
        {"top_n": int, "max_tokens_per_doc": int, "priority": int},
        lambda results, _: {
            "id": "1",
            "results": results,
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": -(-len(results) // 100)}},
        },
    ),
    "jina": Documented(
        "/v1",
        "/v1/rerank",
        _ASKED,
        {"top_n": int, "return_documents": bool},
        lambda results, tokens: {
            "model": "m",
            "object": "list",
            "usage": {"total_tokens": tokens},
            "results": results,
        },
        fixed={"return_documents": False},
    ),
    "voyage": Documented(
        "/v1",
        "/v1/rerank",
        _ASKED,
        {"top_k": int, "return_documents": bool, "truncation": bool},
        lambda results, tokens: {
            "object": "list",
            "data": results,
            "model": "m",
            "usage": {"total_tokens": tokens},
        },
    ),
    "mixedbread": Documented(
        "/v1",
        "/v1/reranking",
        {"model": str, "query": str, "input": list},
        {"top_k": int, "return_input": bool, "rank_fields": list, "rewrite_query": bool},
        lambda results, tokens: {
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
            "model": "m",
            "data": results,
            "object": "list",
            "top_k": len(results),
            "return_input": False,
        },
        score="score",
        texts="input",
    ),
    "tei": Documented(
        "",
        "/rerank",
        {"query": str, "texts": list},
        {"raw_scores": bool, "return_text": bool, "truncate": bool, "truncation_direction": str},
        lambda results, _: results,
        score="score",
        texts="texts",
        fixed={"raw_scores": True, "truncate": True},
    ),
}


def overlap(query: str, document: str) -> float:
    """The share of the query's words that stand in the document, less a little for each word of that."""
    asked, found = set(query.split()), document.split()
    return len(asked & set(found)) / len(asked) - len(found) / 1000


def _overlaps(query: str, documents: Sequence[str]) -> Sequence[float]:
    return [overlap(query, document) for document in documents]


Scorer: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]


class RerankServer(ModelServer):
    """A reranker's server.

    Args:
        protocol: What it speaks.
        api_key: The key that requests must carry, or None for a server without keys.
        largest_batch: Documents above which a request is too large.
        scorer: Query and documents to scores; None takes :func:`overlap`.
    """

    def __init__(
        self,
        protocol: Protocol = "rerank",
        api_key: str | None = None,
        largest_batch: int = 1000,
        scorer: Scorer | None = None,
    ) -> None:
        self._documented = PROTOCOLS[protocol]
        super().__init__(self._documented.base, api_key)
        self.protocol: Protocol = protocol
        self.largest_batch = largest_batch
        self._scorer = scorer or _overlaps

    @property
    def asked(self) -> list[tuple[str, list[str]]]:
        """Query and documents of every request."""
        return [(request.body["query"], request.body[self._documented.texts]) for request in self.requests]

    def holding(self, results: list[Any]) -> Answer:
        """An answer of this protocol with these results, given as (index, score) or as they are."""
        score = self._documented.score
        named = [{"index": one[0], score: one[1]} if isinstance(one, tuple) else one for one in results]
        return Answer(200, self._documented.answer(named, 0))

    def answer(self, request: Request) -> Answer:
        known, body = self._documented, request.body
        if request.path != known.path:
            return Answer(404)
        types = {**known.required, **known.optional}
        wrong = [name for name, value in body.items() if name not in types or type(value) is not types[name]]
        missing = known.required.keys() - body.keys()
        if wrong or missing or any(body.get(name) != value for name, value in known.fixed.items()):
            return Answer(422)
        query, documents = body["query"], body[known.texts]
        if not documents or not all(isinstance(document, str) for document in documents):
            return Answer(400)
        if len(documents) > self.largest_batch:
            return Answer(413)
        results = [{"index": index, known.score: score} for index, score in enumerate(self._scorer(query, documents))]
        results.sort(key=lambda result: -result[known.score])
        limit = body.get("top_n", body.get("top_k", len(documents)))
        tokens = len(documents) * len(query.split()) + sum(len(document.split()) for document in documents)
        return Answer(200, known.answer(results[:limit], tokens))
