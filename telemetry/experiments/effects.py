"""The difference between two arms, with a standard error that holds for ratios over users.

A user's completions are alike, so a test that counts completions as independent finds differences
that are not there; it does not exist here. Users are independent of one another: every variance
below is one between users.

Names of arrays end in their axes: u = users, a = arms (0 = control).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm, t
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import RatioOfMeans

from fimble.events import Unit
from telemetry.experiments.sample import Effect, Sample

if TYPE_CHECKING:
    from telemetry.experiments.sample import Floats

MIN_USERS = 10
"""With fewer users in an arm no variance between users can be told."""
_COLUMNS = ("num", "den", "before_num", "before_den")


def estimate(
    sample: Sample, *, arm: int, unit: Unit, alpha: float, adjusted: bool
) -> Effect | None:
    """Return the effect of an arm against the control; None where too few users can be compared.

    Args:
        sample: Sums by user.
        arm: Number of the arm, 1 or more.
        unit: What was assigned.
        alpha: One minus the level of the interval.
        adjusted: Use what users did before the experiment, where that is known.
    """
    counts = (sample.num_exposed_ua[:, [0, arm]] > 0).sum(axis=0)
    if counts.min() < MIN_USERS or sample.den_ua[:, [0, arm]].sum(axis=0).min() == 0:
        return None
    compare = between_users if unit is Unit.USER else within_users
    adjusted = adjusted and sample.has_history()
    return compare(sample, arm=arm, alpha=alpha, adjusted=adjusted)


def between_users(sample: Sample, *, arm: int, alpha: float, adjusted: bool) -> Effect:
    """Compare users of one arm with the users of the other: delta method, Welch's t, CUPED.

    Source: Deng, Knoblich and Lu 2018, "Applying the delta method in metric analytics", section
    3.2; Deng, Xu, Kohavi and Walker 2013, "Improving the sensitivity of online controlled
    experiments", section 3. Computed by the library tea-tasting.
    """
    history = ("before_num", "before_den") if adjusted else (None, None)
    metric = RatioOfMeans(
        "num", "den", *history, equal_var=False, use_t=True, confidence_level=1 - alpha
    )
    control, treatment = _aggregates(sample, arm=0), _aggregates(sample, arm=arm)
    result = metric.analyze_aggregates(control, treatment)
    half = result.effect_size_ci_upper - result.effect_size
    has_effect = abs(result.statistic) > 0
    return Effect(
        control=float(result.control),
        treatment=float(result.treatment),
        effect=float(result.effect_size),
        standard_error=float(
            result.effect_size / result.statistic if has_effect else half / norm.isf(alpha / 2)
        ),
        low=float(result.effect_size_ci_lower),
        high=float(result.effect_size_ci_upper),
        p_value=float(result.pvalue),
        num_control=control.count(),
        num_treatment=treatment.count(),
        is_adjusted=adjusted,
    )


def _aggregates(sample: Sample, *, arm: int) -> Aggregates:
    """Return means and covariances over the users of an arm."""
    is_in = sample.num_exposed_ua[:, arm] > 0
    values = np.stack(
        [
            sample.num_ua[is_in, arm],
            sample.den_ua[is_in, arm],
            sample.before_num_u[is_in],
            sample.before_den_u[is_in],
        ]
    )
    means, covariances = values.mean(axis=1), np.cov(values)
    return Aggregates(
        count_=int(is_in.sum()),
        mean_={name: float(means[n]) for n, name in enumerate(_COLUMNS)},
        var_={name: float(covariances[n, n]) for n, name in enumerate(_COLUMNS)},
        cov_={
            (one, other): float(covariances[n, m])
            for n, one in enumerate(_COLUMNS)
            for m, other in enumerate(_COLUMNS[:n])
        },
    )


def within_users(sample: Sample, *, arm: int, alpha: float, adjusted: bool) -> Effect:
    """Compare users with themselves: every user has days, or requests, in both arms.

    How much each user moves the difference of the two ratios is one independent value; so whatever
    makes days or requests of a user alike is accounted for. With `adjusted`, a user's rate before
    the experiment, times the denominator, is taken off each arm by regression, which removes what
    is left because the arms did not fall evenly on a user.

    Source: Deng, Knoblich and Lu 2018, section 3.2, with both ratios over the same users. As a
    regression on the arm, weighted by the denominator, with errors clustered by user: the
    estimator CR3 of Bell and McCaffrey 2002, which holds with few users of unequal size, too.
    """
    num_ua, den_ua = sample.num_ua[:, [0, arm]], sample.den_ua[:, [0, arm]]
    ratio_a, parts_u = _linearised(num_ua, den_ua)
    effect, num_users = ratio_a[1] - ratio_a[0], int((den_ua.sum(axis=1) > 0).sum())
    degrees = num_users - 1
    if adjusted:
        covariate_a, covariate_u = _linearised(_usual_rate_u(sample)[:, None] * den_ua, den_ua)
        spread = float(covariate_u @ covariate_u)
        slope = float(parts_u @ covariate_u) / spread if spread > 0 else 0.0
        effect -= slope * (covariate_a[1] - covariate_a[0])
        parts_u = parts_u - slope * covariate_u
    error = float(np.sqrt(parts_u @ parts_u * degrees / num_users))
    half = error * float(t.isf(alpha / 2, degrees))
    in_arm_a = (sample.num_exposed_ua[:, [0, arm]] > 0).sum(axis=0)
    return Effect(
        control=float(ratio_a[0]),
        treatment=float(ratio_a[0] + effect),
        effect=float(effect),
        standard_error=error,
        low=float(effect) - half,
        high=float(effect) + half,
        p_value=float(2 * t.sf(abs(effect) / error, degrees)) if error > 0 else float("nan"),
        num_control=int(in_arm_a[0]),
        num_treatment=int(in_arm_a[1]),
        is_adjusted=adjusted,
    )


def _linearised(num_ua: Floats, den_ua: Floats) -> tuple[Floats, Floats]:
    """Return the ratio of each arm, and by how much each user moves their difference.

    That is the jackknife: the difference with the user, less the difference without.
    """
    total_a = den_ua.sum(axis=0)
    ratio_a = num_ua.sum(axis=0) / total_a
    residual_ua = (num_ua - ratio_a * den_ua) / (total_a - den_ua)
    return ratio_a, residual_ua[:, 1] - residual_ua[:, 0]


def _usual_rate_u(sample: Sample) -> Floats:
    """Return each user's rate before the experiment, less that of all.

    A user who was hardly there is taken for an average one: a tenth of the mean denominator is
    added at the average rate.
    """
    known = sample.before_den_u > 0
    mean = sample.before_num_u.sum() / sample.before_den_u.sum()
    weight = 0.1 * sample.before_den_u[known].mean()
    return (sample.before_num_u + weight * mean) / (sample.before_den_u + weight) - mean
