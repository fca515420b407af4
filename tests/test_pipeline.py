"""The flow over small models of known behaviour: what is scored, remembered, ranked and counted."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.analysis.assess import assess
from evalkit.analysis.metrics import parse_metrics
from evalkit.errors import ConfigError, ModelError
from evalkit.findings import Expectation
from evalkit.pipeline import evaluate
from evalkit.result import Design, EvalResult
from evalkit.testing import ArrayStore, DictCache, FunctionReranker, WordEmbedder
from evalkit.types import Metric
from tests.conftest import BeirWriter, beir, plan_of

CITIES = ["Bern", "Basel", "Chur", "Thun", "Zug", "Lugano", "Locarno", "Sion", "Genf", "Uster", "Aarau", "Olten"]
TOPICS = ["rent", "wages", "tax"]
REPLAYED = len(CITIES)
"""Pairs that are scored a second time, one per query, to see whether scores repeat; only where any was scored."""


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    """36 notes that differ by a city and a topic; each question asks for one of them."""
    documents = {f"{c}-{t}": f"note on the {t} of the client in {c}" for c in CITIES for t in TOPICS}
    queries = {f"q-{c}": f"what is the rent in {c}" for c in CITIES}
    return write_beir(documents, queries, [(f"q-{c}", f"{c}-rent", 1) for c in CITIES])


def rankings(result: EvalResult, system: str) -> Any:
    return next(run.rankings for run in result.assessment.runs if run.name == system)


def test_one_candidate_equals_dense_exactly(folder: Path) -> None:
    result = evaluate(plan_of(beir(folder)))
    assert rankings(result, "rerank@1") == rankings(result, "dense")
    assert result.assessment.comparison(Metric("recall", 5), 1).delta_points == 0.0


def test_each_unique_pair_is_scored_once_for_all_top_ks(folder: Path) -> None:
    reranker = FunctionReranker()
    result = evaluate(plan_of(beir(folder), reranker=reranker, top_ks=(1, 6, 8, 10)))
    assert reranker.pairs - REPLAYED == len(CITIES) * 10 == result.scoring.pairs == result.computed["pairs"]


def test_equal_texts_are_one_pair(write_beir: BeirWriter) -> None:
    documents = {f"d{number}": f"text {number // 2}" for number in range(12)}
    folder = write_beir(documents, {"q1": "text 1", "q2": "text 1"}, [("q1", "d2", 1), ("q2", "d3", 1)])
    result = evaluate(plan_of(beir(folder), top_ks=(6, 10, 12)))
    assert result.computed["pairs"] == 6
    assert all(len(found) == 12 for found in result.evidence.candidates.values())


class NoisyEmbedder(WordEmbedder):
    """Its last bits depend on a text's neighbours, as on a GPU."""

    def embed_documents(self, texts: Any) -> Any:
        noise = 1 + 1e-6 * np.random.default_rng(self.texts).random((len(texts), 1))
        return (super().embed_documents(texts) * noise).astype(np.float32)

    def embed_queries(self, texts: Any) -> Any:
        return super().embed_documents(texts)


@pytest.mark.parametrize("persistent", [False, True])
def test_equal_texts_are_embedded_once_and_stand_by_id(write_beir: BeirWriter, persistent: bool) -> None:
    documents = {f"d{number:02}": f"alpha text {number // 6}" for number in range(12)}
    folder = write_beir(documents, {"q": "alpha text 1"}, [("q", "d06", 1)])
    embedder = NoisyEmbedder()
    store = PersistentStore() if persistent else ArrayStore()
    result = evaluate(plan_of(beir(folder), embedder=embedder, store=store))
    assert result.computed["documents"] == 2
    assert rankings(result, "dense")["q"][:6] == tuple(f"d{number:02}" for number in range(6, 12))


def test_a_top_k_gives_the_same_run_whatever_else_is_swept(folder: Path) -> None:
    alone = evaluate(plan_of(beir(folder), top_ks=(10,)))
    among = evaluate(plan_of(beir(folder), top_ks=(1, 6, 10, 30)))
    ten = rankings(alone, "rerank@10")
    assert {query: ranking[:10] for query, ranking in rankings(among, "rerank@10").items()} == ten


def test_every_system_ranks_the_same_documents(folder: Path) -> None:
    result = evaluate(plan_of(beir(folder)))
    for run in result.assessment.runs:
        for query, ranking in run.rankings.items():
            assert sorted(ranking) == sorted(result.assessment.runs[0].rankings[query])


def test_a_perfect_reranker_reaches_the_oracle_and_a_constant_one_changes_nothing(folder: Path) -> None:
    def perfect(query: str, document: str) -> float:
        return float("rent" in document and query.rsplit(" ", 1)[1] in document)

    result = evaluate(plan_of(beir(folder), reranker=FunctionReranker(perfect, "perfect")))
    found = result.assessment.comparison(Metric("recall", 5), 10)
    assert found.candidate_mean == found.oracle
    result = evaluate(plan_of(beir(folder), reranker=FunctionReranker(lambda *_: 0.0, "constant")))
    assert all(comparison.delta_points == 0.0 for comparison in result.assessment.comparisons)
    assert rankings(result, "rerank@10") == rankings(result, "dense")


def test_a_second_run_computes_nothing(folder: Path) -> None:
    cache = DictCache()
    first = evaluate(plan_of(beir(folder), cache=cache))
    embedder, reranker = WordEmbedder(), FunctionReranker()
    second = evaluate(plan_of(beir(folder), cache=cache, embedder=embedder, reranker=reranker))
    assert (embedder.texts, reranker.pairs) == (0, 0)
    assert second.computed == {"documents": 0, "queries": 0, "pairs": 0}
    assert second.evidence.candidates == first.evidence.candidates
    assert second.assessment.metrics == first.assessment.metrics


def test_a_larger_top_k_after_a_smaller_one_scores_only_the_new_pairs(folder: Path) -> None:
    cache = DictCache()
    expectation = Expectation(Metric("recall", 5), 6, 12, 18)
    evaluate(plan_of(beir(folder), cache=cache, top_ks=(6,), expectation=expectation))
    reranker = FunctionReranker()
    warm = evaluate(plan_of(beir(folder), cache=cache, reranker=reranker))
    assert reranker.pairs - REPLAYED == len(CITIES) * 4 == warm.computed["pairs"]
    assert warm.evidence.candidates == evaluate(plan_of(beir(folder))).evidence.candidates


def test_another_reranker_never_reads_the_scores_of_the_first(folder: Path) -> None:
    cache = DictCache()
    evaluate(plan_of(beir(folder), cache=cache))
    inverse = FunctionReranker(lambda _, document: -float(len(document)), "inverse")
    assert (
        evaluate(plan_of(beir(folder), cache=cache, reranker=inverse)).evidence.candidates
        != evaluate(plan_of(beir(folder), cache=cache)).evidence.candidates
    )
    assert inverse.pairs - REPLAYED == len(CITIES) * 10


def test_a_changed_document_is_scored_again(folder: Path) -> None:
    cache = DictCache()
    evaluate(plan_of(beir(folder), cache=cache, top_ks=(10, 36)))
    corpus = folder / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("rent of the client in Bern", "rent of the shop in Bern"))
    reranker = FunctionReranker()
    evaluate(plan_of(beir(folder), cache=cache, reranker=reranker, top_ks=(10, 36)))
    assert reranker.pairs - REPLAYED == len(CITIES)


class CrashError(RuntimeError):
    pass


class DyingReranker(FunctionReranker):
    """Stops the process, as it were, after some pairs."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def score(self, pairs: Any) -> Any:
        if self.pairs + len(pairs) > self._after:
            raise CrashError
        return super().score(pairs)


def test_after_a_crash_only_what_is_missing_is_computed_and_the_result_is_the_same(folder: Path) -> None:
    cache = DictCache()
    dying = DyingReranker(after=60)
    with pytest.raises(CrashError):
        evaluate(plan_of(beir(folder), cache=cache, reranker=dying))
    survivor, embedder = FunctionReranker(), WordEmbedder()
    resumed = evaluate(plan_of(beir(folder), cache=cache, reranker=survivor, embedder=embedder))
    assert dying.pairs + survivor.pairs - REPLAYED == len(CITIES) * 10
    assert dying.pairs >= 50
    assert embedder.texts == 0
    undisturbed = evaluate(plan_of(beir(folder)))
    assert resumed.evidence.candidates == undisturbed.evidence.candidates
    assert resumed.assessment.comparisons == undisturbed.assessment.comparisons


class BadReranker(FunctionReranker):
    """Returns something that cannot be used."""

    def __init__(self, answer: Any) -> None:
        super().__init__(name="bad")
        self._answer = answer

    def score(self, pairs: Any) -> Any:
        return self._answer(super().score(pairs))

    def count_tokens(self, pairs: Any) -> Any:
        return self._answer(super().count_tokens(pairs).astype(float))


def spoiled(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.arange(len(scores)) == 3, math.nan, scores)


@pytest.mark.parametrize(
    ("answer", "what"),
    [(lambda scores: scores[:-1], "asked for 7 pairs, the model returned 6"), (spoiled, "not finite")],
)
def test_wrong_answers_of_a_model_are_refused_and_never_remembered(folder: Path, answer: Any, what: str) -> None:
    cache = DictCache()
    with pytest.raises(ModelError) as caught:
        evaluate(plan_of(beir(folder), cache=cache, reranker=BadReranker(answer)))
    assert what in str(caught.value)
    healthy = BadReranker(lambda scores: scores)
    evaluate(plan_of(beir(folder), cache=cache, reranker=healthy))
    assert healthy.pairs - REPLAYED == len(CITIES) * 10


def test_positives_outside_the_corpus_lower_recall(write_beir: BeirWriter) -> None:
    """One of two positives can be found: recall is 0.5, for dense, reranked and oracle alike."""
    documents = {f"d{number}": f"word{number}" for number in range(12)}
    folder = write_beir(documents, {"q": "word3"}, [("q", "d3", 1), ("q", "elsewhere", 1)])
    result = evaluate(plan_of(beir(folder, on_dangling="keep")))
    found = result.assessment.comparison(Metric("recall", 5), 10)
    assert (found.baseline_mean, found.candidate_mean, found.oracle) == (0.5, 0.5, 0.5)


def test_the_query_itself_is_left_out_before_the_cutoff(write_beir: BeirWriter) -> None:
    texts = {f"t{number}": f"alpha{number} beta" for number in range(12)}
    folder = write_beir(texts, texts, [(f"t{number}", f"t{(number + 1) % 12}", 1) for number in range(12)])
    kept = evaluate(plan_of(beir(folder)))
    assert all(ranking[0] == query for query, ranking in rankings(kept, "dense").items())
    left_out = evaluate(plan_of(beir(folder), exclude_self=True))
    assert all(query not in ranking for query, ranking in rankings(left_out, "dense").items())
    assert {len(ranking) for ranking in rankings(left_out, "dense").values()} == {10}


def test_documents_that_tie_at_the_cut_are_chosen_by_id_in_any_order_of_the_file(write_beir: BeirWriter) -> None:
    """120 equal notes, of which 10 fit: always the first by id, whatever the engine returns first."""
    documents = {f"same{number:03}": "see the attachment" for number in range(120)}
    documents |= {f"other{number}": f"word{number}" for number in range(20)}
    for name, texts in (("forward", documents), ("backward", dict(reversed(documents.items())))):
        folder = write_beir(texts, {"q": "attachment"}, [("q", "same003", 1)], folder=name)
        result = evaluate(plan_of(beir(folder)))
        assert rankings(result, "dense")["q"] == tuple(f"same{number:03}" for number in range(10))


def test_a_cutoff_deeper_than_the_reranked_part_is_measured_in_full(write_beir: BeirWriter) -> None:
    """The second relevant document stands at rank 20 of 30: recall@25 is 1, though only 10 are reranked."""
    documents = {f"d{number:02}": "alpha " * (31 - number) + "beta " * number for number in range(1, 31)}
    folder = write_beir(documents, {"q": "alpha"}, [("q", "d01", 1), ("q", "d20", 1)])
    result = evaluate(plan_of(beir(folder), metrics=parse_metrics(["recall@5", "recall@25"])))
    assert result.computed["pairs"] == 10
    assert rankings(result, "dense")["q"].index("d20") == 19
    assert result.assessment.metrics["rerank@10"][Metric("recall", 25)] == 1.0
    assert result.evidence.candidates["q"][10].rerank_score is None


def test_a_query_that_is_left_out_makes_room_for_no_more_than_there_is(write_beir: BeirWriter) -> None:
    texts = {f"t{number}": f"alpha{number} beta" for number in range(10)}
    folder = write_beir(texts, texts, [(f"t{number}", f"t{(number + 1) % 10}", 1) for number in range(10)])
    with pytest.raises(ConfigError, match="larger than the corpus of 9"):
        evaluate(plan_of(beir(folder), exclude_self=True))


def test_truncated_pairs_are_counted(folder: Path) -> None:
    """A question has 6 words, a note 9: 15 in all."""
    assert evaluate(plan_of(beir(folder), reranker=FunctionReranker(max_length=15))).scoring.truncated == 0
    assert evaluate(plan_of(beir(folder), reranker=FunctionReranker(max_length=14))).scoring.truncated == 120


def test_impossible_sweeps_are_refused_before_a_model_is_used(folder: Path) -> None:
    embedder = WordEmbedder()
    with pytest.raises(ConfigError, match="larger than the corpus of 36"):
        evaluate(plan_of(beir(folder), embedder=embedder, top_ks=(10, 50)))
    assert embedder.texts == 0


def test_the_assessment_follows_from_evidence_and_design_alone(folder: Path) -> None:
    """What needed the models or the store at hand is noted in the result, and handed over with the evidence."""
    result = evaluate(plan_of(beir(folder)))
    observed = result.assessment.controls[:3]
    assert {control.name for control in observed} == {"store_complete", "store_finds", "replay"}
    assert assess(result.evidence, result.design, result.dataset, result.scoring, observed) == result.assessment
    other = Design((6, 8), parse_metrics(["map"]), Expectation(Metric("map"), 8, -100, 100), resamples=200)
    again = assess(result.evidence, other, result.dataset, result.scoring)
    assert [system.name for system in again.systems] == ["dense", "rerank@6", "rerank@8"]
    assert again.verdict.status == "met"


class PersistentStore(ArrayStore):
    """Keeps its vectors from one opening to the next, and may stop in the middle of an upload."""

    persistent = True

    def __init__(self, fails_after: int | None = None) -> None:
        super().__init__()
        self.fails_after = fails_after
        self._opened = ""

    def open(self, collection: str) -> None:
        if self._opened not in ("", collection):
            super().open(collection)
        self._opened = collection

    def add(self, doc_ids: Any, vectors: Any) -> None:
        if self.fails_after is not None and len(self._vectors) + len(doc_ids) > self.fails_after:
            raise CrashError
        super().add(doc_ids, vectors)

    def close(self) -> None:
        """Stays as it is."""


def test_a_store_that_keeps_vectors_is_filled_once_and_resumed(folder: Path) -> None:
    store = PersistentStore(fails_after=20)
    with pytest.raises(CrashError):
        evaluate(plan_of(beir(folder), store=store))
    store.fails_after = None
    result = evaluate(plan_of(beir(folder), store=store))
    assert result.computed["documents"] == 36 - 14
    assert evaluate(plan_of(beir(folder), store=store)).computed["documents"] == 0
    assert result.evidence.candidates == evaluate(plan_of(beir(folder))).evidence.candidates


def test_vectors_that_the_cache_holds_are_not_computed_again_for_another_store(folder: Path) -> None:
    cache, embedder = DictCache(), WordEmbedder()
    evaluate(plan_of(beir(folder), cache=cache))
    result = evaluate(plan_of(beir(folder), cache=cache, store=PersistentStore(), embedder=embedder))
    assert (embedder.texts, result.computed["documents"]) == (0, 0)


def test_pairs_are_handed_over_longest_first(write_beir: BeirWriter) -> None:
    documents = {f"d{number:02}": "word " * (number + 1) for number in range(12)}
    folder = write_beir(documents, {"q": "word"}, [("q", "d00", 1)])
    seen: list[int] = []

    class Watching(FunctionReranker):
        def score(self, pairs: Any) -> NDArray[np.float64]:
            seen.extend(len(document) for _, document in pairs)
            return super().score(pairs)

    evaluate(plan_of(beir(folder), reranker=Watching(), top_ks=(10, 12)))
    assert len(seen) == 12 + 1, "the last one is scored again, to see whether scores repeat"
    assert seen[:12] == sorted(seen[:12], reverse=True)


def test_run_ids_differ_when_the_configuration_differs(folder: Path) -> None:
    plan = plan_of(beir(folder), config={"a": 1})
    first, second = evaluate(plan).run_id, evaluate(replace(plan, config={"a": 2})).run_id
    assert first.rpartition("-")[2] != second.rpartition("-")[2]
