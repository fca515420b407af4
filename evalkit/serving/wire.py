"""What goes over the wire: the request and answer that clients of Cohere, Jina, vLLM and infinity speak.

Fields that those clients send and that are not read here are taken without complaint, as those services do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.ports import Pair
from evalkit.serving.refusal import Refusal
from evalkit.serving.settings import ServeSettings
from evalkit.serving.worker import Scored
from evalkit.types import Fingerprint

_FAULTS_SHOWN = 3
_UNUSED = ("max_tokens_per_doc", "max_chunks_per_doc", "priority")


class RerankRequest(BaseModel):
    """A query with the documents to rank; null stands for an absent value, as some clients send it.

    Attributes:
        model: The model that is meant; left out, the one that is served.
        query: The query's text.
        documents: Texts, or objects that hold one under ``text`` or under ``rank_fields``.
        top_n: How many results to return, the best ones; left out, all.
        rank_fields: Fields of an object whose texts make the document, in this order, one per line (Cohere v1).
        return_documents: Whether results hold their document.
        raw_scores: Whether scores are the model's logits, as in infinity, instead of their sigmoid.
        max_tokens_per_doc: Not used: pairs are cut at the model's own ``max_length``, and the answer says so.
        max_chunks_per_doc: Likewise.
        priority: Not used: first come, first served.
    """

    model_config = ConfigDict(strict=True)

    model: str | None = None
    query: str
    documents: list[str | dict[str, Any]] = Field(min_length=1)
    top_n: int | None = Field(None, ge=1)
    rank_fields: list[str] | None = None
    return_documents: bool | None = None
    raw_scores: bool | None = None
    max_tokens_per_doc: int | None = None
    max_chunks_per_doc: int | None = None
    priority: int | None = None

    def pairs(self) -> list[Pair]:
        """The pairs to score, in the order of the documents.

        Raises:
            Refusal: A document holds no text.
        """
        return [(self.query, self._text(place, document)) for place, document in enumerate(self.documents)]

    def _text(self, place: int, document: str | dict[str, Any]) -> str:
        if isinstance(document, str):
            return document
        fields = ["text"] if self.rank_fields is None else self.rank_fields
        texts = [document[field] for field in fields if field in document]
        if not texts or not all(isinstance(text, str) for text in texts):
            asked = "text" if self.rank_fields is None else "any of rank_fields"
            raise Refusal(422, "invalid_request", f"documents.{place}: no text under {asked}; expected one there")
        return "\n".join(texts)


def names_of(fingerprint: Fingerprint, others: Sequence[str] = ()) -> tuple[str, ...]:
    """What the model is called: its short name, the one with what stands before it, then others.

    Args:
        fingerprint: Of the reranker; names its weights or its model.
        others: Names that it also answers to.
    """
    named = str(fingerprint.get("weights") or fingerprint.get("model") or "unnamed")
    full = re.split(" sha256:|@", named)[0]
    return full.rpartition("/")[2], full, *others


def read_request(body: bytes, settings: ServeSettings, names: Sequence[str]) -> tuple[RerankRequest, list[Pair]]:
    """Read a request and hold it to the limits.

    Another model's name is refused, as Cohere and vLLM do: whoever asks for one model must not get another one's scores
    without a sign. ``serve.model_names`` takes in clients that insist on a name.

    Args:
        body: A JSON document.
        settings: The limits.
        names: What the model is called, its usual name first.

    Returns:
        The request, and its pairs.

    Raises:
        Refusal: It is not what was expected; the message quotes nothing of it.
    """
    try:
        request = RerankRequest.model_validate_json(body)
    except ValidationError as error:
        raise _unfit(error) from None
    if request.model is not None and request.model not in names:
        raise Refusal(
            404,
            "unknown_model",
            f"this service has one model, {names[0]}; ask for it, or for none, or let serve.model_names hold the name",
        )
    if len(request.documents) > settings.max_documents:
        raise Refusal(
            413,
            "too_many_documents",
            f"{len(request.documents)} documents; expected {settings.max_documents} at most: send fewer per request",
        )
    pairs = request.pairs()
    longest = max(len(request.query), *(len(document) for _, document in pairs))
    if longest > settings.max_text_chars:
        raise Refusal(
            413,
            "too_long",
            f"a text of {longest} characters; expected {settings.max_text_chars} at most: cut it into passages",
        )
    return request, pairs


def answer(
    request: RerankRequest, scored: Scored, model: str, max_length: int | None, api_version: str
) -> dict[str, Any]:
    """The ranking as clients expect it: by score, the earlier document first where two score the same.

    Args:
        request: What was asked.
        scored: Logits and tokens of its pairs.
        model: The model's name.
        max_length: Tokens beyond which a pair was cut; None where that is not known.
        api_version: Cohere's version that the request's path names.
    """
    logits = scored.logits.tolist()
    order = sorted(range(len(logits)), key=lambda place: (-logits[place], place))[: request.top_n]
    results = []
    for place in order:
        score = logits[place] if request.raw_scores else sigmoid(logits[place])
        result: dict[str, Any] = {"index": place, "relevance_score": score}
        if request.return_documents:
            document = request.documents[place]
            result["document"] = {"text": document} if isinstance(document, str) else document
        results.append(result)
    # Nobody is billed; clients of Cohere add this up.
    meta: dict[str, Any] = {"api_version": {"version": api_version}, "billed_units": {"search_units": 0}}
    if warnings := _warnings(request, scored, max_length):
        meta["warnings"] = warnings
    return {
        "id": str(uuid4()),
        "model": model,
        "results": results,
        "meta": meta,
        "usage": None if scored.tokens is None else {"prompt_tokens": scored.tokens, "total_tokens": scored.tokens},
    }


def failure(refusal: Refusal) -> Mapping[str, str]:
    """The one shape of every answer that is no ranking; ``message`` is where Cohere's clients look."""
    return {"id": str(uuid4()), "type": refusal.kind, "message": refusal.message}


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-x) in double precision, without overflow.

    It never falls, but near its ends it stands still: from 36.8 up everything is 1, below -745 everything is 0, and
    logits that lie closer than rounding share a value. Results are ordered by logits for that reason.
    """
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    grown = math.exp(logit)
    return grown / (1 + grown)


def _warnings(request: RerankRequest, scored: Scored, max_length: int | None) -> list[str]:
    warnings = [f"{name} is not used" for name in _UNUSED if getattr(request, name) is not None]
    if scored.cut:
        documents = "1 document was" if scored.cut == 1 else f"{scored.cut} documents were"
        warnings.append(f"{documents} cut: with the query longer than the {max_length} tokens that the model reads")
    return warnings


def _unfit(error: ValidationError) -> Refusal:
    """Places and rules, never values: pydantic's own account of an error quotes the input."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return Refusal(400, "invalid_json", f"the body is no JSON document in UTF-8. {faults[0]['msg']}")
    shown = [f"{'.'.join(map(str, fault['loc'][:2])) or 'body'}: {fault['msg']}" for fault in faults]
    more = f" and {len(shown) - _FAULTS_SHOWN} more" if len(shown) > _FAULTS_SHOWN else ""
    return Refusal(422, "invalid_request", "; ".join(shown[:_FAULTS_SHOWN]) + more)
