"""Has it become worse? A result against one that was kept, paired by query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from evalkit.analysis.comparison import column
from evalkit.analysis.metrics import EPSILON, mean
from evalkit.analysis.power import POWER, detectable_drop, standard_error
from evalkit.analysis.significance import drop_p_values
from evalkit.analysis.units import Floats, Units
from evalkit.errors import ConfigError
from evalkit.findings import Expectation
from evalkit.result import EvalResult
from evalkit.rules import MODELS, Rules, Ruling
from evalkit.types import DENSE, Fingerprint, Metric, PerQuery, System

RULE = "baseline"

LEVEL = 0.05
"""A drop that chance alone makes less often than this is one."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What of a result later ones are held against.

    Attributes:
        run_id, created: Of the result.
        dataset: Name of the data set.
        digest, qrels_digest: Of the data and of its judgments.
        metric, top_k: The decision.
        fingerprints: ``embedder``, ``sparse`` and ``reranker``, those that took part, ``retrieval`` and
            ``long_documents`` -> what identifies its numbers.
        families: query id -> family, for the queries that have one.
        dense, reranked: query id -> value of the metric, over the same queries.
        stage_one: What readers call the search of stage 1; None where the file does not say.
    """

    run_id: str
    created: str
    dataset: str
    digest: str
    qrels_digest: str
    metric: Metric
    top_k: int
    fingerprints: Mapping[str, Fingerprint]
    families: Mapping[str, str]
    dense: PerQuery
    reranked: PerQuery
    stage_one: str | None = None

    @classmethod
    def of(cls, result: EvalResult, expectation: Expectation) -> Baseline:
        """What a result leaves to later ones, at the metric and top-k of an expectation that it can be held to.

        Raises:
            ConfigError: It is invalid, or stopped early.
        """
        if result.assessment.status == "invalid":
            raise ConfigError(
                f"the result {result.run_id} is invalid, so that nothing can be held against it; start a run whose "
                "self-checks pass"
            )
        if result.sequential is not None:
            raise ConfigError(
                f"the result {result.run_id} comes from a sequential run, whose estimates are biased where it stops "
                "early; go on to a full result with evalkit run, without sweep.sequential"
            )
        values = result.assessment.per_query
        return cls(
            run_id=result.run_id,
            created=result.provenance.created,
            dataset=result.dataset.name,
            digest=result.dataset.digest,
            qrels_digest=result.dataset.qrels_digest,
            metric=expectation.metric,
            top_k=expectation.top_k,
            fingerprints={**result.provenance.fingerprints, **result.provenance.settings},
            families=result.evidence.families,
            dense=values[DENSE.name][expectation.metric],
            reranked=values[System("reranked", expectation.top_k).name][expectation.metric],
            stage_one=result.stage_one.label,
        )

    @property
    def system(self) -> str:
        """Name of the reranked system."""
        return System("reranked", self.top_k).name

    @property
    def gain_points(self) -> float:
        """The gain over dense, in points."""
        return 100 * (mean(self.reranked) - mean(self.dense))


def regression(current: Baseline, kept: Baseline, rules: Rules, resamples: int = 10_000, seed: int = 0) -> Ruling:
    """Hold a result against a kept one: has its metric dropped, or its gain over dense?

    A drop is one where the estimate is below the tolerance and the one-sided paired sign-flip p, adjusted for both by
    step-down max-T, is under LEVEL; flips keep the queries of a family together. Where dense did not change, the two
    are one.

    Args:
        current: What the new result would leave.
        kept: The baseline.
        rules: Tolerance, and the models that may differ.
        resamples: Sign patterns that are drawn where they cannot all be enumerated.
        seed: Of the signs.

    Returns:
        ``failed`` with what dropped; ``error`` with everything that keeps the two from being compared; otherwise a
        pass that says which drop would have been found.
    """
    unlike = list(_unlike(current, kept))
    models = [(model, line) for model, line in _changed_models(current, kept) if model not in rules.allow_changed]
    if unlike or models:
        return Ruling(RULE, "error", _not_comparable(current, kept, unlike, models, rules.allow_changed))
    units = Units.of(list(current.reranked), current.families)
    changes, scale = _changes(current, kept, units)
    points, tolerance = scale * changes.mean(axis=0), rules.tolerance_points
    p_values = drop_p_values(changes, units, resamples, seed)
    subjects = (f"{current.metric} of {current.system}", "the gain over stage 1")[: len(points)]
    moved = " and ".join(f"{name} by {by:+.1f}" for name, by in zip(subjects, points, strict=True))
    against = f"against {kept.run_id} of {kept.created}: {moved} points"
    accepted = _accepted(current, kept)
    dropped = (points < -tolerance - 100 * EPSILON) & (p_values < LEVEL)
    if dropped.any():
        worse = " and ".join(f"{subjects[place]} (p = {p_values[place]:.2g})" for place in np.flatnonzero(dropped))
        message = f"moved {against}. A drop beyond tolerance_points={tolerance:g} and beyond chance: {worse}.{accepted}"
        return Ruling(RULE, "failed", message)
    found = " and ".join(f"{drop:.1f}" for drop in _detectable_points(changes, scale, units, tolerance))
    message = (
        f"moved {against}. No drop beyond tolerance_points={tolerance:g} and beyond chance; about {found} points would "
        f"have been found four times out of five.{accepted}"
    )
    return Ruling(RULE, "warned" if accepted else "passed", message)


def _changes(current: Baseline, kept: Baseline, units: Units) -> tuple[Floats, Floats]:
    """What changed per query, and how many points a unit of it is.

    Returns:
        The change of the metric, and half of the gain's where dense changed too, shape (n_queries, 1 or 2): the change
        of a gain lies in [-2, 2], and the test does not depend on a column's scale. Points, shape (1 or 2,).
    """
    metric = column(current.reranked, units) - column(kept.reranked, units)
    dense = column(current.dense, units) - column(kept.dense, units)
    if np.abs(dense).max() <= EPSILON:
        return metric[:, np.newaxis], np.array([100.0])
    return np.column_stack([metric, (metric - dense) / 2]), np.array([100.0, 200.0])


def _detectable_points(changes: Floats, scale: Floats, units: Units, tolerance: float) -> list[float]:
    """The smallest drops that are significant and beyond the tolerance four times out of five."""
    significant = scale * detectable_drop(changes, units, 100 / scale)
    beyond = tolerance + NormalDist().inv_cdf(POWER) * scale * standard_error(changes, units)
    return [float(drop) for drop in np.maximum(significant, beyond)]


def _unlike(current: Baseline, kept: Baseline) -> Iterator[str]:
    """What must be the same, models aside, and is not."""
    for name, here, there in (
        ("data set", (current.dataset, current.digest[:12]), (kept.dataset, kept.digest[:12])),
        ("judgments", (current.qrels_digest[:12],), (kept.qrels_digest[:12],)),
        ("metric", (str(current.metric),), (str(kept.metric),)),
        ("top-k", (str(current.top_k),), (str(kept.top_k),)),
    ):
        if here[-1] != there[-1]:
            yield f"{name} {' '.join(there)} in the baseline, {' '.join(here)} here"
    gone, new = kept.reranked.keys() - current.reranked.keys(), current.reranked.keys() - kept.reranked.keys()
    if gone or new:
        yield f"{len(gone)} queries of the baseline are not here, {len(new)} of {len(current.reranked)} are new"
    elif current.families != kept.families:
        yield f"query families {_grouped(kept)} in the baseline, {_grouped(current)} here"


def _grouped(side: Baseline) -> str:
    return f"{len(set(side.families.values()))} of {len(side.families)} queries"


def _changed_models(current: Baseline, kept: Baseline) -> Iterator[tuple[str, str]]:
    """Model and what differs in its fingerprint, by key."""
    for model in sorted(current.fingerprints.keys() | kept.fingerprints.keys()):
        here, there = current.fingerprints.get(model, {}), kept.fingerprints.get(model, {})
        for key in (*there, *(key for key in here if key not in there)):
            if (key in here, here.get(key)) != (key in there, there.get(key)):
                yield model, f"{model}.{key} {_shown(there, key)} in the baseline, {_shown(here, key)} here"


def _shown(fingerprint: Fingerprint, key: str) -> str:
    return repr(fingerprint[key]) if key in fingerprint else "absent"


def _not_comparable(
    current: Baseline,
    kept: Baseline,
    unlike: Sequence[str],
    models: Sequence[tuple[str, str]],
    allowed: Sequence[str],
) -> str:
    remedy = "Keep a new baseline from a run as it should be: evalkit baseline"
    if not unlike and all(model in MODELS for model, _ in models):
        changed = dict.fromkeys([*allowed, *(model for model, _ in models)])
        remedy += f". Where the change is what you want to try: gate.allow_changed=[{','.join(changed)}]"
    differences = "; ".join([*_other_search(current, kept), *unlike, *(line for _, line in models)])
    return f"not comparable with {kept.run_id} of {kept.created}: {differences}. {remedy}"


def _other_search(current: Baseline, kept: Baseline) -> Iterator[str]:
    """Said before the settings that follow from it."""
    if kept.stage_one is not None and kept.stage_one != current.stage_one:
        yield f"stage 1: {kept.stage_one} in the baseline, {current.stage_one} here"


def _accepted(current: Baseline, kept: Baseline) -> str:
    """The notice that says which changes of models were allowed."""
    lines = [line for _, line in _changed_models(current, kept)]
    return f" Allowed to differ: {'; '.join(lines)}." if lines else ""
