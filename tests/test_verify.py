"""A stored result is derived again: what holds is counted, and what was changed is named."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest

from evalkit import manifest
from evalkit.errors import ControlError, DataError
from evalkit.folder import TABLES, read_document, read_result
from evalkit.pipeline import evaluate
from evalkit.record import Scoring
from evalkit.sinks.document import as_document
from evalkit.testing import FunctionReranker, WordEmbedder
from evalkit.types import Candidate
from evalkit.verify import Verified, _tokens, differences, verify
from tests.conftest import BeirWriter, beir, plan_of
from tests.results import bilingual, edit, edit_table, evidence_of, provenance_of, result_of, stored

Change = Callable[[Any], Any]
DERIVED = (
    "status", "systems", "metrics", "judged", "comparisons", "expectation", "attribution", "knee", "slices",
    "languages", "controls", "what_ifs",
)  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: documents and queries in two languages."""
    design = replace(result_of().design, document_slices=("lang",))
    return stored(result_of(bilingual(evidence_of()), design), tmp_path_factory.mktemp("reports"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(copytree(original, tmp_path / original.name))


def leaves(value: Any, *place: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The place and value of every number, text and null."""
    if isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(entry, *place, key)
    else:
        yield place, value


def put(document: Any, place: tuple[Any, ...], value: Any) -> None:
    for key in place[:-1]:
        document = document[key]
    document[place[-1]] = value


def test_what_was_checked_is_counted(original: Path) -> None:
    """Thirty queries of ten candidates, 3 systems, 2 metrics, 2 top-k; JSON, 6 tables, a report and 3 runs."""
    document = read_document(original)
    given = ("schema_version", "run_id", "design", "stage_one", "timings", "provenance")
    assert verify(original) == Verified(
        run_id="20260102-030405-abcdef",
        status="ok",
        files=11,
        n_queries=30,
        n_candidates=300,
        n_judgments=sum(map(len, read_result(original).evidence.qrels.values())),
        values=len([place for place, _ in leaves(document) if place[0] not in given]),
        per_query=30 * 3 * 2,
        fates=30 * 2,
        runs=3,
        stopped=False,
    )


def test_what_gate_and_report_add_later_is_nobodys_matter(folder: Path) -> None:
    (folder / "gate.json").write_text("{}")
    (folder / "plots").mkdir()
    (folder / "plots" / "sweep.svg").write_text("<svg/>")
    assert verify(folder).files == 11


def test_a_moved_folder_is_as_good(folder: Path, tmp_path: Path) -> None:
    assert verify(folder.rename(tmp_path / "elsewhere")).n_queries == 30


@pytest.mark.parametrize("name", ["result.json", "report.md", "runs/rerank@6.trec", *TABLES])
def test_a_file_that_was_changed_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(ControlError, match=f"{name} was changed after the run"):
        verify(folder)


@pytest.mark.parametrize("name", ["report.md", "runs/dense.trec", *TABLES])
def test_a_file_that_is_gone_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ControlError, match=f"{name} is missing"):
        verify(folder)


def test_every_derived_value_is_compared(original: Path) -> None:
    """Whatever is changed in those blocks, the place and both values are named, and nothing else."""
    document = as_document(read_result(original))
    changed = 0
    for place, value in leaves({name: document[name] for name in DERIVED}):
        other = value + 1e-6 if isinstance(value, float) else 7 if value is None else f"{value}?"
        told = copy.deepcopy(document)
        put(told, place, other)
        (message,) = differences(told, document)
        path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)[1:]
        assert message.startswith(f"{path} is ")
        changed += 1
    assert changed > 200


def test_a_whole_block_in_place_of_another_value_is_cut_short(original: Path) -> None:
    document = as_document(read_result(original))
    (message,) = differences({**document, "languages": None}, document)
    assert message.startswith("languages is None; {'gains': [{'metric': 'recall@5', ")
    assert message.endswith("... was derived")
    assert len(message) < 150


def test_names_that_are_gone_or_new_are_differences(original: Path) -> None:
    document = as_document(read_result(original))
    told = copy.deepcopy(document)
    del told["knee"]["best_top_k"], told["comparisons"][3]
    told["surprise"] = 1
    assert list(differences(told, document)) == [
        "comparisons has 3 entries; 4 were derived",
        "knee.best_top_k is missing",
        "surprise was not expected",
    ]


def test_rounding_of_sums_is_no_difference() -> None:
    assert list(differences({"a": 0.3}, {"a": 0.1 + 0.2})) == []
    assert list(differences({"a": 12}, {"a": 12.0})) == []
    assert len(list(differences({"a": 0.3 + 1e-8}, {"a": 0.3}))) == 1
    assert len(list(differences({"a": 1}, {"a": True}))) == 1
    assert len(list(differences({"a": 3}, {"a": 4}))) == 1
    assert len(list(differences({"a": None}, {"a": 0.0}))) == 1


def test_of_long_texts_the_part_is_shown_where_they_part() -> None:
    (message,) = differences({"reason": "x" * 500 + "5.1 points"}, {"reason": "x" * 500 + "9.9 points"})
    assert "5.1 points" in message
    assert "9.9 points" in message
    assert len(message) < 250


EDITS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "a mean": (("metrics", "rerank@10", "recall@5"), 0.999),
    "Judged@5": (("judged", "dense", "judged@5"), 0.123),
    "points": (("comparisons", 0, "delta_points"), 55.5),
    "an interval": (("comparisons", 1, "ci_low"), 1.0),
    "half an interval": (("comparisons", 1, "half_width_points"), 1.0),
    "wins": (("comparisons", 0, "wins"), 29),
    "the verdict": (("expectation", "status"), "below"),
    "its reason": (("expectation", "reason"), "All is well."),
    "its advice": (("expectation", "advice"), ["Buy it."]),
    "the promise": (("expectation", "min_points"), 17.5),
    "a control": (("controls", 2, "status"), "warned"),
    "attribution": (("attribution", 0, "kept_points"), 12.5),
    "the knee": (("knee", "within_noise"), 10),
    "a slice": (("slices", 0, "delta_points"), 33.0),
    "whose slice": (("slices", 2, "of"), "query"),
    "a cell": (("languages", "gains", 0, "delta_points"), 33.0),
    "the language of a cell": (("languages", "gains", 1, "document_lang"), None),
    "own language": (("languages", "bias", 2, "reranked_share"), 0.99),
    "a what-if": (("what_ifs", 0, "confirmed_points"), 33.0),
    "ties": (("scoring", "ties"), 5),
    "points per 100 ms": (("latency", "stage2", 0, "points_per_100_ms"), 99.0),
    "the judgments' digest": (("dataset", "qrels_digest"), "0" * 64),
    "the number of queries": (("dataset", "n_queries"), 31),
    "the unit": (("design", "unit"), "query"),
    "the seed": (("design", "seed"), 1),
    "the resamples": (("design", "resamples"), 300),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_number_is_found_though_the_manifest_was_sealed_with_it(folder: Path, name: str) -> None:
    place, value = EDITS[name]
    before = dict(leaves(read_document(folder))).get(place)
    edit(folder, lambda document: put(document, place, value))
    with pytest.raises(ControlError, match=r"is not what a run wrote") as caught:
        verify(folder)
    assert "was changed after the run" not in str(caught.value)
    if name not in ("the promise", "the seed", "the resamples", "its advice"):
        path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)[1:]
        assert f"result.json: {path} is {value!r}; {before!r:.60}"[:80] in str(caught.value)


def cell(column: str, row: int, value: Any) -> Change:
    return lambda table: table.assign(**{column: table[column].where(table.index != row, value)})


def swapped(column: str, row: int, other: int) -> Change:
    def change(table: Any) -> Any:
        values = table[column].tolist()
        values[row], values[other] = values[other], values[row]
        return table.assign(**{column: values})

    return change


TABLE_EDITS: dict[str, tuple[str, Change, str]] = {
    "a score": ("candidates.parquet", cell("rerank_score", 9, 99.0), "result.json: "),
    "two scores": ("candidates.parquet", swapped("rerank_score", 0, 9), "runs/rerank@10.trec: not the ranking"),
    "two documents": ("candidates.parquet", swapped("doc_id", 0, 1), "runs/dense.trec, runs/rerank@"),
    "stage 1": (
        "candidates.parquet",
        swapped("stage1_score", 0, 1),
        "ranks do not follow the stage-1 scores in 1 of 30",
    ),
    "a lost score": ("candidates.parquet", cell("rerank_score", 3, None), "control coverage failed"),
    "a grade": ("qrels.parquet", cell("grade", 0, 2), "result.json: dataset.qrels_digest is"),
    "a judgment": ("qrels.parquet", cell("doc_id", 0, "d"), "result.json: dataset.qrels_digest is"),
    "no relevance": ("qrels.parquet", lambda table: table.assign(grade=0), "qrels.parquet: judges nothing relevant"),
    "families": (
        "queries.parquet",
        lambda table: table.assign(family=None),
        "result.json: comparisons[0].n_units is 20; 30 was derived",
    ),
    "attributes": ("queries.parquet", cell("attributes", 1, "{}"), "result.json: slices["),
    "languages of documents": (
        "documents.parquet",
        lambda table: table.assign(attributes="{}"),
        "result.json: languages is {'gains': [{'metric': 'recall@5', ",
    ),
    "a document in another language": (
        "documents.parquet",
        lambda table: table.assign(attributes=table["attributes"].where(table.index > 9, '{"lang": ["it"]}')),
        "result.json: slices has 4 entries; 5 were derived",
    ),
    "a value": (
        "per_query.parquet",
        cell("value", 0, 0.123),
        "per_query.parquet: 1 of 180 values are not as derived; the first, recall@5 of dense, is 0.123, and ",
    ),
    "a missing value": (
        "per_query.parquet",
        lambda table: table.iloc[1:],
        "per_query.parquet: 1 of 180 values are missing, and 0 were not expected",
    ),
    "a fate": ("attribution.parquet", cell("kept", 0, 9), "attribution.parquet: 1 of 60 rows are not as derived"),
    "a missing fate": (
        "attribution.parquet",
        lambda table: table.iloc[:-1],
        "attribution.parquet: 1 of 60 rows are not as derived",
    ),
}


@pytest.mark.parametrize("name", TABLE_EDITS)
def test_an_edited_table_is_found_though_the_manifest_was_sealed_with_it(folder: Path, name: str) -> None:
    file, change, message = TABLE_EDITS[name]
    edit_table(folder, file, change)
    with pytest.raises(ControlError) as caught:
        verify(folder)
    assert message in str(caught.value)
    assert "was changed after the run" not in str(caught.value)


TOKEN_EDITS: dict[str, tuple[Change, str]] = {
    "one too long": (cell("tokens", 7, 513), "result.json: scoring.truncated is 0; 1 to 1 pairs are too long"),
    "all too long": (lambda t: t.assign(tokens=600), "result.json: scoring.truncated is 0; 300 to 300 pairs"),
    "one is lost": (
        lambda t: t.assign(tokens=t["tokens"].where(t.index > 0)),
        "candidates.parquet: tokens of 1 candidates are missing or surplus; expected tokens of the scored ones",
    ),
}


@pytest.mark.parametrize("name", TOKEN_EDITS)
def test_edited_tokens_are_found_where_they_no_longer_fit_the_scoring(folder: Path, name: str) -> None:
    change, message = TOKEN_EDITS[name]
    edit_table(folder, "candidates.parquet", change)
    with pytest.raises(ControlError) as caught:
        verify(folder)
    assert message in str(caught.value)


def test_tokens_within_the_limit_are_taken_as_given(folder: Path) -> None:
    edit_table(folder, "candidates.parquet", cell("tokens", 7, 512))
    assert verify(folder).n_candidates == 300


def test_tokens_of_scores_from_a_file_are_surplus(folder: Path) -> None:
    edit(folder, lambda document: put(document, ("scoring", "max_length"), None))
    with pytest.raises(ControlError, match=r"tokens of 300 candidates .* expected none, as nothing counted them"):
        verify(folder)


@pytest.mark.parametrize(
    ("lengths", "pairs", "truncated", "fits"),
    [
        ((9, 8), 2, 0, None),
        ((11, 9), 2, 1, None),
        ((11, 9), 2, 0, "1 to 1"),
        ((9, 8), 2, 1, "0 to 0"),
        # Two candidates may be one pair where one score more than pairs was kept; four of two lengths are two at least.
        ((11, 11), 1, 1, None),
        ((11, 11), 1, 2, None),
        ((11, 11), 2, 1, "2 to 2"),
        ((11, 11, 12, 12), 1, 1, "2 to 4"),
        ((11, 11, 12, 12), 3, 2, "3 to 4"),
    ],
)
def test_as_many_pairs_are_truncated_as_the_tokens_allow(
    lengths: tuple[int, ...], pairs: int, truncated: int, fits: str | None
) -> None:
    """Of a reranker that reads ten tokens; candidates of equal texts are one pair."""
    found = tuple(Candidate(f"d{rank}", rank, -rank, 0.0, tokens) for rank, tokens in enumerate(lengths, start=1))
    told = list(_tokens({"q": found}, Scoring(pairs, truncated, 10, 0)))
    assert told == (
        []
        if fits is None
        else [
            f"result.json: scoring.truncated is {truncated}; {fits} pairs are too long by the tokens of "
            "candidates.parquet"
        ]
    )


def test_an_edited_run_is_found_though_the_manifest_was_sealed_with_it(folder: Path) -> None:
    run = folder / "runs" / "rerank@10.trec"
    first, second, *others = run.read_text().splitlines(keepends=True)
    run.write_text("".join([second, first, *others]))
    manifest.seal(folder)
    with pytest.raises(ControlError, match=r"runs/rerank@10.trec: not the ranking that the candidates give"):
        verify(folder)


def test_a_run_that_the_manifest_never_knew_is_missed(folder: Path) -> None:
    rmtree(folder / "runs")
    manifest.seal(folder)
    with pytest.raises(ControlError) as caught:
        verify(folder)
    for system in ("dense", "rerank@6", "rerank@10"):
        assert f"manifest.json does not list runs/{system}.trec" in str(caught.value)
        assert f"runs/{system}.trec is missing" in str(caught.value)


def test_a_message_shows_the_first_differences_and_counts_the_others(folder: Path) -> None:
    edit_table(folder, "candidates.parquet", lambda t: t.assign(rerank_score=-t["rerank_score"]), seal=False)
    with pytest.raises(ControlError) as caught:
        verify(folder)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{folder} is not what a run wrote:"
    assert lines[1] == "  candidates.parquet was changed after the run"
    numbers = [line for line in lines if line.startswith("  result.json: ")]
    assert len(numbers) == 9
    assert numbers[-1].startswith("  result.json: and ")
    assert numbers[-1].endswith(" more")
    assert len(lines) == 15


def test_no_message_shows_an_id(folder: Path) -> None:
    edit_table(folder, "candidates.parquet", lambda t: t.assign(doc_id=["secret-" + one for one in t["doc_id"]]))
    with pytest.raises(ControlError) as caught:
        verify(folder)
    assert "secret" not in str(caught.value)


def test_a_folder_without_manifest_is_no_complete_result(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"missing; a run writes it last"):
        verify(folder)


def test_another_schema_version_is_bad_input_and_no_tampering(folder: Path) -> None:
    edit(folder, lambda document: put(document, ("schema_version",), 2))
    with pytest.raises(DataError, match=r"this evalkit reads version 1"):
        verify(folder)


def test_sentences_of_another_version_are_not_compared_but_numbers_are(folder: Path) -> None:
    def older(document: Any) -> None:
        document["provenance"]["versions"]["evalkit-rerank"] = "0.0.1"
        document["expectation"]["reason"] = "In other words."
        document["controls"][0]["message"] = "In other words."

    edit(folder, older)
    assert verify(folder).other_words == "0.0.1"
    edit(folder, lambda document: put(document, ("knee", "within_noise"), 10))
    with pytest.raises(ControlError, match=r"other versions may round otherwise: evalkit-rerank 0.0.1 then, .* now"):
        verify(folder)


@pytest.fixture
def stopped(write_beir: BeirWriter, tmp_path: Path) -> Path:
    """Dense ranks every answer tenth, the reranker first: decided after a part of sixty questions."""
    towns = [f"Town{number}" for number in range(60)]
    documents = {f"{town}-{note}": f"{town} rent note{note}" for town in towns for note in range(9)}
    documents |= {f"{town}-answer": f"{town} answer" for town in towns}
    path = write_beir(documents, {f"q-{t}": f"{t} rent" for t in towns}, [(f"q-{t}", f"{t}-answer", 1) for t in towns])

    def perfect(query: str, document: str) -> float:
        return float(document.endswith("answer") and document.split(maxsplit=1)[0] == query.split(maxsplit=1)[0])

    plan = plan_of(
        beir(path),
        reranker=FunctionReranker(perfect),
        embedder=WordEmbedder(1 << 12),
        sequential=True,
        slices=("lang",),
    )
    return stored(evaluate(plan), tmp_path / "reports")


def test_a_run_that_stopped_early_is_verified(stopped: Path) -> None:
    found = verify(stopped)
    ended = read_result(stopped).sequential
    assert ended is not None
    assert found.stopped
    assert (found.n_queries, found.runs) == (ended.spent_queries, 2)
    assert found.n_queries < 60


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("sequential",), None),
        (("sequential", "ci_low"), 90.0),
        (("sequential", "side"), "below"),
        (("sequential", "side"), None),
        (("sequential", "spent_queries"), 59),
        (("sequential", "total_queries"), 61),
        (("expectation", "ci_high"), 10.0),
        (("comparisons", 0, "ci_low"), 1.0),
        (("comparisons", 0, "p_value"), 0.01),
    ],
    ids=str,
)
def test_an_early_stop_that_was_edited_is_found(stopped: Path, place: tuple[Any, ...], value: Any) -> None:
    edit(stopped, lambda document: put(document, place, value))
    with pytest.raises(ControlError, match=r"result.json: "):
        verify(stopped)


def test_controls_that_needed_the_models_are_taken_as_given(tmp_path: Path) -> None:
    """They cannot be derived, but one that failed makes the result invalid again."""
    folder = stored(result_of(provenance=provenance_of()), tmp_path)
    edit(folder, lambda document: put(document, ("controls", 0, "status"), "failed"))
    with pytest.raises(ControlError, match=r"result.json: status is 'ok'; 'invalid' was derived"):
        verify(folder)


def test_a_table_written_by_another_program_is_as_good(folder: Path) -> None:
    """Other bytes, the same numbers: the manifest alone objects."""
    edit_table(folder, "per_query.parquet", lambda table: table)
    edit_table(folder, "candidates.parquet", lambda table: table.astype({"stage1_rank": "int32"}))
    assert math.isclose(verify(folder).n_candidates, 300)
