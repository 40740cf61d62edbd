"""Histograms that merge: percentiles of any group from counts that add up.

Buckets grow by a constant factor, so that every percentile is told within `MAX_ERROR_RATE` of a
true value, whatever the range; two histograms are merged by adding their counts.

Source: Masson, Rim and Lee 2019, "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 12(12), section 2.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

MAX_ERROR_RATE = 0.01
GAMMA = (1 + MAX_ERROR_RATE) / (1 - MAX_ERROR_RATE)
"""How much wider each bucket is than the one before."""
MIN_MS = 0.001
"""What is shorter counts as this."""
PERCENTILES = (0.5, 0.75, 0.9, 0.95, 0.99)
MACROS = {
    "bucket_of(ms)": f"ceil(ln(greatest(ms, {MIN_MS})) / ln({GAMMA!r}::double) - 1e-9)::integer",
    "bucket_ms(bucket)": f"({GAMMA!r}::double) ** bucket",
    "told_ms(bucket)": f"2 * ({GAMMA!r}::double) ** bucket / ({GAMMA!r}::double + 1)",
}
"""Functions of the published database: the bucket that holds a value, the upper end of a bucket,
and the value that is told for what is in it."""


def define(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the functions for a connection that only writes files."""
    for signature, text in MACROS.items():
        connection.execute(f"create or replace temp macro {signature} as {text}")


def bucket_of(ms: float) -> int:
    """Return the number of the bucket that holds a value."""
    # What stands at the upper end belongs to the bucket, however it was rounded.
    return math.ceil(math.log(max(ms, MIN_MS)) / math.log(GAMMA) - 1e-9)


def told_ms(bucket: int) -> float:
    """Return what is told for a value in a bucket: nowhere off by more than `MAX_ERROR_RATE`."""
    return 2 * GAMMA**bucket / (GAMMA + 1)


def percentile_ms(counts: Mapping[int, int], share: float) -> float | None:
    """Return the value below or at which a share of the counted ones lie; None where none is.

    Args:
        counts: By number of the bucket.
        share: 0 to 1.
    """
    wanted = math.ceil(share * sum(counts.values()))
    seen = 0
    for bucket, count in sorted(counts.items()):
        seen += count
        if seen >= max(wanted, 1):
            return told_ms(bucket)
    return None
