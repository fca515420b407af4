"""How each kind of service is asked and answers: one small value per documented protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RerankDialect:
    """How scores are asked for. Every document is asked back, and none of their texts.

    Attributes:
        named: What messages call the protocol.
        path: Below the server's base.
        documents: The request's field for the documents.
        limit: The request's field for how many results come back; None where all do.
        texts: The request's field that would bring texts back.
        with_model: Whether the request names a model.
        results: The answer's field for the list of results; None where the answer is that list.
        score: The field of a result that holds its score.
    """

    named: str
    path: str
    documents: str = "documents"
    limit: str | None = "top_n"
    texts: str | None = "return_documents"
    with_model: bool = True
    results: str | None = "results"
    score: str = "relevance_score"

    @property
    def taken(self) -> tuple[str, ...]:
        """Fields of the request that no setting may change."""
        return tuple(self.ask("", "", []))

    def ask(self, model: str, query: str, documents: Sequence[str]) -> dict[str, Any]:
        """The request, as JSON values."""
        request: dict[str, Any] = {"query": query, self.documents: list(documents)}
        if self.with_model:
            request["model"] = model
        if self.limit is not None:
            request[self.limit] = len(documents)
        if self.texts is not None:
            request[self.texts] = False
        return request

    def read(self, answer: Any) -> list[tuple[object, object]]:
        """Index and score of every result, as they stand there.

        Raises:
            LookupError, TypeError: The answer is of another form.
        """
        results = answer if self.results is None else answer[self.results]
        return [(result["index"], result[self.score]) for result in results]


@dataclass(frozen=True, slots=True)
class EmbedDialect:
    """How vectors are asked for.

    Attributes:
        named: What messages call the protocol.
        path: Below the server's base.
        texts: The request's field for the texts.
        with_model: Whether the request names a model.
        always: Fields of every request, as their other values mean other answers.
        vectors: Where the answer lists vectors, from its top down.
        numbered: Whether each vector stands in an entry that names its text by number, in any order.
        refused: Fields that would change the form of the answer.
    """

    named: str
    path: str = "/embeddings"
    texts: str = "input"
    with_model: bool = True
    always: Mapping[str, Any] = field(default_factory=dict)
    vectors: tuple[str, ...] = ("data",)
    numbered: bool = True
    refused: tuple[str, ...] = ("encoding_format",)

    @property
    def taken(self) -> tuple[str, ...]:
        """Fields of the request that no setting may change."""
        return (*self.ask("", []), *self.refused)

    def ask(self, model: str, texts: Sequence[str]) -> dict[str, Any]:
        """The request, as JSON values."""
        named = {"model": model} if self.with_model else {}
        return {**self.always, **named, self.texts: list(texts)}

    def read(self, answer: Any) -> list[tuple[object, Any]]:
        """Number and vector of every text, as they stand there.

        Raises:
            LookupError, TypeError: The answer is of another form.
        """
        for key in self.vectors:
            answer = answer[key]
        if self.numbered:
            return [(entry["index"], entry["embedding"]) for entry in answer]
        if not isinstance(answer, list):
            raise TypeError
        return list(enumerate(answer))


RERANK: Mapping[str, RerankDialect] = {
    # docs.vllm.ai/en/stable/serving/openai_compatible_server (re-rank API); infinity and LiteLLM serve likewise.
    "rerank": RerankDialect("the common /rerank", "/rerank"),
    # docs.cohere.com/reference/rerank: v2 never returns texts, and has no field for it.
    "cohere": RerankDialect("Cohere's /v2/rerank", "/rerank", texts=None),
    # api.jina.ai/redoc (reranker); texts come back unless told otherwise.
    "jina": RerankDialect("Jina's /v1/rerank", "/rerank"),
    # docs.voyageai.com/reference/reranker-api
    "voyage": RerankDialect("Voyage's /v1/rerank", "/rerank", limit="top_k", results="data"),
    # mixedbread.com/api-reference/endpoints/reranking
    "mixedbread": RerankDialect(
        "Mixedbread's /v1/reranking",
        "/reranking",
        documents="input",
        limit="top_k",
        texts="return_input",
        results="data",
        score="score",
    ),
    # huggingface.github.io/text-embeddings-inference (/rerank): one model per server, all results.
    "tei": RerankDialect(
        "text-embeddings-inference's /rerank",
        "/rerank",
        documents="texts",
        limit=None,
        texts="return_text",
        with_model=False,
        results=None,
        score="score",
    ),
}
"""By the name that a configuration uses."""

EMBED: Mapping[str, EmbedDialect] = {
    # platform.openai.com/docs/api-reference/embeddings
    "openai": EmbedDialect("OpenAI's /v1/embeddings"),
    # huggingface.github.io/text-embeddings-inference (/embed): one model per server, vectors in the order of the texts.
    "tei": EmbedDialect(
        "text-embeddings-inference's /embed",
        "/embed",
        texts="inputs",
        with_model=False,
        vectors=(),
        numbered=False,
        refused=(),
    ),
    # docs.cohere.com/reference/embed: vectors in the order of the texts, under the type that was asked for.
    "cohere": EmbedDialect(
        "Cohere's /v2/embed",
        "/embed",
        texts="texts",
        always={"embedding_types": ["float"]},
        vectors=("embeddings", "float"),
        numbered=False,
        refused=(),
    ),
    # docs.voyageai.com/reference/embeddings-api
    "voyage": EmbedDialect("Voyage's /v1/embeddings", refused=("encoding_format", "output_dtype")),
}
"""By the name that a configuration uses."""
