"""Whether a backend that failed is asked again: not at once, and by a probe first.

    closed ──failed──► open ──pause over──► half open (one probe) ──succeeded──► closed
                         ▲                        │
                         └────────failed──────────┘   each time with twice the pause

Pure: it has no clock. Source: M. Nygard, Release It!, section 5.2 (Circuit Breaker).
"""

from __future__ import annotations

FIRST_PAUSE_MS = 1000.0
LONGEST_PAUSE_MS = 60_000.0


class Breaker:
    """The state of one backend."""

    def __init__(self) -> None:
        self._pause_ms = 0.0
        self._retry_at_ms = 0.0
        self._is_probing = False

    @property
    def is_closed(self) -> bool:
        """Whether requests go to the backend."""
        return self._pause_ms == 0

    def failed(self, now_ms: float) -> None:
        """The backend did not answer."""
        self._is_probing = False
        self._pause_ms = min(max(2 * self._pause_ms, FIRST_PAUSE_MS), LONGEST_PAUSE_MS)
        self._retry_at_ms = now_ms + self._pause_ms

    def succeeded(self) -> None:
        """The backend answered."""
        self._pause_ms = 0.0
        self._is_probing = False

    def begin_probe(self, now_ms: float) -> bool:
        """Return whether it is time to try the backend; if so, the caller says how that went."""
        if self.is_closed or self._is_probing or now_ms < self._retry_at_ms:
            return False
        self._is_probing = True
        return True
