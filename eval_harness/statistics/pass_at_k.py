"""How likely at least one of k answers passes."""

from __future__ import annotations

import math


def pass_at_k(num_samples: int, num_passed: int, k: int) -> float:
    """Return the unbiased estimate of pass@k of one problem.

    Args:
        num_samples: Answers that were judged, at least `k`.
        num_passed: How many of them passed.
        k: How many tries count, at least 1.

    Source: Chen et al. 2021, arXiv:2107.03374, equation 1.
    """
    assert 1 <= k <= num_samples
    assert 0 <= num_passed <= num_samples
    # The product form of 1 - C(n - c, k) / C(n, k): no large numbers, no rounding to below 0.
    num_failed = num_samples - num_passed
    return 1.0 - math.prod((num_failed - i) / (num_samples - i) for i in range(k))
