"""What goes over the wire: the request and answer that clients of Cohere, Jina, vLLM and infinity speak.

Fields that those clients send and that are not read here are taken without complaint, as those services do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from evalkit.ports import Pair
from evalkit.serving.job import Scored
from evalkit.serving.refusal import Refusal
from evalkit.serving.settings import ServeSettings
from evalkit.types import Fingerprint

_FAULTS_SHOWN = 3
_MOST_RANK_FIELDS = 100
_SIGNS_PER_DOCUMENT = 300
"""Strings, commas and brackets: a text is 2, an object of 100 fields with texts is 300."""

_SIGN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[,\[{]', re.DOTALL)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
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
        priority: Not used: everybody in turn.
    """

    model_config = ConfigDict(strict=True)

    model: str | None = None
    query: str
    documents: list[str | dict[str, Any]] = Field(min_length=1, fail_fast=True)
    top_n: int | None = Field(None, ge=1)
    rank_fields: list[str] | None = Field(None, max_length=_MOST_RANK_FIELDS, fail_fast=True)
    return_documents: bool | None = None
    raw_scores: bool | None = None
    max_tokens_per_doc: int | None = None
    max_chunks_per_doc: int | None = None
    priority: int | None = None

    def pairs(self, most_chars: int) -> list[Pair]:
        """The pairs to score, in the order of the documents.

        Args:
            most_chars: Characters of the query or a document.

        Raises:
            Refusal: A document holds no text, or a text is longer.
        """
        _hold_to(most_chars, len(self.query))
        fields = ["text"] if self.rank_fields is None else self.rank_fields
        if len(set(fields)) < len(fields):
            raise Refusal(422, "invalid_request", "rank_fields: a name stands there twice; expected each once")
        return [(self.query, self._text(place, fields, most_chars)) for place in range(len(self.documents))]

    def _text(self, place: int, fields: Sequence[str], most_chars: int) -> str:
        document = self.documents[place]
        texts = [document] if isinstance(document, str) else [document[field] for field in fields if field in document]
        if not texts or not all(isinstance(text, str) for text in texts):
            asked = "text" if self.rank_fields is None else "any of rank_fields"
            raise Refusal(422, "invalid_request", f"documents.{place}: no text under {asked}; expected one there")
        # Before they are joined: a request may be small, and what it asks for large.
        _hold_to(most_chars, sum(map(len, texts)) + len(texts) - 1)
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
    body = body.removeprefix(_BYTE_ORDER_MARK)
    most_signs = _SIGNS_PER_DOCUMENT * settings.max_documents + 1000
    # Before anything is made of it: an empty object takes three bytes on the wire and a hundred in memory.
    if sum(1 for _ in islice(_SIGN.finditer(body), most_signs + 1)) > most_signs:
        raise Refusal(
            413,
            "too_many_values",
            f"a body of more than {most_signs} strings, commas and brackets, {_SIGNS_PER_DOCUMENT} for each of "
            "serve.max_documents; send fewer documents, or leave out fields that are not ranked",
        )
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise _no_json(str(error)) from None
    if not _finite(found):
        raise _no_json("a number beyond those that can be written")
    if not isinstance(found, dict):
        raise Refusal(422, "invalid_request", "body: Input should be an object")
    try:
        request = RerankRequest.model_validate(found)
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
    return request, request.pairs(settings.max_text_chars)


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


def _hold_to(most_chars: int, chars: int) -> None:
    if chars > most_chars:
        raise Refusal(
            413, "too_long", f"a text of {chars} characters; expected {most_chars} at most: cut it into passages"
        )


def _finite(value: Any) -> bool:
    """Whether all numbers are: 1e999 is JSON, and could not be sent back as such."""
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _no_json(fault: str) -> Refusal:
    return Refusal(400, "invalid_json", f"the body is no JSON document in UTF-8. Invalid JSON: {fault}")


def _unfit(error: ValidationError) -> Refusal:
    """Places and rules, never values: pydantic's own account of an error quotes the input."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, fault['loc'][:2])) or 'body'}: {fault['msg']}" for fault in faults]
    more = f" and {len(shown) - _FAULTS_SHOWN} more" if len(shown) > _FAULTS_SHOWN else ""
    return Refusal(422, "invalid_request", "; ".join(shown[:_FAULTS_SHOWN]) + more)
