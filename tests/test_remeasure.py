"""Measuring again from the candidates gives what an evaluation would have given, and refuses what they cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.assess import assess
from evalkit.analysis.controls import OBSERVED
from evalkit.analysis.grouping import FamilyRule
from evalkit.analysis.metrics import parse_metrics
from evalkit.errors import ConfigError
from evalkit.findings import Control, Expectation
from evalkit.folder import read_result
from evalkit.pipeline import evaluate
from evalkit.record import Sequential
from evalkit.remeasure import remeasure, rule_of, settings_of
from evalkit.result import Assessment, Design, EvalResult
from evalkit.types import Metric
from evalkit.verify import verify
from tests.conftest import BeirWriter, beir, plan_of
from tests.results import LATENCY, evidence_of, provenance_of, result_of, stored

TOWNS = [f"Town{number}" for number in range(24)]
TOPICS = ("rent", "wages", "tax", "pension")
FAMILY = FamilyRule("family")


@pytest.fixture
def data(write_beir: BeirWriter) -> Path:
    documents = {f"{town}-{topic}": f"the {topic} of the client in {town}" for town in TOWNS for topic in TOPICS}
    queries = {f"{lang}-{town}": f"what {lang} rent tax in {town}" for town in TOWNS for lang in ("de", "fr")}
    judgments = [(query_id, f"{query_id[3:]}-{topic}", 1) for query_id in queries for topic in ("rent", "pension")]
    notes: dict[str, dict[str, str]] = {
        query_id: {"lang": query_id[:2], "family": query_id[3:]} for query_id in queries
    }
    notes |= {
        f"{town}-{topic}": {"lang": "de" if place % 2 else "fr", "topic": topic}
        for place, town in enumerate(TOWNS)
        for topic in TOPICS
    }
    return write_beir(documents, queries, judgments, metadata=notes)


def run(data: Path, **changes: Any) -> EvalResult:
    """An evaluation of its own, with fresh models and stores."""
    asked = {"slices": ("lang",), "document_slices": ("lang", "topic"), **changes}
    return evaluate(plan_of(beir(data), family=FAMILY, **asked))


def asked(design: Design, **changes: Any) -> Design:
    expected = {key: changes.pop(key) for key in ("metric", "top_k", "min_points", "max_points") if key in changes}
    return replace(design, expectation=replace(design.expectation, **expected), **changes)


def findings(found: Assessment, but: Sequence[str] = ()) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Assessment.__slots__ if name not in but}


@pytest.mark.parametrize(
    ("changes", "but"),
    [
        ({"top_ks": (6, 10)}, ()),
        # Other checks look at all scored candidates, of which a run with a smaller sweep has fewer.
        ({"top_ks": (6, 7), "top_k": 7}, ("controls", "runs")),
        ({"metrics": parse_metrics(["recall@5", "mrr@10", "precision@3"])}, ()),
        ({"metrics": parse_metrics(["ndcg@3", "recall@5"]), "metric": Metric("ndcg", 3)}, ()),
        ({"min_points": -5.0, "max_points": None}, ()),
        ({"resamples": 500, "seed": 3}, ("controls",)),
        ({"slices": ()}, ()),
        ({"document_slices": ("topic",)}, ()),
    ],
    ids=str,
)
def test_it_gives_what_an_evaluation_of_its_own_would_give(data: Path, changes: dict[str, Any], but: list[str]) -> None:
    """The evaluation retrieves and scores everything anew."""
    first = run(data, top_ks=(1, 6, 7, 10))
    first = replace(first, provenance=replace(first.provenance, config=provenance_of().config))
    design = asked(first.design, **changes)
    again = remeasure(first, design, FAMILY)
    fresh = run(data, **{entry.name: getattr(design, entry.name) for entry in fields(Design)})
    assert findings(again.assessment, but) == findings(fresh.assessment, but)
    assert again.assessment.languages is not None


def test_it_says_what_it_was_made_from(tmp_path: Path) -> None:
    first = result_of()
    first = replace(first, provenance=replace(first.provenance, versions={"numpy": "1.0", "torch": "1.0", "ranx": "0"}))
    design = asked(first.design, min_points=3.0)
    again = remeasure(first, design, FAMILY)
    origin = again.provenance
    assert origin.derived_from == first.run_id == again.run_id[:-7]
    assert set(again.run_id[-6:]) <= set("0123456789abcdef")
    assert origin.fingerprints == first.provenance.fingerprints
    assert origin.machine == first.provenance.machine
    assert origin.versions["torch"] == "1.0"
    assert origin.versions["numpy"] != "1.0"
    assert origin.config == {**first.provenance.config, **settings_of(design, FAMILY), "sweep": {
        "sequential": False, "top_k": [6, 10],
    }}  # fmt: skip
    assert again.computed == {"documents": 0, "queries": 0, "pairs": 0}
    assert list(again.timings) == ["measure"]
    folder = stored(again, tmp_path)
    assert verify(folder).n_queries == 30
    assert read_result(folder) == again


def test_measured_again_and_again_it_still_names_the_first_run() -> None:
    first = result_of()
    second = remeasure(first, asked(first.design, min_points=3.0), FAMILY)
    third = remeasure(second, asked(second.design, min_points=4.0), FAMILY)
    assert third.provenance.derived_from == first.run_id
    assert third.run_id.startswith(f"{first.run_id}-")
    assert third.run_id != second.run_id
    assert third.assessment == remeasure(first, third.design, FAMILY).assessment


def test_a_smaller_sweep_keeps_the_candidates_so_that_a_larger_one_can_follow() -> None:
    first = result_of()
    small = remeasure(first, asked(first.design, top_ks=(6,), top_k=6), FAMILY)
    assert small.evidence == first.evidence
    assert remeasure(small, first.design, FAMILY).assessment == first.assessment


def test_the_same_design_has_the_same_name_whatever_wrote_its_numbers() -> None:
    first = result_of()
    one, other = (remeasure(first, asked(first.design, min_points=points), FAMILY) for points in (3, 3.0))
    assert one.run_id == other.run_id


def test_the_controls_that_need_the_models_are_those_that_the_analysis_does_not_make(data: Path) -> None:
    first = run(data)
    made = [control.name for control in first.assessment.controls]
    pure = assess(first.evidence, first.design, first.dataset, first.scoring)
    assert [name for name in made if name not in {control.name for control in pure.controls}] == list(OBSERVED)


def test_controls_that_needed_the_models_are_kept() -> None:
    first = result_of(observed=(Control("replay", "warned", "one moved"),))
    again = remeasure(first, asked(first.design, min_points=3.0), FAMILY)
    assert again.assessment.controls[0] == Control("replay", "warned", "one moved")
    assert [control.name for control in again.assessment.controls] == [
        control.name for control in first.assessment.controls
    ]


def test_latency_stays_that_of_the_first_run() -> None:
    first = result_of()
    again = remeasure(first, asked(first.design, top_ks=(10,)), FAMILY)
    assert again.latency == replace(LATENCY, stage2=LATENCY.stage2[1:], stored=True)
    assert remeasure(first, asked(first.design, top_ks=(7,), top_k=7), FAMILY).latency is None
    assert remeasure(replace(first, latency=None), first.design, FAMILY).latency is None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a larger top-k": ({"top_ks": (6, 10, 11)}, "sweep.top_k asks for 11, but only the first 10 candidates"),
    "a deeper metric": (
        {"metrics": parse_metrics(["recall@5", "ndcg@10", "recall@11"])},
        "recall@11 looks deeper than the 10 candidates of each query",
    ),
    "unknown slices": ({"slices": ("lang", "kind")}, "statistics.slices names kind, .* it holds lang\\."),
    "unknown slices of documents": (
        {"document_slices": ("kind", "lang")},
        "statistics.document_slices names kind, which this result does not hold; it holds lang, topic\\.",
    ),
    "no decision": ({"top_ks": (6,)}, "expectation.top_k is 10, which sweep.top_k \\[6\\] does not hold"),
    "no metric": ({"metrics": parse_metrics(["mrr@10"])}, "expectation.metric is recall@5, which is not computed"),
    "no sweep": ({"top_ks": ()}, "sweep.top_k is \\[\\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_candidates_cannot_answer_is_refused(name: str) -> None:
    changes, message = REFUSED[name]
    evidence = evidence_of()
    first = result_of(replace(evidence, document_attributes={"d1": {"topic": ("tax",)}, "d2": {}}))
    with pytest.raises(ConfigError, match=message):
        remeasure(first, asked(first.design, **changes), FAMILY)


def test_slices_by_language_can_always_be_asked_for() -> None:
    """A result keeps the languages of queries and documents; where these name none, there is nothing to split by."""
    first = result_of(replace(evidence_of(), attributes={}))
    again = remeasure(first, asked(first.design, slices=("lang",), document_slices=("lang",)), FAMILY)
    assert again.assessment.slices == ()


def test_slices_of_documents_that_were_asked_for_can_be_asked_for_again() -> None:
    """Though no document has the attribute."""
    first = result_of(design=asked(result_of().design, document_slices=("source",)))
    again = remeasure(first, asked(first.design, document_slices=("source",), min_points=3.0), FAMILY)
    assert again.design.document_slices == ("source",)


def test_a_metric_may_look_deeper_than_the_whole_corpus() -> None:
    """Nothing is missing where every document was retrieved."""
    first = result_of()
    first = replace(first, dataset=replace(first.dataset, n_documents=10))
    again = remeasure(first, asked(first.design, metrics=parse_metrics(["recall@5", "recall@100"])), FAMILY)
    assert again.assessment.metrics["dense"].keys() == {Metric("recall", 5), Metric("recall", 100)}


def test_a_score_that_is_missing_bounds_the_sweep() -> None:
    """A metric may have retrieved deeper than any reranker looked."""
    evidence = evidence_of()
    unscored = {
        key: tuple(one if one.stage1_rank <= 8 else replace(one, rerank_score=None) for one in found)
        for key, found in evidence.candidates.items()
    }
    design = asked(result_of().design, top_ks=(6,), top_k=6)
    first = result_of(replace(evidence, candidates=unscored), design)
    assert remeasure(first, asked(design, top_ks=(6, 8)), FAMILY).design.top_ks == (6, 8)
    with pytest.raises(ConfigError, match="only the first 8 candidates of each query were scored"):
        remeasure(first, asked(design, top_ks=(6, 9)), FAMILY)


def units(result: EvalResult) -> int:
    return result.assessment.decision.n_units


def test_families_can_be_left_out_or_found_by_id() -> None:
    """Thirty queries q0 to q29, twenty of them in ten pairs; ids that end in the same digit are three at a time."""
    first = result_of()
    assert units(first) == 20
    assert units(remeasure(first, first.design, FamilyRule(None))) == 30
    assert units(remeasure(first, first.design, FamilyRule(None, "([0-9])$"))) == 10
    named_first = remeasure(first, first.design, FamilyRule("family", "([0-9])$"))
    assert named_first.evidence.families["q1"] == "f0"
    assert named_first.evidence.families["q0"] == "0"
    assert rule_of(named_first) == FamilyRule("family", "([0-9])$")


@pytest.mark.parametrize(
    ("stored_rule", "rule"),
    [
        (FamilyRule("family"), FamilyRule("question")),
        (FamilyRule(None), FamilyRule("family")),
        (FamilyRule("family", "(.)$"), FamilyRule("family", "^(.)")),
    ],
    ids=str,
)
def test_families_that_only_the_data_knows_are_refused(stored_rule: FamilyRule, rule: FamilyRule) -> None:
    first = result_of()
    config = settings_of(first.design, stored_rule)
    first = replace(first, provenance=replace(first.provenance, config=config))
    with pytest.raises(ConfigError, match="is in the data and not in the result"):
        remeasure(first, first.design, rule)


STOPPED = Sequential("above", 13.0, 90.0, 30, 300, 60, 600, 0)


def stopped() -> EvalResult:
    design = asked(result_of().design, top_ks=(10,))
    return replace(result_of(evidence_of(), design), sequential=STOPPED)


def test_an_early_stop_can_be_measured_by_other_metrics_and_held_against_another_upper_edge() -> None:
    first = stopped()
    again = remeasure(
        first, asked(first.design, metrics=parse_metrics(["recall@5", "mrr@10"]), max_points=None), FAMILY
    )
    assert again.sequential == STOPPED
    assert (again.assessment.verdict.ci_low, again.assessment.verdict.ci_high) == (13.0, 90.0)
    assert again.assessment.decision.ci_low is None


@pytest.mark.parametrize(
    ("changes", "rule", "name"),
    [
        ({"min_points": 3.0}, FAMILY, "expectation.min_points"),
        ({"top_ks": (6, 10)}, FAMILY, "sweep.top_k"),
        ({"seed": 1}, FAMILY, "statistics.seed"),
        ({"metric": Metric("mrr", 5), "metrics": parse_metrics(["mrr@5"])}, FAMILY, "expectation.metric"),
        ({}, FamilyRule(None), "statistics.family"),
    ],
    ids=str,
)
def test_an_early_stop_answers_no_question_but_its_own(changes: dict[str, Any], rule: FamilyRule, name: str) -> None:
    first = stopped()
    with pytest.raises(ConfigError, match=f"stopped early, when its own question was decided; {name} cannot change"):
        remeasure(first, asked(first.design, **changes), rule)


def test_settings_read_back_to_the_design() -> None:
    first = result_of()
    settings = settings_of(first.design, FAMILY)
    assert settings["expectation"] == {
        "metric": "recall@5", "top_k": 10, "min_points": 12, "max_points": 18, "decide_on": "estimate",
    }  # fmt: skip
    assert first.design.expectation == Expectation(Metric("recall", 5), 10, 12, 18)
    assert settings["statistics"]["family"] == "family"
    asked_of_documents = settings_of(asked(first.design, document_slices=("topic",)), FAMILY)["statistics"]
    assert (asked_of_documents["slices"], asked_of_documents["document_slices"]) == (["lang"], ["topic"])
