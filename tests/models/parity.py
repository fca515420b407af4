"""The same weights through every back end, on the same pairs of real texts: how far apart, and in the same order?"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager as Opened
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.models.export import GRAPH, Exporter
from evalkit.models.weights import FolderWeights
from evalkit.ports import Embedder, Pair, Reranker
from tests.models import asking
from tests.models.conftest import (
    RERANKER,
    _tiny,
    flag_embedder,
    flag_reranker,
    onnx_embedder,
    onnx_reranker,
)
from tests.models.sentence_models import save_embedder, st_embedder, st_reranker
from tests.models.xlmr import save_xlmr_tokenizer
from tests.serving.running import running

TEXTS = Path(__file__).parents[2] / "datasets" / "swiss_fiduciary" / "en"

Scorer: TypeAlias = Callable[[Sequence[Pair]], NDArray[np.float64]]
"""Pairs to scores: logits of a reranker, inner products of an embedder."""


@dataclass(frozen=True)
class Agreement:
    """How two back ends agree.

    Attributes:
        difference: Largest absolute difference of two scores.
        identical: Queries whose candidates come in the same order.
        queries: All queries.
    """

    difference: float
    identical: int
    queries: int


def candidates(queries: int, per_query: int, long: int) -> list[list[Pair]]:
    """Real questions, and passages as questions, each with the passages that share its rarest words.

    Args:
        queries: Questions.
        per_query: Candidates of each.
        long: Passages that stand as questions, longest first; a back end must cut them.
    """
    documents, asked = (
        [f"{row.get('title', '')} {row['text']}".strip() for row in map(json.loads, lines)]
        for lines in ((TEXTS / name).read_bytes().splitlines() for name in ("corpus.jsonl", "queries.jsonl"))
    )
    words = [set(text.lower().split()) for text in documents]
    found_in = Counter(word for of_document in words for word in of_document)
    chosen = asked[:: len(asked) // queries][:queries] + sorted(documents, key=len, reverse=True)[:long]

    def shared(query: str, place: int) -> float:
        return sum(log(len(documents) / found_in[word]) for word in set(query.lower().split()) & words[place])

    return [
        [
            (query, documents[place])
            for place in sorted(range(len(documents)), key=lambda place: -shared(query, place))[:per_query]
        ]
        for query in chosen
    ]


def agreement(expected: Sequence[NDArray[np.float64]], found: Sequence[NDArray[np.float64]]) -> Agreement:
    """Compare the scores of each query's candidates."""
    pairs = list(zip(expected, found, strict=True))
    return Agreement(
        max(float(np.abs(one - other).max()) for one, other in pairs),
        sum(np.array_equal(np.argsort(-one, kind="stable"), np.argsort(-other, kind="stable")) for one, other in pairs),
        len(pairs),
    )


def scores(scorer: Scorer, asked: Sequence[Sequence[Pair]]) -> list[NDArray[np.float64]]:
    """The scores of each query's candidates, from one call."""
    found = scorer([pair for pairs in asked for pair in pairs])
    return np.split(found, np.cumsum([len(pairs) for pairs in asked])[:-1])


# --- back ends ------------------------------------------------------------------------------------


@contextmanager
def _served(folder: Path, max_length: int) -> Iterator[Scorer]:
    """``evalkit serve`` with the flag back end in it, asked over a socket."""
    with running(flag_reranker(folder, max_length=max_length), model_names=["m"], timeout_s=600) as service:
        asking_it = asking.reranker(f"{service.url}/v1", fields={"raw_scores": True}, batch=100, timeout_s=600)
        yield asking_it.score


def _scorer(reranker: Reranker) -> Opened[Scorer]:
    return nullcontext(reranker.score)


def _products(embedder: Embedder) -> Opened[Scorer]:
    def score(pairs: Sequence[Pair]) -> NDArray[np.float64]:
        queries, documents = zip(*pairs, strict=True)
        vectors = embedder.embed_queries(queries), embedder.embed_documents(documents)
        products: NDArray[np.float64] = np.einsum("ij,ij->i", *vectors, dtype=np.float64)
        return products

    return nullcontext(score)


def _own_loop(folder: Path, max_length: int) -> Opened[Scorer]:
    """``CrossEncoder.predict``, which cuts the longer text of a pair first."""
    import torch
    from sentence_transformers import CrossEncoder

    library = CrossEncoder(str(folder), device="cpu", max_length=max_length, activation_fn=torch.nn.Identity())

    def score(pairs: Sequence[Pair]) -> NDArray[np.float64]:
        return np.asarray(library.predict(list(pairs), show_progress_bar=False), dtype=np.float64)

    return nullcontext(score)


RERANKERS: dict[str, Callable[[Path, int], Opened[Scorer]]] = {
    "flag": lambda folder, length: _scorer(flag_reranker(folder, max_length=length)),
    "sentence-transformers": lambda folder, length: _scorer(st_reranker(folder, max_length=length)),
    "ONNX fp32, onnxruntime": lambda folder, length: _scorer(onnx_reranker(folder, max_length=length)),
    "ONNX fp32, openvino": lambda folder, length: _scorer(onnx_reranker(folder, runtime="openvino", max_length=length)),
    "HTTP, evalkit serve": _served,
}
"""Name -> back end of a folder that holds a reranker's weights, tokenizer and ``model.onnx``."""

OTHER_RULE = {"CrossEncoder.predict": _own_loop}
"""What is no back end: the same weights where another rule cuts."""

EMBEDDERS: dict[str, Callable[[Path, int], Opened[Scorer]]] = {
    "flag": lambda folder, length: _products(flag_embedder(folder, pooling="mean", max_length=length)),
    "sentence-transformers": lambda folder, length: _products(st_embedder(folder, max_length=length)),
    "ONNX fp32, onnxruntime": lambda folder, length: _products(
        onnx_embedder(folder, pooling="mean", max_length=length)
    ),
    "ONNX fp32, openvino": lambda folder, length: _products(
        onnx_embedder(folder, runtime="openvino", pooling="mean", max_length=length)
    ),
}
"""Likewise for an embedder that pools by the mean."""


# --- weights --------------------------------------------------------------------------------------


def random_xlmr(tokenizer: Path, folder_out: Path) -> Path:
    """A random XLM-R reranker as small as the tests' own, which reads 512 tokens, with XLM-R's tokenizer."""
    import transformers

    _tiny(folder_out, RERANKER, 250037, 1)
    config = transformers.XLMRobertaConfig.from_pretrained(folder_out, max_position_embeddings=514)
    transformers.XLMRobertaForSequenceClassification(config).save_pretrained(folder_out)
    return save_xlmr_tokenizer(folder_out, tokenizer, 512)


def with_graph(folder: Path, role: Literal["embedder", "reranker"]) -> Path:
    """The folder, with its weights as ``model.onnx`` too, as ``evalkit export`` writes it."""
    model = flag_reranker(folder) if role == "reranker" else flag_embedder(folder, pooling="mean")
    settings = {"pooling": "mean", "normalize": True, "query_prompt": "", "document_prompt": ""}
    made = folder / "made"
    made.mkdir()
    Exporter(role, model, FolderWeights(folder), settings if role == "embedder" else {}, made).write()
    (made / GRAPH).rename(folder / GRAPH)
    shutil.rmtree(made)
    return folder


def embedder_of(minilm: Path, folder_out: Path) -> Path:
    """all-MiniLM-L6-v2, readable by every back end."""
    return with_graph(save_embedder(folder_out, minilm, "mean"), "embedder")
