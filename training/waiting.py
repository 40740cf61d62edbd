"""What whoever waits is told: lines on standard error, beside the command's own answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fimble.clock import Clock

    Say = Callable[[str], None]

EVERY_MS = 10_000.0


def say(text: str) -> None:
    """Write a line."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def say_nothing(text: str) -> None:
    """Be told in vain."""


class Progress:
    """Says every ten seconds how much of a long step is done; a short one says nothing."""

    def __init__(self, title: str, total: int, unit: str, *, tell: Say, clock: Clock) -> None:
        """Begin.

        Args:
            title: Of the step.
            total: How much there is to do.
            unit: Of that, such as `files`.
            tell: Is told each line.
            clock: Says when ten seconds are over.
        """
        self._head, self._tail = f"{title}: ", f" of {total:,} {unit}"
        self._tell, self._clock = tell, clock
        self._done = 0
        self._said_ms = clock.monotonic_ms()

    def add(self, count: int, found: str = "") -> None:
        """Take note that more is done, and say so when it is time.

        Args:
            count: How much more.
            found: What came of all of it so far, in words.
        """
        self._done += count
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._said_ms >= EVERY_MS:
            self._said_ms = now_ms
            self._tell(f"{self._head}{self._done:,}{self._tail}{found and ', '}{found}")
