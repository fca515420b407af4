"""What MLflow's UI shows of an experiment: its own default is a table without a single metric.

A view is a tag of the experiment, in the form in which the UI stores what a user saves under "Views"; a parameter of
the address opens it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.result import EvalResult
from evalkit.sinks.tracking.sheets import CURVES, RESULT_ID, SYSTEM, metric_name
from evalkit.types import Metric

EVALUATIONS = "evalkit"
SYSTEMS = "evalkit-systems"
"""Keys of the two views in an address."""

_TAG = "mlflow.sharedViewState."

_NOTE = f"""\
One run per evaluation, one child per system: stage 1 alone (`dense`, `bm25`, `hybrid`, ...), or
`rerank@K`, which reranks its first K candidates.

- `gain_points`: 100 x (reranked - stage 1) on the metric that was judged, in absolute percentage points;
  `gain_points_low` and `gain_points_high` are its 95 % interval, `gain_relative_percent` is the same change as a share
  of stage 1.
- `verdict`: the gain at the top-k that was declared beforehand, held against the expected band.
- `rerank_p50_ms`, `rerank_p95_ms`: what reranking adds to one query, warm; `rerank_cost_per_1000_queries`: what a paid
  service bills for it, in the currency of `reranker.price`.
- `gain_points_de_fr`: of de queries on those candidates that are in fr, where there are several languages;
  `gain_points_de_pooled` is that on all documents. `own_language_dense` and `own_language_reranked` are the shares of
  the top in the language of the query.
- `{CURVES}/...`: the curves of an evaluation; the step is the top-k, and 0 is stage 1.

Views, at the top right: "Evaluations" and "Systems by top-k".
"""


def address(server: str, experiment_id: str, view: str = EVALUATIONS) -> str:
    """Where the runs table of an experiment is, with the columns of a view.

    Args:
        server: Such as ``http://127.0.0.1:5000``.
        experiment_id: MLflow's number of the experiment.
        view: ``EVALUATIONS`` or ``SYSTEMS``.
    """
    # Without a workflow the UI opens the view for language-model traces, where runs are out of sight.
    shown = f"workflowType=machine_learning&viewStateShareKey={view}"
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?{shown}"


def experiment_tags(result: EvalResult) -> dict[str, str]:
    """The tags that an experiment should have: what it is, how to read it, and the views."""
    means = _means(result)
    gain = ("gain_points", "gain_points_low", "gain_points_high")
    numbers = [f"metrics.`{name}`" for name in ("top_k", *gain, *means)]
    latency = ["metrics.`rerank_p50_ms`", "metrics.`rerank_p95_ms`"]
    models = ("reranker", "embedder", "dataset")
    # Systems have no parameter but their own.
    evaluations = ["tags.`verdict`", "params.`metric`", *numbers, *(f"params.`{name}`" for name in models), *latency]
    systems = ["tags.`metric`", *numbers, *latency, *(f"tags.`{name}`" for name in (*models, RESULT_ID))]
    flat = {
        "searchFilter": f"tags.kind = '{SYSTEM}'",
        # Sorted by date, the UI would put each below its parent, and fold it.
        "orderByKey": "metrics.`top_k`",
        "orderByAsc": True,
        "runsHiddenMode": "SHOW_ALL",
    }
    return {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": _NOTE,
        f"{_TAG}{EVALUATIONS}": _view("Evaluations", evaluations, 200),
        f"{_TAG}{SYSTEMS}": _view("Systems by top-k", systems, 140, **flat, **_charts([*means, "gain_points"])),
    }


def _means(result: EvalResult) -> list[str]:
    """The metric that was judged, and nDCG@10 where it was computed."""
    judged, second = result.assessment.verdict.expectation.metric, Metric("ndcg", 10)
    shown = [judged, second] if second != judged and second in result.assessment.metrics["dense"] else [judged]
    return [metric_name(metric) for metric in shown]


def _view(name: str, columns: Sequence[str], name_width: int, **more: Any) -> str:
    """A view as the UI keeps it; widths in pixels."""
    widths = {"attributes.`Run Name`": name_width, "runDateAndNestInfo": 135}
    widths |= {column: _width(column) for column in columns}
    state = {"selectedColumns": columns, "columnOrder": list(widths), "columnWidths": widths, **more}
    return json.dumps({"name": name, "createdAt": 0, "state": json.dumps(state)})


def _width(column: str) -> int:
    if "verdict" in column:
        return 80
    return max(80, 7 * len(column) - 35) if column.startswith("metrics") else 200


def _charts(metrics: Sequence[str]) -> Mapping[str, Any]:
    """Gain against depth and time; the charts that the UI makes of every metric stay folded below."""
    gain = {"key": "gain_points", "type": "METRIC"}
    cards: list[dict[str, Any]] = [
        {"type": "SCATTER", "xaxis": {"key": "top_k", "type": "METRIC"}, "yaxis": gain},
        {"type": "SCATTER", "xaxis": {"key": "rerank_p50_ms", "type": "METRIC"}, "yaxis": gain},
        {"type": "PARALLEL", "selectedParams": ["top_k"], "selectedMetrics": ["rerank_p50_ms", *metrics]},
        {"type": "BAR", "metricKey": "gain_points"},
    ]
    common = {"deleted": False, "isGenerated": False, "metricSectionId": "gain", "runsCountToCompare": 100}
    sections = {"gain": "Gain against top-k and time", "others": "Model metrics"}
    return {
        "compareRunCharts": [{**common, "uuid": f"gain-{place}", **card} for place, card in enumerate(cards)],
        "compareRunSections": [
            {"uuid": key, "name": title, "display": key == "gain", "isReordered": True, "columns": 2}
            for key, title in sections.items()
        ],
        "isAccordionReordered": True,
    }
