"""Stage 1 by words and fused: which documents, in which order, with what is computed and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.analysis.derive import derive, fuse, order_hits
from evalkit.analysis.metrics import mean, measure, parse_metrics
from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.errors import ConfigError, DataError
from evalkit.executors.local import LocalExecutor
from evalkit.findings import Expectation
from evalkit.models.bm25 import Bm25
from evalkit.pipeline import evaluate
from evalkit.ports import SparseStore
from evalkit.record import Fusion, LatencyBudget, LongDocuments
from evalkit.result import EvalResult
from evalkit.sparse import SparseVector
from evalkit.stage_one import Retrieval, retrieve
from evalkit.stages import Log, Plan
from evalkit.stores.edge import EdgeStore
from evalkit.stores.qdrant import MemoryStore
from evalkit.testing import ArrayStore, DictCache, FunctionReranker, SparseListStore, WordEmbedder, WordEncoder
from evalkit.types import DENSE, Metric
from tests.conftest import BeirWriter, beir, plan_of
from tests.results import control_of

BM25 = Bm25(1.2, 0.75, None)


def by_words(folder: Path, **changes: Any) -> Plan:
    return plan_of(beir(folder), **{"embedder": None, "sparse": WordEncoder(), **changes})


def hybrid(folder: Path, **changes: Any) -> Plan:
    return plan_of(beir(folder), **{"sparse": WordEncoder(), "fusion": Fusion(60, 20), **changes})


def ranked(result: EvalResult, query_id: str) -> list[str]:
    return [one.doc_id for one in result.evidence.candidates[query_id]]


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    """Twelve notes that share "rent", five more that share "tax"; "q" asks for both, "r" for tax, "s" for neither."""
    documents = {f"d{n:02}": f"rent {'rent ' * (n % 3)}note{n}" for n in range(12)}
    documents |= {f"t{n}": f"tax {'tax ' * n}law" for n in range(5)}
    queries = {"q": "rent tax", "r": "tax", "s": "garden"}
    return write_beir(documents, queries, [("q", "d03", 1), ("r", "t2", 1), ("s", "d01", 1)])


# --- words alone ----------------------------------------------------------------------------------


def test_documents_are_ranked_by_the_words_they_share_and_ties_by_id(folder: Path) -> None:
    """Inner products of counts: five, four, three times tax, then those of 3 and of 2, by id."""
    result = evaluate(by_words(folder))
    assert ranked(result, "q") == ["t4", "t3", "d02", "d05", "d08", "d11", "t2", "d01", "d04", "d07"]
    assert [one.stage1_score for one in result.evidence.candidates["q"]] == [5, 4, 3, 3, 3, 3, 3, 2, 2, 2]


def test_what_shares_no_word_is_no_candidate(folder: Path) -> None:
    """Lists are short or empty then, and every system still ranks exactly what stage 1 found."""
    result = evaluate(by_words(folder))
    assert ranked(result, "r") == ["t4", "t3", "t2", "t1", "t0"]
    assert ranked(result, "s") == []
    assert result.dataset.unanswered == ("s",)
    assert control_of(result, "coverage").status == "warned"
    assert "fewer for 2 of 3 queries" in control_of(result, "short_lists").message
    assert result.assessment.status == "ok"
    assert result.assessment.per_query["rerank@10"][Metric("recall", 5)]["s"] == 0
    for run in result.assessment.runs:
        assert sorted(run.rankings["r"]) == ["t0", "t1", "t2", "t3", "t4"]


def test_no_embedder_is_needed_and_bm25_is_no_models_work(folder: Path) -> None:
    result = evaluate(by_words(folder, sparse=BM25))
    assert (result.computed["documents"], result.computed["queries"]) == (0, 0)
    assert list(result.provenance.fingerprints) == ["sparse", "reranker"]
    assert (result.stage_one.label, result.stage_one.method) == ("bm25", "bm25")


def test_vectors_of_a_model_are_remembered_and_those_of_a_corpus_are_not(folder: Path) -> None:
    cache, encoder = DictCache(), WordEncoder()
    first, second = (evaluate(by_words(folder, sparse=encoder, cache=cache)) for _ in range(2))
    assert encoder.texts == 17 + 3
    assert (first.computed["documents"], second.computed["documents"]) == (17, 0)
    assert first.evidence == second.evidence
    cache = DictCache()
    evaluate(by_words(folder, sparse=BM25, cache=cache, reranker=FunctionReranker()))
    assert not [key for key, numbers in cache._values.items() if numbers.shape != (2,)]


def test_another_corpus_has_other_weights_under_one_cache_and_store(write_beir: BeirWriter, tmp_path: Path) -> None:
    """The idf of "rent" falls as more documents have it: nothing of the first corpus may be used in the second."""
    pytest.importorskip("qdrant_edge", reason="pip install 'evalkit-rerank[edge]' brings it")
    shared: dict[str, Any] = {"cache": DictCache(), "sparse": BM25}
    folders = []
    for name, others in (("one", "tax"), ("two", "rent")):
        texts = {"a": "rent rent", **{f"d{n}": f"{others} law rent" for n in range(11)}}
        folders.append(write_beir(texts, {"q": "rent"}, [("q", "a", 1)], name))
    shared_runs = [evaluate(by_words(one, store=EdgeStore(tmp_path / "edge"), **shared)) for one in folders]
    alone = [evaluate(by_words(one, sparse=BM25)) for one in folders]
    for one, other in zip(shared_runs, alone, strict=True):
        assert one.evidence.candidates == other.evidence.candidates
    assert shared_runs[0].evidence.candidates != shared_runs[1].evidence.candidates


@pytest.mark.parametrize("engine", ["memory", "edge"])
def test_engines_give_the_same_candidates_to_the_bit(folder: Path, tmp_path: Path, engine: str) -> None:
    store: Any = MemoryStore()
    if engine == "edge":
        pytest.importorskip("qdrant_edge", reason="pip install 'evalkit-rerank[edge]' brings it")
        store = EdgeStore(tmp_path / "edge")
    for plan in (by_words(folder, sparse=BM25), hybrid(folder)):
        found = evaluate(replace(plan, store=store))
        assert found.evidence.candidates == evaluate(replace(plan, store=ArrayStore())).evidence.candidates
        assert control_of(found, "store_finds").status == "passed"


class WithZeros(WordEncoder):
    """Names a term of every text, which weighs nothing."""

    def encode_documents(self, texts: Sequence[str]) -> list[SparseVector]:
        return [
            SparseVector(np.append(one.indices, (1 << 32) - 1), np.append(one.values, np.float32(0)))
            for one in super().encode_documents(texts)
        ]

    encode_queries = encode_documents


@pytest.mark.parametrize("engine", ["memory", "edge"])
def test_a_term_that_weighs_nothing_is_no_match_in_any_engine(folder: Path, tmp_path: Path, engine: str) -> None:
    store: Any = MemoryStore()
    if engine == "edge":
        pytest.importorskip("qdrant_edge", reason="pip install 'evalkit-rerank[edge]' brings it")
        store = EdgeStore(tmp_path / "edge")
    found = evaluate(by_words(folder, sparse=WithZeros(), store=store))
    assert found.evidence.candidates == evaluate(by_words(folder)).evidence.candidates
    assert ranked(found, "s") == []


@pytest.mark.parametrize("seed", range(4))
def test_many_ties_at_the_cut_are_broken_by_id(write_beir: BeirWriter, seed: int) -> None:
    """Ninety documents of three texts in random order: the engine returns any of the tied ones."""
    rng = np.random.default_rng(seed)
    names = [f"n{number:02}" for number in rng.permutation(90)]
    documents = {name: ["alpha", "alpha beta", "alpha alpha"][int(rng.integers(3))] for name in names}
    folder = write_beir(documents, {"q": "alpha"}, [("q", "n00", 1)])
    expected = sorted(names, key=lambda name: (-documents[name].count("alpha"), name))[:10]
    assert ranked(evaluate(by_words(folder, store=MemoryStore())), "q") == expected


def test_the_query_itself_is_left_out(write_beir: BeirWriter) -> None:
    texts = {f"t{n:02}": "alpha beta" for n in range(14)}
    folder = write_beir(texts, texts, [(query_id, "t00" if query_id != "t00" else "t01", 1) for query_id in texts])
    for plan in (by_words(folder, exclude_self=True), hybrid(folder, exclude_self=True)):
        result = evaluate(plan)
        for query_id in texts:
            assert ranked(result, query_id) == [doc_id for doc_id in texts if doc_id != query_id][:10]


def test_latency_is_measured_without_unanswered_queries(folder: Path) -> None:
    for plan in (by_words(folder), hybrid(folder)):
        latency = evaluate(replace(plan, latency=LatencyBudget(3))).latency
        assert latency is not None
        assert latency.n_queries == (2 if plan.embedder is None else 3)


def test_an_early_stop_works_on_short_lists(folder: Path) -> None:
    result = evaluate(by_words(folder, sequential=True))
    assert result.sequential is not None
    assert result.dataset.unanswered == ("s",)


# --- what is refused ------------------------------------------------------------------------------


def test_a_sweep_beyond_every_list_is_refused(folder: Path) -> None:
    changes = {"top_ks": (6, 17), "expectation": Expectation(Metric("recall", 5), 17, 12, 18)}
    with pytest.raises(ConfigError, match="no query shares a term with more than 10 documents"):
        evaluate(by_words(_ten_of(folder), top_ks=(6, 12), expectation=Expectation(Metric("recall", 5), 12, 12, 18)))
    assert evaluate(by_words(folder, **changes)).design.top_ks == (6, 17)


def _ten_of(folder: Path) -> Path:
    """The same without the word tax in questions, and "rent" in ten documents only."""
    corpus = folder / "corpus.jsonl"
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if row["_id"] in ("d10", "d11") or row["_id"].startswith("t"):
            row["text"] = "law"
    other = folder.parent / "ten"
    other.mkdir()
    (other / "qrels").symlink_to(folder / "qrels")
    (other / "queries.jsonl").write_text((folder / "queries.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    (other / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return other


def test_questions_that_share_nothing_are_refused(write_beir: BeirWriter) -> None:
    folder = write_beir({f"d{n}": "miete" for n in range(12)}, {"q": "rent"}, [("q", "d1", 1)])
    with pytest.raises(DataError, match="none of the 1 evaluated queries shares a term with a document"):
        evaluate(by_words(folder))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"embedder": None, "fusion": None, "long": LongDocuments(stage1="windows")}, "long_documents.stage1=cut"),
        (
            {"fusion": Fusion(60, 9)},
            "retrieval.fusion.depth is 9, but sweep.top_k and the metrics look at 10 documents",
        ),
        ({"fusion": None}, "expected both and fusion, or one alone"),
        ({"embedder": None}, "expected both and fusion, or one alone"),
        ({"sparse": None}, "expected both and fusion, or one alone"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_anything_is_computed(
    folder: Path, changes: dict[str, Any], what: str
) -> None:
    encoder = WordEncoder()
    with pytest.raises(ConfigError) as caught:
        evaluate(hybrid(folder, **{"sparse": encoder, **changes}))
    assert what in str(caught.value)
    assert encoder.texts == 0


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        (
            ["retrieval=hybrid", "retrieval.fusion.k=0"],
            "retrieval.fusion.k is 0; expected a whole number of at least 1",
        ),
        (["retrieval=hybrid", "retrieval.fusion.depth=many"], "retrieval.fusion.depth is 'many'"),
        (
            ["retrieval=hybrid", "retrieval.fusion=60"],
            "retrieval.fusion is 60; expected k and depth, as retrieval=hybrid or hybrid_bge_m3 brings them",
        ),
        (
            ["retrieval=hybrid", "+retrieval.fusion.weights=[1,2]"],
            "retrieval.fusion has no setting weights; expected k, depth",
        ),
        (["retrieval=hybrid", "~retrieval.fusion.k"], "retrieval.fusion lacks k; expected k, depth"),
        (["retrieval=hybrid", "retrieval.fusion=null"], "To search words alone: retrieval=bm25 or bge_m3_sparse"),
        (["retrieval=hybrid_bge_m3", "retrieval.fusion=null"], "retrieval.fusion is null, and nothing else joins"),
        (
            ["retrieval.sparse=bm25"],
            "retrieval.sparse is 'bm25'; expected null, or an encoder as retrieval=bm25, bge_m3_sparse, hybrid or "
            "hybrid_bge_m3 brings it",
        ),
        (
            ["retrieval=hybrid", "retrieval.sparse=bm25"],
            "retrieval.sparse is 'bm25'; expected null, or an encoder as retrieval=bm25",
        ),
        (
            ["retrieval.run=x"],
            "retrieval.run is 'x'; expected null, or what retrieval=run_file retrieval.run.path=... brings",
        ),
        (["+retrieval.depth=7"], "retrieval has no setting depth; expected exclude_self, run, sparse, fusion"),
        (["retrieval=bm25", "retrieval.sparse.k1=1e300"], "retrieval.sparse.k1 is 1e+300"),
        (["retrieval=bm25", "retrieval.sparse.stemmer=latin"], "retrieval.sparse.stemmer is 'latin'"),
        (["retrieval=bm25", "retrieval.sparse.k2=1"], "no key 'retrieval.sparse.k2'"),
    ],
)
def test_impossible_settings_are_one_message(overrides: list[str], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_plan(compose_config(overrides))
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("retrieval", "roles", "fusion"),
    [
        ("dense", ["embedder", "reranker"], None),
        ("bm25", ["sparse", "reranker"], None),
        ("hybrid", ["embedder", "sparse", "reranker"], Fusion(60, 100)),
    ],
)
def test_a_choice_builds_what_it_needs(retrieval: str, roles: list[str], fusion: Fusion | None) -> None:
    plan = build_plan(compose_config([f"retrieval={retrieval}"]))
    assert [role for role in ("embedder", "sparse", "reranker") if getattr(plan, role) is not None] == roles
    assert plan.fusion == fusion


@pytest.mark.parametrize("retrieval", ["retrieval=bm25", "retrieval=run_file"])
def test_nothing_is_asked_of_an_embedder_that_no_search_uses(retrieval: str) -> None:
    asked = ["embedder=flag_folder", *(["retrieval.run.path=/a/run"] if retrieval.endswith("file") else [])]
    plan = build_plan(compose_config([retrieval, *asked]))
    assert plan.config["embedder"] is None
    with pytest.raises(ConfigError, match=r"embedder\.weights\.path has no value"):
        build_plan(compose_config(["embedder=flag_folder"]))


# --- fused ----------------------------------------------------------------------------------------


def test_a_fused_score_is_the_sum_of_reciprocal_ranks() -> None:
    """a: ranks 1 and 3; b: 2 and 1; c: 3 and none; d: none and 2. With k = 60."""
    dense = order_hits([("a", 0.9), ("b", 0.8), ("c", 0.7)], 3)
    words = order_hits([("b", 12), ("d", 8), ("a", 3)], 3)
    found = fuse([dense, words], 60)
    assert found == pytest.approx({"a": 1 / 61 + 1 / 63, "b": 1 / 62 + 1 / 61, "c": 1 / 63, "d": 1 / 62})
    assert [one.doc_id for one in order_hits(found.items(), 4)] == ["b", "a", "d", "c"]


def test_documents_with_swapped_ranks_tie_to_the_bit_and_stand_by_id() -> None:
    dense, words = order_hits([("z", 2), ("a", 1)], 2), order_hits([("a", 2), ("z", 1)], 2)
    found = fuse([dense, words], 60)
    assert found["a"] == found["z"]
    assert [one.doc_id for one in order_hits(found.items(), 2)] == ["a", "z"]


def test_a_hybrid_finds_what_either_search_finds(folder: Path) -> None:
    """The question that shares no word with any document is answered by vectors alone: 1 / (60 + rank)."""
    result = evaluate(hybrid(folder))
    assert result.dataset.unanswered == ()
    assert [one.stage1_score for one in result.evidence.candidates["s"]] == [1 / (60 + rank) for rank in range(1, 11)]
    assert (result.stage_one.label, result.stage_one.method) == ("hybrid", "hybrid of dense and words (RRF, k=60)")
    assert (result.computed["documents"], result.computed["queries"]) == (2 * 17, 2 * 3)


def test_no_search_contributes_more_than_its_depth(write_beir: BeirWriter) -> None:
    """Note m says rent m times among m^3 other words: by counts it is the first from behind, by cosine from the front.

    Ten of each: notes 11 and 12 are out of reach of vectors, 1 and 2 of words, and have one reciprocal rank alone.
    """
    documents = {f"n{m:02}": "rent " * m + " ".join(f"w{m}x{n}" for n in range(m**3)) for m in range(1, 13)}
    folder = write_beir(documents, {"q": "rent"}, [("q", "n01", 1)])
    result = evaluate(hybrid(folder, embedder=WordEmbedder(1 << 16, max_length=2000), fusion=Fusion(60, 10)))
    both = {f"n{m:02}": 1 / (60 + m) + 1 / (60 + 13 - m) for m in range(3, 11)}
    expected = {**both, "n01": 1 / 61, "n12": 1 / 61}
    assert {one.doc_id: one.stage1_score for one in result.evidence.candidates["q"]} == pytest.approx(expected)
    assert ranked(result, "q")[-2:] == ["n01", "n12"]


def test_windows_are_of_the_vectors_and_words_are_read_whole(write_beir: BeirWriter) -> None:
    documents = {f"note{n:02}": f"rent note{n}" for n in range(11)} | {"long": " ".join(f"w{n}" for n in range(30))}
    folder = write_beir(documents, {"q": "w1 w29"}, [("q", "long", 1)])
    long = LongDocuments(stage1="windows", overlap=2)
    result = evaluate(hybrid(folder, embedder=WordEmbedder(max_length=8), long=long))
    assert ranked(result, "q")[0] == "long"
    assert result.evidence.candidates["q"][0].stage1_score == 2 / 61
    message = control_of(result, "store_complete").message
    assert "hold 16 windows" in message
    assert "hold 12 documents as sparse vectors" in message


class Lossy(SparseListStore):
    """Loses every second vector that it is given."""

    def add(self, doc_ids: Sequence[str], vectors: list[SparseVector]) -> None:
        super().add(doc_ids[::2], vectors[::2])


class Blind(SparseListStore):
    """Never returns some documents."""

    def search(self, vectors: list[SparseVector], limit: int) -> Any:
        return [[hit for hit in hits if hit[0] not in ("d03", "d04", "t1")] for hits in super().search(vectors, limit)]


class Beside(ArrayStore):
    """A healthy store of dense vectors beside another one of sparse ones."""

    def __init__(self, other: SparseStore) -> None:
        super().__init__()
        self._other = other

    def sparse(self) -> SparseStore:
        return self._other


@pytest.mark.parametrize(
    ("kind", "name", "what"),
    [
        (Lossy, "store_complete", "documents as sparse vectors; found"),
        (Blind, "store_finds", "found 3 that the search"),
    ],
)
@pytest.mark.parametrize("make", [by_words, hybrid])
def test_a_store_that_loses_sparse_vectors_is_found(folder: Path, kind: Any, name: str, what: str, make: Any) -> None:
    result = evaluate(make(folder, store=Beside(kind())))
    assert control_of(result, name).status == "failed"
    assert what in control_of(result, name).message
    assert result.assessment.status == "invalid"


# --- on real data, against others -----------------------------------------------------------------


@pytest.fixture
def faq(shared_data: Path) -> Path:
    """147 questions and answers."""
    return shared_data / "debfaq-de"


def test_fusion_is_that_of_qdrant(faq: Path) -> None:
    """Both searches in one collection, fused by qdrant-client: its k counts ranks from 0, so 60 here is 61 there."""
    from qdrant_client import QdrantClient, models

    embedder, depth, asked = WordEmbedder(1 << 12), 30, parse_metrics(["recall@5", "recall@30"])
    fusion = Fusion(60, depth)
    expectation = Expectation(Metric("recall", 5), 10, 12, 18)
    plan = plan_of(beir(faq), embedder=embedder, sparse=BM25, fusion=fusion, metrics=asked, expectation=expectation)
    candidates, dataset = evaluate(plan).evidence.candidates, plan.source.load()
    contents = {document.id: document.content for document in dataset.documents}
    encoder = BM25.fitted(list(contents.values()))
    client, names = QdrantClient(":memory:"), list(contents)
    client.create_collection(
        "both",
        vectors_config={"dense": models.VectorParams(size=1 << 12, distance=models.Distance.DOT)},
        sparse_vectors_config={"words": models.SparseVectorParams()},
    )
    sparse = [
        models.SparseVector(indices=one.indices.tolist(), values=one.values.tolist())
        for one in encoder.encode_documents(list(contents.values()))
    ]
    vectors = {"dense": embedder.embed_documents(list(contents.values())).tolist(), "words": sparse}
    client.upsert("both", points=models.Batch(ids=list(range(len(names))), vectors=vectors))
    compared = 0
    for query in dataset.queries:
        (vector,), (words,) = embedder.embed_queries([query.text]).tolist(), encoder.encode_queries([query.text])
        terms = models.SparseVector(indices=words.indices.tolist(), values=words.values.tolist())
        arms = [("dense", vector), ("words", terms)]
        lists = [client.query_points("both", query=one, using=using, limit=depth + 1).points for using, one in arms]
        # Ties are broken by id here and not there; a list that ends without one says nothing either.
        if any(len({round(hit.score, 5) for hit in hits}) < depth + 1 for hits in lists):
            continue
        found = client.query_points(
            "both",
            prefetch=[models.Prefetch(query=one, using=using, limit=depth) for using, one in arms],
            query=models.RrfQuery(rrf=models.Rrf(k=61)),
            limit=depth,
        ).points
        theirs = {names[int(hit.id)]: hit.score for hit in found}
        ours = {one.doc_id: one.stage1_score for one in candidates[query.id]}
        assert [one.stage1_score for one in candidates[query.id]] == pytest.approx([hit.score for hit in found])
        last = min(theirs.values())
        assert {name for name in ours if ours[name] > last + 1e-9} == {
            name for name in theirs if theirs[name] > last + 1e-9
        }
        assert all(ours[name] == pytest.approx(theirs[name]) for name in ours.keys() & theirs.keys())
        compared += 1
    assert compared >= 20


def test_bm25_has_the_published_numbers(shared_data: Path, tmp_path: Path) -> None:
    """Those of the run that comes with the data: the same constants, words in lower case, no stemming."""
    pytest.importorskip("qdrant_edge", reason="pip install 'evalkit-rerank[edge]' brings it")
    folder = shared_data / "scifact-en"
    published = json.loads((folder / "reference_metrics.json").read_text(encoding="utf-8"))["metrics"]["bm25"]
    names = {"ndcg_cut_10": "ndcg@10", "recall_5": "recall@5", "recall_50": "recall@50", "recip_rank": "mrr@100"}
    metrics = parse_metrics([*names.values(), "recall@100"])
    # Chunks as a run has them: the engine's flush to disk takes longer than anything else here.
    store, executor = EdgeStore(tmp_path / "edge"), LocalExecutor(chunk_size=512)
    plan = by_words(folder, sparse=BM25, store=store, executor=executor, metrics=metrics)
    dataset = plan.source.load()
    with closing(Retrieval.of(plan, dataset, Log())) as retrieval:
        candidates = retrieve(plan, retrieval, dataset, Log())
    values = measure(derive(candidates, DENSE), dataset.qrels, metrics)
    for theirs, ours in names.items():
        assert mean(values[Metric.parse(ours)]) == pytest.approx(published[theirs], abs=5e-4)
    # The run has the constant factor k1 + 1 = 2.2; it lower-cases where case folding also makes fi of a ligature.
    listed = [line.split() for line in (folder / "runs" / "bm25.trec").read_text(encoding="utf-8").splitlines()]
    scores = {(query, doc_id): float(score) / 2.2 for query, _, doc_id, _, score, _ in listed}
    pairs = [(query, one) for query, found in candidates.items() for one in found if (query, one.doc_id) in scores]
    assert len(pairs) > 0.99 * len(scores)
    assert np.mean([abs(scores[query, one.doc_id] - one.stage1_score) < 1e-3 for query, one in pairs]) > 0.95
