"""What several tests need: where real data lies, a small BEIR folder, and a plan over fakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.metrics import parse_metrics
from evalkit.data.beir import BeirFolder
from evalkit.executors.local import LocalExecutor
from evalkit.findings import Expectation
from evalkit.result import Design, EvalResult
from evalkit.sinks.files import FilesSink
from evalkit.stages import Plan
from evalkit.testing import ArrayStore, DictCache, FunctionReranker, WordEmbedder
from evalkit.types import Metric
from tests.schema import check_file

SHARED = Path(__file__).parents[2] / "shared" / "data"

BeirWriter = Callable[..., Path]

NewStore = Callable[[Path], str]
"""Folder -> URI of an empty MLflow store in it."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets that do not ship with the project."""
    if not SHARED.is_dir():
        pytest.skip("the real data sets are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _every_result_fits_the_schema() -> Iterator[None]:
    """Whatever a test writes is validated: a field without an entry in evalkit/result.schema.json fails the suite."""
    write = FilesSink.write

    def checked(self: FilesSink, result: EvalResult, folder: Path) -> None:
        write(self, result, folder)
        check_file(folder / "result.json")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FilesSink, "write", checked)
        yield


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> NewStore:
    """MLflow takes seconds to make a database: one is made, and copied."""
    from mlflow import MlflowClient

    blank = tmp_path_factory.mktemp("blank") / "mlflow.db"
    MlflowClient(f"sqlite:///{blank}").search_experiments()

    def copy(folder: Path) -> str:
        shutil.copyfile(blank, folder / "mlflow.db")
        return f"sqlite:///{folder}/mlflow.db"

    return copy


def write_folder(
    path: Path,
    documents: Mapping[str, str],
    queries: Mapping[str, str],
    judgments: Iterable[tuple[str, str, int]],
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write a BEIR folder from documents {id: text}, queries {id: text} and rows of judgments."""
    (path / "qrels").mkdir(parents=True)
    notes = metadata or {}
    for name, texts in (("corpus", documents), ("queries", queries)):
        rows = [{"_id": key, "text": text, "metadata": notes.get(key, {})} for key, text in texts.items()]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    table = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in judgments)]
    (path / "qrels" / "test.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def write_beir(tmp_path: Path) -> BeirWriter:
    """``write_folder`` below the test's own folder, by name."""

    def write(
        documents: Mapping[str, str],
        queries: Mapping[str, str],
        judgments: Iterable[tuple[str, str, int]],
        folder: str = "beir",
        metadata: Mapping[str, Any] | None = None,
    ) -> Path:
        return write_folder(tmp_path / folder, documents, queries, judgments, metadata)

    return write


def beir(path: Path, **changes: Any) -> BeirFolder:
    """A BEIR source with default options, some of them changed."""
    options: dict[str, Any] = {
        "name": None,
        "split": "test",
        "filters": {},
        "limit": None,
        "seed": 0,
        "corpus_filter": {},
        "on_dangling": "error",
        "lang": None,
    }
    return BeirFolder(str(path), **{**options, **changes})


def plan_of(source: BeirFolder, **changes: Any) -> Plan:
    """A plan over fakes that live in memory, some parts of it or of its design changed; few resamples, for speed."""
    asked: dict[str, Any] = {
        "top_ks": (1, 6, 10),
        "metrics": parse_metrics(["recall@5", "ndcg@10"]),
        "expectation": Expectation(Metric("recall", 5), 10, 12, 18),
        "resamples": 200,
    }
    asked |= {entry.name: changes.pop(entry.name) for entry in fields(Design) if entry.name in changes}
    parts: dict[str, Any] = {
        "source": source,
        "embedder": WordEmbedder(),
        "reranker": FunctionReranker(),
        "store": ArrayStore(),
        "cache": DictCache(),
        "executor": LocalExecutor(chunk_size=7),
        "design": Design(**asked),
    }
    return Plan(**{**parts, **changes})
