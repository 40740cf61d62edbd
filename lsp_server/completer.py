"""Completions of one document: from memory where that can be, from the engine where it must.

A request first looks at the earlier answers, then at the generation that is running; only then it
waits for the debounce and starts a generation. One request and one generation are alive at a time:
a newer request answers the older at once, a generation goes on while the user writes what it
produces, and is closed at the first difference.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from fimble.events import CacheHit, Trigger
from lsp_server.cache import AnswerCache, Answered
from lsp_server.generation import Counts, Generation, Limits, run_within_context
from lsp_server.trail import Step, Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from fimble.clock import Clock
    from fimble.settings import CompletionSettings
    from lsp_server.cache import Around
    from lsp_server.documents import Document, Edit, Place
    from lsp_server.prompting import Spot
    from lsp_server.route import Route


class Asked(NamedTuple):
    """A request, with what the document says at its place."""

    place: Place
    trigger: Trigger
    around: Around
    spot: Callable[[], Spot]
    """Gathers the text for a prompt; called only where one is needed."""


class Found(NamedTuple):
    """The answer to a request; an empty text means that there is nothing to suggest."""

    answered: Answered
    cache: CacheHit
    counts: Counts
    debounce_ms: float = 0.0


class _Live(NamedTuple):
    """The running generation of a document."""

    generation: Generation
    task: asyncio.Task[Answered | None]


class Completer:
    """Answers the requests for one document."""

    def __init__(self, settings: CompletionSettings, *, route: Route, clock: Clock) -> None:
        self._settings = settings
        self._route = route
        self._clock = clock
        self._cache = AnswerCache()
        self._factors: dict[str, float] = {}
        self._turn: asyncio.Future[None] | None = None
        self._live: _Live | None = None
        self._closing: set[asyncio.Task[Answered | None]] = set()

    def take_turn(self) -> asyncio.Future[None]:
        """Return the turn of a new request: a future that is done when a newer one comes."""
        self.supersede()
        self._turn = asyncio.get_running_loop().create_future()
        return self._turn

    def supersede(self) -> None:
        """Answer the waiting request, if there is one: something newer has come."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    async def find(self, asked: Asked, turn: asyncio.Future[None]) -> Found | None:
        """Return the answer to a request, or None once it was superseded.

        Raises:
            EngineError: The engine failed; the next request may succeed.
            InputError: The model or the configuration is broken, or the engine cannot take the
                text.
        """
        if known := self._cache.find(asked.around):
            self.close_live()
            return Found(known, CacheHit.CACHE, Counts(logprobs=[]))
        running = self._live
        if running is not None and running.generation.trail.end == asked.place:
            found = await self._result_of(running, turn)
            if found or turn.done():
                return found._replace(cache=CacheHit.STREAM) if found else None
        self.close_live()
        debounce_ms = self._settings.debounce_ms if asked.trigger is Trigger.AUTOMATIC else 0
        if debounce_ms and await _is_done(turn, debounce_ms / 1000):
            return None
        found = await self._result_of(self.start(asked), turn)
        return found._replace(debounce_ms=float(debounce_ms)) if found else None

    def start(self, asked: Asked) -> _Live:
        """Start the generation for a place; it becomes the running one."""
        self.close_live()
        generation = Generation(
            asked.spot(), Trail(asked.place), route=self._route, clock=self._clock
        )
        task = asyncio.create_task(self._run(generation, asked.around))
        task.add_done_callback(_retrieved)
        self._live = _Live(generation, task)
        return self._live

    def edited(self, edit: Edit, document: Document) -> None:
        """Keep the running generation only if the user wrote what it produces.

        The waiting request is answered: editors may draw a late answer at a place that has moved.
        """
        self.supersede()
        if self._live is None:
            return
        generation = self._live.generation
        step = generation.trail.follow(edit, document, generation.so_far).step
        if step in {Step.ELSEWHERE, Step.LOST} or not generation.agrees:
            self.close_live()

    def close_live(self) -> None:
        """Close the running generation, if there is one, so that the engine is free."""
        if self._live is None:
            return
        task, self._live = self._live.task, None
        if not task.done():
            task.cancel()
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End everything that runs for the document."""
        self.supersede()
        self.close_live()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _run(self, generation: Generation, around: Around) -> Answered | None:
        """Run a generation and remember its answer; None where the user went another way."""
        limits = Limits(self._settings.window, self._settings.max_new_tokens)
        final = await run_within_context(generation, limits, self._factors)
        if final is None:
            return None
        answered = Answered(
            text=final.text,
            stop_reason=final.reason.value if final.reason else "",
            scope=generation.spot.site.scope.value,
            mean_logprob=generation.counts.mean_logprob,
            prefix_chars=len(generation.window.prefix),
            suffix_chars=len(generation.window.suffix),
            answerer=generation.backend.answerer,
        )
        self._cache.put(around, answered)
        return answered

    async def _result_of(self, live: _Live, turn: asyncio.Future[None]) -> Found | None:
        """Return what a generation gives for a request, or None if that is nothing."""
        await asyncio.wait({live.task, turn}, return_when=asyncio.FIRST_COMPLETED)
        if live.task.done() and self._live is live:
            self._live = None
        if turn.done() or live.task.cancelled():
            return None
        trail = live.generation.trail
        answered = live.task.result()  # raises what the engine raised
        if answered is None or not answered.text.startswith(trail.text):
            return None
        rest = answered._replace(text=answered.text[len(trail.text) :])
        return Found(rest, CacheHit.MISS, live.generation.counts)


async def _is_done(future: asyncio.Future[None], timeout_s: float) -> bool:
    """Return whether `future` is done within a time."""
    await asyncio.wait({future}, timeout=timeout_s)
    return future.done()


def _retrieved(task: asyncio.Task[Answered | None]) -> None:
    """Look at a task's error, so that one nobody waited for is not reported as forgotten."""
    if not task.cancelled():
        task.exception()
