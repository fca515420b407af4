"""Rerankers that are decoders: a question about query and document, and the logit of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import text, unfit
from evalkit.models.batching import MAX_BATCHED_DRIFT, Batch, Rows
from evalkit.models.flag_decoders import Decoder, Lengths
from evalkit.models.flag_library import FlagLibrary
from evalkit.models.pair_tokens import query_limit
from evalkit.models.prompts import Prompts
from evalkit.models.torch_reranker import TorchReranker
from evalkit.models.torch_runtime import Device, Dtype, Loaded, Tokens, TorchRuntime
from evalkit.models.weights import Weights
from evalkit.models.windows import in_windows
from evalkit.ports import Pair
from evalkit.types import Fingerprint

_HALF_PRECISION_DRIFT = 2 * MAX_BATCHED_DRIFT


class FlagLLMReranker(TorchReranker):
    """Pairs to logits, as FlagEmbedding's three LLM rerankers compute them.

    The model reads the query, the document and the prompt, each on its own line.

    Args:
        decoder: The kind of model, and where its score is read.
        weights: The folder with weights, configuration and tokenizer.
        dtype: ``float32``, or on a GPU ``float16`` or ``bfloat16``.
        device: ``cpu``, ``cuda:0`` and so on; a list holds one copy on each; None takes the first GPU, or the CPU
            where there is none.
        prompt: What the model is asked.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        max_length: Tokens of a document; beyond it, and where it does not fit beside the query, it is cut. As in
            FlagEmbedding, query and document together have as much more room as the prompt has tokens.
        query_max_length: Tokens at which the query is cut first; None means 3/4 of ``max_length``.
        token_budget: Tokens per batch, padding included.
    """

    def __init__(
        self,
        decoder: Decoder,
        weights: Weights,
        dtype: Dtype,
        device: Device,
        prompt: str,
        query_prompt: str,
        document_prompt: str,
        max_length: int,
        query_max_length: int | None,
        token_budget: int,
    ) -> None:
        if not isinstance(decoder, Decoder):
            raise unfit("reranker.decoder", decoder, "YesDecoder, LayerwiseDecoder or LightweightDecoder")
        text("reranker.prompt", prompt)
        self._prompts = Prompts("reranker", query_prompt, document_prompt)
        runtime = TorchRuntime("reranker", dtype, device, token_budget)
        super().__init__(runtime)
        self._library = FlagLibrary(decoder, weights, runtime, max_length)
        self._decoder = decoder
        self._prompt = prompt
        self._query_max_length = query_limit(max_length, query_max_length)

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that changes the scores; reading it loads no model."""
        return {
            **self._library.fingerprint,
            **self._decoder.fingerprint,
            "prompt": self._prompt,
            "query_max_length": self._query_max_length,
            **self._prompts.fingerprint,
        }

    @property
    def batch_drift(self) -> float:
        """How far a logit moves with the other pairs of a batch.

        In half precision that was measured with encoders alone. Logits of a language model are larger, and from 16 up
        the steps of float16 are 0.016: each pair runs on its own.
        """
        measured = self._runtime.logit_drift
        return measured if self._runtime.dtype == "float32" else max(measured, _HALF_PRECISION_DRIFT)

    @property
    def max_length(self) -> int:
        """What :meth:`count_tokens` counts, beyond which the document is cut."""
        return self._library.max_length

    def count_tokens(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Tokens of each document before anything is cut, and of its query beyond those that the prompt has.

        Returns:
            Shape (n,).
        """
        if not pairs:
            return np.empty(0, dtype=np.int64)
        queries, documents = self._library.tokens(*self._prompts.pairs(pairs))
        free = self._free(self._library.tokenizer)
        counts = [len(document) + max(0, len(query) - free) for query, document in zip(queries, documents, strict=True)]
        return np.array(counts, dtype=np.int64)

    def windows(self, pairs: Sequence[Pair], overlap: int) -> list[list[str]]:
        """Each pair's document in windows that are read whole beside the query; one where it fits.

        Args:
            pairs: Queries and documents.
            overlap: Tokens that a window shares with the one before.
        """
        library = self._library
        free = self._free(library.tokenizer)
        queries = library.spans(self._prompts.queries([query for query, _ in pairs]))
        rooms = [self.max_length - max(0, min(len(query), self._query_max_length) - free) for query in queries]
        return in_windows([text for _, text in pairs], rooms, overlap, library.spans, self._prompts.document)

    def _read(self, pairs: Sequence[Pair]) -> Rows:
        items, heads, tail = self._tokenise(pairs)

        def forward(copy: Loaded, inputs: Any, batch: Batch) -> NDArray[Any]:
            queries = [heads[position] for position in batch]
            documents = [
                len(items[position]["input_ids"]) - query - tail for position, query in zip(batch, queries, strict=True)
            ]
            found = self._decoder.scores(copy, inputs, Lengths(queries, documents))
            logits: NDArray[np.float32] = found.float().cpu().numpy()
            return logits

        return self._runtime.finite(self._library.run_batches(items, self.batch_drift, forward))

    def _tokenise(self, pairs: Sequence[Pair]) -> tuple[list[Tokens], list[int], int]:
        """Cut and join as ``compute_score_single_gpu`` does.

        Returns:
            The items, of each the tokens up to the document, and the tokens behind every document.
        """
        from FlagEmbedding.utils.tokenizer_compat import prepare_for_model_compat

        cut = self._library.cut(*self._prompts.pairs(pairs), self._query_max_length)
        tokenizer = self._library.tokenizer
        begin, line = _begin(tokenizer), _ids(tokenizer, "\n")
        tail = line + _ids(tokenizer, self._prompt)
        items = []
        for query, document in cut:
            joined = prepare_for_model_compat(
                tokenizer,
                begin + query,
                line + document,
                truncation="only_second",
                max_length=self.max_length + len(tail),
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                add_special_tokens=False,
            )
            ids = joined["input_ids"] + tail
            items.append({"input_ids": ids, "attention_mask": [1] * len(ids)})
        return items, [len(begin) + len(query) + len(line) for query, _ in cut], len(tail)

    def _free(self, tokenizer: Any) -> int:
        """Tokens of a query that take no room from its document."""
        return len(_ids(tokenizer, self._prompt)) - len(_begin(tokenizer))


def _begin(tokenizer: Any) -> list[int]:
    known = tokenizer.bos_token_id is not None and tokenizer.bos_token_id != tokenizer.pad_token_id
    return [tokenizer.bos_token_id] if known else []


def _ids(tokenizer: Any, words: str) -> list[int]:
    ids: list[int] = tokenizer(words, add_special_tokens=False)["input_ids"]
    return ids
