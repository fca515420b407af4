"""``evalkit run``: one evaluation, or several by Hydra's multirun."""

from __future__ import annotations

from argparse import Namespace

from omegaconf import DictConfig

from evalkit.composition import with_hydra
from evalkit.config import build_plan, build_sinks, reports_folder
from evalkit.delivery import deliver
from evalkit.errors import ControlError
from evalkit.pipeline import evaluate


def run(arguments: Namespace) -> int:
    """Evaluate; what a gain means for CI is the gate's matter.

    Raises:
        ControlError: A self-check failed; the result is delivered all the same, marked as invalid.
    """
    with_hydra(_evaluate, arguments.words)
    return 0


def _evaluate(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    sinks, reports = build_sinks(config), reports_folder(config)
    result = evaluate(build_plan(config, ("run", *HydraConfig.get().overrides.task)))
    folder = deliver(result, sinks, reports)
    if result.assessment.status == "invalid":
        raise ControlError(f"the result in {folder} is invalid. {result.assessment.verdict.reason}")
