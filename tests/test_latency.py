"""The latency probe: what is timed, for how long, what is remembered and who may see it; no test asserts real time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.errors import ConfigError, StoreError
from evalkit.folder import read_result
from evalkit.latency import latency_of, measure, recall, remember
from evalkit.pipeline import evaluate
from evalkit.ports import Reranker
from evalkit.record import Latency, LatencyBudget, LongDocuments, StageTwoLatency
from evalkit.result import EvalResult
from evalkit.sinks.document import as_document
from evalkit.sinks.files import FilesSink
from evalkit.sinks.latency_lines import latency_lines
from evalkit.stage_one import Retrieval, retrieve
from evalkit.stages import Log, Plan
from evalkit.testing import ArrayStore, DictCache, DictNotes, FunctionReranker, WordEmbedder
from evalkit.types import Candidates, Dataset
from tests.conftest import BeirWriter, beir, plan_of

MACHINE: Mapping[str, str | int] = {"processor": "P", "cores": 8, "platform": "Linux", "python": "3"}
SETTINGS = {"reranker": {"threads": 2}, "vector_store": {"url": "https://host/one"}}
KEY = bytes(32)
CUT = LongDocuments(stage2="cut")


class Clock:
    """Stands still until something takes its time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class TimedEmbedder(WordEmbedder):
    """Takes 10 ms x the number in a query for a single one, and notes what it was given."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.calls: list[list[str]] = []

    def embed_queries(self, texts: Any) -> Any:
        self.calls.append(list(texts))
        self._clock.seconds += 0.010 * number_in(texts[0]) if len(texts) == 1 else 0
        return super().embed_documents(texts)


class TimedStore(ArrayStore):
    """Takes 2 ms for every search, and notes (queries, limit)."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.calls: list[tuple[int, int]] = []

    def search(self, vectors: Any, limit: int) -> Any:
        self.calls.append((len(vectors), limit))
        self._clock.seconds += 0.002
        return super().search(vectors, limit)


class TimedReranker(FunctionReranker):
    """Takes 10 ms x the number in the query for every call, however many pairs, and notes what it was given."""

    def __init__(self, clock: Clock, max_length: int = 512) -> None:
        super().__init__(max_length=max_length)
        self._clock = clock
        self.calls: list[list[tuple[str, str]]] = []

    def score(self, pairs: Any) -> Any:
        self.calls.append(list(pairs))
        self._clock.seconds += 0.010 * number_in(pairs[0][0])
        return super().score(pairs)


def number_in(query: str) -> int:
    return int(query.rsplit(" ", 1)[1])


class ForbiddenCache(DictCache):
    def get(self, _: Any) -> Any:
        raise AssertionError("the probe asked for what is remembered")


Ready = tuple[Plan, Dataset, Candidates, Clock]


def retrieved(plan: Plan, dataset: Dataset) -> Candidates:
    """Stage 1, which fills the store."""
    return retrieve(plan, Retrieval.of(plan, dataset, Log()), dataset, Log())


def timed(plan: Plan, dataset: Dataset, candidates: Candidates, clock: Clock) -> Latency:
    """The probe of a plan whose parts are models."""
    reranker, retrieval = cast(Reranker, plan.reranker), Retrieval.of(plan, dataset, Log())
    return measure(plan, retrieval, reranker, dataset, candidates, "here", clock)


def told(
    plan: Plan, dataset: Dataset, candidates: Candidates, machine: Mapping[str, str | int], *, loaded: bool
) -> Latency | None:
    return latency_of(plan, Retrieval.of(plan, dataset, Log()), dataset, candidates, machine, loaded=loaded)


def ready(write_beir: BeirWriter, numbers: tuple[int, ...], queries: int = 20, **changes: Any) -> Ready:
    """A filled store and the candidates of the queries "rent 1", "rent 2" and so on, with a cache that refuses."""
    documents = {f"d{n:02}": " ".join(["rent", "word"] * (n + 1)) for n in range(12)}
    texts = {f"q{n}": f"rent {n}" for n in numbers}
    folder = write_beir(documents, texts, [(query, "d03", 1) for query in texts])
    clock, cache = Clock(), DictCache()
    parts: dict[str, Any] = {
        "embedder": TimedEmbedder(clock),
        "store": TimedStore(clock),
        "reranker": TimedReranker(clock),
        "latency": LatencyBudget(queries),
        "notes": DictNotes(),
    }
    plan = plan_of(beir(folder), cache=cache, **{**parts, **changes})
    dataset = plan.source.load()
    candidates = retrieved(plan, dataset)
    for watched in (plan.embedder, plan.store, plan.reranker):
        getattr(watched, "calls", []).clear()
    clock.seconds = 0
    return replace(plan, cache=ForbiddenCache()), dataset, candidates, clock


def probed(write_beir: BeirWriter, numbers: tuple[int, ...], **changes: Any) -> tuple[Latency, Plan, Candidates]:
    plan, dataset, candidates, clock = ready(write_beir, numbers, **changes)
    return timed(plan, dataset, candidates, clock), plan, candidates


# --- what is timed --------------------------------------------------------------------------------


def test_percentiles_and_rates_are_those_of_the_queries(write_beir: BeirWriter) -> None:
    """Stage 1: 12, 22, 62 ms; stage 2: 10, 20, 60 ms. The 95th percentile lies 9/10 of the way from 2nd to 3rd."""
    found, _, _ = probed(write_beir, (1, 2, 6))
    assert found.n_queries == 3
    assert (found.stage1_p50_ms, found.stage1_p95_ms) == pytest.approx((22, 22 + 0.9 * 40))
    assert [one.top_k for one in found.stage2] == [1, 6, 10]
    for one in found.stage2:
        assert (one.p50_ms, one.p95_ms) == pytest.approx((20, 56))
        assert one.pairs_per_second == pytest.approx(3 * one.top_k / 0.090)


def test_tokens_of_a_pair_count_as_far_as_the_model_reads(write_beir: BeirWriter) -> None:
    """A query of 2 words, documents of 2, 4, ... 20 in this order: pairs of 4, 6, ... 22 words; 12 are read."""
    plan, dataset, candidates, clock = ready(write_beir, (1,))
    by_length = {query: tuple(sorted(found, key=lambda one: one.doc_id)) for query, found in candidates.items()}
    found = timed(replace(plan, reranker=TimedReranker(clock, 12), long=CUT), dataset, by_length, clock)
    tokens = {one.top_k: one.tokens_per_pair for one in found.stage2}
    assert tokens == {1: 4, 6: (4 + 6 + 8 + 10 + 12 + 12) / 6, 10: (4 + 6 + 8 + 10 + 6 * 12) / 10}


def test_every_call_is_one_query_as_in_production(write_beir: BeirWriter) -> None:
    """Stage 1: one text, one search at the largest top-k. Stage 2: the query's first k candidates in one call."""
    found, plan, candidates = probed(write_beir, (1, 2, 6))
    assert isinstance(plan.embedder, TimedEmbedder)
    assert isinstance(plan.store, TimedStore)
    assert isinstance(plan.reranker, TimedReranker)
    warm_up, *calls = plan.reranker.calls
    assert len(warm_up) == 10
    assert len(plan.embedder.calls) == 1 + found.n_queries
    assert all(len(texts) == 1 for texts in plan.embedder.calls)
    assert plan.store.calls == [(1, 10)] * (1 + found.n_queries)
    documents = {document.id: document.content for document in plan.source.load().documents}
    for place, (text,) in enumerate(plan.embedder.calls[1:]):
        pairs = [(text, documents[one.doc_id]) for one in candidates[f"q{number_in(text)}"]]
        mine = sorted(calls[3 * place : 3 * place + 3], key=len)
        assert mine == [pairs[:1], pairs[:6], pairs[:10]]


def test_warming_up_is_not_counted(write_beir: BeirWriter) -> None:
    """The first call of each model takes a minute, as if it loaded; the limit is a second."""

    class Loading(TimedReranker):
        def score(self, pairs: Any) -> Any:
            self._clock.seconds += 0 if self.calls else 60
            return super().score(pairs)

    plan, dataset, candidates, clock = ready(write_beir, (1, 2, 3, 4, 5), latency=LatencyBudget(5, 1))
    found = timed(replace(plan, reranker=Loading(clock)), dataset, candidates, clock)
    assert found.n_queries == 5
    assert max(one.p95_ms for one in found.stage2) < 60


@pytest.mark.parametrize(("limit_s", "n_queries"), [(1, 3), (8, 3), (9, 3), (10, 4), (12, 4), (13, 5), (1000, 5)])
def test_the_time_limit_ends_the_probe_after_three_queries(
    write_beir: BeirWriter, limit_s: int, n_queries: int
) -> None:
    """Three top-k of a second each: after three queries 9 s have passed, after four 12 s."""

    class OneSecond(FunctionReranker):
        def score(self, pairs: Any) -> Any:
            clock.seconds += 1
            return super().score(pairs)

    plan, dataset, candidates, clock = ready(write_beir, tuple(range(7)), latency=LatencyBudget(5, limit_s))
    plan = replace(plan, embedder=WordEmbedder(), store=silent(plan), reranker=OneSecond())
    found = timed(plan, dataset, candidates, clock)
    assert found.n_queries == n_queries
    assert [one.pairs_per_second for one in found.stage2] == pytest.approx([1, 6, 10])


def silent(plan: Plan) -> ArrayStore:
    """The same vectors in a store that takes no time."""
    store, ids = ArrayStore(), [document.id for document in plan.source.load().documents]
    store.add(ids, plan.store.vectors(ids))
    return store


def test_a_data_set_of_two_queries_says_two(write_beir: BeirWriter) -> None:
    found, _, _ = probed(write_beir, (1, 3))
    assert found.n_queries == 2
    assert found.stage2[0].p50_ms == pytest.approx(20)


def test_the_seed_chooses_the_queries(write_beir: BeirWriter) -> None:
    plan, dataset, candidates, clock = ready(write_beir, tuple(range(1, 40)), queries=5)

    def asked(seed: int) -> list[str]:
        embedder = TimedEmbedder(clock)
        design = replace(plan.design, seed=seed)
        timed(replace(plan, embedder=embedder, design=design), dataset, candidates, clock)
        return [text for (text,) in embedder.calls[1:]]

    assert asked(0) == asked(0)
    assert len(set(asked(0))) == 5
    assert set(asked(0)) != set(asked(1))


def test_no_top_k_always_comes_first(write_beir: BeirWriter) -> None:
    """Whatever a processor does after a pause, it does to all of them."""
    _, plan, _ = probed(write_beir, tuple(range(1, 21)))
    assert isinstance(plan.reranker, TimedReranker)
    first = [len(call) for call in plan.reranker.calls[1::3]]
    assert len(first) == 20
    assert set(first) == {1, 6, 10}


# --- when it is measured --------------------------------------------------------------------------

CITIES = ["Bern", "Basel", "Chur", "Thun", "Zug", "Lugano", "Locarno", "Sion", "Genf", "Uster", "Aarau", "Olten"]
BUDGET = LatencyBudget(queries=5)


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    documents = {f"{c}-{t}": f"note on the {t} of the client in {c}" for c in CITIES for t in ("rent", "wages", "tax")}
    queries = {f"q-{c}": f"what is the rent in {c}" for c in CITIES}
    return write_beir(documents, queries, [(f"q-{c}", f"{c}-rent", 1) for c in CITIES])


def test_a_run_that_scored_pairs_measures_and_its_scores_are_not_what_is_measured(folder: Path) -> None:
    """12 x 10 pairs scored, 12 replayed, 10 to warm up, 5 queries of 1 + 6 + 10 pairs, though all are remembered."""
    reranker = FunctionReranker()
    result = evaluate(plan_of(beir(folder), reranker=reranker, latency=BUDGET))
    assert reranker.pairs == 120 + 12 + 10 + 5 * 17
    assert result.latency is not None
    assert (result.latency.n_queries, result.latency.stored) == (5, False)
    assert (result.latency.device, result.latency.store) == ("cpu", "NumPy array in process")
    assert result.timings["latency"] > 0


def test_the_probe_changes_nothing_that_is_judged(folder: Path) -> None:
    with_probe, without = (evaluate(plan_of(beir(folder), latency=LatencyBudget(n))) for n in (5, 0))
    assert with_probe.evidence == without.evidence
    assert with_probe.assessment == without.assessment
    assert with_probe.computed == without.computed


def test_no_queries_switch_it_off(folder: Path) -> None:
    reranker = FunctionReranker()
    result = evaluate(plan_of(beir(folder), reranker=reranker, latency=LatencyBudget(0), notes=DictNotes()))
    assert result.latency is None
    assert reranker.pairs == 120 + 12
    assert as_document(result)["latency"] is None
    assert latency_lines(result) == []


def test_a_warm_rerun_shows_the_stored_measurement_and_uses_no_model(folder: Path) -> None:
    shared: dict[str, Any] = {"cache": DictCache(), "notes": DictNotes(), "latency": BUDGET}
    first = evaluate(plan_of(beir(folder), **shared)).latency
    embedder, reranker = WordEmbedder(), FunctionReranker()
    again = evaluate(plan_of(beir(folder), embedder=embedder, reranker=reranker, **shared)).latency
    assert (embedder.texts, reranker.pairs) == (0, 0)
    assert first is not None
    assert again == replace(first, stored=True)


def test_a_warm_run_of_which_nothing_is_stored_shows_nothing(folder: Path) -> None:
    cache, reranker = DictCache(), FunctionReranker()
    evaluate(plan_of(beir(folder), cache=cache))
    result = evaluate(plan_of(beir(folder), cache=cache, reranker=reranker, latency=BUDGET, notes=DictNotes()))
    assert result.latency is None
    assert reranker.pairs == 0


def test_a_warm_run_shows_the_stored_part_of_its_sweep(folder: Path) -> None:
    """Top-k 8 was never measured: its pairs were scored for top-k 10."""
    shared: dict[str, Any] = {"cache": DictCache(), "notes": DictNotes(), "latency": BUDGET}
    evaluate(plan_of(beir(folder), **shared))
    result = evaluate(plan_of(beir(folder), top_ks=(6, 8, 10), **shared))
    assert result.latency is not None
    assert [one.top_k for one in result.latency.stage2] == [6, 10]


def test_without_notes_it_is_measured_and_forgotten(folder: Path) -> None:
    cache = DictCache()
    assert evaluate(plan_of(beir(folder), cache=cache, latency=BUDGET)).latency is not None
    assert evaluate(plan_of(beir(folder), cache=cache, latency=BUDGET)).latency is None


# --- who sees it ----------------------------------------------------------------------------------


class OtherEmbedder(WordEmbedder):
    @property
    def fingerprint(self) -> Any:
        return {**super().fingerprint, "model": "others"}


class OtherStore(ArrayStore):
    description = "another store"


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("embedder", OtherEmbedder()),
        ("reranker", FunctionReranker(name="other")),
        ("store", OtherStore()),
        ("config", {**SETTINGS, "reranker": {"threads": 1}}),
        ("config", {**SETTINGS, "vector_store": {"url": "https://host/other"}}),
        ("machine", {**MACHINE, "processor": "Q"}),
        ("machine", {**MACHINE, "cores": 4}),
        ("corpus_digest", "another"),
    ],
)
def test_another_model_store_setting_machine_or_corpus_does_not_see_it(
    write_beir: BeirWriter, part: str, other: Any
) -> None:
    plan, dataset, candidates, _ = ready(write_beir, (1, 2, 3), config=SETTINGS)
    first = told(plan, dataset, candidates, MACHINE, loaded=True)
    assert first is not None
    same = replace(plan, config={**SETTINGS, "statistics": {"seed": 2}})
    assert told(same, dataset, candidates, MACHINE, loaded=False) == replace(first, stored=True)

    machine = MACHINE
    if part == "machine":
        machine = other
    elif part == "corpus_digest":
        dataset = replace(dataset, corpus_digest=other)
    else:
        plan = replace(plan, **{part: other})
    assert told(plan, dataset, candidates, machine, loaded=False) is None


def taken(day: int, n_queries: int, *stage2: tuple[int, float]) -> Latency:
    return Latency(
        measured=f"2026-01-{day:02}T00:00:00+00:00",
        machine="P, 8 cores, Linux",
        device="cpu",
        n_queries=n_queries,
        stage1_p50_ms=10.0 * day,
        stage1_p95_ms=20.0 * day,
        store="Qdrant server at https://host:6333",
        in_process=False,
        stage2=tuple(StageTwoLatency(top_k, p50, 2 * p50, 1000 * top_k / p50, 100.0) for top_k, p50 in stage2),
    )


def test_a_newer_measurement_replaces_its_top_ks_and_leaves_the_others() -> None:
    notes = DictNotes()
    remember(notes, KEY, taken(1, 20, (10, 100), (20, 200)))
    remember(notes, KEY, taken(2, 5, (10, 110), (50, 500)))
    assert recall(notes, KEY, (10, 50)) == replace(taken(2, 5, (10, 110), (50, 500)), stored=True)
    assert recall(notes, KEY, (7, 20)) == replace(taken(1, 20, (20, 200)), stored=True)
    assert recall(notes, KEY, (7,)) is None
    assert recall(notes, bytes(31), (10,)) is None


def test_two_measurements_shown_as_one_bear_the_older_date_and_the_smaller_number_of_queries() -> None:
    notes = DictNotes()
    remember(notes, KEY, taken(1, 20, (10, 100), (20, 200)))
    remember(notes, KEY, taken(2, 5, (10, 110)))
    both = replace(taken(2, 5, (10, 110), (20, 200)), measured="2026-01-01T00:00:00+00:00", stored=True)
    assert recall(notes, KEY, (20, 10)) == both


def test_what_is_replaced_as_a_whole_is_gone() -> None:
    notes = DictNotes()
    for day in (1, 2, 3):
        remember(notes, KEY, taken(day, 20, (10, 100), (20, 200)))
    note = notes.get(KEY)
    assert note is not None
    assert [one["measured"][:10] for one in note["measurements"]] == ["2026-01-03"]


@pytest.mark.parametrize("note", [{}, {"measurements": 5}, {"measurements": [{"device": "cpu"}]}, {"other": []}])
def test_a_foreign_note_is_named_and_measured_again(caplog: pytest.LogCaptureFixture, note: dict[str, Any]) -> None:
    notes, fresh = DictNotes(), taken(1, 20, (10, 100))
    notes.put(KEY, note)
    with caplog.at_level(logging.WARNING):
        assert recall(notes, KEY, (10,)) is None
    assert "its note was changed, or is of another version of evalkit" in caplog.text
    remember(notes, KEY, fresh)
    assert recall(notes, KEY, (10,)) == replace(fresh, stored=True)


def test_notes_that_fail_cost_no_result(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(DictNotes):
        def get(self, _: bytes) -> Any:
            raise StoreError("cannot be read; do this")

        def put(self, *_: Any) -> None:
            raise StoreError("cannot be written; do that")

    shared: dict[str, Any] = {"cache": DictCache(), "notes": Failing(), "latency": BUDGET}
    with caplog.at_level(logging.WARNING):
        assert evaluate(plan_of(beir(folder), **shared)).latency is not None
        assert evaluate(plan_of(beir(folder), **shared)).latency is None
    assert "no earlier latency can be shown. cannot be read; do this" in caplog.text
    assert "the latency will not be shown by later runs. cannot be written; do that" in caplog.text


# --- how it is shown ------------------------------------------------------------------------------


@pytest.fixture
def result(write_beir: BeirWriter) -> EvalResult:
    """Dense ranks the only answer last of ten, the reranker first: recall@5 gains 100 points at 10, none at 6."""
    documents = {f"note{n}": f"Bern rent note{n}" for n in range(9)} | {"answer": "Bern answer"}
    folder = write_beir(documents, {"q": "Bern rent"}, [("q", "answer", 1)])
    reranker = FunctionReranker(lambda _, document: float("answer" in document), "perfect")
    found = evaluate(plan_of(beir(folder), reranker=reranker, top_ks=(6, 10)))
    return replace(found, latency=taken(3, 20, (6, 150.4), (10, 400.0), (30, 1200.0)))


def test_points_per_100_ms_are_gain_over_median_time(result: EvalResult) -> None:
    """100 points in 400 ms; nothing in 150 ms; and top-k 30 was not compared."""
    assert result.points_per_100_ms == {6: 0.0, 10: 25.0, 30: None}
    assert replace(result, latency=None).points_per_100_ms == {}


def test_the_document_says_points_per_100_ms_and_reads_back(result: EvalResult, tmp_path: Path) -> None:
    shown = as_document(result)["latency"]
    assert [one.pop("points_per_100_ms") for one in shown["stage2"]] == [0.0, 25.0, None]
    assert shown["stage2"][1] == {
        "top_k": 10, "p50_ms": 400.0, "p95_ms": 800.0, "pairs_per_second": 25.0, "tokens_per_pair": 100.0,
        "cost_per_1000_queries": None, "currency": None,
    }  # fmt: skip
    assert (shown["store"], shown["in_process"], shown["stored"]) == (result.latency.store, False, False)  # type: ignore[union-attr]
    FilesSink().write(result, tmp_path)
    assert read_result(tmp_path).latency == result.latency


def test_lines_are_rounded_and_say_where_and_when(result: EvalResult) -> None:
    assert latency_lines(result) == [
        "latency, warm, 20 queries one at a time: measured 2026-01-03T00:00:00+00:00 on P, 8 cores, Linux; reranker on "
        "cpu; vectors in Qdrant server at https://host:6333",
        "  stage 1: p50 30 ms, p95 60 ms",
        "  rerank@6: p50 150 ms, p95 301 ms; 40 pairs/s of 100 tokens; +0.00 points per 100 ms",
        "  rerank@10: p50 400 ms, p95 800 ms; 25 pairs/s of 100 tokens; +25.00 points per 100 ms",
        "  rerank@30: p50 1200 ms, p95 2400 ms; 25 pairs/s of 100 tokens; – points per 100 ms",
    ]


def test_lines_say_what_is_stored_and_what_is_not_the_users_server(result: EvalResult) -> None:
    assert result.latency is not None
    here = replace(result.latency, store="qdrant-edge in process", in_process=True, stored=True, stage1_p50_ms=1.26)
    first, second, *_ = latency_lines(replace(result, latency=here))
    assert "measured 2026-01-03T00:00:00+00:00 by an earlier run on P, 8 cores" in first
    assert first.endswith("vectors in qdrant-edge in process, which is not your server")
    assert second == "  stage 1: p50 1.3 ms, p95 60 ms"


# --- settings -------------------------------------------------------------------------------------


def test_the_probe_is_on_by_default_and_can_be_switched_off() -> None:
    assert build_plan(compose_config([])).latency == LatencyBudget(20, 60)
    assert build_plan(compose_config(["latency.queries=0"])).latency == LatencyBudget(0, 60)


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("latency.queries=-1", "latency.queries is -1; expected a whole number of at least 0"),
        ("latency.queries=few", "latency.queries is 'few'"),
        ("latency.time_limit_s=0", "latency.time_limit_s is 0; expected a whole number of at least 1"),
        ("latency.query=5", "Did you mean latency.queries?"),
        ("latency=null", "latency cannot be null; its options are: default"),
        ("notes.path=5", "notes.path is of type int; expected a path"),
    ],
)
def test_impossible_settings_are_one_message(override: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_plan(compose_config([override]))
    assert what in str(caught.value)


def test_the_machine_is_named_in_words(write_beir: BeirWriter) -> None:
    plan, dataset, candidates, _ = ready(write_beir, (1,))
    found = told(plan, dataset, candidates, MACHINE, loaded=True)
    assert found is not None
    assert found.machine == "P, 8 cores, Linux"
    assert np.isfinite([found.stage1_p50_ms, found.stage2[0].pairs_per_second]).all()
