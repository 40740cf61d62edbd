"""Whether the data of an experiment can be trusted, asked before what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import chi2_contingency, chisquare

from fimble.events import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.experiments import Experiment
    from telemetry.experiments.days import ArmLosses, UserDays

GATE_ALPHA = 0.001
"""A gate is asked every day, so it must not cry wolf."""
MAX_LOSS_RATE = 0.01
MAX_LEFT_OUT_RATE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One question, and its answer."""

    name: str
    is_passed: bool
    finding: str


def check_gates(
    experiment: Experiment, days: UserDays, losses: Sequence[ArmLosses]
) -> tuple[Gate, ...]:
    """Return what was asked of the data, in the order in which it matters."""
    gates = [
        sample_ratio(experiment, days.num_units(experiment.unit)),
        _left_out(days),
        _loss(losses),
    ]
    if experiment.unit is Unit.USER:  # otherwise sessions have no arm of their own
        lossy = [(each.num_lossy, each.num_sessions) for each in losses]
        unended = [(each.num_not_ended, each.num_sessions) for each in losses]
        gates += [
            same_share("loss_by_arm", "sessions with lost events", lossy),
            same_share("crashes_by_arm", "sessions that were killed or are open", unended),
        ]
    return tuple(gates)


def sample_ratio(experiment: Experiment, num_units: Sequence[int]) -> Gate:
    """Return whether the arms got the units that their weights promise.

    Source: Fabijan et al. 2019, "Diagnosing sample ratio mismatch in online controlled
    experiments", KDD.
    """
    weights = [arm.weight for arm in experiment.arms]
    expected = [sum(num_units) * weight / sum(weights) for weight in weights]
    p_value = float(chisquare(num_units, expected).pvalue) if sum(num_units) else 1.0
    found = ", ".join(
        f"{arm.name} {count}" for arm, count in zip(experiment.arms, num_units, strict=True)
    )
    promised = ", ".join(f"{count:.0f}" for count in expected)
    what = {Unit.USER: "users", Unit.USER_DAY: "user-days", Unit.REQUEST: "bursts"}
    return Gate(
        name="sample_ratio",
        is_passed=p_value >= GATE_ALPHA,
        finding=f"{what[experiment.unit]}: {found}; expected {promised} (p = {p_value:.3g})",
    )


def same_share(name: str, what: str, counts: Sequence[tuple[int, int]]) -> Gate:
    """Return whether arms have the same share of something.

    Args:
        name: Of the gate.
        what: Is counted.
        counts: For each arm, how many have it, and how many there are.
    """
    table = [[some for some, _ in counts], [every - some for some, every in counts]]
    has_both = all(sum(row) > 0 for row in table) and len(counts) > 1
    p_value = float(chi2_contingency(table).pvalue) if has_both else 1.0
    found = ", ".join(f"{some} of {every}" for some, every in counts) or "none"
    return Gate(
        name=name, is_passed=p_value >= GATE_ALPHA, finding=f"{what}: {found} (p = {p_value:.3g})"
    )


def _loss(losses: Sequence[ArmLosses]) -> Gate:
    lost, expected = (
        sum(each.num_lost for each in losses),
        sum(each.num_expected for each in losses),
    )
    rate = lost / expected if expected else 0.0
    return Gate(
        name="data_loss",
        is_passed=rate <= MAX_LOSS_RATE,
        finding=f"{lost} of {expected} events lost ({rate:.2%}); allowed are {MAX_LOSS_RATE:.0%}",
    )


def _left_out(days: UserDays) -> Gate:
    requests = float(days.counts["requests"][days.arm >= 0].sum())
    left_out = days.num_keyless + days.num_strange
    rate = left_out / (requests + left_out) if left_out else 0.0
    crossed_rate = days.num_crossed / (days.num_users + days.num_crossed) if days.num_crossed else 0
    return Gate(
        name="identity",
        is_passed=max(rate, crossed_rate) <= MAX_LEFT_OUT_RATE,
        finding=(
            f"left out: {days.num_keyless} requests without a user, {days.num_strange} with an arm "
            f"that is not registered, {days.num_crossed} users in several arms"
        ),
    )
