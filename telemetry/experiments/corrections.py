"""P-values of several comparisons at once.

Holm's method for the arms of one experiment: the chance that any of them is shipped without an
effect stays alpha. Benjamini and Hochberg's for the other metrics, which nobody ships by: of those
that are reported as changed, a share of alpha may be not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy.stats import false_discovery_control

if TYPE_CHECKING:
    from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values, in the order given.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=lambda n: p_values[n])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, p_values[number] * (len(order) - rank)))
        adjusted[number] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the share of false discoveries, in the order given.

    Source: Benjamini and Hochberg 1995, "Controlling the false discovery rate".
    """
    return [float(p) for p in false_discovery_control(p_values)] if p_values else []
