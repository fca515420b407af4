"""The schema of result.json: valid, complete, shipped, and held against every result that the suite makes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from evalkit.findings import Attribution, Comparison, Control, Expectation, Knee, Verdict, WhatIf
from evalkit.parts import LanguageBias, LanguageGain, Languages, SliceGain
from evalkit.pipeline import evaluate
from evalkit.record import Latency, Provenance, Scoring, Sequential, StageTwoLatency
from evalkit.result import Design, EvalResult, Subject
from evalkit.sinks import files
from evalkit.sinks.document import SCHEMA_VERSION, as_document
from tests.conftest import BeirWriter, beir, plan_of
from tests.schema import SCHEMA, check

PROPERTIES = SCHEMA["properties"]
BLOCKS: dict[type, tuple[dict[str, Any], set[str], set[str]]] = {
    Subject: (PROPERTIES["dataset"], set(), set()),
    Design: (PROPERTIES["design"], {"unit"}, {"expectation"}),
    Comparison: (PROPERTIES["comparisons"]["items"], {"half_width_points"}, set()),
    Verdict: (PROPERTIES["expectation"], {entry.name for entry in fields(Expectation)}, {"expectation"}),
    Scoring: (PROPERTIES["scoring"], set(), set()),
    Attribution: (PROPERTIES["attribution"]["items"], set(), set()),
    Knee: (PROPERTIES["knee"], set(), set()),
    SliceGain: (PROPERTIES["slices"]["items"], set(), set()),
    Languages: (PROPERTIES["languages"], set(), set()),
    LanguageGain: (PROPERTIES["languages"]["properties"]["gains"]["items"], set(), set()),
    LanguageBias: (PROPERTIES["languages"]["properties"]["bias"]["items"], set(), set()),
    Control: (PROPERTIES["controls"]["items"], set(), set()),
    WhatIf: (PROPERTIES["what_ifs"]["items"], set(), set()),
    Latency: (PROPERTIES["latency"], set(), set()),
    StageTwoLatency: (PROPERTIES["latency"]["properties"]["stage2"]["items"], {"points_per_100_ms"}, set()),
    Sequential: (PROPERTIES["sequential"], set(), set()),
    Provenance: (PROPERTIES["provenance"], set(), set()),
}
"""Class -> its block, the names that the block adds, and those that stand elsewhere."""


@pytest.fixture
def result(write_beir: BeirWriter) -> EvalResult:
    documents = {f"d{number}": f"word{number} text" for number in range(12)}
    return evaluate(plan_of(beir(write_beir(documents, {"q": "word3"}, [("q", "d3", 1)]))))


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of the schema that describes names."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for part in schema.values():
            yield from objects(part)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"$id", "title", "description"} <= SCHEMA.keys()
    assert PROPERTIES["schema_version"]["const"] == SCHEMA_VERSION


def test_the_schema_is_part_of_the_package() -> None:
    assert json.loads(resources.files("evalkit").joinpath("result.schema.json").read_text(encoding="utf-8")) == SCHEMA


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_every_field_is_described_and_required(block: type) -> None:
    schema, added, elsewhere = BLOCKS[block]
    names = {entry.name for entry in fields(block)} - elsewhere | added
    assert schema["properties"].keys() == names
    assert set(schema["required"]) == names
    assert schema["additionalProperties"] is False
    assert all(schema["properties"][name]["description"] for name in names)


def test_every_name_is_closed_required_and_described() -> None:
    for part in objects(SCHEMA):
        assert part["additionalProperties"] is False
        assert set(part["required"]) == part["properties"].keys()
        assert all(entry.get("description") for entry in part["properties"].values()), part["properties"].keys()


def test_the_suite_refuses_a_field_that_the_schema_does_not_know(
    result: EvalResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook in conftest.py, which wraps FilesSink.write for every test."""
    monkeypatch.setattr(files, "as_document", lambda found: {**as_document(found), "surprise": 1})
    with pytest.raises(AssertionError, match="surprise"):
        files.FilesSink().write(result, tmp_path)


CHANGES = {
    "a metric above 1": ("metrics.dense.recall@5", 1.1),
    "a p of 0": ("comparisons.0.p_value", 0),
    "points as a share": ("comparisons.0.delta_points", 700),
    "a null that may not be": ("comparisons.0.delta_points", None),
    "an unknown status": ("expectation.status", "good"),
    "a text for a number": ("comparisons.0.baseline_mean", "0.5"),
    "half a query": ("comparisons.0.wins", 0.5),
    "half a window": ("scoring.windows", 0.5),
    "a limit of no tokens": ("scoring.max_length", 0),
    "a number of queries for their ids": ("dataset.unanswered", 1),
    "another version": ("schema_version", 2),
    "a digest that is none": ("dataset.digest", "abc"),
    "a system of another name": ("systems.1.name", "rerank@0"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_reader_could_not_use_is_refused(result: EvalResult, name: str) -> None:
    place, value = CHANGES[name]
    document = copy.deepcopy(as_document(result))
    check(document)
    part, *keys = document, *place.split(".")
    for key in keys[:-1]:
        part = part[int(key)] if isinstance(part, list) else part[key]
    part[keys[-1]] = value
    with pytest.raises(AssertionError, match="does not describe"):
        check(document)
