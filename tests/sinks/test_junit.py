"""``junit.xml``: what programs that read test results find in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evalkit.result import EvalResult
from evalkit.rules import Ruling
from evalkit.sinks.junit import write_junit
from tests.hits import hits, result_by

RULINGS = (
    Ruling("self-checks", "passed", "14 of 14 passed"),
    Ruling("expectation", "warned", "below: +3.1 points"),
    Ruling("floor ndcg@10", "failed", "ndcg@10 is 0.5000, under the floor of 0.8"),
    Ruling("slice lang", "inconclusive", "not conclusive"),
    Ruling("latency", "error", "cannot be held"),
    Ruling("baseline", "skipped", "there is none"),
    Ruling("other", "invalid", "a self-check failed"),
)

# The names that Jenkins' schema for JUnit files knows (junit-10.xsd of its xunit plug-in), as far as they are used.
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "testcase": {"skipped", "error", "failure", "system-out"},
}
ATTRIBUTES = {
    "testsuites": ({"name", "tests", "failures", "errors"}, set()),
    "testsuite": ({"name", "tests", "failures", "errors"}, {"skipped", "timestamp"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name"}, {"classname"}),
    "skipped": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "failure": (set(), {"type", "message"}),
}


@pytest.fixture(scope="module")
def result() -> EvalResult:
    return result_by(hits((10, 0, 1), (10, 1, 1)))


def drawn(rulings: Sequence[Ruling], result: EvalResult, folder: Path) -> ElementTree.Element:
    write_junit(rulings, result, folder)
    return ElementTree.parse(folder / "junit.xml").getroot()  # noqa: S314 - written a line above


def cases(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {str(case.get("name")): case for case in root.iter("testcase")}


def test_every_ruling_is_one_test_case_of_the_data_set(result: EvalResult, tmp_path: Path) -> None:
    found = cases(drawn(RULINGS, result, tmp_path))
    assert list(found) == [ruling.name for ruling in RULINGS]
    assert {case.get("classname") for case in found.values()} == {"evalkit.made"}


def test_what_did_not_pass_is_a_failure_an_error_or_skipped(result: EvalResult, tmp_path: Path) -> None:
    kinds = {name: [child.tag for child in case] for name, case in cases(drawn(RULINGS, result, tmp_path)).items()}
    assert kinds == {
        "self-checks": ["system-out"],
        "expectation": ["system-out"],
        "floor ndcg@10": ["failure"],
        "slice lang": ["failure"],
        "latency": ["error"],
        "baseline": ["skipped"],
        "other": ["failure"],
    }


def test_the_counts_are_those_of_the_cases(result: EvalResult, tmp_path: Path) -> None:
    root = drawn(RULINGS, result, tmp_path)
    suite = root[0]
    for element in (root, suite):
        assert {name: element.get(name) for name in ("tests", "failures", "errors")} == {
            "tests": "7", "failures": "3", "errors": "1",
        }  # fmt: skip
    assert suite.get("skipped") == "1"


def test_a_message_stands_where_either_kind_of_reader_looks(result: EvalResult, tmp_path: Path) -> None:
    failure = cases(drawn(RULINGS, result, tmp_path))["floor ndcg@10"][0]
    assert failure.get("message") == "ndcg@10 is 0.5000, under the floor of 0.8"
    assert failure.get("type") == "failed"
    assert failure.text == "failed: ndcg@10 is 0.5000, under the floor of 0.8"


def test_only_names_of_the_schema_occur(result: EvalResult, tmp_path: Path) -> None:
    for element in drawn(RULINGS, result, tmp_path).iter():
        required, optional = ATTRIBUTES.get(element.tag, (set(), set()))
        assert required <= set(element.keys()) <= required | optional
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())


def test_the_run_is_named(result: EvalResult, tmp_path: Path) -> None:
    properties = drawn(RULINGS, result, tmp_path).iter("property")
    assert {(one.get("name"), one.get("value")) for one in properties} == {
        ("run_id", result.run_id),
        ("dataset_digest", result.dataset.digest),
        ("stage_one", "dense"),
    }


def test_signs_of_markup_and_signs_that_xml_cannot_hold_do_not_break_the_file(
    result: EvalResult, tmp_path: Path
) -> None:
    odd = replace(result, dataset=replace(result.dataset, name='a<b>&"\x00'))
    root = drawn([Ruling("slice <&>", "failed", 'd\x1be "+1" \ud800 é\U0001f600')], odd, tmp_path)
    (case,) = cases(root).values()
    assert case.get("classname") == 'evalkit.a<b>&"\N{REPLACEMENT CHARACTER}'
    assert case.get("name") == "slice <&>"
    assert case[0].get("message") == 'd\N{REPLACEMENT CHARACTER}e "+1" \N{REPLACEMENT CHARACTER} é\U0001f600'


def test_a_second_gate_replaces_the_file(result: EvalResult, tmp_path: Path) -> None:
    drawn(RULINGS, result, tmp_path)
    assert list(cases(drawn(RULINGS[:1], result, tmp_path))) == ["self-checks"]
