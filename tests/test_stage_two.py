"""Long documents at stage 2: cut or read in windows, what is scored, remembered and counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.errors import ConfigError
from evalkit.executors.local import LocalExecutor
from evalkit.findings import Expectation
from evalkit.folder import read_result
from evalkit.pipeline import evaluate
from evalkit.ports import Pair
from evalkit.record import LatencyBudget, LongDocuments
from evalkit.result import EvalResult
from evalkit.sinks.table import notes, work_line
from evalkit.stages import Plan
from evalkit.testing import DictCache, FunctionReranker, WordEmbedder
from evalkit.types import Candidate, Metric
from evalkit.verify import verify
from tests.conftest import BeirWriter, beir, plan_of
from tests.results import stored

CUT = LongDocuments(stage2="cut")
WINDOWS = LongDocuments(stage2="windows", overlap=4)

N = 12
LONG = "rent town " + " ".join("gold" if n in {20, 22, 28} else f"w{n}" for n in range(2, 30))
"""30 words; a window holds 10 and shares 4 with the one before: 0-9, 6-15, 12-21, 18-27, 24-29."""


def gold(_: str, document: str) -> float:
    """How often the word stands in what is read."""
    return float(document.split().count("gold"))


class Counting(FunctionReranker):
    """Counts gold in pairs of 12 words, so that 10 are left beside a question of two."""

    def __init__(self, after: float = math.inf, times: int = 1) -> None:
        super().__init__(lambda query, document: times * gold(query, document), "gold", max_length=12)
        self.given: list[Pair] = []
        self._after = after

    def score(self, pairs: Sequence[Pair]) -> Any:
        if self.pairs + len(pairs) > self._after:
            raise CrashError
        self.given += pairs
        return super().score(pairs)


class CrashError(RuntimeError):
    pass


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    """One long note answers at its end; eleven short ones share more words with the question, and none is gold."""
    documents = {f"short{n:02}": f"rent town note{n}" for n in range(N - 1)} | {"long": LONG}
    return write_beir(documents, {"q": "rent town"}, [("q", "long", 1)])


def plan(folder: Path, **changes: Any) -> Plan:
    parts: dict[str, Any] = {
        "reranker": Counting(),
        "long": WINDOWS,
        "top_ks": (12,),
        "expectation": Expectation(Metric("recall", 5), 12, 12, 18),
    }
    return plan_of(beir(folder), **{**parts, **changes})


def found(result: EvalResult, doc_id: str = "long") -> Candidate:
    (one,) = [one for one in result.evidence.candidates["q"] if one.doc_id == doc_id]
    return one


def recall(result: EvalResult) -> float:
    return result.assessment.metrics["rerank@12"][Metric("recall", 5)]


def status(result: EvalResult, name: str) -> tuple[str, str]:
    (control,) = [control for control in result.assessment.controls if control.name == name]
    return control.status, control.message


def test_an_answer_at_the_end_of_a_long_document_is_missed_where_that_is_cut(folder: Path) -> None:
    result = evaluate(plan(folder, long=CUT))
    assert found(result).stage1_rank == 12
    assert found(result).rerank_score == 0
    assert recall(result) == 0
    assert (result.scoring.pairs, result.scoring.truncated, result.scoring.windows) == (12, 1, 0)
    assert status(result, "truncated")[0] == "warned"


def test_in_windows_it_is_found_and_the_best_window_is_its_score(folder: Path) -> None:
    """Gold stands at 20, 22 and 28: once in the third window, twice in the fourth, once in the fifth."""
    result = evaluate(plan(folder))
    assert found(result).rerank_score == 2
    assert found(result).tokens == 2 + 30
    assert recall(result) == 1
    assert (result.scoring.pairs, result.scoring.truncated, result.scoring.windows) == (12, 1, 5)
    told, message = status(result, "truncated")
    assert told == "passed"
    assert "1 of 12 pairs longer than the reranker's 12 tokens, and read in 5 windows" in message


def test_windows_are_what_the_model_was_given(folder: Path) -> None:
    reranker = Counting()
    evaluate(plan(folder, reranker=reranker))
    words = LONG.split()
    expected = {" ".join(words[begin : begin + 10]) for begin in (0, 6, 12, 18, 24)}
    assert {document for _, document in reranker.given} - {LONG} == expected | {
        f"rent town note{n}" for n in range(N - 1)
    }


def test_documents_that_fit_are_scored_once_and_as_they_are(folder: Path) -> None:
    cut, windows = (evaluate(plan(folder, long=long)) for long in (CUT, WINDOWS))
    for n in range(N - 1):
        assert found(cut, f"short{n:02}") == found(windows, f"short{n:02}")
    assert windows.computed["pairs"] == cut.computed["pairs"] + 5


def test_a_second_run_scores_no_window_again(folder: Path) -> None:
    cache, again = DictCache(), Counting()
    first = evaluate(plan(folder, cache=cache))
    second = evaluate(plan(folder, cache=cache, reranker=again))
    assert (first.computed["pairs"], second.computed["pairs"], again.pairs) == (17, 0, 0)
    assert first.evidence == second.evidence
    assert first.scoring == second.scoring
    assert "computed 0 document vectors, 0 query vectors and 0 of 17 scores of pairs and windows in" in work_line(
        second
    )


def test_after_a_crash_among_the_windows_only_what_is_missing_is_scored(folder: Path) -> None:
    """Chunks of two: twelve pairs and one chunk of windows are there when the next one fails."""
    cache, dying, survivor = DictCache(), Counting(after=15), Counting()
    small = plan(folder, cache=cache, executor=LocalExecutor(chunk_size=2))
    with pytest.raises(CrashError):
        evaluate(replace(small, reranker=dying))
    assert dying.pairs == 14
    resumed = evaluate(replace(small, reranker=survivor))
    assert resumed.computed["pairs"] == 17 - 14
    assert resumed.evidence == evaluate(plan(folder)).evidence


def test_another_overlap_keeps_what_was_scored_whole(folder: Path) -> None:
    """Without overlap: 0-9, which is remembered, 10-19 and 20-29."""
    cache = DictCache()
    evaluate(plan(folder, cache=cache))
    result = evaluate(plan(folder, cache=cache, long=LongDocuments(overlap=0)))
    assert result.computed["pairs"] == 2
    assert result.scoring.windows == 3
    assert found(result).rerank_score == 3


def test_a_run_that_cut_shares_its_scores_with_one_that_reads_windows(folder: Path) -> None:
    cache = DictCache()
    evaluate(plan(folder, cache=cache, long=CUT))
    assert evaluate(plan(folder, cache=cache)).computed["pairs"] == 5
    assert evaluate(plan(folder, cache=cache, long=CUT)).computed["pairs"] == 0


def test_equal_windows_are_one(write_beir: BeirWriter) -> None:
    """Both notes begin with the same 16 words: 0-9 and 6-15 are the same, and each has an end of its own."""
    begin = " ".join(["rent", "town", *(f"w{n}" for n in range(14))])
    documents = {f"long{n}": f"{begin} end{n}" for n in range(2)} | {f"short{n}": f"town s{n}" for n in range(10)}
    folder = write_beir(documents, {"q": "rent town"}, [("q", "long0", 1)])
    result = evaluate(plan(folder))
    assert (result.scoring.truncated, result.scoring.windows, result.computed["pairs"]) == (2, 4, 12 + 4)


def test_where_the_query_alone_is_too_long_nothing_is_split(write_beir: BeirWriter) -> None:
    documents = {f"d{n:02}": f"word{n} gold" for n in range(N)}
    folder = write_beir(documents, {"q": " ".join(f"word{n}" for n in range(20))}, [("q", "d03", 1)])
    result = evaluate(plan(folder))
    assert (result.scoring.truncated, result.scoring.windows) == (12, 0)
    assert result.computed["pairs"] == 12
    assert status(result, "truncated")[0] == "warned"


def test_the_lines_say_what_became_of_long_pairs(folder: Path) -> None:
    cut, windows = (notes(evaluate(plan(folder, long=long))) for long in (CUT, WINDOWS))
    assert "1 of 12 pairs (8.3 %) are longer than the reranker's 12 tokens and were cut" in cut
    assert "1 of 12 pairs (8.3 %) are longer than the reranker's 12 tokens and were read in 5 windows" in windows


def test_a_result_with_windows_is_read_back_and_verifies(folder: Path, tmp_path: Path) -> None:
    result = evaluate(plan(folder))
    place = stored(result, tmp_path / "reports")
    assert read_result(place) == replace(result, texts=None)
    assert verify(place).status == "ok"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("long_documents.stage2=window", "long_documents.stage2 is 'window'; expected cut or windows"),
        ("long_documents.stage1=null", "long_documents.stage1 is None; expected cut or windows"),
        ("long_documents.overlap=-1", "long_documents.overlap is -1; expected a whole number of at least 0"),
    ],
)
def test_impossible_settings_are_one_message(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_plan(compose_config([override]))
    assert message in str(caught.value)


# --- checks and latency ---------------------------------------------------------------------------


def test_long_pairs_are_replayed_as_they_were_read(write_beir: BeirWriter) -> None:
    """All pairs are long: every score is that of a window, or of the beginning, and repeats."""
    documents = {f"d{n:02}": f"rent {LONG} gold{n}" for n in range(N)}
    folder = write_beir(documents, {"q": "rent town"}, [("q", "d03", 1)])
    for long in (CUT, WINDOWS):
        result = evaluate(plan(folder, long=long))
        assert result.scoring.truncated == N
        assert status(result, "replay")[0] == "passed"


def test_remembered_windows_of_another_reranker_are_found(write_beir: BeirWriter) -> None:
    """Under the same name, and only the windows differ: what fits scores 0 with both."""
    documents = {f"d{n:02}": f"{LONG} w{n}" for n in range(N)}
    folder = write_beir(documents, {"q": "rent town", "r": "town rent"}, [("q", "d03", 1), ("r", "d04", 1)])
    cache = DictCache()
    evaluate(replace(plan(folder, cache=cache), source=beir(folder, limit=1)))
    assert status(evaluate(plan(folder, cache=cache, reranker=Counting(times=7))), "replay")[0] == "failed"


def test_the_probe_times_all_windows_of_a_document(folder: Path) -> None:
    """12 pairs scored, 5 windows, one document replayed, then 1 + 1 passes over 11 notes and 5 windows."""
    reranker = Counting()
    result = evaluate(plan(folder, reranker=reranker, latency=LatencyBudget(queries=1)))
    assert result.latency is not None
    (timed,) = result.latency.stage2
    probe = [len(documents) for documents in (reranker.given[-32:-16], reranker.given[-16:])]
    assert probe == [16, 16]
    assert sorted(document for _, document in reranker.given[-16:]) == sorted(
        document for _, document in reranker.given[-32:-16]
    )
    assert LONG not in {document for _, document in reranker.given[-32:]}
    assert timed.tokens_per_pair == pytest.approx((11 * 5 + 4 * 12 + 8) / 16)


# --- runs that stop early -------------------------------------------------------------------------

TOWNS = [f"Town{number}" for number in range(60)]


@pytest.fixture
def towns(write_beir: BeirWriter) -> Path:
    """Nine short notes rank before the long one that answers, at its end."""
    filler = " ".join(f"w{n}" for n in range(20))
    documents = {f"{town}-{n}": f"{town} note{n}" for town in TOWNS for n in range(9)}
    documents |= {f"{town}-answer": f"{town} {filler} gold" for town in TOWNS}
    queries = {f"q-{town}": f"{town} please" for town in TOWNS}
    return write_beir(documents, queries, [(f"q-{town}", f"{town}-answer", 1) for town in TOWNS])


def early(folder: Path, **changes: Any) -> Plan:
    embedder = WordEmbedder(1 << 12)
    expectation = Expectation(Metric("recall", 5), 10, 12, 18)
    return plan(folder, embedder=embedder, top_ks=(10,), expectation=expectation, sequential=True, **changes)


def test_a_run_that_stops_early_reads_windows_of_what_it_spends(towns: Path) -> None:
    """22 words beside a question of two: windows of ten, 0-9, 6-15, 12-21; so 13 scores per query, 10 of them pairs."""
    result = evaluate(early(towns))
    ended = result.sequential
    assert ended is not None
    assert ended.side == "above"
    assert ended.spent_queries < len(TOWNS)
    assert result.scoring.windows == 3 * ended.spent_queries
    assert result.scoring.truncated == ended.spent_queries
    assert result.computed["pairs"] == ended.spent_pairs + result.scoring.windows
    assert ended.total_pairs == 10 * len(TOWNS)
    best = {one.doc_id: one.rerank_score for found in result.evidence.candidates.values() for one in found}
    assert {score for doc_id, score in best.items() if doc_id.endswith("answer")} == {1.0}


def test_cut_the_same_run_ends_on_the_other_side(towns: Path) -> None:
    ended = evaluate(early(towns, long=CUT)).sequential
    assert ended is not None
    assert ended.side == "below"


def test_a_full_run_goes_on_from_its_windows(towns: Path) -> None:
    cache = DictCache()
    first = evaluate(early(towns, cache=cache))
    full = evaluate(replace(early(towns, cache=cache), sequential=False))
    assert first.computed["pairs"] + full.computed["pairs"] == 13 * len(TOWNS)
    assert full.evidence == evaluate(replace(early(towns), sequential=False)).evidence
    assert first.evidence.candidates.items() <= full.evidence.candidates.items()
    assert f"of {10 * len(TOWNS) + first.scoring.windows} scores of pairs and windows" in work_line(first)
