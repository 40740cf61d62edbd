"""One number of users at one server for a while: what was typed, and what it took."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from bench.load.meter import Ending, Generated, Ledger
from bench.load.typist import Ask, Typed, Typist, sleep_until
from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.replay.traces import Trace
    from fimble.clock import Clock
    from fimble.engine import Engine
    from fimble.fim import FimFormat
    from fimble.settings import EngineSettings

_T = TypeVar("_T")
SPREAD_MS = 3000.0
"""Users begin within so long of each other, if the warm-up is as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long is typed, and from when on it counts."""

    warm_up_s: float = 10.0
    """Not counted: users open their first files, connections are made."""
    measured_s: float = 60.0
    cool_down_s: float = 2.0
    """Typing goes on for so long afterwards, so that the last answers come under load, too."""
    seed: int = 1
    """Draws when users begin."""

    def __post_init__(self) -> None:
        if self.warm_up_s < 0 or self.measured_s <= 0:
            raise InputError(
                f"the warm-up is {self.warm_up_s} s and the measurement {self.measured_s} s; "
                "allowed are 0 or more, and more than 0"
            )

    def counts_ms(self, begin_ms: float) -> tuple[float, float]:
        """Return from when, and until when, keys count."""
        from_ms = begin_ms + 1000 * self.warm_up_s
        return from_ms, from_ms + 1000 * self.measured_s


class Work(NamedTuple):
    """What a server had done at one time, as far as it can be known."""

    engine_cpu_s: float = 0.0
    """0 for a server that is not on this machine."""
    generator_cpu_s: float = 0.0


class Watch(Protocol):
    """Looks at a server while users type."""

    def work(self) -> Work:
        """Return what was done until now."""
        ...

    async def watch(self) -> None:
        """Note the length of its queue now and then, until cancelled."""
        ...

    def take(self) -> list[tuple[float, float]]:
        """Return what waited and what ran at each look since the last call."""
        ...


@dataclass(slots=True, kw_only=True)
class Rung:
    """What one number of users did within the time that counts."""

    users: int
    seconds: float
    asks: list[Ask]
    num_keys: int
    late_ms: list[float]
    generations: list[Generated]
    work: Work
    looks: list[tuple[float, float]]
    """What waited and what ran, once in a while; empty where the server does not say."""


class Hand(NamedTuple):
    """What one user is to type."""

    name: str
    traces: Sequence[Trace]
    after_ms: float
    """So long after the beginning he opens his first file."""


@dataclass(slots=True, kw_only=True)
class Part:
    """What some of the users did within the time that counts."""

    asks: list[Ask]
    num_keys: int
    late_ms: list[float]
    generations: list[Generated]


class Crowd(Protocol):
    """Where users live: in this process, or spread over several."""

    async def ready(self) -> None:
        """Wait until users can begin."""
        ...

    async def type(self, hands: Sequence[Hand], schedule: Schedule, begin_ms: float) -> list[Part]:
        """Let users type from `begin_ms` on, a time of the system's clock, until it is over."""
        ...


class Here:
    """Implements `Crowd`: all users in this process."""

    def __init__(self, server: EngineSettings | Engine, clock: Clock) -> None:
        self._server = server
        self._clock = clock

    async def ready(self) -> None:
        """Return at once."""

    async def type(self, hands: Sequence[Hand], schedule: Schedule, begin_ms: float) -> list[Part]:
        """Let users type; see `Crowd`."""
        return [await type_hands(hands, self._server, schedule, begin_ms, clock=self._clock)]


def sendable(traces: Iterable[Trace], fim_format: FimFormat) -> Iterator[Trace]:
    """Yield the traces whose text a server that takes only text can be sent: no sentinels in it.

    Others are errors of nobody's making, and would be waited for without end.
    """
    return (
        trace
        for trace in traces
        if fim_format.sentinel_in(trace.before) is None
        and fim_format.sentinel_in(trace.after) is None
    )


def dealt(traces: Sequence[Trace], users: int) -> list[Sequence[Trace]]:
    """Return the traces of each user: no two users type the same.

    Raises:
        InputError: There are fewer traces than users.
    """
    if len(traces) < users:
        raise InputError(
            f"there are {len(traces)} different traces for {users} users, who would share prompts "
            "in the server's cache; name a repository with a longer history by --repository"
        )
    return [traces[number::users] for number in range(users)]


async def climb(
    users: int,
    crowd: Crowd,
    traces: Sequence[Trace],
    schedule: Schedule,
    *,
    clock: Clock,
    watch: Watch,
) -> Rung:
    """Let so many users type, and return what happened in the time that counts.

    Raises:
        InputError: There are fewer traces than users.
    """
    hands = _hands(users, traces, schedule)
    await crowd.ready()
    begin_ms = clock.monotonic_ms()
    from_ms, to_ms = schedule.counts_ms(begin_ms)
    async with AsyncExitStack() as stack:
        typing = asyncio.create_task(crowd.type(hands, schedule, begin_ms))
        _until_left(stack, typing)
        await sleep_until(from_ms, clock)
        before = watch.work()
        watch.take()
        _until_left(stack, asyncio.create_task(watch.watch()))
        await sleep_until(to_ms, clock)
        after, looks = watch.work(), watch.take()
        parts = await typing
    return Rung(
        users=users,
        seconds=schedule.measured_s,
        asks=[ask for part in parts for ask in part.asks],
        num_keys=sum(part.num_keys for part in parts),
        late_ms=[ms for part in parts for ms in part.late_ms],
        generations=[each for part in parts for each in part.generations],
        work=Work(*(last - first for first, last in zip(before, after, strict=True))),
        looks=looks,
    )


async def type_hands(
    hands: Sequence[Hand],
    server: EngineSettings | Engine,
    schedule: Schedule,
    begin_ms: float,
    *,
    clock: Clock,
) -> Part:
    """Let users type in this process, and return what they did in the time that counts."""
    typed, ledger = Typed(), Ledger(clock=clock)
    from_ms, to_ms = schedule.counts_ms(begin_ms)
    async with AsyncExitStack() as stack:
        for hand in hands:
            typist = Typist(hand.name, server, typed=typed, ledger=ledger, clock=clock)
            stack.push_async_callback(typist.close)
            work = typist.type(hand.traces, begin_ms + hand.after_ms)
            _until_left(stack, asyncio.create_task(work))
        await sleep_until(to_ms + 1000 * schedule.cool_down_s, clock)
        ledger.is_over = True
    # Whoever falls behind its times still counts by when it was due.
    in_time = [from_ms <= due_ms < to_ms for due_ms in typed.due_ms]
    return Part(
        asks=[ask for ask in typed.asks if from_ms <= ask.due_ms < to_ms],
        num_keys=sum(in_time),
        late_ms=[ms for ms, counts in zip(typed.late_ms, in_time, strict=True) if counts],
        generations=[
            _ended(each) for each in ledger.generations if from_ms <= each.begun_ms < to_ms
        ],
    )


def _hands(users: int, traces: Sequence[Trace], schedule: Schedule) -> list[Hand]:
    rng = random.Random(schedule.seed)
    spread_ms = min(SPREAD_MS, 1000 * schedule.warm_up_s)
    return [
        Hand(f"{users}-{number}", own, rng.uniform(0.0, spread_ms))
        for number, own in enumerate(dealt(traces, users))
    ]


def _until_left(stack: AsyncExitStack, task: asyncio.Task[_T]) -> None:
    """Cancel a task when the stack is left; raise there what it raised before."""

    async def end() -> None:
        if not task.cancel():
            task.result()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)


def _ended(generated: Generated) -> Generated:
    if generated.ending is Ending.RUNNING:
        generated.ending = Ending.UNFINISHED
    return generated
