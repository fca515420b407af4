"""``evalkit gate`` as a CI starts it: exit codes, messages, files."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evalkit import manifest
from evalkit.cli import main
from evalkit.result import EvalResult
from tests.hits import hits, invalid, result_by
from tests.results import bilingual, edit, edit_table, evidence_of, result_of, stored

AT = "reports_dir=reports"

pytestmark = pytest.mark.usefixtures("home")


def put(result: EvalResult) -> Path:
    return stored(result, Path("reports"))


def rows(text: str) -> dict[str, str]:
    """Rule -> status, from what the gate printed."""
    return {row[1]: row[0] for line in text.partition("\n\n")[0].splitlines() if (row := re.split(r"\s{2,}", line))}


# --- exit codes ----------------------------------------------------------------------------------------


def test_a_result_that_meets_its_rules_passes(good: EvalResult, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(good)
    assert main(["gate", str(folder), "gate.floors={recall@5:0.65}", "gate.slices={lang:-5}"]) == 0
    shown = capsys.readouterr()
    assert rows(shown.out) == {
        "self-checks": "passed",
        "expectation": "passed",
        "floor recall@5": "passed",
        "slice lang": "passed",
        "baseline": "skipped",
    }
    assert shown.out.endswith(f"\n\nPASSED  exit code 0\nresult  {folder}\n")
    assert shown.err == ""


def test_a_gain_below_the_band_is_said_or_fails_as_the_policy_asks(
    worse: EvalResult, capsys: pytest.CaptureFixture[str]
) -> None:
    put(worse)
    assert main(["gate", AT]) == 0
    assert rows(capsys.readouterr().out)["expectation"] == "warned"
    for policy in ("fail", "strict"):
        assert main(["gate", AT, "--expectation", policy]) == 3
        assert "\nFAILED  exit code 3\n" in capsys.readouterr().out
    assert main(["gate", AT, "gate.expectation=fail"]) == 3


def test_an_open_verdict_ends_with_4_only_under_the_strict_policy(
    good: EvalResult, capsys: pytest.CaptureFixture[str]
) -> None:
    put(good)
    assert main(["gate", AT, "--expectation", "fail"]) == 0
    capsys.readouterr()
    assert main(["gate", AT, "--expectation", "strict"]) == 4
    assert "\nINCONCLUSIVE  exit code 4\n" in capsys.readouterr().out


def test_an_invalid_result_ends_with_5_whatever_the_rules(good: EvalResult, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(invalid(good))
    for rules in ([], ["--top-k", "99"], ["gate.floors={map:1}"], ["expectation.top_k=6"], ["--baseline", "nothing"]):
        assert main(["gate", AT, *rules]) == 5
        shown = capsys.readouterr().out
        assert "\nINVALID  exit code 5\n" in shown
        assert "labels: no better than chance" in shown
    (case,) = ElementTree.parse(folder / "junit.xml").iter("testcase")  # noqa: S314 - written by the gate
    assert [child.tag for child in case] == ["failure"]


def test_of_several_codes_the_gravest_is_taken(good: EvalResult, capsys: pytest.CaptureFixture[str]) -> None:
    """Inconclusive, a floor that fails, and slices that speak of another decision."""
    put(good)
    assert main(["gate", AT, "--expectation", "strict", "gate.floors={recall@5:0.9}"]) == 3
    asked = ["--min-points", "-90", "--top-k", "6", "gate.floors={recall@5:0.9}", "gate.slices={lang:0}"]
    capsys.readouterr()
    assert main(["gate", AT, *asked]) == 2
    shown = capsys.readouterr().out
    assert (rows(shown)["floor recall@5"], rows(shown)["slice lang"]) == ("failed", "error")
    assert "\nERROR  exit code 2\n" in shown


def test_a_result_that_was_changed_after_the_run_is_not_trusted(
    worse: EvalResult, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(worse)
    edit(folder, lambda document: document["metrics"]["rerank@10"].update({"recall@5": 0.9}), seal=False)
    for command in ("gate", "baseline"):
        assert main([command, str(folder)]) == 5
        assert "result.json was changed after the run. Nothing follows from it" in capsys.readouterr().err


def test_cells_of_the_language_table_are_held_and_without_one_the_rule_fails(
    good: EvalResult, capsys: pytest.CaptureFixture[str]
) -> None:
    """Queries and documents in two languages make four cells."""
    folder = put(result_of(bilingual(evidence_of(60))))
    assert main(["gate", str(folder), "gate.languages=-100"]) == 0
    assert "at least -100 is asked for" in capsys.readouterr().out
    assert main(["gate", str(folder), "gate.languages=100"]) == 3
    assert re.search(
        r"failed +languages +under the least gain of \+100 points: (de|fr) -> (de|fr|all) [+-][0-9.]+ points \([0-9]+ "
        r"independent\), (de|fr) -> ",
        capsys.readouterr().out,
    )
    assert main(["gate", str(put(good)), "gate.languages=-100"]) == 3
    assert "there is no language table" in capsys.readouterr().out


# --- which result, which rules -------------------------------------------------------------------------


def test_the_newest_result_is_held_where_none_is_named(
    good: EvalResult, worse: EvalResult, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = put(good), put(worse)
    assert main(["gate", AT, "--expectation", "fail"]) == 3
    assert f"result  {second}" in capsys.readouterr().out
    assert main(["gate", str(first), "--expectation", "fail"]) == 0
    assert main(["gate", str(first / "result.json"), "--expectation", "fail"]) == 0


def test_flags_count_before_conf_and_conf_before_the_result(worse: EvalResult) -> None:
    """The gain is 5 points, the stored band 12 to 18."""
    put(worse)
    rules = ["gate", AT, "gate.expectation=fail"]
    assert main(rules) == 3
    assert main([*rules, "gate.min_points=4"]) == 0
    assert main([*rules, "gate.min_points=4", "--min-points", "6"]) == 3
    assert main([*rules, "gate.min_points=6", "--min-points", "4"]) == 0
    assert main([*rules, "gate.decide_on=lower_bound", "gate.min_points=4"]) == 3
    assert main([*rules, "gate.decide_on=lower_bound", "gate.min_points=4", "--decide-on", "estimate"]) == 0
    assert main([*rules, "--expectation", "warn"]) == 0


@pytest.mark.parametrize(
    ("asked", "band"),
    [
        (["--min-points", "2"], "+2 or more"),
        (["gate.min_points=2"], "+2 or more"),
        (["--min-points", "2", "gate.max_points=9"], "+2 to +9"),
        (["--max-points", "30"], "+12 to +30"),
        (["gate.min_points=2", "--max-points", "9"], "+2 to +9"),
        (["--min-points", "-3", "--max-points", "9"], "-3 to +9"),
        ([], "+12 to +18"),
    ],
)
def test_the_band_that_is_asked_for(
    worse: EvalResult, capsys: pytest.CaptureFixture[str], asked: list[str], band: str
) -> None:
    put(worse)
    main(["gate", AT, *asked])
    assert f"the expected {band}" in capsys.readouterr().out


def test_words_may_stand_before_and_behind_flags(good: EvalResult, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(good)
    assert main(["gate", "gate.baseline=null", "--top-k", "10", str(folder), "gate.floors={recall@5:0.9}"]) == 3
    assert rows(capsys.readouterr().out).keys() == {"self-checks", "expectation", "floor recall@5"}


def test_another_metric_and_top_k_are_judged_again(good: EvalResult, capsys: pytest.CaptureFixture[str]) -> None:
    put(good)
    main(["gate", AT, "--metric", "mrr@5", "--top-k", "6", "--min-points", "-90"])
    shown = capsys.readouterr().out
    assert "At top-k 6, mrr@5 went from" in shown
    assert "Before the run, recall@5 at top-k 10 was declared" in shown
    assert rows(shown)["expectation"] == "warned"


# --- mistakes ------------------------------------------------------------------------------------------

MISTAKES = {
    "no such result": (["gate", "nowhere"], "nowhere: no such folder; expected a result folder"),
    "no result at all": (["gate", "reports_dir=empty"], "empty: holds no result; start one with evalkit run"),
    "two results": (["gate", "one", "two"], "found two results, one and two; expected one"),
    "a top-k that is not held": (["gate", AT, "--top-k", "50"], "recall@5 at top-k 50, which the result does not hold"),
    "a metric that is not held": (["gate", AT, "--metric", "map"], "the gate asks for map at top-k 10, which the"),
    "no metric": (["gate", AT, "--metric", "recall@five"], "'recall@five' is not a metric"),
    "a top-k that changes nothing": (["gate", AT, "--top-k", "0"], "gate.top_k is 0; expected a whole number of at"),
    "a band without an end": (["gate", AT, "--min-points", "nan"], "gate.min_points is nan; expected a finite number"),
    "a band that is turned round": (["gate", AT, "--max-points", "3"], "the gate's band goes from 12 down to 3 points"),
    "no baseline of that name": (["gate", AT, "--baseline", "old"], "there is no baseline 'old' in reports/baselines"),
    "a baseline elsewhere": (["gate", AT, "--baseline", "../old"], "a baseline cannot be named '../old'"),
    "a name elsewhere": (["baseline", AT, "--name", "a/b"], "a baseline cannot be named 'a/b'"),
    "another group": (
        ["gate", AT, "expectation.top_k=6"],
        "gate takes a finished result as it is, and overrides of gate",
    ),
    "a model for a baseline": (["baseline", AT, "reranker=onnx_folder"], "baseline takes a finished result as it is"),
    "a misspelt rule": (["gate", AT, "gate.floor=1"], "no key 'gate.floor'. Did you mean gate.floors?"),
    "no fraction": (["gate", AT, "gate.floors={recall@5:80}"], "gate.floors.recall@5 is 80; expected a fraction"),
    "no group": (["gate", AT, "gate=null"], "gate cannot be null; its options are: default"),
    "a missing value": (["gate", AT, "gate.tolerance_points=???"], "gate.tolerance_points has no value"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_and_exit_code_2(
    good: EvalResult, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    put(good)
    arguments, what = MISTAKES[name]
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("evalkit: ")
    assert what in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


def test_a_flag_that_is_unknown_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["gate", AT, "--minpoints", "3"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --minpoints" in capsys.readouterr().err


def test_rules_that_cannot_be_applied_are_an_error_in_junit_too(good: EvalResult) -> None:
    """A CI that reads the file alone must not see the pass of an earlier gate."""
    folder = put(good)
    assert main(["gate", AT]) == 0
    assert main(["gate", AT, "--top-k", "50"]) == 2
    (case,) = ElementTree.parse(folder / "junit.xml").iter("testcase")  # noqa: S314 - written by the gate
    assert [child.tag for child in case] == ["error"]
    assert "which the result does not hold" in str(case[0].get("message"))


# --- files ---------------------------------------------------------------------------------------------


def test_the_gate_adds_junit_and_changes_nothing_that_the_run_wrote(good: EvalResult) -> None:
    folder = put(good)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    main(["gate", AT])
    main(["baseline", AT])
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {folder / "junit.xml"}
    assert {path: after[path] for path in before} == before
    assert manifest.problems(folder) == {}
    assert main(["verify", str(folder)]) == 0


def test_the_summary_of_a_ci_run_is_appended(good: EvalResult, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = home / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    put(good)
    main(["gate", AT, "gate.floors={recall@5:0.9}"])
    main(["gate", AT])
    text = summary.read_text()
    assert text.startswith("before\n### ❌ evalkit gate: failed, made\n")
    assert text.count("### ") == 2
    assert "| ❌ failed | floor recall@5 | recall@5 of rerank@10 is 0.6500, under the floor of 0.9 |" in text


def test_a_summary_that_cannot_be_written_is_one_message(
    good: EvalResult, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(home))
    put(good)
    assert main(["gate", AT, "gate.floors={recall@5:0.9}"]) == 2
    shown = capsys.readouterr()
    assert f"cannot write to {home}: Is a directory; the gate ended with 3. floor recall@5: " in shown.err


def test_no_query_is_named_anywhere(
    good: EvalResult, worse: EvalResult, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(home / "summary.md"))
    put(good)
    main(["baseline", AT])
    put(result_by(hits((99, 1, 1)), run_id="20260106-000000-eeeeee"))
    main(["gate", AT])
    folder = put(worse)
    main(["gate", str(folder), AT, "gate.slices={lang:50}"])
    shown = capsys.readouterr()
    texts = [shown.out, shown.err, (home / "summary.md").read_text(), (folder / "junit.xml").read_text()]
    assert all("slice lang" in text for text in (texts[0], *texts[2:]))
    assert not any(re.search(r"\bq\d+\b|answer", text) for text in texts)


def test_the_help_of_gate_opens_at_once() -> None:
    """The best of three starts, as other processes may keep this machine busy."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "evalkit", "gate", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    assert b"--min-points" in done.stdout
    assert min(seconds) < 0.5


@pytest.mark.usefixtures("home")
def test_a_result_that_was_measured_again_is_held_with_a_notice(
    good: EvalResult, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its expectation was chosen when the gain was known."""
    again = replace(good, provenance=replace(good.provenance, derived_from="20260101-000000-aaaaaa"))
    assert main(["gate", str(put(again)), AT, "gate.baseline=null"]) == 0
    shown = capsys.readouterr().out
    assert "warned" in shown
    assert "Measured again from 20260101-000000-aaaaaa after its run" in shown


def test_a_refusal_leaves_no_earlier_verdict_behind(good: EvalResult, home: Path) -> None:
    put(good)
    assert main(["gate", AT, "gate.baseline=null"]) == 0
    junit = next(home.rglob("junit.xml"))
    edit_table(junit.parent, "per_query.parquet", lambda table: table.assign(value=1.0), seal=False)
    assert main(["gate", AT, "gate.baseline=null"]) == 5
    assert not junit.exists()


def test_a_reader_that_goes_away_does_not_cost_the_file(
    good: EvalResult, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    put(good)
    monkeypatch.setattr("builtins.print", gone)
    with pytest.raises(ZeroDivisionError):
        main(["gate", AT, "gate.baseline=null"])
    assert len(list(home.rglob("junit.xml"))) == 1


@pytest.mark.parametrize("secret", ["+x.api_key=hunter2", "+x.url=https://bob:hunter2@host/"])
def test_a_secret_in_an_override_is_never_repeated(
    good: EvalResult, home: Path, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    put(good)
    assert main(["gate", AT, secret]) == 2
    shown = capsys.readouterr()
    assert "found +x." in shown.err
    assert "hunter2" not in shown.out + shown.err + next(home.rglob("junit.xml")).read_text()
