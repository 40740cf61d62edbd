"""From intervals to a verdict: ship, stop, or undecided with what would be needed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fimble.experiments import Looks
from telemetry.experiments.metrics import toward_better
from telemetry.experiments.sequential import factor_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.experiments import Experiment
    from telemetry.experiments.gates import Gate


class Decision(StrEnum):
    """What to do."""

    SHIP = "ship"
    STOP = "stop"
    UNDECIDED = "undecided"


class Harm(StrEnum):
    """What is known about a guardrail."""

    EXCLUDED = "excluded"
    """It is certainly not worse by more than is allowed."""
    OPEN = "open"
    FOUND = "found"
    """It is certainly worse, and by more than is allowed as far as one can tell: roll back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of one arm against the control."""

    arm: str
    metric: str
    control: float
    treatment: float
    effect: float
    low: float
    high: float
    standard_error: float
    p_value: float
    """Adjusted for several arms, or for several metrics."""
    num_control_users: int
    num_treatment_users: int
    is_adjusted: bool
    """Whether history was taken into account (CUPED)."""
    harm: Harm | None = None
    """Of a guardrail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do, and why."""

    decision: Decision
    arm: str
    """The arm to ship; empty otherwise."""
    reasons: tuple[str, ...]
    needed: str
    """What an undecided experiment needs; empty otherwise."""
    roll_back: tuple[str, ...]
    """Arms that break a guardrail."""


def harm_of(found: Comparison, max_worse: float) -> Harm:
    """Return what a guardrail's interval says."""
    sign = toward_better(found.metric)
    worse = -sign * found.effect
    worse_low, worse_high = sorted((-sign * found.low, -sign * found.high))
    if worse_low > 0 and worse > max_worse:
        return Harm.FOUND
    return Harm.EXCLUDED if worse_high <= max_worse else Harm.OPEN


def decide(
    experiment: Experiment,
    *,
    gates: Sequence[Gate],
    main: Sequence[Comparison],
    guardrails: Sequence[Comparison],
    is_over: bool,
) -> Verdict:
    """Return what to do.

    Args:
        experiment: As it was registered.
        gates: Whether the data can be trusted.
        main: The main metric of each arm that can be compared.
        guardrails: Every guardrail of each arm.
        is_over: Whether no more data will come.
    """
    harmed = tuple(dict.fromkeys(each.arm for each in guardrails if each.harm is Harm.FOUND))
    failed = [f"{gate.name}: {gate.finding}" for gate in gates if not gate.is_passed]
    if failed:
        needed = "find out why the data cannot be trusted, mend it, and start anew with a new name"
        return _verdict(Decision.UNDECIDED, failed, needed=needed, roll_back=harmed)
    safe = [each for each in main if each.arm not in harmed]
    reasons = [f"{arm} breaks a guardrail: roll it back" for arm in harmed]
    winners = [each for each in safe if _is_better(each, experiment)]
    if winners:
        best = max(winners, key=lambda each: abs(each.effect))
        reasons.append(f"{best.arm} is better: {_interval(best)}")
        return _verdict(Decision.SHIP, reasons, arm=best.arm, roll_back=harmed)
    open_arms = [each for each in safe if not _is_hopeless(each, experiment)]
    closed = [each for each in safe if _is_hopeless(each, experiment)]
    reasons += [f"{each.arm}: {_why_hopeless(each, experiment)}" for each in closed]
    if len(harmed) + len(closed) == len(experiment.arms) - 1:
        return _verdict(Decision.STOP, reasons, roll_back=harmed)
    reasons += [f"{each.arm} may be better or not: {_interval(each)}" for each in open_arms]
    if experiment.looks is Looks.ONCE and not is_over:
        reasons.append("it allows one look, at its end; until then guardrails alone are looked at")
        needed = f"wait until it is over, on {experiment.stop}"
    else:
        needed = needed_for(open_arms, experiment, is_over=is_over)
    return _verdict(Decision.UNDECIDED, reasons, needed=needed, roll_back=harmed)


def needed_for(found: Sequence[Comparison], experiment: Experiment, *, is_over: bool) -> str:
    """Return what would decide the arms that are open."""
    if not found:
        return "ten users in each arm at least, and something that the metric can be divided by"
    alpha = experiment.alpha / (len(experiment.arms) - 1)
    factor = factor_for(alpha=alpha, power=experiment.power)
    error = max(each.standard_error for each in found)
    times = (factor * error / experiment.minimal_effect) ** 2
    effect = f"an effect of {experiment.minimal_effect:g}"
    if times <= 1:
        wait = "" if is_over else ", or wait: more days may still decide it"
        return f"there are data enough to find {effect}; take it that there is none{wait}"
    return (
        f"to find {effect}, {times:.1f} times the data: as many times the users, or a unit that "
        "needs fewer; see `fimble telemetry experiment plan`"
    )


def _verdict(
    decision: Decision,
    reasons: Sequence[str],
    *,
    arm: str = "",
    needed: str = "",
    roll_back: tuple[str, ...] = (),
) -> Verdict:
    return Verdict(
        decision=decision, arm=arm, reasons=tuple(reasons), needed=needed, roll_back=roll_back
    )


def _is_better(found: Comparison, experiment: Experiment) -> bool:
    return found.p_value < experiment.alpha and found.effect * toward_better(found.metric) > 0


def _is_hopeless(found: Comparison, experiment: Experiment) -> bool:
    """Return whether an arm is certainly worse, or not better by what is worth shipping."""
    sign = toward_better(found.metric)
    return max(sign * found.low, sign * found.high) < experiment.minimal_effect


def _why_hopeless(found: Comparison, experiment: Experiment) -> str:
    sign = toward_better(found.metric)
    if max(sign * found.low, sign * found.high) < 0:
        return f"worse: {_interval(found)}"
    return f"not better by {experiment.minimal_effect:g}, if at all: {_interval(found)}"


def _interval(found: Comparison) -> str:
    return (
        f"{found.metric} {found.control:.4g} to {found.treatment:.4g}, difference "
        f"{found.effect:+.4g} ({found.low:+.4g} to {found.high:+.4g})"
    )
