"""What users did in the arms of an experiment.

Names of arrays end in their axes: u = users, a = arms (0 = control).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One ratio metric of one experiment: sums by user."""

    num_ua: Floats
    """Numerator of the metric."""
    den_ua: Floats
    """Denominator of the metric."""
    num_exposed_ua: Floats
    """Requests that took part; a user with none in an arm was not in it."""
    before_num_u: Floats
    """Numerator before the experiment; 0 for users who were not there."""
    before_den_u: Floats

    def has_history(self) -> bool:
        """Return whether anybody was there before the experiment."""
        return bool(self.before_den_u.sum() > 0)


class Effect(NamedTuple):
    """An arm compared with the control, in the metric's own unit."""

    control: float
    treatment: float
    effect: float
    standard_error: float
    low: float
    """Lower end of the interval for one look."""
    high: float
    p_value: float
    """Of one look."""
    num_control: int
    """Users in the control arm."""
    num_treatment: int
    is_adjusted: bool
    """Whether what users did before was taken into account (CUPED)."""
