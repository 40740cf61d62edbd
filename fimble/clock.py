"""Clocks as arguments: code that needs the time takes a `Clock`, so that tests own the time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings of the time."""

    def wall_ms(self) -> int:
        """Return Unix time in milliseconds, UTC; may jump when the system's clock is set."""
        ...

    def monotonic_ms(self) -> float:
        """Return milliseconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall_ms(self) -> int:
        """Return Unix time in milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> float:
        """Return milliseconds since an arbitrary start."""
        return time.perf_counter_ns() / 1_000_000
