"""Hold a finished result to rules: pure, from what the result stored."""

from __future__ import annotations

from evalkit.analysis.expectation import judge
from evalkit.analysis.gate_parts import STOPPED, hold_languages, hold_slice
from evalkit.analysis.metrics import EPSILON
from evalkit.analysis.regression import RULE, Baseline, regression
from evalkit.errors import ConfigError
from evalkit.findings import Expectation, Verdict
from evalkit.result import EvalResult
from evalkit.rules import Policy, Rules, Ruling, RulingStatus
from evalkit.types import Metric, System


def hold(result: EvalResult, rules: Rules, baseline: Baseline | None = None) -> tuple[Ruling, ...]:
    """Hold a result to every rule.

    Args:
        result: A finished one.
        rules: What is asked of it.
        baseline: What it must not fall behind; None where there is none.

    Returns:
        The self-checks first, then the expectation, floors, slices, languages, latency and the baseline, as far as they
        are asked for. An invalid result is held to nothing else than its self-checks.

    Raises:
        ConfigError: The rules speak of a metric or top-k that the result does not hold, or of an impossible band.
    """
    checks = self_checks(result)
    if checks.status == "invalid":
        return (checks,)
    expected = expectation_of(result, rules)
    system = System("reranked", expected.top_k).name
    return (
        checks,
        _expectation(result, expected, rules.expectation),
        *(_floor(result, system, metric, least) for metric, least in rules.floors.items()),
        *(hold_slice(result, expected, attribute, least) for attribute, least in rules.slices.items()),
        *([] if rules.languages is None else [hold_languages(result, expected, rules.languages)]),
        *([] if rules.latency_p95_ms is None else [_latency(result, expected.top_k, rules.latency_p95_ms)]),
        *([] if rules.baseline is None else [_baseline(result, expected, rules, baseline)]),
    )


def self_checks(result: EvalResult) -> Ruling:
    """What the self-checks of the run say: ``invalid`` where one failed."""
    controls = result.assessment.controls
    failed = [f"{control.name}: {control.message}" for control in controls if control.status == "failed"]
    if failed:
        return Ruling("self-checks", "invalid", f"failed, so that no number can be trusted: {'; '.join(failed)}")
    passed = sum(control.status == "passed" for control in controls)
    warned = [f"{control.name}: {control.message}" for control in controls if control.status == "warned"]
    skipped = [control.name for control in controls if control.status == "skipped"]
    told = f", not possible here: {', '.join(skipped)}" if skipped else ""
    told += f"; look at {'; '.join(warned)}" if warned else ""
    return Ruling("self-checks", "warned" if warned else "passed", f"{passed} of {len(controls)} passed{told}")


def expectation_of(result: EvalResult, rules: Rules) -> Expectation:
    """What is expected of a result: the rules, and what it stored where they leave that open.

    Raises:
        ConfigError: It does not hold that metric at that top-k, or the band is impossible.
    """
    declared = result.assessment.verdict.expectation
    metric = rules.metric or declared.metric
    top_k = declared.top_k if rules.top_k is None else rules.top_k
    comparisons = result.assessment.comparisons
    if not any((found.metric, found.top_k) == (metric, top_k) for found in comparisons):
        metrics = ", ".join(dict.fromkeys(str(found.metric) for found in comparisons))
        top_ks = ", ".join(dict.fromkeys(str(found.top_k) for found in comparisons))
        raise ConfigError(
            f"the gate asks for {metric} at top-k {top_k}, which the result does not hold; it holds {metrics} at top-k "
            f"{top_ks}. evalkit report RESULT with metrics.names, sweep.top_k and expectation.* can measure it again "
            "without a model"
        )
    low, high = _band(rules, declared)
    if high is not None and low > high:
        raise ConfigError(
            f"the gate's band goes from {low:g} down to {high:g} points, with what the result stored; give min_points "
            "and max_points together"
        )
    if result.sequential is not None and (metric, top_k, low) != (
        declared.metric,
        declared.top_k,
        declared.min_points,
    ):
        raise ConfigError(
            f"the run stopped as soon as it was decided on which side of {declared.min_points:g} points of "
            f"{declared.metric} at top-k {declared.top_k} the gain lies, and answers no other question; go on to a "
            "full result with evalkit run, without sweep.sequential"
        )
    return Expectation(metric, top_k, low, high, rules.decide_on or declared.decide_on)


def _band(rules: Rules, declared: Expectation) -> tuple[float, float | None]:
    if rules.min_points is not None:
        return rules.min_points, rules.max_points
    return declared.min_points, declared.max_points if rules.max_points is None else rules.max_points


def _expectation(result: EvalResult, expected: Expectation, policy: Policy) -> Ruling:
    found = result.assessment.comparison(expected.metric, expected.top_k)
    verdict = judge(found, expected, result.sequential)
    declared = result.assessment.verdict.expectation
    notice, origin = "", result.provenance.derived_from
    if origin is not None:
        notice = (
            f" Measured again from {origin} after its run: what is declared here was chosen afterwards, on the same "
            "queries."
        )
    if (expected.metric, expected.top_k) != (declared.metric, declared.top_k):
        notice += (
            f" Before the run, {declared.metric} at top-k {declared.top_k} was declared: chosen afterwards, on the "
            "same queries, a gain flatters."
        )
    status = _judged(verdict, policy)
    if status == "passed" and notice:
        status = "warned"
    return Ruling("expectation", status, f"{verdict.status}: {verdict.reason}{notice}")


def _judged(verdict: Verdict, policy: Policy) -> RulingStatus:
    if verdict.status == "below":
        return "warned" if policy == "warn" else "failed"
    if policy == "strict" and not verdict.conclusive:
        return "inconclusive"
    return "warned" if verdict.status == "above" else "passed"


def _floor(result: EvalResult, system: str, metric: Metric, least: float) -> Ruling:
    name, means = f"floor {metric}", result.assessment.metrics[system]
    if result.sequential is not None:
        return Ruling(name, "error", STOPPED)
    if metric not in means:
        return Ruling(
            name,
            "failed",
            f"{metric} was not computed, so that nothing was held to {least:g}; computed are "
            f"{', '.join(map(str, means))}. Add it to metrics.names",
        )
    mean = means[metric]
    if mean < least - EPSILON:
        return Ruling(name, "failed", f"{metric} of {system} is {mean:.4f}, under the floor of {least:g}")
    return Ruling(name, "passed", f"{metric} of {system} is {mean:.4f}, at least {least:g} is asked for")


def _latency(result: EvalResult, top_k: int, budget: float) -> Ruling:
    measured = result.latency
    stage2 = next((one for one in measured.stage2 if one.top_k == top_k), None) if measured else None
    if measured is None or stage2 is None:
        return Ruling(
            "latency",
            "failed",
            f"none was measured at top-k {top_k}, so that nothing was held to {budget:g} ms; a run that scores pairs "
            "measures it, unless latency.queries is 0; on remembered scores alone, take a new cache_dir",
        )
    total = measured.stage1_p95_ms + stage2.p95_ms
    within = total <= budget
    return Ruling(
        "latency",
        "passed" if within else "failed",
        f"p95 at top-k {top_k} is {total:.1f} ms (stage 1 {measured.stage1_p95_ms:.1f}, stage 2 {stage2.p95_ms:.1f}), "
        f"{'within' if within else 'over'} the budget of {budget:g} ms; measured {measured.measured} on "
        f"{measured.machine}, vectors in {measured.store}",
    )


def _baseline(result: EvalResult, expected: Expectation, rules: Rules, kept: Baseline | None) -> Ruling:
    if kept is None:
        return Ruling(
            RULE, "skipped", f"there is none named {result.dataset.name} yet; evalkit baseline keeps this result as one"
        )
    if result.sequential is not None:
        return Ruling(RULE, "error", STOPPED)
    return regression(Baseline.of(result, expected), kept, rules, result.design.resamples, result.design.seed)
