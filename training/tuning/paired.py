"""How far two models differ on the same cases, and how sure that is.

Cases of one project are alike, so whole projects are drawn anew, with replacement: a cluster
bootstrap. It needs no table of any distribution, and gives the same interval every time.

Source: Cameron, Gelbach and Miller 2008, Bootstrap-Based Improvements for Inference with Clustered
Errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUM_DRAWS = 4000
MIN_GROUPS = 5
"""With fewer groups, an interval from their draws is too narrow to decide by."""


class Change(NamedTuple):
    """The second model against the first."""

    value: float
    """Second minus first."""
    low: float
    """Lower end of the 95% interval."""
    high: float
    num_cases: int
    num_better: int
    num_worse: int
    num_groups: int


def change(
    first: Sequence[float],
    second: Sequence[float],
    groups: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
) -> Change:
    """Return the paired difference of two models.

    Args:
        first: Value of each case under the first model, at least one.
        second: The same cases under the second.
        groups: The project of each case.
        weights: What each case counts, such as its bytes; values are then sums over a case, and
            the difference is one per unit of weight. None: every case counts one.
    """
    deltas = np.subtract(second, first, dtype=np.float64)
    sizes = np.ones(len(deltas)) if weights is None else np.asarray(weights, dtype=np.float64)
    names, numbers = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(numbers, weights=deltas)
    totals = np.bincount(numbers, weights=sizes)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(names), size=(_NUM_DRAWS, len(names)))
    values = sums[drawn].sum(axis=1) / totals[drawn].sum(axis=1)
    low, high = np.quantile(values, (0.025, 0.975))
    return Change(
        value=float(sums.sum() / totals.sum()),
        low=float(low),
        high=float(high),
        num_cases=len(deltas),
        num_better=int((deltas > 0).sum()),
        num_worse=int((deltas < 0).sum()),
        num_groups=len(names),
    )
