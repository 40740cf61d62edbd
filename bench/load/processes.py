"""Users spread over processes, where one process cannot type for all of them in time.

There may be several servers, too: who types stays with one of them, as behind a proxy that goes by
addresses.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from typing import TYPE_CHECKING, Self

from bench.load.rung import type_hands
from fimble.clock import SystemClock
from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.load.rung import Hand, Part, Schedule
    from fimble.settings import EngineSettings


class Processes:
    """Implements `bench.load.rung.Crowd`; a context manager."""

    def __init__(self, servers: Sequence[EngineSettings], count: int) -> None:
        """Begin with processes that are yet to start.

        Args:
            servers: Where they are; each gets users of as many processes, if `count` can be shared.
            count: Of processes.

        Raises:
            InputError: There are more servers than processes.
        """
        if len(servers) > count:
            raise InputError(f"{len(servers)} servers need as many --processes, not {count}")
        self._servers = servers
        context = multiprocessing.get_context("spawn")
        # Each is a pool of its own, so that no process gets two shares while another has none.
        self._pools = [ProcessPoolExecutor(1, mp_context=context) for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    async def ready(self) -> None:
        """Wait until every process has loaded the code of a user."""
        await asyncio.gather(*(asyncio.wrap_future(pool.submit(_load)) for pool in self._pools))

    async def type(self, hands: Sequence[Hand], schedule: Schedule, begin_ms: float) -> list[Part]:
        """Let users type, every process its share of them."""
        count = len(self._pools)
        return await asyncio.gather(
            *(
                asyncio.wrap_future(pool.submit(_type, hands[n::count], server, schedule, begin_ms))
                for n, (pool, server) in enumerate(zip(self._pools, cycle(self._servers)))
                if hands[n::count]
            )
        )


def _load() -> None:
    """Do nothing: to find this function, a process has to import this module, and so a user."""


def _type(
    hands: Sequence[Hand], server: EngineSettings, schedule: Schedule, begin_ms: float
) -> Part:
    """Let users type in this process; the system's clock is the same in all of them."""
    return asyncio.run(type_hands(hands, server, schedule, begin_ms, clock=SystemClock()))
