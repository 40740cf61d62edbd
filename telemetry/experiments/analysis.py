"""An experiment from its data to its verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fimble.events import Unit
from fimble.experiments import Looks
from telemetry.experiments.corrections import benjamini_hochberg, holm
from telemetry.experiments.days import Span, read_days, read_losses
from telemetry.experiments.effects import estimate
from telemetry.experiments.gates import Gate, check_gates
from telemetry.experiments.metrics import METRICS, NEEDS_DAYS
from telemetry.experiments.sequential import Bounds, always_valid, mixing_sd_for
from telemetry.experiments.verdict import Comparison, Verdict, decide, harm_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

    from fimble.experiments import Experiment, Guardrail
    from telemetry.experiments.days import UserDays
    from telemetry.experiments.sample import Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything that is said about an experiment."""

    experiment: str
    unit: str
    looks: str
    num_days: int
    """Days with data so far."""
    num_users: int
    is_over: bool
    gates: tuple[Gate, ...]
    main: tuple[Comparison, ...]
    guardrails: tuple[Comparison, ...]
    explored: tuple[Comparison, ...]
    """The other metrics: hints for the next experiment, no ground for a verdict."""
    verdict: Verdict


def analyse(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, *, now_ms: int
) -> Analysis:
    """Return what the data say until now.

    Args:
        connection: Where the views are.
        experiment: As it was registered.
        now_ms: Unix time.
    """
    span = Span.of(experiment, now_ms)
    days = read_days(connection, experiment, span)
    losses = read_losses(connection, experiment, span)
    is_over = now_ms >= experiment.stop_ms
    gates = check_gates(experiment, days, losses)
    may_look = is_over or experiment.looks is Looks.DAILY
    main = _main(days, experiment) if may_look else ()
    guardrails = _guardrails(days, experiment)
    return Analysis(
        experiment=experiment.name,
        unit=experiment.unit,
        looks=experiment.looks,
        num_days=len(set(days.day[days.arm >= 0].tolist())),
        num_users=len(set(days.user[days.arm >= 0].tolist())),
        is_over=is_over,
        gates=gates,
        main=main,
        guardrails=guardrails,
        explored=_explored(days, experiment) if may_look else (),
        verdict=decide(experiment, gates=gates, main=main, guardrails=guardrails, is_over=is_over),
    )


def _main(days: UserDays, experiment: Experiment) -> tuple[Comparison, ...]:
    """Compare the main metric; intervals by Bonferroni, p-values by Holm."""
    alpha = experiment.alpha / (len(experiment.arms) - 1)
    found: list[Comparison] = []
    for arm in range(1, len(experiment.arms)):
        effect = _effect(days, experiment, experiment.main_metric, arm=arm, alpha=alpha)
        if effect is None:
            continue
        bounds = Bounds(effect.low, effect.high, effect.p_value)
        if experiment.looks is Looks.DAILY:
            bounds = _at_any_look(effect, experiment.minimal_effect, experiment, alpha=alpha)
        found.append(_compared(experiment, experiment.main_metric, arm, effect, bounds))
    return _with_p_values(found, holm([each.p_value for each in found]))


def _guardrails(days: UserDays, experiment: Experiment) -> tuple[Comparison, ...]:
    """Compare the guardrails: looked at every day, and not corrected, so as to miss no harm."""
    return tuple(
        found
        for guardrail in experiment.guardrails
        for arm in range(1, len(experiment.arms))
        if (found := _guarded(days, experiment, guardrail, arm=arm)) is not None
    )


def _guarded(
    days: UserDays, experiment: Experiment, guardrail: Guardrail, *, arm: int
) -> Comparison | None:
    alpha = experiment.alpha
    effect = _effect(days, experiment, guardrail.metric, arm=arm, alpha=alpha)
    if effect is None:
        return None
    bounds = _at_any_look(effect, guardrail.max_worse, experiment, alpha=alpha)
    found = _compared(experiment, guardrail.metric, arm, effect, bounds)
    return replace(found, harm=harm_of(found, guardrail.max_worse))


def _explored(days: UserDays, experiment: Experiment) -> tuple[Comparison, ...]:
    """Compare every other metric, with p-values by Benjamini and Hochberg."""
    named = {experiment.main_metric, *(each.metric for each in experiment.guardrails)}
    found = [
        _compared(experiment, name, arm, effect, Bounds(effect.low, effect.high, effect.p_value))
        for name in METRICS
        if name not in named
        for arm in range(1, len(experiment.arms))
        if (effect := _effect(days, experiment, name, arm=arm, alpha=experiment.alpha)) is not None
    ]
    return _with_p_values(found, benjamini_hochberg([each.p_value for each in found]))


def _effect(
    days: UserDays, experiment: Experiment, metric: str, *, arm: int, alpha: float
) -> Effect | None:
    """Return the effect on a metric; None where it cannot be told."""
    if METRICS[metric].denominator in NEEDS_DAYS and experiment.unit is Unit.REQUEST:
        return None
    found = estimate(
        days.sample(metric),
        arm=arm,
        unit=experiment.unit,
        alpha=alpha,
        adjusted=experiment.before_days > 0,
    )
    is_sound = found is not None and found.standard_error > 0 and not math.isnan(found.p_value)
    return found if is_sound else None


def _at_any_look(
    effect: Effect, minimal_effect: float, experiment: Experiment, *, alpha: float
) -> Bounds:
    mixing_sd = mixing_sd_for(minimal_effect, alpha=alpha, power=experiment.power)
    return always_valid(effect.effect, effect.standard_error, mixing_sd=mixing_sd, alpha=alpha)


def _compared(
    experiment: Experiment, metric: str, arm: int, effect: Effect, bounds: Bounds
) -> Comparison:
    return Comparison(
        arm=experiment.arms[arm].name,
        metric=metric,
        control=effect.control,
        treatment=effect.treatment,
        effect=effect.effect,
        low=bounds.low,
        high=bounds.high,
        standard_error=effect.standard_error,
        p_value=bounds.p_value,
        num_control_users=effect.num_control,
        num_treatment_users=effect.num_treatment,
        is_adjusted=effect.is_adjusted,
    )


def _with_p_values(
    found: Iterable[Comparison], p_values: Iterable[float]
) -> tuple[Comparison, ...]:
    return tuple(replace(each, p_value=p) for each, p in zip(found, p_values, strict=True))
