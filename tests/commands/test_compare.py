"""``evalkit compare A B``: what it prints, and its exit codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.result import Evidence
from tests.results import LATENCY, edit_table, evidence_of, provenance_of, result_of, stored

HASH = "ab" * 32


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A useful reranker and a useless one, on the same questions."""
    first = result_of(provenance=provenance_of(reranker={"weights": f"useful sha256:{HASH}"}))
    second = result_of(
        evidence_of(skill=0.0),
        run_id="20260202-030405-abcdef",
        provenance=provenance_of(embedder={"prompt": ""}, reranker={"weights": None, "quantised": True}),
        latency=LATENCY,
    )
    return stored(first, tmp_path), stored(second, tmp_path)


def test_what_differs_and_what_it_changed_is_shown(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = folders
    assert main(["compare", str(first), str(second / "result.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"A  made/{first.name}, ")
    assert lines[1].startswith(f"B  made/{second.name}, ")
    assert lines[3:7] == [
        "what differs        A                           B",
        'embedder.prompt     –                           ""',
        "reranker.quantised  false                       true",
        f"reranker.weights    useful sha256:{HASH[:12]}  –",
    ]
    assert lines[8] == (
        "30 queries, in 20 families, with the same judgments in both; left out: 0 in A alone, 0 in B alone, 0 judged "
        "otherwise"
    )
    titles = ["system", "metric", "A", "B", "points", "95", "%", "interval", "p", "W/T/L"]
    assert lines[10].split() == titles
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in lines[11:17]}
    assert len(rows) == 6
    assert rows["dense", "recall@5"][2] == "+0.0"
    assert rows["dense", "recall@5"][-1] == "0/30/0"
    assert float(rows["rerank@10", "recall@5"][2]) < -10
    assert lines[18] == "gain over stage 1, in points"
    assert len(lines[20:24]) == 4
    assert all(line.startswith("rerank@") for line in lines[20:24])
    assert lines[25].startswith("Points are 100 x (B - A), paired by query")


def test_numbers_are_those_of_the_results(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (result_of(), result_of(evidence_of(skill=0.0)))
    assert main(["compare", *map(str, folders)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("rerank@10  recall@5"))
    decisions = (first.assessment.decision, second.assessment.decision)
    before, after = (found.candidate_mean for found in decisions)
    assert row.split()[2:5] == [f"{before:.3f}", f"{after:.3f}", f"{100 * (after - before):+.1f}"]


def test_no_query_id_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evidence_of()

    def named(query_id: str) -> str:
        return f"secret-{query_id}"

    evidence = Evidence(*({named(key): value for key, value in part.items()} for part in (
        found.candidates, found.qrels, found.families, found.attributes,
    )))  # fmt: skip
    one, other = (stored(result_of(evidence), tmp_path / name) for name in ("one", "other"))
    assert main(["compare", str(one), str(other)]) == 0
    shown = capsys.readouterr().out
    assert "secret" not in shown
    assert "nothing differs but the date" in shown


def test_what_lowers_trust_is_said(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = folders
    edit_table(second, "per_query.parquet", lambda table: table.assign(value=1.0), seal=False)
    assert main(["compare", str(first), str(second)]) == 5
    shown = capsys.readouterr()
    assert "per_query.parquet was changed after the run" in shown.err
    assert shown.out == ""


def test_an_invalid_result_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of()
    control = replace(result.assessment.controls[0], status="failed")
    invalid = replace(result, assessment=replace(result.assessment, controls=(control,)))
    one, other = stored(result, tmp_path / "a"), stored(invalid, tmp_path / "b")
    assert main(["compare", str(one), str(other)]) == 0
    shown = capsys.readouterr().out
    assert "note: B is invalid, a self-check failed: no number of it should be quoted" in shown
    assert "result.status  ok  invalid" in shown


def test_results_of_other_questions_are_one_message_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (stored(result_of(evidence_of(seed=seed)), tmp_path / str(seed)) for seed in (0, 1))
    assert main(["compare", str(one), str(other)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("evalkit: no query to compare: the first result evaluated 30 and the second 30")
    assert captured.err.count("\n") == 1


def test_a_result_that_is_not_there_is_exit_code_2(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(folders[0]), str(tmp_path / "nowhere")]) == 2
    assert f"{tmp_path / 'nowhere'}: no such folder; expected a result folder" in capsys.readouterr().err


def test_two_results_are_needed(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compare", str(folders[0])])
    assert "the following arguments are required: B" in capsys.readouterr().err


def test_a_page_is_drawn_where_it_is_asked_for(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = map(str, folders)
    assert main(["compare", first, second, "--html", "side.html"]) == 0
    assert (tmp_path / "side.html").read_text().startswith("<!doctype html>")
    assert capsys.readouterr().out.splitlines()[-1] == "page    side.html"
    assert main(["compare", first, second, "--html"]) == 0
    assert (tmp_path / "compare.html").exists()


def test_a_page_that_cannot_be_written_is_named(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = map(str, folders)
    assert main(["compare", first, second, "--html", str(tmp_path)]) == 2
    assert "name another file with --html" in capsys.readouterr().err
