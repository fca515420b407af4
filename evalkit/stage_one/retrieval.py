"""From a plan to candidates: one search, or two that are fused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic

from evalkit.analysis.derive import fuse, order_hits
from evalkit.errors import ConfigError, DataError
from evalkit.ports import FoundRun, Held, Hit, Numbers, Store
from evalkit.record import Fusion, StageOne
from evalkit.sparse import CorpusEncoder
from evalkit.stage_one.points import Points
from evalkit.stage_one.search import search_documents
from evalkit.stage_one.sides import DenseSide, Side, SparseSide
from evalkit.stages import Log, Plan, check_rows, key_of, remembered
from evalkit.types import Candidates, Dataset


class _Forgetful:
    """The cache of vectors that depend on the whole corpus: it holds none, and takes none."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Numbers]:  # noqa: ARG002 - part of the port
        return {}

    def put(self, values: Iterable[tuple[bytes, Numbers]]) -> None:
        """Forget them."""

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True, slots=True)
class Arm(Generic[Held]):
    """One search: what makes its vectors, and where they are held.

    Attributes:
        side: Makes them.
        store: Holds them.
        points: What of the documents it holds.
        plan: Its cache is the one that remembers these vectors.
        modelled: Whether a model makes them, whose work is counted.
    """

    side: Side[Held]
    store: Store[Held]
    points: Points
    plan: Plan
    modelled: bool = True

    def search(self, dataset: Dataset, depth: int, log: Log) -> Candidates:
        """Fill the store with what it lacks, and rank the documents of every query, best first, at most ``depth``."""
        self.store.open(self.points.collection(self.side.key, dataset))
        with log.phase("embed_documents"):
            documents = self._fill()
        with log.phase("embed_queries"):
            keys = {query.id: key_of(self.side.key, "query", query.text) for query in dataset.queries}
            texts = {keys[query.id]: query.text for query in dataset.queries}
            rows, queries = remembered(
                self.plan, texts, lambda some: self.side.queries([texts[key] for key in some]), "queries"
            )
        log.count("documents", documents * self.modelled)
        log.count("queries", queries * self.modelled)
        exclude = self.plan.exclude_self
        with log.phase("search"):
            hits = search_documents(
                self.side,
                self.store,
                self.side.held([rows[keys[query.id]] for query in dataset.queries]),
                range(len(dataset.queries)),
                min(len(dataset.documents), depth + int(exclude)),
                self.points,
            )
            return {
                query.id: order_hits((hit for hit in found if not (exclude and hit[0] == query.id)), depth)
                for query, found in zip(dataset.queries, hits, strict=True)
            }

    def ask(self, text: str, limit: int) -> list[list[Hit]]:
        """Answer one query as a service would, from its text on; nothing is remembered of it."""
        return self.store.search(self.side.held(list(self.side.queries([text]))), limit)

    def _fill(self) -> int:
        """Bring every point's vector into the store, and return how many had to be computed for it.

        Equal texts are read once, so that their vectors are equal to the bit.
        """
        store, cache, texts = self.store, self.plan.cache, self.points.texts
        ids_of: dict[bytes, list[str]] = {}
        for point in store.missing(list(texts)):
            ids_of.setdefault(key_of(self.side.key, "document", texts[point]), []).append(point)

        def add(vectors: Mapping[bytes, Numbers]) -> None:
            rows = [(point, vector) for key, vector in vectors.items() for point in ids_of[key]]
            if rows:
                store.add([point for point, _ in rows], self.side.held([vector for _, vector in rows]))

        known = cache.get(list(ids_of))
        add(known)
        unknown = [key for key in ids_of if key not in known]
        for chunk, vectors in self.plan.executor.map(
            lambda keys: self.side.documents([texts[ids_of[key][0]] for key in keys]), unknown, "documents"
        ):
            check_rows(vectors, len(chunk), "documents")
            fresh = dict(zip(chunk, vectors, strict=True))
            if not store.persistent:
                cache.put(fresh.items())
            add(fresh)
        return len(unknown)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Stage 1 as it is asked: its searches, and how two of them become one.

    Attributes:
        arms: One or two.
        depth: Documents that every search contributes.
        fusion: None for one search.
    """

    arms: tuple[Arm[Any], ...]
    depth: int
    fusion: Fusion | None = None

    @classmethod
    def of(cls, plan: Plan, dataset: Dataset, log: Log) -> Retrieval:
        """What a plan asks for; nothing is opened yet. A sparse search holds documents whole, also beside windows."""
        arms: list[Arm[Any]] = []
        if plan.embedder is not None and not isinstance(plan.embedder, FoundRun):
            points = Points.of(plan, plan.embedder, dataset, log)
            arms.append(Arm(DenseSide(plan.embedder), plan.store, points, plan))
        if plan.sparse is not None:
            points, store = Points.whole(dataset), plan.store.sparse()
            if isinstance(plan.sparse, CorpusEncoder):
                with log.phase("learn_corpus"):
                    encoder = plan.sparse.fitted(list(points.texts.values()))
                forgetful = replace(plan, cache=_Forgetful())
                arms.append(Arm(SparseSide(encoder), store, points, forgetful, modelled=False))
            else:
                arms.append(Arm(SparseSide(plan.sparse), store, points, plan))
        return cls(tuple(arms), plan.fusion.depth if plan.fusion else _deepest(plan), plan.fusion)

    def ask(self, text: str, limit: int) -> None:
        """Answer one query as a service would; what is fused is searched as deep as fusion wants it."""
        for arm in self.arms:
            arm.ask(text, limit if self.fusion is None else self.depth)

    def close(self) -> None:
        """Close every store."""
        for arm in self.arms:
            arm.store.close()


def check_retrieval(plan: Plan) -> None:
    """Refuse a stage 1 that contradicts itself.

    Raises:
        ConfigError: Its parts do not fit together, or cannot reach as deep as is asked.
    """
    if isinstance(plan.embedder, FoundRun) and plan.sparse is not None:
        raise ConfigError("retrieval.run is all of stage 1, so there is nothing to search beside it; leave out sparse")
    if (plan.fusion is None) == (plan.sparse is not None and plan.embedder is not None):
        raise ConfigError("retrieval.fusion joins a dense and a sparse search; expected both and fusion, or one alone")
    if plan.embedder is None and plan.long.stage1 == "windows":
        raise ConfigError(
            "long_documents.stage1 is windows, which are cut for an embedder; a sparse search reads documents as one, "
            "so set long_documents.stage1=cut"
        )
    if plan.fusion is not None and plan.fusion.depth < _deepest(plan):
        raise ConfigError(
            f"retrieval.fusion.depth is {plan.fusion.depth}, but sweep.top_k and the metrics look at "
            f"{_deepest(plan)} documents; raise it to that at least"
        )


def stage_one_of(plan: Plan) -> StageOne:
    """How the plan retrieves, in words for readers."""
    if isinstance(plan.embedder, FoundRun):
        return StageOne("own run", "own run")
    if plan.sparse is None:
        return StageOne()
    label = plan.sparse.label
    return (
        StageOne(label, label)
        if plan.fusion is None
        else StageOne("hybrid", f"hybrid of dense and {label} (RRF, k={plan.fusion.k})")
    )


def retrieve(plan: Plan, retrieval: Retrieval, dataset: Dataset, log: Log) -> Candidates:
    """Stage 1, once, as deep as the largest top-k or metric cutoff.

    A document that is stored in windows counts once, with the inner product of its best one. A sparse search finds no
    document that shares no term with the query, so that a query may have fewer candidates, or none.

    Args:
        plan: What is asked.
        retrieval: Its stores are filled with what they lack.
        dataset: Queries and documents.
        log: Where time and work are noted.

    Raises:
        DataError: No query has a candidate.
        ConfigError: None has as many as the sweep asks.
    """
    rankings = [arm.search(dataset, retrieval.depth, log) for arm in retrieval.arms]
    if retrieval.fusion is None:
        (candidates,) = rankings
    else:
        k = retrieval.fusion.k
        candidates = {
            query.id: order_hits(fuse((ranking[query.id] for ranking in rankings), k).items(), _deepest(plan))
            for query in dataset.queries
        }
    if plan.embedder is None:
        _check_reach(candidates, max(plan.design.top_ks))
    return candidates


def _check_reach(candidates: Candidates, asked: int) -> None:
    longest = max(map(len, candidates.values()))
    if not longest:
        raise DataError(
            f"none of the {len(candidates)} evaluated queries shares a term with a document; are both of one language, "
            "and is the sparse encoder made for it?"
        )
    if longest < asked:
        raise ConfigError(
            f"sweep.top_k asks for {asked} candidates, but no query shares a term with more than {longest} documents; "
            "lower sweep.top_k, or retrieve otherwise"
        )


def _deepest(plan: Plan) -> int:
    return max(*plan.design.top_ks, *(metric.cutoff or 0 for metric in plan.design.metrics))
