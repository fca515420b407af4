"""``evalkit baseline``, and what the gate makes of a baseline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.result import EvalResult
from tests.commands.test_gate import AT, put, rows
from tests.hits import GAINING, invalid, result_by, stopped

pytestmark = pytest.mark.usefixtures("home")


def test_a_result_becomes_the_baseline_of_later_ones(
    good: EvalResult, worse: EvalResult, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten of 100 queries were lost: 1/1024."""
    put(good)
    assert main(["baseline", AT]) == 0
    assert capsys.readouterr().out == (
        "kept      20260102-000000-aaaaaa: recall@5 of rerank@10, +15.0 points over stage 1\n"
        "replaced  nothing\n"
        "baseline  reports/baselines/made.json\n"
        "Commit it: evalkit gate holds later results of the same data and models against it.\n"
    )
    assert main(["gate", AT]) == 0
    assert "moved against 20260102-000000-aaaaaa of" in capsys.readouterr().out
    put(worse)
    assert main(["gate", AT]) == 3
    shown = capsys.readouterr().out
    assert rows(shown)["baseline"] == "failed"
    assert "recall@5 of rerank@10 by -10.0 points. A drop beyond tolerance_points=1 and beyond chance" in shown
    assert main(["gate", AT, "gate.tolerance_points=10"]) == 0
    assert main(["gate", AT, "gate.baseline=null"]) == 0
    assert main(["gate", AT, "--baseline", "null"]) == 0


def test_replacing_a_baseline_says_what_it_was_and_what_moved(
    good: EvalResult, worse: EvalResult, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("reports/baselines/made.json")
    for result in (good, worse):
        assert main(["baseline", str(put(result))]) == 0
    shown = capsys.readouterr().out
    assert f"replaced  {good.run_id} of {good.provenance.created}: recall@5 of rerank@10 moved by -10.0 points" in shown
    assert "the gain over stage 1 by -10.0\n" in shown
    assert json.loads(path.read_text())["run_id"] == worse.run_id

    path.write_text(path.read_text().replace('"digest": "1', '"digest": "2'))
    main(["baseline", AT])
    assert "moved by +0.0 points, the gain over stage 1 by +0.0; it was of other data\n" in capsys.readouterr().out
    main(["baseline", AT, "gate.top_k=6"])
    assert f"replaced  {worse.run_id} of {worse.provenance.created}, which kept recall@5 of rerank@10\n" in (
        capsys.readouterr().out
    )
    path.write_text("<<<<<<<")
    assert main(["baseline", AT]) == 0
    assert "replaced  a file that could not be read: reports/baselines/made.json: not JSON" in capsys.readouterr().out


def test_a_baseline_may_have_a_name_of_its_own(good: EvalResult, capsys: pytest.CaptureFixture[str]) -> None:
    put(good)
    assert main(["baseline", AT, "--name", "release-1"]) == 0
    assert main(["gate", AT, "--baseline", "release-1"]) == 0
    assert main(["gate", AT, "gate.baseline=release-1"]) == 0
    capsys.readouterr()
    assert main(["gate", AT]) == 0
    assert "there is none named made yet" in capsys.readouterr().out


def test_another_model_is_not_comparable_until_it_is_allowed(
    good: EvalResult, capsys: pytest.CaptureFixture[str]
) -> None:
    put(good)
    main(["baseline", AT])
    put(result_by(GAINING, reranker={"max_length": 256}, run_id="20260104-000000-cccccc"))
    capsys.readouterr()
    assert main(["gate", AT]) == 2
    shown = capsys.readouterr().out
    assert "not comparable with 20260102-000000-aaaaaa" in shown
    assert "reranker.max_length absent in the baseline, 256 here" in shown
    assert "gate.allow_changed=[reranker]" in shown
    assert main(["gate", AT, "gate.allow_changed=[reranker]"]) == 0
    shown = capsys.readouterr().out
    assert rows(shown)["baseline"] == "warned"
    assert "Allowed to differ: reranker.max_length absent in the baseline, 256 here" in shown


def test_a_run_that_stopped_early_has_no_baseline(good: EvalResult, capsys: pytest.CaptureFixture[str]) -> None:
    put(good)
    main(["baseline", AT])
    put(stopped(result_by(GAINING, run_id="20260105-000000-dddddd")))
    capsys.readouterr()
    assert main(["gate", AT]) == 2
    assert rows(capsys.readouterr().out) == {"self-checks": "passed", "expectation": "passed", "baseline": "error"}
    assert main(["gate", AT, "gate.baseline=null", "--expectation", "fail"]) == 0
    assert main(["baseline", AT]) == 2
    assert "a sequential run, whose estimates are biased where it stops early; go on to a" in capsys.readouterr().err


def test_an_invalid_result_becomes_no_baseline(good: EvalResult, capsys: pytest.CaptureFixture[str]) -> None:
    put(invalid(good))
    assert main(["baseline", AT]) == 2
    assert "is invalid, so that nothing can be held against it" in capsys.readouterr().err
    assert not Path("reports/baselines").exists()
