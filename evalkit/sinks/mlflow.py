"""One MLflow run per evaluation, one child per system.

What is sent: numbers, ids, configuration and the finished result folder. Query and document texts
are in none of them.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit import manifest
from evalkit.checks import boolean
from evalkit.errors import SinkError
from evalkit.provenance import without_credentials
from evalkit.result import EvalResult
from evalkit.sinks.html import REPORT, TEXTS, page
from evalkit.sinks.table import model_name
from evalkit.types import Metric, System

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric as LoggedMetric

BATCH = 100
"""Parameters that MLflow takes in one call."""

LONGEST_VALUE = 500
"""Characters of a parameter that every MLflow store keeps."""


class MlflowSink:
    """Logs a finished result to a tracking server or a local SQLite file.

    Args:
        tracking_uri: Any MLflow tracking URI; ``sqlite:///...`` needs no server.
        artifact_location: Where a new experiment keeps artifacts; None leaves it to the server.
        experiment: Name of the experiment.
        include_texts: Send the report as it is; otherwise a copy without the texts of queries and documents.
    """

    publishes = True

    def __init__(
        self, tracking_uri: str, artifact_location: str | None, experiment: str, include_texts: bool = False
    ) -> None:
        boolean("sinks.mlflow.include_texts", include_texts)
        self._include_texts = include_texts
        self._uri = tracking_uri
        self._artifacts = artifact_location
        self._experiment = experiment

    def write(self, result: EvalResult, folder: Path) -> None:
        """Create the parent and its children, and upload the folder to the parent.

        Raises:
            SinkError: MLflow refused or could not be reached; the folder is complete.
        """
        # MLflow counts its use and sends the counts home unless told otherwise before its import.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # A request that fails is repeated for minutes by default; a person is waiting.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        # It warns of each repeated request with the whole URL, whatever that holds.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        try:
            self._create_database_folder()
            client = MlflowClient(tracking_uri=self._uri)
            self._log(client, self._experiment_id(client), result, folder)
        # ImportError: the driver of a database is missing.
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
            raise SinkError(
                f"MLflow at {without_credentials(self._uri)} did not take the result: {_first_line(error)}. The "
                f"result is complete in {folder}; start the server, or set sinks.mlflow=null"
            ) from error

    def _create_database_folder(self) -> None:
        if self._uri.startswith("sqlite:///"):
            Path(self._uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)

    def _experiment_id(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(self._experiment)
        if found is not None:
            return str(found.experiment_id)
        location = None if self._artifacts is None else Path(self._artifacts).absolute().as_uri()
        # Without this tag the UI opens the view for language-model traces, where runs are out of sight.
        return str(
            client.create_experiment(
                self._experiment, location, tags={"mlflow.experimentKind": "custom_model_development"}
            )
        )

    def _log(self, client: MlflowClient, experiment: str, result: EvalResult, folder: Path) -> None:
        started = int(datetime.fromisoformat(result.provenance.created).timestamp() * 1000)
        parent_id = client.create_run(experiment, started, _parent_tags(result), result.run_id).info.run_id
        try:
            self._fill(client, experiment, parent_id, result, folder)
        except BaseException:
            client.set_terminated(parent_id, "FAILED")
            raise
        client.set_terminated(parent_id)

    def _fill(self, client: MlflowClient, experiment: str, parent_id: str, result: EvalResult, folder: Path) -> None:
        now = int(time.time() * 1000)
        _log_params(client, parent_id, dict(_flat(result.provenance.config)))
        client.log_batch(parent_id, metrics=_parent_metrics(result, now))
        client.log_inputs(parent_id, datasets=[_dataset_input(result)])
        for system in result.assessment.systems:
            tags = {**_tags(result), "mlflow.parentRunId": parent_id}
            child_id = client.create_run(experiment, now, tags, system.name).info.run_id
            _log_params(client, child_id, _child_params(result, system))
            client.log_batch(child_id, metrics=_child_metrics(result, system, now))
            client.set_terminated(child_id)
        if self._include_texts:
            client.log_artifacts(parent_id, str(folder))
            return
        with tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
            client.log_artifacts(parent_id, str(_without_texts(result, folder, Path(scratch) / folder.name)))


def _without_texts(result: EvalResult, folder: Path, copy: Path) -> Path:
    """The folder without the texts of queries and documents, under a manifest of its own."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(TEXTS, manifest.NAME, REPORT))
    if (folder / REPORT).exists():
        (copy / REPORT).write_text(page(result, include_texts=False), encoding="utf-8")
    manifest.seal(copy)
    return copy


def metric_name(metric: Metric) -> str:
    """The metric under a name that MLflow allows: ``recall_at_5`` for ``recall@5``."""
    return str(metric).replace("@", "_at_")


def _tags(result: EvalResult) -> dict[str, str]:
    return {
        "verdict": result.assessment.verdict.status,
        "conclusive": str(result.assessment.verdict.conclusive).lower(),
        "status": result.assessment.status,
        "dataset": result.dataset.name,
        "dataset_digest": result.dataset.digest,
        **_models(result),
    }


def _parent_tags(result: EvalResult) -> dict[str, str]:
    return {
        **_tags(result),
        "mlflow.note.content": f"**{result.assessment.verdict.status}**: {result.assessment.verdict.reason}",
    }


def _child_params(result: EvalResult, system: System) -> dict[str, Any]:
    return {**_models(result), "system": system.name, "top_k": system.top_k or 0}


def _models(result: EvalResult) -> dict[str, str]:
    return {role: model_name(values) for role, values in result.provenance.fingerprints.items()}


def _parent_metrics(result: EvalResult, now: int) -> list[LoggedMetric]:
    """Means and gains with their intervals over top-k (as the step), and the gain that was judged."""
    from mlflow.entities import Metric as LoggedMetric

    logged = []
    for found in result.assessment.comparisons:
        name = metric_name(found.metric)
        for suffix, value in (
            ("", found.candidate_mean),
            ("_delta_points", found.delta_points),
            ("_headroom_points", found.headroom_points),
            ("_ci_low", found.ci_low),
            ("_ci_high", found.ci_high),
            ("_p_value", found.p_adjusted),
        ):
            if value is not None:
                logged.append(LoggedMetric(name + suffix, value, now, found.top_k))
    verdict = result.assessment.verdict
    gain = (("", verdict.delta_points), ("_ci_low", verdict.ci_low), ("_ci_high", verdict.ci_high))
    return [*logged, *(LoggedMetric(f"gain_points{suffix}", value, now, 0) for suffix, value in gain)]


def _child_metrics(result: EvalResult, system: System, now: int) -> list[LoggedMetric]:
    from mlflow.entities import Metric as LoggedMetric

    logged = [
        LoggedMetric(metric_name(metric), value, now, 0)
        for metric, value in result.assessment.metrics[system.name].items()
    ]
    gains = {
        found.metric: found.delta_points for found in result.assessment.comparisons if found.candidate == system.name
    }
    logged += [
        LoggedMetric(f"{metric_name(metric)}_delta_points", gains.get(metric, 0.0), now, 0)
        for metric in result.assessment.metrics[system.name]
    ]
    return [*logged, LoggedMetric("judged_at_5", result.assessment.judged[system.name], now, 0)]


def _dataset_input(result: EvalResult) -> Any:
    from mlflow.entities import Dataset, DatasetInput

    dataset = result.dataset
    counts = {
        "num_queries": dataset.n_queries,
        "num_documents": dataset.n_documents,
        "num_judgments": sum(map(len, result.evidence.qrels.values())),
    }
    # MLflow keeps 36 characters of a digest; the tag dataset_digest holds all of it.
    return DatasetInput(
        Dataset(
            name=dataset.name,
            digest=dataset.digest[:36],
            source_type="local",
            source=json.dumps({"name": dataset.name}),
            profile=json.dumps(counts),
        )
    )


def _log_params(client: MlflowClient, run_id: str, values: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    params = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in values.items()]
    for start in range(0, len(params), BATCH):
        client.log_batch(run_id, params=params[start : start + BATCH])


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _first_line(error: Exception) -> str:
    return without_credentials(str(error).splitlines()[0]) if str(error) else type(error).__name__
