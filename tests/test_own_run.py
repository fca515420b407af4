"""A system that ran elsewhere: its run as stage 1, its scores as stage 2, and what is refused or pointed out."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.metrics import parse_metrics
from evalkit.data.runs import RunFile, ScoreFile
from evalkit.delivery import deliver
from evalkit.errors import ConfigError, ControlError, DataError
from evalkit.findings import Control, Expectation
from evalkit.folder import read_result
from evalkit.pipeline import evaluate
from evalkit.ports import Sink
from evalkit.record import LatencyBudget
from evalkit.remeasure import remeasure, rule_of
from evalkit.result import EvalResult
from evalkit.sinks.files import FilesSink
from evalkit.sinks.html import HtmlSink
from evalkit.sinks.markdown import MarkdownSink
from evalkit.sinks.table import model_lines, notes, work_line
from evalkit.stages import Plan
from evalkit.testing import ArrayStore, DictCache, DictNotes, FunctionReranker, WordEmbedder
from evalkit.types import Metric
from evalkit.verify import verify
from tests.conftest import BeirWriter, beir, plan_of
from tests.results import stored

N = 12
IDS = [f"d{n:02}" for n in range(N)]
QUERIES = ["q1", "q2", "q3"]
POSITIVES = {"q1": "d00", "q2": "d01", "q3": "d02"}
ALL_SINKS: dict[str, Sink] = {"files": FilesSink(), "markdown": MarkdownSink(), "html": HtmlSink(include_texts=True)}
METRICS = parse_metrics(["recall@5", "ndcg@10", "mrr"])


@pytest.fixture
def folder(write_beir: BeirWriter) -> Path:
    documents = {doc_id: f"note {doc_id} word{doc_id}" for doc_id in IDS}
    queries = {query_id: f"word{doc_id}" for query_id, doc_id in POSITIVES.items()}
    return write_beir(documents, queries, [(query_id, doc_id, 1) for query_id, doc_id in POSITIVES.items()])


def falling(doc_ids: Iterable[str], top: float = 100.0) -> dict[str, float]:
    return {doc_id: top - place for place, doc_id in enumerate(doc_ids)}


def last(doc_id: str) -> list[str]:
    """All documents, this one at the end."""
    return [*(other for other in IDS if other != doc_id), doc_id]


LATE = {query_id: falling(last(doc_id)) for query_id, doc_id in POSITIVES.items()}
"""Stage 1 finds every answer last."""

EARLY = {query_id: falling([doc_id, *last(doc_id)[:-1]], 9.0) for query_id, doc_id in POSITIVES.items()}
"""Stage 2 puts it first."""


def trec(path: Path, scores: Mapping[str, Mapping[str, float]]) -> Path:
    """A run file; its rank column says nothing."""
    lines = [f"{q} Q0 {d} 7 {score!r} tag\n" for q, found in scores.items() for d, score in found.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Any:
    """A plan of a run and scores, by default those of LATE and EARLY."""

    def make(
        run: Any = LATE, scores: Any = EARLY, missing: Any = "error", top_ks: tuple[int, ...] = (6, 12), **changes: Any
    ) -> Plan:
        parts: dict[str, Any] = {
            "metrics": METRICS,
            "expectation": Expectation(Metric("recall", 5), top_ks[-1], 12, 18),
        }
        if run is not None:
            parts["embedder"] = RunFile(str(trec(tmp_path / "run.trec", run)))
        if scores is not None:
            parts["reranker"] = ScoreFile(str(trec(tmp_path / "scores.trec", scores)), missing)
        return plan_of(beir(folder), top_ks=top_ks, **{**parts, **changes})

    return make


def control(result: EvalResult, name: str) -> Control:
    (found,) = [found for found in result.assessment.controls if found.name == name]
    return found


def ranking(result: EvalResult, system: str, query_id: str = "q1") -> tuple[str, ...]:
    return next(run.rankings[query_id] for run in result.assessment.runs if run.name == system)


def means(result: EvalResult, system: str) -> dict[str, float]:
    return {str(metric): value for metric, value in result.assessment.metrics[system].items()}


class Untouchable(ArrayStore, DictCache):
    """Neither a store nor a cache is needed for what another system did."""

    def open(self, collection: str) -> None:
        raise AssertionError(f"{collection} was opened")

    def get(self, keys: Any) -> Any:
        raise AssertionError(f"{len(keys)} values were asked for")


# --- both stages from files -----------------------------------------------------------------------


def test_a_system_is_judged_by_its_files_alone(own: Any) -> None:
    """The answer stands at rank 12 of stage 1 and at rank 1 of stage 2; at top-k 6 nobody reranks it."""
    result = evaluate(own(store=Untouchable(), cache=Untouchable(), latency=LatencyBudget(5), notes=DictNotes()))
    assert means(result, "dense") == means(result, "rerank@6") == {"recall@5": 0, "ndcg@10": 0, "mrr": 1 / 12}
    assert means(result, "rerank@12") == {"recall@5": 1, "ndcg@10": 1, "mrr": 1}
    assert (result.assessment.status, result.latency) == ("ok", None)
    assert (result.scoring.pairs, result.scoring.truncated, result.scoring.max_length) == (36, 0, None)
    assert result.computed == {"documents": 0, "queries": 0, "pairs": 0}
    skipped = {found.name for found in result.assessment.controls if found.status == "skipped"}
    assert skipped >= {"store_complete", "store_finds", "replay", "truncated"}
    assert control(result, "coverage").status == "passed"


def test_its_files_are_named_by_their_digest_and_not_by_their_place(own: Any, tmp_path: Path) -> None:
    one = own()
    (tmp_path / "elsewhere").mkdir()
    for name in ("run.trec", "scores.trec"):
        (tmp_path / "elsewhere" / name).write_bytes((tmp_path / name).read_bytes())
    for plan, again, backend in (
        (one.embedder, RunFile(str(tmp_path / "elsewhere" / "run.trec")), "run file"),
        (one.reranker, ScoreFile(str(tmp_path / "elsewhere" / "scores.trec"), "error"), "score file"),
    ):
        assert plan.fingerprint == again.fingerprint
        assert plan.fingerprint["backend"] == backend
        assert str(tmp_path) not in str(plan.fingerprint)
    changed = RunFile(str(trec(tmp_path / "elsewhere" / "run.trec", EARLY)))
    assert changed.fingerprint != one.embedder.fingerprint


def test_the_lines_of_a_result_say_what_it_is(own: Any) -> None:
    result = evaluate(own())
    embedder, reranker = model_lines(result)
    assert embedder.startswith("embedder: run.trec sha256:")
    assert embedder.endswith("(run file)")
    assert reranker.endswith("(score file)")
    assert "0 of 36 pair scores" in work_line(result)
    assert not [note for note in notes(result) if "None" in note]


def test_a_result_is_drawn_read_back_and_verifies(own: Any, tmp_path: Path) -> None:
    result = evaluate(own())
    place = deliver(result, ALL_SINKS, tmp_path / "reports")
    assert read_result(place) == result
    assert verify(place).status == "ok"
    assert "run.trec" in (place / "report.html").read_text("utf-8")


def test_tied_scores_stand_as_trec_eval_orders_them(own: Any, tmp_path: Path) -> None:
    """By document id, falling; 0.50000000002 and 0.50000000001 are one number in single precision."""
    tied = dict.fromkeys(IDS[:6], 0.5) | {"d06": 0.50000000002, "d07": 0.50000000001, "d11": 0.75}
    result = evaluate(own(run=dict.fromkeys(QUERIES, tied), scores=EARLY, top_ks=(6, 9)))
    assert ranking(result, "dense") == ("d11", "d07", "d06", "d05", "d04", "d03", "d02", "d01", "d00")
    assert verify(stored(result, tmp_path / "reports")).status == "ok"


def test_tied_scores_of_stage_2_leave_the_order_of_stage_1(own: Any) -> None:
    result = evaluate(own(scores=dict.fromkeys(QUERIES, dict.fromkeys(IDS, 1.0))))
    assert ranking(result, "rerank@12") == ranking(result, "dense")
    assert result.scoring.ties == 36


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("header", ["", "query-id\tcorpus-id\tscore\n"])
def test_scores_are_also_read_from_three_columns_gzipped_or_not(
    own: Any, tmp_path: Path, header: str, zipped: bool
) -> None:
    rows = "".join(f"{q}\t{d}\t{score}\n" for q, found in EARLY.items() for d, score in found.items())
    path = tmp_path / f"scores.tsv{'.gz' if zipped else ''}"
    path.write_bytes(gzip.compress((header + rows).encode()) if zipped else (header + rows).encode())
    result = evaluate(own(scores=None, reranker=ScoreFile(str(path), "error")))
    assert result.evidence == evaluate(own()).evidence


def test_a_gzipped_run_is_the_same_run(own: Any, tmp_path: Path) -> None:
    plain = evaluate(own())
    (tmp_path / "zipped.trec.gz").write_bytes(gzip.compress((tmp_path / "run.trec").read_bytes()))
    for name in ("zipped.trec.gz", "zipped.trec"):
        assert evaluate(own(run=None, embedder=RunFile(str(tmp_path / name)))).evidence == plain.evidence


def test_the_query_itself_is_left_out(write_beir: BeirWriter, tmp_path: Path) -> None:
    texts = {doc_id: f"word{doc_id}" for doc_id in IDS}
    folder = write_beir(texts, texts, [("d00", "d01", 1)])
    run = RunFile(str(trec(tmp_path / "run.trec", {"d00": falling(IDS)})))
    result = evaluate(plan_of(beir(folder), embedder=run, exclude_self=True))
    assert ranking(result, "dense", "d00") == tuple(IDS[1:])


# --- one stage from a file ------------------------------------------------------------------------


def test_a_run_is_reranked_by_a_model(own: Any) -> None:
    """The question is one word, which the answer holds: it alone scores 1."""
    reranker = FunctionReranker()
    result = evaluate(own(scores=None, reranker=reranker, store=Untouchable()))
    assert means(result, "dense")["recall@5"] == 0
    assert means(result, "rerank@12") == {"recall@5": 1, "ndcg@10": 1, "mrr": 1}
    assert {one.doc_id: one.rerank_score for one in result.evidence.candidates["q1"]} == falling([], 0) | dict.fromkeys(
        IDS, 0.0
    ) | {"d00": 1.0}
    assert (result.computed["pairs"], control(result, "replay").status) == (36, "passed")


def test_a_run_that_is_reranked_may_stop_early(write_beir: BeirWriter, tmp_path: Path) -> None:
    towns = [f"Town{number}" for number in range(120)]
    documents = {town: f"{town} rent" for town in towns}
    folder = write_beir(documents, {f"q-{town}": town for town in towns}, [(f"q-{town}", town, 1) for town in towns])
    wrong = {town: [other for other in towns[:10] if other != town][:9] for town in towns}
    run = {f"q-{town}": falling([*wrong[town], town]) for town in towns}
    plan = plan_of(beir(folder), embedder=RunFile(str(trec(tmp_path / "run.trec", run))), top_ks=(10,), sequential=True)
    ended = evaluate(plan).sequential
    assert ended is not None
    assert ended.side == "above"
    assert ended.spent_queries < len(towns)


def test_scores_rerank_what_an_embedder_found(own: Any) -> None:
    """Stage 1 finds the word itself first; the file puts the answers last."""
    embedder, worst = WordEmbedder(), {query_id: falling(last(doc_id)) for query_id, doc_id in POSITIVES.items()}
    result = evaluate(own(run=None, embedder=embedder, scores=worst))
    assert means(result, "dense")["mrr"] == 1
    assert means(result, "rerank@12")["mrr"] == 1 / 12
    assert embedder.texts == N + 3
    assert control(result, "store_complete").status == "passed"
    assert control(result, "replay").status == "skipped"


# --- queries and documents that are missing -------------------------------------------------------


@pytest.mark.parametrize("live", [False, True])
def test_a_query_that_the_run_lacks_counts_as_0_and_is_pointed_out(own: Any, tmp_path: Path, live: bool) -> None:
    run = {query_id: LATE[query_id] for query_id in ("q1", "q3")}
    result = evaluate(own(run=run, **({"scores": None} if live else {})))
    assert result.dataset.unanswered == ("q2",)
    assert means(result, "rerank@12") == pytest.approx({"recall@5": 2 / 3, "ndcg@10": 2 / 3, "mrr": 2 / 3})
    assert means(result, "dense")["mrr"] == pytest.approx(2 / 3 / 12)
    assert control(result, "coverage").status == "warned"
    assert "found 1 queries without candidates" in control(result, "coverage").message
    assert result.assessment.status == "ok"
    assert result.scoring.pairs == 24
    assert "1 of 3 queries are not answered by stage 1; they count as 0" in notes(result)
    place = deliver(result, ALL_SINKS, tmp_path / "reports")
    assert read_result(place) == result
    assert verify(place).status == "ok"
    again = remeasure(result, replace(result.design, metrics=parse_metrics(["recall@5", "map"])), rule_of(result))
    assert means(again, "rerank@12") == pytest.approx({"recall@5": 2 / 3, "map": 2 / 3})


def test_a_query_that_nobody_declared_as_unanswered_makes_a_stored_result_unreadable(own: Any, tmp_path: Path) -> None:
    """The list in result.json is what excuses it."""
    result = evaluate(own(run={query_id: LATE[query_id] for query_id in ("q1", "q3")}))
    hidden = replace(result, dataset=replace(result.dataset, unanswered=()))
    with pytest.raises(ControlError, match="control coverage failed"):
        read_result(stored(hidden, tmp_path / "reports"))


def test_a_store_that_finds_nothing_for_a_query_is_no_excuse(folder: Path) -> None:
    class Deaf(ArrayStore):
        def search(self, vectors: Any, limit: int) -> Any:
            first, *others = super().search(vectors, limit)
            return [first[:0], *others]

    with pytest.raises(ControlError, match=r"control coverage failed: .* found 1 queries without candidates"):
        evaluate(plan_of(beir(folder), store=Deaf()))


def test_documents_outside_the_corpus_count_as_not_relevant(own: Any) -> None:
    run = {query_id: {"elsewhere": 1000.0, **dict(list(found.items())[1:])} for query_id, found in LATE.items()}
    scores = {query_id: {"elsewhere": 8.5, **found} for query_id, found in EARLY.items()}
    result = evaluate(own(run=run, scores=scores))
    assert means(result, "dense")["mrr"] == 1 / 12
    assert ranking(result, "rerank@12")[:2] == ("d00", "elsewhere")
    expected = (
        "3 of 36 retrieved documents are not in the corpus; they count as the judgments say, and as not relevant where "
        "there is none"
    )
    assert expected in result.dataset.warnings


def test_a_relevant_document_outside_the_corpus_is_found_where_the_run_returned_it(own: Any, folder: Path) -> None:
    """The index that runs in production has it; q1 has one answer more, which both stages put first."""
    with (folder / "qrels" / "test.tsv").open("a", encoding="utf-8") as stream:
        stream.write("q1\telsewhere\t1\n")
    run, scores = ({**of, "q1": {"elsewhere": 1000.0, **of["q1"]}} for of in (LATE, EARLY))
    plan = own(run=run, scores=scores)
    result = evaluate(replace(plan, source=beir(folder, on_dangling="keep")))
    assert means(result, "dense")["mrr"] == pytest.approx((1 + 1 / 12 + 1 / 12) / 3)
    assert ranking(result, "rerank@12")[0] == "elsewhere"
    expected = (
        "1 relevant documents are not in the corpus; they count as never found, unless the given run returned them"
    )
    assert expected in notes(result)


def test_short_lists_are_pointed_out(own: Any) -> None:
    run = {**LATE, "q2": falling(IDS[:4])}
    result = evaluate(own(run=run))
    assert control(result, "short_lists").status == "warned"
    assert means(result, "rerank@12")["recall@5"] == 1
    assert result.scoring.pairs == 12 + 4 + 12


# --- scores that are missing ----------------------------------------------------------------------


def best(scores: Mapping[str, Mapping[str, float]], count: int) -> dict[str, dict[str, float]]:
    return {
        query_id: {doc_id: found[doc_id] for doc_id in sorted(found, key=lambda doc_id: -found[doc_id])[:count]}
        for query_id, found in scores.items()
    }


def test_candidates_without_a_score_stand_behind_the_others_in_stage_1_order(own: Any) -> None:
    """Four of twelve are returned: the answer first, then the first three of stage 1."""
    result = evaluate(own(scores=best(EARLY, 4), missing="last", top_ks=(12,)))
    others = last("d00")[:-1]
    assert ranking(result, "rerank@12") == ("d00", *others)
    assert (result.scoring.pairs, result.scoring.ties) == (12, 0)
    assert "24 of 36 candidates have no score and stand behind those that have one" in result.dataset.warnings


def test_however_large_scores_are_a_missing_one_is_below(own: Any) -> None:
    """A number is lost beside 1e30; stage 1 has the scored document last."""
    scores = {query_id: {doc_id: -1e30} for query_id, doc_id in POSITIVES.items()}
    result = evaluate(own(scores=scores, missing="last", top_ks=(12,)))
    assert ranking(result, "rerank@12")[0] == "d00"


def test_a_query_without_any_score_keeps_its_order(own: Any) -> None:
    scores = {"q1": EARLY["q1"], "q3": EARLY["q3"]}
    result = evaluate(own(scores=scores, missing="last", top_ks=(12,)))
    assert ranking(result, "rerank@12", "q2") == ranking(result, "dense", "q2")


def test_another_use_of_scores_that_nobody_measured_is_not_weighed(own: Any, tmp_path: Path) -> None:
    result = evaluate(own(scores=best(EARLY, 4), missing="last", top_ks=(12,)))
    assert result.assessment.what_ifs == ()
    assert verify(stored(result, tmp_path / "reports")).status == "ok"
    complete = evaluate(own(missing="last", top_ks=(12,)))
    assert [found.name for found in complete.assessment.what_ifs] == ["rrf", "weighted", "margin"]


@pytest.mark.parametrize("missing", ["error", "last"])
def test_scores_beyond_a_top_k_that_is_covered_are_not_needed(own: Any, missing: str) -> None:
    """Twelve are scored; of the first six nothing is missing, so deeper scores change nothing."""
    result = evaluate(own(missing=missing, top_ks=(6,)))
    assert ranking(result, "rerank@6") == ranking(evaluate(own()), "rerank@6")
    assert result.scoring.pairs == 18
    assert not [warning for warning in result.dataset.warnings if "score" in warning]


def test_no_other_top_k_is_measured_where_scores_are_missing(own: Any, tmp_path: Path) -> None:
    partial = read_result(stored(evaluate(own(scores=best(EARLY, 4), missing="last", top_ks=(12,))), tmp_path / "a"))
    other = replace(partial.design, top_ks=(6, 12))
    with pytest.raises(ConfigError, match=r"24 of 36 candidates have no score .* no other\s+top-k can be judged"):
        remeasure(partial, other, rule_of(partial))
    same = replace(partial.design, metrics=parse_metrics(["recall@5", "map"]))
    assert remeasure(partial, same, rule_of(partial)).assessment.metrics["rerank@12"][Metric("map")] == 1
    complete = read_result(stored(evaluate(own(top_ks=(12,))), tmp_path / "b"))
    assert remeasure(complete, other, rule_of(complete)).assessment.metrics["rerank@6"][Metric("mrr")] == 1 / 12


def test_surplus_scores_are_left_out_and_counted(own: Any) -> None:
    run = {query_id: dict(list(found.items())[2:]) for query_id, found in LATE.items()}
    result = evaluate(own(run=run, top_ks=(6, 10)))
    expected = "6 scores of stage 2 are of documents that stage 1 did not return, and were left out"
    assert expected in result.dataset.warnings


# --- what is refused ------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "other queries": (
        {"run": {"x1": LATE["q1"]}},
        DataError,
        "the run of stage 1 answers none of the 3 evaluated queries; are its query ids those of the data set?",
    ),
    "other documents": (
        {"run": {"q1": falling(f"x{n}" for n in range(12))}},
        DataError,
        "none of the 12 documents that the run of stage 1 returned is in the corpus",
    ),
    "documents without text": (
        {"run": {"q1": {"x": 200.0, **LATE["q1"]}}, "scores": None},
        DataError,
        "1 of 13 documents that the run of stage 1 returned are not in the corpus, so that the reranker has no text",
    ),
    "a shallow run": (
        {"run": best(LATE, 7)},
        ConfigError,
        "sweep.top_k asks for 12 candidates, but the run of stage 1 holds at most 7 per query; lower sweep.top_k",
    ),
    "other scores": (
        {"scores": {"x1": EARLY["q1"]}},
        DataError,
        "none of the 36 candidates has a score in the file of stage 2",
    ),
    "missing scores": (
        {"scores": best(EARLY, 4)},
        DataError,
        "24 of 36 candidates have no score in the file of stage 2, at top-k 12. Write all scores; or, if the system",
    ),
    "missing scores beyond a top-k": (
        {"scores": best(LATE, 8)},
        DataError,
        "12 of 36 candidates have no score in the file of stage 2, at top-k 12. Lower sweep.top_k to [6], which is",
    ),
    "several top-k of a partial file": (
        {"scores": best(EARLY, 4), "missing": "last"},
        ConfigError,
        "only the top-k that the system reranked can be judged, but sweep.top_k is [6, 12]; name that one",
    ),
    "a partial file of a deeper top-k": (
        {"scores": best(EARLY, 4), "missing": "last", "top_ks": (6,)},
        DataError,
        "9 of 18 candidates have no score at top-k 6; but the file of stage 2 has scores down to rank 12 of stage 1, "
        "so the system reranked more than sweep.top_k says; set sweep.top_k=[12], or the larger number that it reranks",
    ),
    "an early stop": (
        {"sequential": True},
        ConfigError,
        "sweep.sequential saves work of the reranker, but these scores come from a file; leave it out",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_message(own: Any, name: str) -> None:
    changes, kind, message = REFUSED[name]
    with pytest.raises(kind) as caught:
        evaluate(own(**changes))
    assert message in str(caught.value)


def test_an_early_stop_with_given_scores_is_refused_before_a_model_is_used(own: Any) -> None:
    embedder = WordEmbedder()
    with pytest.raises(ConfigError, match="these scores come from a file"):
        evaluate(own(run=None, embedder=embedder, sequential=True))
    assert embedder.texts == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: RunFile(str(path)), "set retrieval.run.path to the path of one"),
        (lambda path: ScoreFile(str(path), "error"), "set reranker.path to the path of one"),
    ],
)
def test_a_missing_file_names_its_setting(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        make(tmp_path / "absent.trec").fingerprint  # noqa: B018 - reading it is the test
    assert f"neither absent.trec nor absent.trec.gz is here; found: nothing; {message}" in str(caught.value)
    assert caught.value.path == tmp_path


@pytest.mark.parametrize("setting", ["retrieval.run.path", "reranker.path"])
def test_a_folder_is_told_from_a_missing_file(tmp_path: Path, setting: str) -> None:
    made = RunFile(str(tmp_path)) if setting == "retrieval.run.path" else ScoreFile(str(tmp_path), "error")
    with pytest.raises(DataError, match=f"a folder; expected a file; set {setting} to the path of one"):
        made.fingerprint  # noqa: B018 - reading it is the test


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"reranker\.missing is 'first'; expected error or last"):
        ScoreFile("scores.trec", "first")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"retrieval\.run\.path is empty; expected a path"):
        RunFile("")
