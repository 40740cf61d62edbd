"""The estimators once more, written from the papers for many runs at once, to compare with.

Axes: r = runs, u = users, a = arms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from tests.telemetry.experiments.companies import NUM_DAYS, Company


class Found(NamedTuple):
    """Difference of the second arm to the first, its standard error and degrees of freedom."""

    effect_r: np.ndarray
    error_r: np.ndarray
    degrees_r: np.ndarray

    def p_values(self) -> np.ndarray:
        return 2 * stats.t.sf(np.abs(self.effect_r / self.error_r), self.degrees_r)

    def covers(self, truth: float) -> np.ndarray:
        half_r = self.error_r * stats.t.ppf(0.975, self.degrees_r)
        return np.abs(self.effect_r - truth) <= half_r


def until(company: Company, num_days: int = NUM_DAYS) -> tuple[np.ndarray, np.ndarray]:
    """Return numerators and denominators by run, user and arm after so many days."""
    days = slice(num_days)
    return company.num_ruda[:, :, days].sum(axis=2), company.den_ruda[:, :, days].sum(axis=2)


def delta(company: Company, *, adjusted: bool, num_days: int = NUM_DAYS) -> Found:
    """Delta method between users (Deng et al. 2018), with CUPED (Deng et al. 2013)."""
    num_rua, den_rua = until(company, num_days)
    is_in_rua = den_rua > 0
    x_rua = company.before_num_ru[:, :, None] * is_in_rua
    y_rua = company.before_den_ru[:, :, None] * is_in_rua
    own = [_linear(num_rua, den_rua, is_in_rua, axis=1), _linear(x_rua, y_rua, is_in_rua, axis=1)]
    theta_r = np.zeros(len(num_rua))
    both = (1, 2)
    _, all_rua = _linear(num_rua, den_rua, is_in_rua, axis=both)
    before_r, past_rua = _linear(x_rua, y_rua, is_in_rua, axis=both)
    if adjusted:
        theta_r = (all_rua * past_rua).sum(axis=both) / (past_rua**2).sum(axis=both)
    (ratio_ra, value_rua), (past_ratio_ra, past_value_rua) = own
    mean_ra = ratio_ra - theta_r[:, None] * (past_ratio_ra - before_r.reshape(-1, 1))
    rest_rua = value_rua - theta_r[:, None, None] * past_value_rua
    count_ra = is_in_rua.sum(axis=1)
    part_ra = (rest_rua**2).sum(axis=1) / (count_ra - 1) / count_ra
    degrees_r = part_ra.sum(axis=1) ** 2 / (part_ra**2 / (count_ra - 1)).sum(axis=1)
    return Found(mean_ra[:, 1] - mean_ra[:, 0], np.sqrt(part_ra.sum(axis=1)), degrees_r)


def _linear(
    num_rua: np.ndarray, den_rua: np.ndarray, is_in_rua: np.ndarray, *, axis: int | tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return ratios, and each user's linearised value: (n - ratio m) / mean of m."""
    ratio = num_rua.sum(axis=axis, keepdims=True) / den_rua.sum(axis=axis, keepdims=True)
    mean = den_rua.sum(axis=axis, keepdims=True) / is_in_rua.sum(axis=axis, keepdims=True)
    return ratio.squeeze(axis), (num_rua - ratio * den_rua) / mean


def jackknife(company: Company, *, num_days: int = NUM_DAYS) -> Found:
    """Leave out one user after the other (Miller 1974): no formula for the variance of a ratio."""
    num_rua, den_rua = until(company, num_days)
    num_ra, den_ra = num_rua.sum(axis=1, keepdims=True), den_rua.sum(axis=1, keepdims=True)
    without_rua = (num_ra - num_rua) / (den_ra - den_rua)
    left_ru = without_rua[:, :, 1] - without_rua[:, :, 0]
    full_r = (num_ra / den_ra)[:, 0, 1] - (num_ra / den_ra)[:, 0, 0]
    count_r = (den_rua.sum(axis=2) > 0).sum(axis=1)
    squares_r = ((left_ru - full_r[:, None]) ** 2).sum(axis=1)
    return Found(full_r, np.sqrt(squares_r * (count_r - 1) / count_r), count_r - 1)


def naive_p_values(company: Company) -> np.ndarray:
    """A z-test that takes every completion for independent; wrong, and not offered."""
    num_rua, den_rua = until(company)
    num_ra, den_ra = num_rua.sum(axis=1), den_rua.sum(axis=1)
    pooled_r = num_ra.sum(axis=1) / den_ra.sum(axis=1)
    error_r = np.sqrt(pooled_r * (1 - pooled_r) * (1 / den_ra).sum(axis=1))
    ratio_ra = num_ra / den_ra
    return 2 * stats.norm.sf(np.abs(ratio_ra[:, 1] - ratio_ra[:, 0]) / error_r)
