"""Measure a finished result again, as it was or otherwise: from its candidates and judgments, without a model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from evalkit.analysis.assess import assess
from evalkit.analysis.controls import OBSERVED
from evalkit.analysis.derive import unmeasured
from evalkit.analysis.expectation import check_sweep
from evalkit.analysis.grouping import LANG, FamilyRule
from evalkit.errors import ConfigError
from evalkit.provenance import versions
from evalkit.record import Latency
from evalkit.result import Assessment, Design, EvalResult, Evidence
from evalkit.stages import key_of

ANALYSIS = ("evalkit-rerank", "ranx", "numpy", "pandas")
"""Packages that work again; the others are those that made the scores."""


def assess_again(result: EvalResult, design: Design, evidence: Evidence) -> Assessment:
    """The assessment of a stored result's evidence; controls that needed the store or the models are kept.

    Raises:
        ControlError: The candidates are incomplete or repeat a document.
    """
    observed = [control for control in result.assessment.controls if control.name in OBSERVED]
    return assess(evidence, design, result.dataset, result.scoring, observed, result.sequential)


def rule_of(result: EvalResult) -> FamilyRule:
    """How the queries of a stored result named their families."""
    recorded = result.provenance.config.get("statistics") or {}
    return FamilyRule(recorded.get("family"), recorded.get("family_pattern"))


def settings_of(design: Design, rule: FamilyRule) -> dict[str, dict[str, Any]]:
    """What a measurement asks, as settings: group -> name -> value."""
    expected = design.expectation
    return {
        "metrics": {"names": list(map(str, design.metrics))},
        "sweep": {"top_k": list(design.top_ks)},
        "expectation": {
            "metric": str(expected.metric),
            "top_k": expected.top_k,
            "min_points": float(expected.min_points),
            "max_points": None if expected.max_points is None else float(expected.max_points),
            "decide_on": expected.decide_on,
        },
        "statistics": {
            "resamples": design.resamples,
            "seed": design.seed,
            "family": rule.attribute,
            "family_pattern": rule.pattern,
            "slices": list(design.slices),
            "document_slices": list(design.document_slices),
        },
    }


def remeasure(result: EvalResult, design: Design, rule: FamilyRule) -> EvalResult:
    """A result of its own from the same candidates, under another design.

    Args:
        result: As it was stored.
        design: What is asked now.
        rule: How queries name their families now.

    Returns:
        Named after the first run and the new design; ``provenance`` says where its scores come from.

    Raises:
        ConfigError: The stored candidates cannot answer that.
        ControlError: They are incomplete or repeat a document.
    """
    started = time.perf_counter()
    _check_depth(result, design)
    _check_given_scores(result, design)
    check_sweep(design, result.dataset.n_documents)
    _check_slices(result, design)
    evidence = replace(result.evidence, families=_families(result, rule))
    if result.sequential is not None:
        _check_stopped(result, design, evidence)
    assessment = assess_again(result, design, evidence)
    origin, settings = result.provenance, settings_of(design, rule)
    first = origin.derived_from or result.run_id
    return replace(
        result,
        run_id=f"{first}-{key_of(settings).hex()[:6]}",
        evidence=evidence,
        design=design,
        assessment=assessment,
        timings={"measure": time.perf_counter() - started},
        computed=dict.fromkeys(result.computed, 0),
        provenance=replace(
            origin,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions={**origin.versions, **{name: version for name, version in versions().items() if name in ANALYSIS}},
            config=_recorded(origin.config, settings),
            derived_from=first,
        ),
        latency=_latency(result.latency, design),
    )


def _recorded(config: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The first run's configuration with what is asked now."""
    return {**config, **{name: {**(config.get(name) or {}), **group} for name, group in settings.items()}}


def _latency(measured: Latency | None, design: Design) -> Latency | None:
    """What an earlier run measured of these top-k; None where that is nothing."""
    stage2 = tuple(one for one in measured.stage2 if one.top_k in design.top_ks) if measured else ()
    return replace(measured, stage2=stage2, stored=True) if measured and stage2 else None


def _check_depth(result: EvalResult, design: Design) -> None:
    lists = result.evidence.candidates.values()
    scored = max(sum(one.rerank_score is not None for one in found) for found in lists)
    deepest = max(scored, *result.design.top_ks)
    if max(design.top_ks, default=0) > deepest:
        raise ConfigError(
            f"sweep.top_k asks for {max(design.top_ks)}, but only the first {deepest} candidates of each query were "
            "scored; measure up to that, or score more with evalkit run"
        )
    depth = max(map(len, lists))
    beyond = [str(metric) for metric in design.metrics if depth < (metric.cutoff or 0)]
    if beyond and depth < result.dataset.n_documents:
        raise ConfigError(
            f"{', '.join(beyond)} looks deeper than the {depth} candidates of each query; choose a cutoff up to that, "
            "or retrieve more with evalkit run"
        )


def _check_given_scores(result: EvalResult, design: Design) -> None:
    """Where a system gave no score to some candidates, the result only speaks of the top-k that it reranked."""
    missing = unmeasured(result.evidence.candidates, result.scoring)
    if missing and set(design.top_ks) != set(result.design.top_ks):
        raise ConfigError(
            f"sweep.top_k is {list(design.top_ks)}, but {missing} of {missing + result.scoring.pairs} candidates have "
            f"no score of the system that reranked {max(result.design.top_ks)} of them (reranker.missing=last); no "
            "other top-k can be judged"
        )


def _check_slices(result: EvalResult, design: Design) -> None:
    evidence = result.evidence
    for setting, told, before, asked in (
        ("slices", evidence.attributes, result.design.slices, design.slices),
        ("document_slices", evidence.document_attributes, result.design.document_slices, design.document_slices),
    ):
        # Languages are always kept: where nobody names one, there are no slices by them.
        known = {LANG, *before, *(name for attributes in told.values() for name in attributes)}
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise ConfigError(
                f"statistics.{setting} names {', '.join(unknown)}, which this result does not hold; it holds "
                f"{', '.join(sorted(known))}. Others are read from the data by evalkit run"
            )


def _families(result: EvalResult, rule: FamilyRule) -> Mapping[str, str]:
    """Families by a rule, as far as ids and the stored families tell.

    Which of these came from the queries' metadata is known only where no pattern had a part in them.
    """
    stored = rule_of(result)
    if rule == stored:
        return result.evidence.families
    by_id = FamilyRule(pattern=rule.pattern).families_by_id(result.evidence.qrels)
    if rule.attribute is None:
        return by_id
    if rule.attribute != stored.attribute or stored.pattern is not None:
        raise ConfigError(
            f"statistics.family is {rule.attribute!r}; which family a query names there is in the data and not in the "
            "result. Use evalkit run; or set it to null here, and statistics.family_pattern finds families by id"
        )
    return {**by_id, **result.evidence.families}


def _check_stopped(result: EvalResult, design: Design, evidence: Evidence) -> None:
    """An early stop answers the question that decided when to stop, and no other."""
    old, new = result.design, design
    kept = (
        ("sweep.top_k", old.top_ks, new.top_ks),
        ("expectation.metric", str(old.expectation.metric), str(new.expectation.metric)),
        ("expectation.min_points", old.expectation.min_points, new.expectation.min_points),
        ("statistics.seed", old.seed, new.seed),
        ("statistics.family", result.evidence.families, evidence.families),
    )
    changed = [name for name, was, asked in kept if was != asked]
    if changed:
        raise ConfigError(
            f"this result stopped early, when its own question was decided; {', '.join(changed)} cannot change "
            "afterwards. Go on to a full result with evalkit run, without sweep.sequential"
        )
