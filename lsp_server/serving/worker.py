"""The engine's thread: takes requests in, lets them take turns, tells each what happens.

A turn is a piece of a prompt or one new token. The turn goes to whoever has had the least of the
engine so far, so a short request does not wait until a long one has ended.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from lsp_server.engines.embedded import GeneratedToken, Prefilled
from lsp_server.engines.graph import Cancellation, CancelledGenerationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from lsp_server.engines.embedded import EmbeddedEngine, Generation, Progress

logger = logging.getLogger(__name__)

NEW_TOKEN_COST = 8
"""A new token takes about as long as so many prompt tokens, which are read side by side."""


class Started(NamedTuple):
    """A request left the queue."""


class Failed(NamedTuple):
    """A request ended by an error of ours."""

    message: str


Event = Started | Prefilled | GeneratedToken | Failed


class Counters:
    """What the engine did since it started; one thread writes, others may read at any time."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        """Of requests whose prompt was read, whether from the cache or not."""
        self.cached_tokens = 0
        """Prompt tokens that came from the cache."""
        self.prefilled_tokens = 0
        """Prompt tokens that went through the model."""
        self.generated_tokens = 0
        self.cancelled_requests = 0


class Job:
    """One request on its way through the engine.

    Args:
        generation: What to do.
        emit: Called in the engine's thread with each event; must return at once.
    """

    def __init__(self, generation: Generation, emit: Callable[[Event], None]) -> None:
        self.generation = generation
        self.emit = emit
        self.cancellation = Cancellation()
        self.cost = 0
        self.steps: Generator[Progress, None, None] | None = None
        self.is_prompt_counted = False

    def cancel(self) -> None:
        """Stop at once, also in the middle of the prompt; from any thread."""
        self.cancellation.cancel()


class EngineThread:
    """Runs jobs on one engine, in a thread of its own."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self.counters = Counters()
        self._engine = engine
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._is_stopping = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    @property
    def num_waiting(self) -> int:
        """Requests that have not started."""
        return self._inbox.qsize() + len(self._waiting)

    @property
    def num_running(self) -> int:
        """Requests that take turns."""
        return len(self._running)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a request into the queue."""
        self._inbox.put(job)

    def stop(self) -> None:
        """Cancel everything and wait until the thread has ended."""
        self._is_stopping = True
        for job in [*self._running]:
            job.cancel()
        self._inbox.put(None)
        self._thread.join()

    def turn(self, *, may_wait: bool = True) -> None:
        """Let whoever is next do one step.

        Args:
            may_wait: Wait for somebody if nobody is there.
        """
        # First, so that what comes next finds the sequence of what it replaces.
        for job in [each for each in self._running if each.cancellation.is_cancelled]:
            self._drop(job)
        self._admit(may_wait=may_wait)
        if self._running:
            self._advance(min(self._running, key=lambda job: job.cost))

    def _work(self) -> None:
        while not self._is_stopping:
            self.turn()

    def _admit(self, *, may_wait: bool) -> None:
        """Start what waits, as far as there is room; wait if there is nothing else to do."""
        must_wait = may_wait and not self._running and not self._waiting
        while must_wait or not self._inbox.empty():
            must_wait = False
            if (job := self._inbox.get()) is not None:
                self._waiting.append(job)
        while self._waiting and len(self._running) < self._engine.max_parallel:
            job = self._waiting.popleft()
            if job.cancellation.is_cancelled:
                self.counters.cancelled_requests += 1
                continue
            # A newcomer starts level with the others: it does not outrun them for its past.
            job.cost = min((other.cost for other in self._running), default=0)
            job.steps = self._engine.generate(job.generation, job.cancellation)
            self._running.append(job)
            job.emit(Started())

    def _advance(self, job: Job) -> None:
        """Let a job do one step."""
        assert job.steps is not None
        try:
            event = next(job.steps)
        except CancelledGenerationError:
            self._drop(job)
        except Exception as error:
            # The thread's edge: one broken request must not take the engine from everybody.
            logger.exception("a generation failed")
            self._end(job)
            job.emit(Failed(f"{type(error).__name__}: {error}"))
        else:
            self._count(job, event)
            if isinstance(event, GeneratedToken) and event.finish:
                self._end(job)
            job.emit(event)

    def _drop(self, job: Job) -> None:
        self.counters.cancelled_requests += 1
        self._end(job)

    def _end(self, job: Job) -> None:
        assert job.steps is not None
        job.steps.close()
        self._running.remove(job)

    def _count(self, job: Job, event: Progress) -> None:
        if isinstance(event, GeneratedToken):
            self.counters.generated_tokens += 1
            job.cost += NEW_TOKEN_COST
            return
        self.counters.prefilled_tokens += event.new_tokens
        job.cost += event.new_tokens
        if not job.is_prompt_counted:
            job.is_prompt_counted = True
            self.counters.prompt_tokens += len(job.generation.prompt_ids)
            self.counters.cached_tokens += event.cached_tokens
