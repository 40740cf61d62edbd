"""How often each sender may come."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fimble.clock import Clock

MAX_SENDERS = 10_000
BURST_S = 30.0
"""Who was silent for so long may catch up at once."""


class Buckets:
    """A token bucket for each sender."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        self._per_s = per_s
        self._clock = clock
        self._next_ms: OrderedDict[str, float] = OrderedDict()
        """When a sender that never made a pause would be at its limit."""

    def wait_s(self, sender: str) -> float:
        """Count one request; return 0 if it may pass, or after how many seconds it may."""
        now_ms = self._clock.monotonic_ms()
        step_ms = 1000.0 / self._per_s
        at_ms = max(self._next_ms.pop(sender, now_ms), now_ms) + step_ms
        ahead_ms = at_ms - now_ms - max(BURST_S * 1000.0, step_ms)
        self._next_ms[sender] = at_ms - step_ms if ahead_ms > 0 else at_ms
        if len(self._next_ms) > MAX_SENDERS:
            self._next_ms.popitem(last=False)
        return max(0.0, ahead_ms / 1000.0)
