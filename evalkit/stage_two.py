"""Stage 2: each unique pair scored once, a document that is too long in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evalkit.analysis.derive import count_ties
from evalkit.ports import AskedByQuery, CountsPairTokens, Numbers, Pair, Reranker
from evalkit.record import LongDocuments, Scoring
from evalkit.stages import Log, Plan, key_of, remembered
from evalkit.types import Candidates, Dataset


def rerank(
    plan: Plan, reranker: Reranker, dataset: Dataset, retrieved: Candidates, log: Log
) -> tuple[Candidates, Scoring]:
    """Score each unique pair once, whatever the number of top-k values."""
    with log.phase("rerank"):
        pairs = Pairs.of(plan, reranker, dataset, retrieved)
        rows, computed = remembered(plan, pairs.texts, pairs.scorer(reranker), "pairs", pairs.unit(reranker))
        best = best_windows(plan, reranker, pairs, rows)
    log.computed["pairs"] = computed + best.computed
    return pairs.outcome(retrieved, {**rows, **best.rows}, limit_of(reranker), len(best.windows))


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs that stage 2 reads: the first max(top-k) candidates of each query.

    Attributes:
        keys: query id -> document id -> content key.
        texts: Content key -> the pair, each once.
        prefix: What every content key begins with: the reranker's fingerprint.
    """

    keys: Mapping[str, Mapping[str, bytes]]
    texts: Mapping[bytes, Pair]
    prefix: bytes

    @classmethod
    def of(cls, plan: Plan, reranker: Reranker, dataset: Dataset, retrieved: Candidates) -> Pairs:
        """Keys hold the reranker's fingerprint and both texts; the order is the reranker's, as in :func:`_in_order`."""
        documents = {document.id: document.content for document in dataset.documents}
        queries = {query.id: query.text for query in dataset.queries}
        prefix, top_k = key_of(reranker.fingerprint, "pair"), max(plan.design.top_ks)
        keys = {
            query_id: {one.doc_id: key_of(prefix, queries[query_id], documents[one.doc_id]) for one in found[:top_k]}
            for query_id, found in retrieved.items()
        }
        texts = {
            key: (queries[query_id], documents[doc_id]) for query_id, of in keys.items() for doc_id, key in of.items()
        }
        return cls(keys, _in_order(reranker, texts), prefix)

    def of_queries(self, query_ids: Iterable[str]) -> Pairs:
        """Those of some queries, in their order."""
        keys = {query_id: self.keys[query_id] for query_id in query_ids}
        return Pairs(keys, {key: self.texts[key] for found in keys.values() for key in found.values()}, self.prefix)

    def scorer(self, reranker: Reranker) -> Callable[[Sequence[bytes]], Numbers]:
        """From content keys to rows of (raw score, tokens before truncation), the latter where they are counted."""
        return _scorer(reranker, self.texts)

    def unit(self, reranker: Reranker) -> Callable[[bytes], str] | None:
        """From a content key to what its chunk should hold all of: the pairs of a query that is asked as one."""
        return _unit(reranker, self.texts)

    def outcome(
        self, retrieved: Candidates, rows: Mapping[bytes, Numbers], max_length: int | None, windows: int = 0
    ) -> tuple[Candidates, Scoring]:
        """The candidates of these queries with their scores, and how those came about.

        Args:
            retrieved: Candidates of at least these queries.
            rows: What :meth:`scorer` gave, by content key.
            max_length: The reranker's, in tokens; None where it does not count them.
            windows: Windows that were read of the pairs beyond it; 0 where these were cut.
        """
        scored = {
            query_id: tuple(
                replace(
                    one,
                    rerank_score=float(rows[keys[one.doc_id]][0]),
                    tokens=None if max_length is None else int(rows[keys[one.doc_id]][1]),
                )
                if one.doc_id in keys
                else one
                for one in retrieved[query_id]
            )
            for query_id, keys in self.keys.items()
        }
        truncated = None if max_length is None else sum(float(rows[key][1]) > max_length for key in self.texts)
        return scored, Scoring(len(self.texts), truncated, max_length, count_ties(scored), windows)


@dataclass(frozen=True, slots=True)
class BestWindows:
    """What reading long documents in windows found.

    Attributes:
        rows: Content key of each pair that was read so -> (score of its best window, tokens of the whole pair).
        windows: Content keys of the windows that were read for them.
        computed: How many of these a model had to score.
    """

    rows: Mapping[bytes, Numbers]
    windows: frozenset[bytes]
    computed: int


def best_windows(plan: Plan, reranker: Reranker, pairs: Pairs, rows: Mapping[bytes, Numbers]) -> BestWindows:
    """Read the pairs that are too long again, window by window: the best one counts.

    A window is a pair of its own, remembered by its text like any other. Where a query alone is too long, there is
    nothing to split; where tokens are not counted, nothing is known to be too long.

    Args:
        plan: Whether long documents are split, and by how much windows overlap.
        reranker: Splits and scores.
        pairs: Those that were scored.
        rows: Their (score, tokens).
    """
    if plan.long.stage2 == "cut" or not isinstance(reranker, CountsPairTokens):
        return BestWindows({}, frozenset(), 0)
    long = [key for key in pairs.texts if rows[key][1] > reranker.max_length]
    windows: dict[bytes, Pair] = {}
    keys_of: dict[bytes, list[bytes]] = {}
    for chunk, split in plan.executor.map(
        lambda keys: as_read(plan.long, reranker, [pairs.texts[key] for key in keys]), long, "pairs in windows"
    ):
        for key, read in zip(chunk, split, strict=True):
            if len(read) > 1:
                keys_of[key] = [key_of(pairs.prefix, *window) for window in read]
                windows.update(zip(keys_of[key], read, strict=True))
    windows = _in_order(reranker, windows)
    scored, computed = remembered(plan, windows, _scorer(reranker, windows), "windows", _unit(reranker, windows))
    best = {key: np.array([max(float(scored[of][0]) for of in keys), rows[key][1]]) for key, keys in keys_of.items()}
    return BestWindows(best, frozenset(windows), computed)


def as_read(long: LongDocuments, reranker: Reranker, pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Of each pair what is scored for it: itself, or one pair per window of a document that is too long."""
    if long.stage2 == "cut" or not isinstance(reranker, CountsPairTokens):
        return [[pair] for pair in pairs]
    split = reranker.windows(pairs, long.overlap)
    return [[(query, window) for window in windows] for (query, _), windows in zip(pairs, split, strict=True)]


def _scorer(reranker: Reranker, texts: Mapping[bytes, Pair]) -> Callable[[Sequence[bytes]], Numbers]:
    def score(keys: Sequence[bytes]) -> Numbers:
        pairs = [texts[key] for key in keys]
        counted = [reranker.count_tokens(pairs)] if isinstance(reranker, CountsPairTokens) else []
        return np.column_stack([reranker.score(pairs), *counted]).astype(np.float64)

    return score


def _unit(reranker: Reranker, texts: Mapping[bytes, Pair]) -> Callable[[bytes], str] | None:
    return (lambda key: texts[key][0]) if isinstance(reranker, AskedByQuery) else None


def limit_of(reranker: Reranker) -> int | None:
    """Tokens of a pair beyond which the reranker cuts; None where it does not count them."""
    return reranker.max_length if isinstance(reranker, CountsPairTokens) else None


def _in_order(reranker: Reranker, texts: Mapping[bytes, Pair]) -> dict[bytes, Pair]:
    if isinstance(reranker, AskedByQuery):
        # One request for all documents of a query, instead of one for each.
        return dict(texts)
    # Neighbours of one length waste no padding, and memory runs out early or not at all.
    return dict(sorted(texts.items(), key=lambda entry: -len(entry[1][0]) - len(entry[1][1])))
