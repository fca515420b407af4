"""One MLflow run per evaluation, one child per system.

What is sent: numbers, ids, configuration and the finished result folder. Query and document texts
are in none of them. ``tracking`` says what exactly.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import tempfile
import time
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.checks import boolean, text
from evalkit.errors import SinkError
from evalkit.provenance import without_credentials
from evalkit.result import EvalResult
from evalkit.sinks.tracking import files, sheets, views
from evalkit.sinks.tracking.sheets import Sheet

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

DEFAULT_URI, DEFAULT_EXPERIMENT = "sqlite:///reports/mlflow.db", "evalkit"
"""What ``conf/sinks/default.yaml`` names where nothing else does."""

METRICS, PARAMS = 500, 100
"""So many of each does MLflow take in one call."""

_LOG = logging.getLogger("evalkit.mlflow")


class MlflowSink:
    """Logs a finished result to a tracking server or a local SQLite file, once.

    Args:
        tracking_uri: Any MLflow tracking URI; ``sqlite:///...`` needs no server.
        artifact_location: Where a new experiment keeps artifacts, unless a server decides; None leaves it to MLflow.
        experiment: Name of the experiment.
        include_texts: Send the report as it is; otherwise a copy without the texts of queries and documents.
    """

    publishes = True

    def __init__(
        self, tracking_uri: str, artifact_location: str | None, experiment: str, include_texts: bool = False
    ) -> None:
        boolean("sinks.mlflow.include_texts", include_texts)
        text("sinks.mlflow.tracking_uri", tracking_uri)
        text("sinks.mlflow.artifact_location", artifact_location, or_null=True)
        text("sinks.mlflow.experiment", experiment)
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self._include_texts = include_texts
        self._artifacts = artifact_location

    def write(self, result: EvalResult, folder: Path) -> None:
        """Create the parent and its children, and upload the folder to the parent; say where it is.

        Raises:
            SinkError: MLflow refused or could not be reached; the folder is complete.
        """
        prepare()
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._create_database_folder()
            client = MlflowClient(tracking_uri=self.tracking_uri)
            experiment = self._experiment_id(client, result)
            earlier = _finished(client, experiment, result)
            if earlier is None:
                self._log(client, experiment, result, folder)
        # ImportError: the driver of a database is missing.
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
            raise SinkError(
                f"MLflow at {without_credentials(self.tracking_uri)} did not take the result: {_first_line(error)}. "
                f"The result is complete in {folder}; once that is mended, send it with: "
                f"{shlex.join(['evalkit', 'report', '--to', 'mlflow', str(folder), *self._settings()])}. To go without "
                "MLflow, set sinks.mlflow=null"
            ) from error
        if earlier is None:
            _LOG.info("logged, see: %s", self._place(experiment))
        else:
            where = self._place(experiment)
            _LOG.info("nothing was sent, as %s is there already, as run %s: %s", result.run_id, earlier, where)

    def _create_database_folder(self) -> None:
        if self.tracking_uri.startswith("sqlite:///"):
            Path(self.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)

    def _place(self, experiment: str) -> str:
        """Where to look: an address, or the command that serves the store."""
        if is_server(self.tracking_uri):
            return views.address(without_credentials(self.tracking_uri), experiment)
        return shlex.join(["evalkit", "ui", *self._settings()])

    def _settings(self) -> list[str]:
        """The overrides that lead back to this store and experiment, without secrets."""
        named = {}
        if self.tracking_uri not in (DEFAULT_URI, os.environ.get("MLFLOW_TRACKING_URI")):
            named["tracking_uri"] = without_credentials(self.tracking_uri)
        if self.experiment != DEFAULT_EXPERIMENT:
            named["experiment"] = self.experiment
        return [f"sinks.mlflow.{name}={value}" for name, value in named.items()]

    def _experiment_id(self, client: MlflowClient, result: EvalResult) -> str:
        tags = views.experiment_tags(result)
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            # Only a server knows where it keeps artifacts.
            local = self._artifacts if not is_server(self.tracking_uri) else None
            location = None if local is None else Path(local).absolute().as_uri()
            return str(client.create_experiment(self.experiment, location, tags=tags))
        # A view that a user has changed stays as it is.
        for name in tags.keys() - found.tags.keys():
            client.set_experiment_tag(found.experiment_id, name, tags[name])
        return str(found.experiment_id)

    def _log(self, client: MlflowClient, experiment: str, result: EvalResult, folder: Path) -> None:
        started = int(datetime.fromisoformat(result.provenance.created).timestamp() * 1000)
        ended = started + int(1000 * sum(result.timings.values()))
        parent = sheets.evaluation(result)
        parent_id = _create(client, experiment, parent, started)
        try:
            _fill(client, parent_id, parent, result)
            with tempfile.TemporaryDirectory(prefix="evalkit-") as name:
                scratch = Path(name)
                found = list(zip(sheets.systems(result), result.assessment.systems, strict=True))
                for place, (sheet, system) in enumerate(found):
                    # The newest stands first in the UI, so this keeps the order of the sweep.
                    begun = started + len(found) - place
                    child_id = _create(client, experiment, sheet, begun, parent_id)
                    _fill(client, child_id, sheet, result)
                    client.log_artifact(child_id, str(files.write_queries(result, [system], scratch)))
                    client.set_terminated(child_id, end_time=begun)
                client.log_artifact(parent_id, str(files.write_queries(result, result.assessment.systems, scratch)))
                if not self._include_texts:
                    folder = files.without_texts(result, folder, scratch / folder.name)
                client.log_artifacts(parent_id, str(folder))
        except BaseException:
            client.set_terminated(parent_id, "FAILED")
            raise
        client.set_terminated(parent_id, end_time=ended)


def prepare() -> None:
    """Import MLflow, having settled what it reads when it is imported, where the user has not."""
    # It counts its use and sends the counts home unless told otherwise.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # It prints two addresses for each run that ends, whatever the URI holds.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A request that fails is repeated for minutes by default; a person is waiting.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    import_module("mlflow")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # It warns of each repeated request with the whole URL, whatever that holds.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def is_server(tracking_uri: str) -> bool:
    """Whether a server answers at the URI; otherwise it names a store."""
    return tracking_uri.startswith(("http://", "https://"))


def _finished(client: MlflowClient, experiment: str, result: EvalResult) -> str | None:
    """The run that holds this result already; one that broke off is deleted, as MLflow's UI would, and not counted."""
    of_this = f"tags.{sheets.RESULT_ID} = '{result.run_id}'"
    earlier = list(client.search_runs([experiment], of_this))
    for run in earlier:
        if run.data.tags.get("kind") == sheets.EVALUATION and run.info.status == "FINISHED":
            return str(run.info.run_id)
    for run in earlier:
        client.delete_run(run.info.run_id)
    return None


def _create(client: MlflowClient, experiment: str, sheet: Sheet, started: int, parent_id: str | None = None) -> str:
    tags = {**sheet.tags, **files.TABLES} | ({} if parent_id is None else {"mlflow.parentRunId": parent_id})
    return str(client.create_run(experiment, started, tags, sheet.name).info.run_id)


def _fill(client: MlflowClient, run_id: str, sheet: Sheet, result: EvalResult) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, step) for name, value, step in sheet.points]
    params = [Param(name, value) for name, value in sheet.params.items()]
    for call in range(max(-(-len(metrics) // METRICS), -(-len(params) // PARAMS))):
        client.log_batch(
            run_id,
            metrics=metrics[call * METRICS : (call + 1) * METRICS],
            params=params[call * PARAMS : (call + 1) * PARAMS],
        )
    client.log_inputs(run_id, datasets=[_dataset_input(result)])


def _dataset_input(result: EvalResult) -> DatasetInput:
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


def _first_line(error: Exception) -> str:
    return without_credentials(str(error).splitlines()[0]) if str(error) else type(error).__name__
