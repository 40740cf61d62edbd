"""95% intervals of means over problems that come in clusters.

Problems from one source function fail together, so a cluster, not a problem, is the unit of chance:
variances are cluster-robust (CR1). Rates get Wilson's interval with the number of independent
problems that would have that variance, so that it stays within 0 to 1 and is honest at 0% and 100%.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Z_95 = NormalDist().inv_cdf(0.975)


class Estimate(NamedTuple):
    """A value and what it may as well be."""

    value: float
    low: float
    """Lower end of the 95% interval."""
    high: float
    num_problems: int
    num_clusters: int


class Spread(NamedTuple):
    """A mean and how far chance may move it."""

    mean: float
    standard_error: float
    num_clusters: int


def spread(values: Sequence[float], groups: Sequence[str]) -> Spread:
    """Return the mean of `values` with its cluster-robust standard error.

    Args:
        values: One a problem, at least one.
        groups: The cluster of each.

    Source: Liang and Zeger 1986; factor G / (G - 1) as in Cameron and Miller 2015, A Practitioner's
    Guide to Cluster-Robust Inference, section II.B.
    """
    return _ratio_spread(np.asarray(values, float), np.ones(len(values)), groups)


def mean(values: Sequence[float], groups: Sequence[str]) -> Estimate:
    """Return the mean of any values, with the interval of Student's t at one less than clusters."""
    return _student(spread(values, groups), len(values))


def ratio(above: Sequence[float], below: Sequence[float], groups: Sequence[str]) -> Estimate:
    """Return the sum of `above` over the sum of `below`, as bits per byte are: by the delta method.

    Args:
        above: One a problem.
        below: One a problem; their sum is not 0.
        groups: The cluster of each.
    """
    found = _ratio_spread(np.asarray(above, float), np.asarray(below, float), groups)
    return _student(found, len(above))


def rate(values: Sequence[float], groups: Sequence[str], *, num_trials: int = 0) -> Estimate:
    """Return the mean of values within 0 to 1.

    Where each cluster has one value that is 0 or 1, this is Wilson's interval itself.

    Args:
        values: One a problem, at least one.
        groups: The cluster of each.
        num_trials: Answers behind all values together, if more than one a problem.

    Source: Wilson 1927; with the effective number of problems, Dean and Pagano 2015, Evaluating
    Confidence Interval Methods for Binomial Proportions in Clustered Surveys, section 2.3.
    """
    found, count = spread(values, groups), len(values)
    effective = _effective_count(found, count, max(count, num_trials))
    low, high = wilson(found.mean, effective)
    return Estimate(found.mean, low, high, count, found.num_clusters)


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Return the 95% score interval of a rate.

    Args:
        share: The rate, 0 to 1.
        trials: How many independent ones it comes from; need not be whole.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    z_squared = Z_95**2
    centre = share + z_squared / (2 * trials)
    reach = Z_95 * math.sqrt(share * (1 - share) / trials + z_squared / (4 * trials**2))
    scale = 1 + z_squared / trials
    low, high = max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)


def _effective_count(found: Spread, count: int, num_trials: int) -> float:
    """Return how many independent answers would have the same variance."""
    variance = found.mean * (1 - found.mean)
    if found.num_clusters < 2 or variance <= 0:
        return found.num_clusters
    design_effect = found.standard_error**2 * (count - 1) / variance
    effective = min(count / max(design_effect, 1e-9), num_trials)
    if found.num_clusters < count:  # few clusters know their own variance badly
        effective *= (Z_95 / student_t(found.num_clusters - 1)) ** 2
    return effective


def _student(found: Spread, count: int) -> Estimate:
    reach = math.inf
    if found.num_clusters > 1:
        reach = student_t(found.num_clusters - 1) * found.standard_error
    return Estimate(found.mean, found.mean - reach, found.mean + reach, count, found.num_clusters)


def _ratio_spread(above: Floats, below: Floats, groups: Sequence[str]) -> Spread:
    _, places = np.unique(np.asarray(groups), return_inverse=True)
    value = float(above.sum() / below.sum())
    residuals = np.bincount(places, weights=above - value * below)
    num_clusters = len(residuals)
    if num_clusters < 2:
        return Spread(value, math.nan, num_clusters)
    # Residuals that are zero but for rounding are zero.
    residuals[np.abs(residuals) < 1e-12 * max(1.0, float(np.abs(above).max()))] = 0.0
    squares = float((residuals**2).sum()) * num_clusters / (num_clusters - 1)
    return Spread(value, math.sqrt(squares) / float(below.sum()), num_clusters)


def student_t(degrees: int) -> float:
    """Return the 97.5% quantile of Student's t distribution.

    Args:
        degrees: Degrees of freedom, at least 1.

    Source: Hill 1970, Algorithm 396, Communications of the ACM 13(10); exact for 1 and 2.
    """
    p = 0.05  # of both tails
    if degrees == 1:
        return math.tan((1 - p) * math.pi / 2)
    if degrees == 2:
        return math.sqrt(2 / (p * (2 - p)) - 2)
    n = degrees
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * p) ** (2 / n)
    if y > 0.05 + a:
        x = -Z_95
        y = x**2
        if n < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = a * y**2
        y = math.expm1(y)
    else:
        y = (
            (1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1
        ) * (n + 1) / (n + 2) + 1 / y
    return math.sqrt(n * y)
