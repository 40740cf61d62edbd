"""Quantiles of latencies, with intervals that assume nothing about their distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from eval_harness.statistics.intervals import Z_95, Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> Estimate:
    """Return the smallest value that `share` of the values do not exceed.

    The interval goes from one value of the sample to another; where the sample is too small to
    bound the quantile, to the least or the greatest.

    Args:
        values: At least one.
        share: Above 0, at most 1.

    Source: Conover 1999, Practical Nonparametric Statistics, section 3.2 (large samples).
    """
    ordered, count = sorted(values), len(values)
    middle = count * share
    reach = Z_95 * math.sqrt(count * share * (1 - share))

    def at(rank: float) -> float:
        return ordered[min(max(math.ceil(rank), 1), count) - 1]

    return Estimate(at(middle), at(middle - reach), at(middle + reach), count, count)
