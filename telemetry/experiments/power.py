"""What an experiment can find before it is started, and what to do if that is not enough.

Two numbers say how much a metric varies: what a user keeps from day to day, and what is new each
day. Days wear away only the second, and history (CUPED) takes off much of the first; so it depends
on the unit which of the two counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import norm

from fimble.events import Unit
from fimble.experiments import Looks
from telemetry.experiments.sequential import factor_for

if TYPE_CHECKING:
    from fimble.experiments import Experiment
    from telemetry.experiments.sample import Floats

LONGEST_DAYS = 180
"""Longer experiments are not proposed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What users do on a day, as far as it decides about power."""

    ratio: float
    """The metric, over all."""
    mean_den: float
    """Denominator of the average user on a day."""
    kept_variance: float
    """Covariance of a user's residuals (numerator - ratio * denominator) between two days."""
    daily_variance: float
    """Variance of these residuals that is new each day."""
    swing: float
    """Mean square of a user's denominator on a day, over the mean product of two days."""
    is_share: bool
    """Whether each unit of the denominator adds 0 or 1 to the numerator."""


class Design(NamedTuple):
    """A way to run an experiment, and the smallest effect that it finds."""

    unit: Unit
    num_users: int
    num_days: int
    is_adjusted: bool
    minimal_effect: float | None
    """None where nothing can be said: requests of a metric that is no share."""


def traffic_of(num_ud: Floats, den_ud: Floats, *, is_share: bool) -> Traffic:
    """Return what decides about power.

    Args:
        num_ud: Numerator by user and day; 0 on days off.
        den_ud: Denominator by user and day.
        is_share: See `Traffic`.
    """
    ratio = float(num_ud.sum() / den_ud.sum())
    residual_ud = num_ud - ratio * den_ud
    num_days = residual_ud.shape[1]
    squares = float((residual_ud**2).sum(axis=1).mean())
    of_sums = float((residual_ud.sum(axis=1) ** 2).mean())
    kept = max(0.0, (of_sums - squares) / (num_days * (num_days - 1)))
    den_squares = float((den_ud**2).sum(axis=1).mean())
    den_products = float((den_ud.sum(axis=1) ** 2).mean()) - den_squares
    return Traffic(
        ratio=ratio,
        mean_den=float(den_ud.mean()),
        kept_variance=kept,
        daily_variance=squares / num_days - kept,
        swing=max(1.0, den_squares * (num_days - 1) / den_products),
        is_share=is_share,
    )


def standard_error(
    traffic: Traffic, design: Design, *, weights: tuple[float, float], before_days: int
) -> float | None:
    """Return the standard error of the difference between two arms; None where it is unknown.

    Source: Deng, Knoblich and Lu 2018, section 3.2, with the variance split by days; where each
    day or request is drawn by itself, what a user keeps is the same in both arms and counts once
    a draw, not once a user.
    """
    num_days = design.num_days
    kept, daily = traffic.kept_variance, traffic.daily_variance
    known = 0.0
    if design.is_adjusted and before_days and kept:
        known = kept / (kept + daily / before_days)
    both = 1 / weights[0] + 1 / weights[1]
    match design.unit:
        case Unit.USER:
            variance = both * (kept * (1 - known) + daily / num_days) / design.num_users
        case Unit.USER_DAY:
            # What is known of a user is taken off in proportion to the requests of the day.
            left = max(kept + daily - kept * traffic.swing * known, 0.0)
            variance = both * left / (design.num_users * num_days)
        case Unit.REQUEST:
            if not traffic.is_share:
                return None
            each = traffic.ratio * (1 - traffic.ratio) * traffic.mean_den
            variance = both * each / (design.num_users * num_days)
    return math.sqrt(variance) / traffic.mean_den


def minimal_effect(
    traffic: Traffic, design: Design, experiment: Experiment, *, looks: Looks | None = None
) -> float | None:
    """Return the smallest effect that a design finds with the registered power."""
    control, smallest = experiment.control.weight, min(a.weight for a in experiment.arms[1:])
    error = standard_error(
        traffic, design, weights=(control, smallest), before_days=experiment.before_days
    )
    if error is None:
        return None
    alpha = experiment.alpha / (len(experiment.arms) - 1)
    if (looks or experiment.looks) is Looks.DAILY:
        factor = factor_for(alpha=alpha, power=experiment.power)
    else:
        factor = float(norm.isf(alpha / 2) + norm.ppf(experiment.power))
    return factor * error


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the registered design finds, and what else would."""

    registered: Design
    is_enough: bool
    table: tuple[Design, ...]
    """Every unit, with and without history, with the registered users and days."""
    instead: tuple[Design, ...]
    """Designs that do find the registered effect, the nearest first."""
    once: float | None
    """The smallest effect of the registered design with a single look at the end."""


def plan(traffic: Traffic, experiment: Experiment, *, num_users: int) -> Plan:
    """Return what can be found, before anything is started."""
    num_days = (experiment.stop - experiment.start).days

    def designed(unit: Unit, users: int, days: int, *, is_adjusted: bool) -> Design:
        design = Design(unit, users, days, is_adjusted, None)
        return design._replace(minimal_effect=minimal_effect(traffic, design, experiment))

    is_adjusted = experiment.before_days > 0
    registered = designed(experiment.unit, num_users, num_days, is_adjusted=is_adjusted)
    table = tuple(
        designed(unit, num_users, num_days, is_adjusted=adjusted)
        for unit in Unit
        for adjusted in (False, True)
    )
    longer = (
        designed(experiment.unit, num_users, days, is_adjusted=is_adjusted)
        for days in range(num_days + 1, LONGEST_DAYS + 1)
    )
    found = [each for each in table if _finds(each, experiment) and each.unit is experiment.unit][
        :1
    ]
    found += [each for each in longer if _finds(each, experiment)][:1]
    found += [
        each
        for each in table
        if each.unit is not experiment.unit and each.is_adjusted and _finds(each, experiment)
    ]
    if registered.minimal_effect is not None and not _finds(registered, experiment):
        factor = (registered.minimal_effect / experiment.minimal_effect) ** 2
        users = math.ceil(num_users * factor)
        found.append(designed(experiment.unit, users, num_days, is_adjusted=is_adjusted))
    return Plan(
        registered=registered,
        is_enough=_finds(registered, experiment),
        table=table,
        instead=() if _finds(registered, experiment) else tuple(found),
        once=minimal_effect(traffic, registered, experiment, looks=Looks.ONCE),
    )


def _finds(design: Design, experiment: Experiment) -> bool:
    found = design.minimal_effect
    return found is not None and found <= experiment.minimal_effect * (1 + 1e-9)


def grid_of(user: np.ndarray, day: np.ndarray, values: Floats, *, num_users: int) -> Floats:
    """Return values by user and day, 0 where there is none."""
    first = int(day.min())
    grid = np.zeros((num_users, int(day.max()) - first + 1))
    np.add.at(grid, (user, day - first), values)
    return grid
