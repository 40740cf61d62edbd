"""A server whose clock is its own processor time: what a free core would do, on a busy machine.

The model runs in this process, and takes turns as in `fimble serve`. The event loop's time stands
still but for sleepers, and for the engine: it goes on by the processor time of each turn. So what
other programs do to this machine's wall clock does not count, and neither does HTTP.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from bench.load.rung import Work
from fimble.engine import EngineInfo, Finish, PromptCounts, Token
from fimble.errors import EngineError, PromptTooLongError
from fimble.fim import FORMATS
from lsp_server.engines.embedded import GeneratedToken, Generation, Prefilled
from lsp_server.engines.segments import segments_of
from lsp_server.serving.worker import EngineThread, Failed, Job

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fimble.engine import Query
    from lsp_server.engines.embedded import EmbeddedEngine
    from lsp_server.serving.worker import Event

LOOK_EVERY_S = 0.25


class CpuClockServer:
    """Implements `fimble.engine.Engine`, and `bench.load.rung.Watch` for itself.

    To be made, and used, within a loop of virtual time. One thread computes, because the processor
    time of several is not a time.
    """

    def __init__(self, engine: EmbeddedEngine) -> None:
        """Begin to take turns.

        Args:
            engine: Of one thread.
        """
        self._engine = engine
        self._turns = EngineThread(self._engine)  # never started: turns are taken here
        self._emitted: list[tuple[asyncio.Queue[Event], Event]] = []
        self._has_work = asyncio.Event()
        self._used_s = 0.0
        self._looks: list[tuple[float, float]] = []
        self._working = asyncio.create_task(self._work())

    async def info(self) -> EngineInfo:
        """Return what `fimble serve` would say about itself."""
        manifest = self._engine.manifest
        context = manifest.context_tokens
        return EngineInfo(
            model=manifest.name,
            model_digest=manifest.digest,
            max_input_tokens=context - 1,
            max_total_tokens=context,
            fim_format=manifest.fim_format,
            context=manifest.context,
            takes_beginning=True,
        )

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        """Yield tokens as they come, then one `Finish`; see `fimble.engine.Engine`.

        Raises:
            PromptTooLongError: The prompt and `max_new_tokens` exceed the context.
            EngineError: The generation failed.
        """
        generation = self._generation(query)
        events: asyncio.Queue[Event] = asyncio.Queue()
        job = Job(generation, lambda event: self._emitted.append((events, event)))
        self._turns.submit(job)
        self._has_work.set()
        cached_tokens, generated_tokens = 0, 0
        try:
            while True:
                event = await events.get()
                if isinstance(event, Failed):
                    raise EngineError(event.message)
                if isinstance(event, Prefilled):
                    cached_tokens = max(cached_tokens, event.cached_tokens)
                if not isinstance(event, GeneratedToken):
                    continue
                counts = PromptCounts(len(generation.prompt_ids), cached_tokens)
                text = "" if event.is_special else event.text
                yield Token(event.token_id, text, event.logprob, counts)
                generated_tokens += 1
                if event.finish:
                    yield Finish(event.finish, *counts, generated_tokens)
                    return
        finally:
            job.cancel()
            self._has_work.set()

    async def close(self) -> None:
        """Stay: other users go on."""

    async def end(self) -> None:
        """Take no more turns."""
        self._working.cancel()
        with suppress(asyncio.CancelledError):
            await self._working

    def work(self) -> Work:
        """Return the processor time until now; that of the generator is not told apart."""
        return Work(self._used_s, 0.0)

    async def watch(self) -> None:
        """Note the length of the queue now and then, until cancelled."""
        while True:
            self._looks.append((self._turns.num_waiting, self._turns.num_running))
            await asyncio.sleep(LOOK_EVERY_S)

    def take(self) -> list[tuple[float, float]]:
        """Return what waited and what ran at each look since the last call."""
        looks = list(self._looks)
        self._looks.clear()
        return looks

    def _generation(self, query: Query) -> Generation:
        """Return what the engine is to do, as `fimble serve` reads it from a request."""
        fim_format = FORMATS[self._engine.manifest.fim_format]
        ids = self._engine.vocabulary.encode(segments_of(query.parts, fim_format))
        if len(ids) + query.max_new_tokens > self._engine.manifest.context_tokens:
            raise PromptTooLongError(f"{len(ids)} tokens and {query.max_new_tokens} new ones")
        return Generation(
            prompt_ids=tuple(ids), max_new_tokens=query.max_new_tokens, beginning=query.beginning
        )

    async def _work(self) -> None:
        while True:
            if not self._turns.num_waiting + self._turns.num_running:
                self._has_work.clear()
                await self._has_work.wait()
            before_s = time.thread_time()
            self._turns.turn(may_wait=False)
            took_s = time.thread_time() - before_s
            self._used_s += took_s
            await asyncio.sleep(took_s)
            for events, event in self._emitted:
                events.put_nowait(event)
            self._emitted.clear()
