"""Bounds that stay valid however often one looks: a mixture sequential ratio test.

The effect's likelihood ratio against "no effect" is averaged over effects drawn from a normal
distribution with standard deviation `mixing_sd`. Without an effect this average exceeds 1 / alpha
at any time with probability alpha at most, so a look each day costs nothing but width.

Source: Robbins 1970, "Statistical methods related to the law of the iterated logarithm"; Johari,
Koomen, Pekelis and Walsh 2022, "Always valid inference", Operations Research 70(3), section 5;
the same bound as the asymptotic confidence sequence of Waudby-Smith et al. 2023,
https://arxiv.org/abs/2103.06476, equation 9, where `mixing_sd`**2 / standard error**2 is t rho**2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.stats import norm


class Bounds(NamedTuple):
    """An interval of the effect, and the p-value that belongs to it."""

    low: float
    high: float
    p_value: float


def always_valid(effect: float, standard_error: float, *, mixing_sd: float, alpha: float) -> Bounds:
    """Return bounds that hold at every look.

    Args:
        effect: Estimate of the difference.
        standard_error: Its standard error, above 0.
        mixing_sd: Chosen before the start, see `mixing_sd_for`.
        alpha: Share of experiments in which the bounds may miss the truth at any look.
    """
    information = (mixing_sd / standard_error) ** 2
    half = standard_error * half_width(information, alpha=alpha)
    exponent = (effect / standard_error) ** 2 * information / (2 * (1 + information))
    p_value = min(1.0, math.exp(0.5 * math.log1p(information) - exponent))
    return Bounds(effect - half, effect + half, p_value)


def half_width(information: float, *, alpha: float) -> float:
    """Return the half width of the bounds in standard errors.

    Args:
        information: `mixing_sd`**2 / standard error**2.
        alpha: See `always_valid`.
    """
    inner = 0.5 * math.log1p(information) - math.log(alpha)
    return math.sqrt(2 * (1 + information) / information * inner)


def best_information(alpha: float) -> float:
    """Return about where `half_width` is smallest, 7.9 for an alpha of 0.05.

    Source: Waudby-Smith et al. 2023, equation 161.
    """
    return -2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))


def factor_for(*, alpha: float, power: float) -> float:
    """Return the effect, in standard errors, that the bounds find with probability `power`."""
    return half_width(best_information(alpha), alpha=alpha) + float(norm.ppf(power))


def mixing_sd_for(minimal_effect: float, *, alpha: float, power: float) -> float:
    """Return the standard deviation that makes the bounds tightest when they are needed.

    That is when there are data enough to find `minimal_effect` with probability `power`.
    """
    planned_error = minimal_effect / factor_for(alpha=alpha, power=power)
    return planned_error * math.sqrt(best_information(alpha))
