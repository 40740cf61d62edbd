"""Two runs on the same problems: how far they differ, and how far they could without it showing.

Both models answer the same problems, and most of the chance is in the problems: their differences
problem by problem need far fewer of them than two scores side by side.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eval_harness.statistics.intervals import Z_95, spread, student_t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

POWER = 0.8
"""Chance to see a difference that is called visible."""
_NUM_DRAWS = 20_000


class Difference(NamedTuple):
    """How the second of two runs differs from the first."""

    value: float
    """Second minus first."""
    low: float
    """Lower end of the 95% interval."""
    high: float
    p_value: float
    """Chance of so large a difference or a larger one, were the two models alike."""
    num_problems: int
    num_better: int
    """Problems on which the second is better."""
    num_worse: int
    visible: float
    """The smallest difference that would show in four of five such comparisons."""


def difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str]
) -> Difference:
    """Return the paired difference of two runs.

    Args:
        first: Score of each problem in the first run, at least one.
        second: The same problems in the second.
        groups: The cluster of each problem.
    """
    assert len(first) == len(second) == len(groups)
    deltas = [b - a for a, b in zip(first, second, strict=True)]
    found = spread(deltas, groups)
    error = _error(found.standard_error, found.num_clusters)
    reach = student_t(found.num_clusters - 1) * error if found.num_clusters > 1 else math.inf
    return Difference(
        value=found.mean,
        low=found.mean - reach,
        high=found.mean + reach,
        p_value=sign_flip_p(_sums(deltas, groups)),
        num_problems=len(deltas),
        num_better=sum(delta > 0 for delta in deltas),
        num_worse=sum(delta < 0 for delta in deltas),
        visible=visible_difference(error),
    )


def _error(standard_error: float, num_clusters: int) -> float:
    """Return the standard error, and where nothing differs the largest that it may well be.

    Two runs without a difference on G clusters do not prove that there never is one: the share of
    clusters that differ may be up to 1 - 0.05 ** (1 / G), about 3 / G.

    Source: Hanley and Lippman-Hand 1983, If Nothing Goes Wrong, Is Everything All Right?
    """
    if num_clusters < 2:
        return math.inf
    if standard_error > 0:
        return standard_error
    return math.sqrt((1 - 0.05 ** (1 / num_clusters)) / num_clusters)


def visible_difference(standard_error: float) -> float:
    """Return the smallest true difference that a test at 5% sees with a chance of `POWER`."""
    return (Z_95 + NormalDist().inv_cdf(POWER)) * standard_error


def problems_needed(found: Difference, wanted: float) -> int:
    """Return how many problems of this kind it takes to see a difference of `wanted`.

    Args:
        found: A comparison whose `visible` is finite.
        wanted: A difference above 0, in the unit of the scores.
    """
    return math.ceil(found.num_problems * (found.visible / wanted) ** 2)


def sign_flip_p(sums: Sequence[float]) -> float:
    """Return the two-sided p-value of the hypothesis that either sign is as likely in each cluster.

    With one answer a problem and one problem a cluster, this is McNemar's exact test.

    Args:
        sums: Sum of the differences of each cluster.

    Source: Fisher 1935, The Design of Experiments, section 21; McNemar 1947.
    """
    sizes = np.abs([value for value in sums if abs(value) > 1e-12])
    if not len(sizes):
        return 1.0
    total = abs(math.fsum(sums))
    if np.ptp(sizes) < 1e-12:
        return _binomial_p(len(sizes), round((len(sizes) + total / float(sizes[0])) / 2))
    return _drawn_p(sizes, total)


def _binomial_p(num_flips: int, num_heads: int) -> float:
    """Return the chance that fair flips are as one-sided as `num_heads`, at least half of them."""
    tail = sum(math.comb(num_flips, k) for k in range(num_heads, num_flips + 1))
    return min(1.0, 2 * tail / 2**num_flips)


def _drawn_p(sizes: NDArray[np.float64], total: float) -> float:
    """Return the share of random signs, the true ones among them, with such a sum or a larger."""
    if len(sizes) <= 12:
        signs = np.indices((2,) * len(sizes)).reshape(len(sizes), -1).T * 2 - 1
        return float((np.abs(signs @ sizes) >= total - 1e-9).mean())
    rng = np.random.default_rng(0)
    hits = 1
    for _ in range(20):
        signs = rng.integers(0, 2, size=(_NUM_DRAWS // 20, len(sizes)), dtype=np.int8) * 2 - 1
        hits += int((np.abs(signs @ sizes) >= total - 1e-9).sum())
    return hits / (_NUM_DRAWS + 1)


def _sums(deltas: Sequence[float], groups: Sequence[str]) -> list[float]:
    sums: dict[str, float] = {}
    for delta, group in zip(deltas, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + delta
    return list(sums.values())
