"""Turns in the engine's thread: who is next, who is dropped, and what a failure does to others."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fimble.engine import FinishReason
from lsp_server.engines.embedded import GeneratedToken, Generation, Prefilled
from lsp_server.engines.graph import CancelledGenerationError
from lsp_server.serving.worker import EngineThread, Failed, Job, Started

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from lsp_server.engines.embedded import Progress
    from lsp_server.engines.graph import Cancellation
    from lsp_server.serving.worker import Event


class Step(NamedTuple):
    """What the engine did at one turn: the first token of the prompt names the request."""

    name: int
    event: Progress


class ScriptedEngine:
    """An engine that takes its time in turns only: a prompt of n tokens is read in pieces of 100.

    A request that is named 13 fails at its second turn.
    """

    max_parallel = 3

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.closed: list[int] = []

    def generate(
        self, generation: Generation, cancellation: Cancellation
    ) -> Generator[Progress, None, None]:
        name = generation.prompt_ids[0]
        try:
            for event in self._events(generation):
                if cancellation.is_cancelled:
                    raise CancelledGenerationError
                self.steps.append(Step(name, event))
                yield event
                if name == 13:
                    raise MemoryError("no room for 13")
        finally:
            self.closed.append(name)

    @staticmethod
    def _events(generation: Generation) -> Iterator[Progress]:
        for start in range(0, len(generation.prompt_ids), 100):
            yield Prefilled(min(100, len(generation.prompt_ids) - start), 0, None)
        for left in reversed(range(generation.max_new_tokens)):
            finish = None if left else FinishReason.LENGTH
            yield GeneratedToken(1, "x", -1.0, is_special=False, top=(), finish=finish)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def thread(engine: ScriptedEngine) -> Iterator[EngineThread]:
    thread = EngineThread(engine)
    yield thread
    thread.stop()


def job(name: int, events: queue.SimpleQueue[Event], *, prompt: int, new: int) -> Job:
    ids = (name,) * prompt
    return Job(Generation(prompt_ids=ids, max_new_tokens=new), events.put)


def last_event(events: queue.SimpleQueue[Event]) -> Event:
    """Wait for the end of a request."""
    while True:
        event = events.get(timeout=30)
        if isinstance(event, Failed) or (isinstance(event, GeneratedToken) and event.finish):
            return event


def test_the_turn_goes_to_whoever_has_had_the_least(
    engine: ScriptedEngine, thread: EngineThread
) -> None:
    """A new token costs 8, a prompt token 1: 100 prompt tokens are as much as 12.5 new ones."""
    queues = [queue.SimpleQueue(), queue.SimpleQueue()]
    thread.submit(job(1, queues[0], prompt=300, new=1))
    thread.submit(job(2, queues[1], prompt=100, new=20))
    thread.start()
    for events in queues:
        last_event(events)

    # 1 and 2 read 100 each; 1 goes on to 200; then 2 writes 13 tokens (100 + 13 * 8 = 204); 1 ends
    # its prompt (300); 2 writes the 7 tokens it has left (260); 1 writes its only one.
    assert [step.name for step in engine.steps] == [1, 2, 1, *[2] * 13, 1, *[2] * 7, 1]


def test_more_requests_than_places_wait_in_order(
    engine: ScriptedEngine, thread: EngineThread
) -> None:
    queues = [queue.SimpleQueue() for _ in range(5)]
    for name, events in enumerate(queues):
        thread.submit(job(name, events, prompt=1, new=2))
    assert thread.num_waiting == 5
    thread.start()
    for events in queues:
        assert last_event(events).finish is FinishReason.LENGTH

    first_turns = [
        engine.steps.index(next(s for s in engine.steps if s.name == n)) for n in range(5)
    ]
    assert first_turns == sorted(first_turns)
    assert [step.name for step in engine.steps[:3]] == [0, 1, 2]
    assert thread.counters.generated_tokens == 10
    assert thread.counters.prompt_tokens == thread.counters.prefilled_tokens == 5
    assert thread.num_waiting == thread.num_running == 0


def test_a_request_that_fails_says_so_and_the_others_go_on(
    engine: ScriptedEngine, thread: EngineThread, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = queue.SimpleQueue(), queue.SimpleQueue()
    thread.submit(job(13, broken, prompt=1, new=2))
    thread.submit(job(2, fine, prompt=1, new=3))
    thread.start()

    assert last_event(broken) == Failed("MemoryError: no room for 13")
    assert last_event(fine).finish is FinishReason.LENGTH
    assert engine.closed == [13, 2]
    assert "a generation failed" in caplog.text


def test_a_cancelled_request_gives_its_place_to_the_next_before_that_starts(
    engine: ScriptedEngine, thread: EngineThread
) -> None:
    events, replaced = queue.SimpleQueue(), queue.SimpleQueue()
    old = job(1, replaced, prompt=1, new=10**9)
    thread.submit(old)
    thread.start()
    while not isinstance(replaced.get(timeout=30), GeneratedToken):
        pass

    old.cancel()
    thread.submit(job(2, events, prompt=1, new=1))
    last_event(events)

    assert engine.closed == [1, 2]
    assert thread.counters.cancelled_requests == 1


def test_a_request_cancelled_in_the_queue_never_starts(
    engine: ScriptedEngine, thread: EngineThread
) -> None:
    events, dropped = queue.SimpleQueue(), queue.SimpleQueue()
    cancelled = job(1, dropped, prompt=1, new=1)
    cancelled.cancel()
    thread.submit(cancelled)
    thread.submit(job(2, events, prompt=1, new=1))
    thread.start()
    assert events.get(timeout=30) == Started()
    last_event(events)

    assert dropped.empty()
    assert [step.name for step in engine.steps] == [2, 2]
    assert thread.counters.cancelled_requests == 1
