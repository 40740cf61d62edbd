"""An event loop whose time does not pass: who sleeps is woken at once, at the time he asked for."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")
START_WALL_MS = 1_788_220_800_000
"""2026-09-01, 00:00 UTC."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__(_Selector(self))
        self.now_s = 1000.0

    def time(self) -> float:
        return self.now_s


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout and not ready:
            self._loop.now_s += timeout
        return ready


class LoopClock:
    """The clock of the loop that runs; any thread may look at it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def wall_ms(self) -> int:
        return START_WALL_MS + int(self.monotonic_ms())

    def monotonic_ms(self) -> float:
        return self._loop.time() * 1000


def run_virtually(work: Coroutine[object, object, _T]) -> _T:
    """Run a coroutine in a loop of its own, in no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
