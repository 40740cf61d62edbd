"""Quantiles of waiting times, of which some were cut short.

Who types on no longer waits for an answer: all that is known of it then is that it took longer. To
leave such waits out would count the fast answers and forget the slow ones, the more the slower the
server is; so they stay at risk until they were cut short.

Source: Kaplan and Meier 1958, "Nonparametric Estimation from Incomplete Observations", section 2
(the product-limit estimate), doi:10.1080/01621459.1958.10501452.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Wait(NamedTuple):
    """One waiting time."""

    ms: float
    """Until the answer, or until nobody waited any more; infinite where none will come."""
    is_over: bool
    """Whether there was an answer; False says that it would have taken longer."""


def quantile_ms(waits: Iterable[Wait], share: float) -> float | None:
    """Return the time within which a share of the answers comes.

    Args:
        waits: Of which some may be cut short.
        share: Between 0 and 1.

    Returns: Milliseconds; infinite where too many answers never come; None where nobody waited for
        long enough to tell.
    """
    ordered = sorted(waits)
    left = len(ordered)
    unanswered = 1.0
    for ms, group in groupby(ordered, key=lambda wait: wait.ms):
        at_once = list(group)
        answered = sum(wait.is_over for wait in at_once)
        unanswered *= 1 - answered / left
        if answered and unanswered <= 1 - share + 1e-12:
            return ms
        left -= len(at_once)
    return None


def keeps(waits: Iterable[Wait], share: float, limit_ms: float) -> bool:
    """Return whether a share of the answers comes within a limit; no waits keep any limit.

    Args:
        waits: Of which some may be cut short.
        share: Between 0 and 1.
        limit_ms: Milliseconds.
    """
    known = list(waits)
    found = quantile_ms(known, share)
    if found is None:  # nobody waited for longer than the longest
        return all(wait.is_over or wait.ms <= limit_ms for wait in known)
    return math.isfinite(found) and found <= limit_ms
