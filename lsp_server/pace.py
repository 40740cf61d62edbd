"""How fast the user types and how fast the engine answers, and how long to wait because of it.

An answer that comes before the next key is worth starting at once; one that would come after it is
work for nothing, unless the user has stopped. So a request waits for as long as its answer would
be late: the engine's usual time, less the user's usual pause between two keys.

Pure: it has no clock.
"""

from __future__ import annotations

_WEIGHT = 0.2
"""Of the newest observation, in the moving means."""
_LONGEST_INTERVAL_MS = 1000.0
"""After a longer pause the user has not typed on, but thought."""
_SHORTEST_INTERVAL_MS = 10.0
"""Edits that come closer are those of one key."""


class Pace:
    """Moving means for one backend and who types at it."""

    def __init__(self) -> None:
        self.interval_ms: float | None = None
        """Between two keys; None before there were two."""
        self.answer_ms: float | None = None
        """From the start of a generation to its end; None before there was one."""
        self._last_key_ms: float | None = None

    def typed(self, now_ms: float) -> None:
        """A key was pressed."""
        if self._last_key_ms is not None:
            interval_ms = now_ms - self._last_key_ms
            if interval_ms < _SHORTEST_INTERVAL_MS:
                return
            if interval_ms <= _LONGEST_INTERVAL_MS:
                self.interval_ms = _mean(self.interval_ms, interval_ms)
        self._last_key_ms = now_ms

    def answered(self, took_ms: float) -> None:
        """A generation came to its end."""
        self.answer_ms = _mean(self.answer_ms, took_ms)

    def given_up(self, after_ms: float) -> None:
        """A generation was closed before its end: it would have taken longer than that."""
        if self.answer_ms is not None and after_ms > self.answer_ms:
            self.answered(after_ms)

    def pause_ms(self, longest_ms: float, now_ms: float) -> float:
        """Return how long a request of now waits, at most `longest_ms`.

        The time since the last key counts: some editors have waited already.
        """
        late_ms = longest_ms
        if self.answer_ms is not None and self.interval_ms is not None:
            late_ms = min(longest_ms, max(0.0, self.answer_ms - self.interval_ms))
        if self._last_key_ms is None:
            return late_ms
        return max(0.0, late_ms - (now_ms - self._last_key_ms))


def _mean(old: float | None, new: float) -> float:
    return new if old is None else old + _WEIGHT * (new - old)
