"""Completions of one document: from memory where that can be, from the engine where it must.

A request first looks at the earlier answers, then at the generation that is running; only then it
waits for the debounce and starts a generation. One request and one generation are alive at a time:
a newer request answers the older at once, a generation goes on while the user writes what it
produces, and is closed at the first difference.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import FimbleError
from fimble.events import CacheHit, Trigger
from fimble.stops import Cut, StopReason
from lsp_server.backend import Answerer
from lsp_server.cache import AnswerCache, Answered
from lsp_server.generation import Counts, Generation, Limits, run_within_context
from lsp_server.lookahead import is_key
from lsp_server.trail import Step, Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from fimble.clock import Clock
    from fimble.settings import CompletionSettings
    from lsp_server.cache import Around
    from lsp_server.documents import Document, Edit, Place
    from lsp_server.prompting import Spot
    from lsp_server.route import Route


ABANDON_S = 0.3
"""A withdrawn request is taken up again within so long, or not at all."""
LOOK_S = 0.05
"""So often a request that waits for its first complete line looks for one."""


class Asked(NamedTuple):
    """A request, with what the document says at its place."""

    place: Place
    trigger: Trigger
    around: Around
    spot: Callable[[], Spot]
    """Gathers the text for a prompt; called only where one is needed."""
    is_deleting: bool = False
    """Whether the user has just deleted something here, and did not ask."""
    wants_others: bool = False
    """Whether other answers than the first are wanted."""


class Found(NamedTuple):
    """The answer to a request; an empty text means that there is nothing to suggest."""

    answered: Answered
    cache: CacheHit
    counts: Counts
    debounce_ms: float = 0.0
    others: tuple[Found, ...] = ()
    """Other answers, where the user asked explicitly; the likeliest first."""


_Work = asyncio.Task[Answered | None] | asyncio.Task[Found | None] | asyncio.Task[None]


class _Live(NamedTuple):
    """The running generation of a document."""

    generation: Generation
    task: asyncio.Task[Answered | None]
    started_ms: float


class Completer:
    """Answers the requests for one document."""

    def __init__(self, settings: CompletionSettings, *, route: Route, clock: Clock) -> None:
        self._settings = settings
        self._route = route
        self._clock = clock
        self._cache = AnswerCache()
        self._others: dict[Around, list[Found]] = {}
        """The latest answers besides a first one."""
        self._factors: dict[str, float] = {}
        self._turn: asyncio.Future[None] | None = None
        self._live: _Live | None = None
        self._warming: asyncio.Task[None] | None = None
        self._abandoning: asyncio.TimerHandle | None = None
        self._closing: set[_Work] = set()

    def take_turn(self) -> asyncio.Future[None]:
        """Return the turn of a new request: a future that is done when a newer one comes."""
        self.supersede()
        self._stay()
        self._turn = asyncio.get_running_loop().create_future()
        return self._turn

    def supersede(self) -> None:
        """Answer the waiting request, if there is one: something newer has come."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    async def find(self, asked: Asked, turn: asyncio.Future[None]) -> Found | None:
        """Return the answers to a request, or None once it was superseded.

        Raises:
            EngineError: The engine failed; the next request may succeed.
            InputError: The model or the configuration is broken, or the engine cannot take the
                text.
        """
        found = await self._find_first(asked, turn)
        if found is None or not found.answered.text.strip() or not asked.wants_others:
            return found
        others = await self.others(asked, found.answered.text, turn)
        return None if turn.done() else found._replace(others=tuple(others))

    async def _find_first(self, asked: Asked, turn: asyncio.Future[None]) -> Found | None:
        asked_ms = self._clock.monotonic_ms()
        if known := self._cache.find(asked.around):
            self.close_live()
            return Found(known, CacheHit.CACHE, Counts(logprobs=[]))
        running = self._live
        if running is not None and running.generation.trail.end == asked.place:
            found = await self._result_of(running, turn, asked_ms)
            if found or turn.done():
                return found._replace(cache=CacheHit.STREAM) if found else None
        self.close_live()
        if asked.is_deleting and not self._settings.after_deletion:
            return _nothing(StopReason.DELETION)
        pause_ms = self._pause_ms(asked)
        if pause_ms and await _is_done(turn, pause_ms / 1000):
            return None
        found = await self._result_of(self.start(asked), turn, asked_ms)
        return found._replace(debounce_ms=round(pause_ms, 1)) if found else None

    async def others(self, asked: Asked, first: str, turn: asyncio.Future[None]) -> list[Found]:
        """Return other answers than the first for a place, the likeliest first.

        Who asks again at the same place, as editors do to go through them, gets the same.
        """
        if (known := self._others.get(asked.around)) is not None:
            return known
        count = self._settings.num_candidates - 1
        if not count:
            return []
        spot = asked.spot()
        drawing = [asyncio.create_task(self._draw(spot, asked, seed)) for seed in range(count)]
        for task in drawing:
            task.add_done_callback(_retrieved)
        everything = asyncio.ensure_future(asyncio.wait(drawing))
        timeout_s = self._settings.deadline_ms / 1000 or None
        await asyncio.wait(
            {everything, turn}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        everything.cancel()
        for task in drawing:
            self._cancel(task)
        drawn = [task.result() for task in drawing if _has_answer(task)]
        found = _different(first, [each for each in drawn if each is not None])
        if not turn.done():
            self._others.clear()
            self._others[asked.around] = found
        return found

    async def _draw(self, spot: Spot, asked: Asked, seed: int) -> Found | None:
        """Return an answer that is drawn; None where it has no text."""
        generation = Generation(
            spot, Trail(asked.place), route=self._route, clock=self._clock, seed=seed
        )
        limits = Limits(self._settings.window, self._settings.max_new_tokens)
        final = await run_within_context(generation, limits, self._factors)
        if final is None or not final.text.strip():
            return None
        return Found(_answer_of(generation, final), CacheHit.MISS, generation.counts)

    def begin(self, asked: Asked) -> None:
        """Begin what will be asked at a place, unless that is known or under way."""
        live = self._live
        if live is not None and live.generation.agrees and live.generation.trail.end == asked.place:
            return
        if self._cache.find(asked.around) is None:
            self.start(asked)

    def start(self, asked: Asked) -> _Live:
        """Start the generation for a place; it becomes the running one."""
        self.close_live()
        generation = Generation(
            asked.spot(), Trail(asked.place), route=self._route, clock=self._clock
        )
        task = asyncio.create_task(self._run(generation, asked.around))
        task.add_done_callback(_retrieved)
        self._live = _Live(generation, task, self._clock.monotonic_ms())
        return self._live

    def warm(self, asked: Asked) -> None:
        """Let the engine read the text around a place, if it has nothing else to do.

        Whatever is asked for next ends that; what was read by then need not be read again.
        """
        if self._live is not None or self._warming is not None:
            return
        if self._route.is_idle and self._cache.find(asked.around) is None:
            self._warming = asyncio.create_task(self._read(asked))

    def abandon(self) -> None:
        """The editor has withdrawn its request: end what runs for it, unless somebody goes on.

        Some editors withdraw at every key and say only then what was typed: so this waits a little.
        """
        self._stay()
        self._abandoning = asyncio.get_running_loop().call_later(ABANDON_S, self.close_live)

    def edited(self, edit: Edit, document: Document) -> None:
        """Keep the running generation only if the user wrote what it produces.

        The waiting request is answered: editors may draw a late answer at a place that has moved.
        """
        self.supersede()
        self._stay()
        if is_key(edit):
            self._route.pace.typed(self._clock.monotonic_ms())
        if self._live is None:
            return
        generation = self._live.generation
        step = generation.trail.follow(edit, document, generation.so_far).step
        if step in {Step.ELSEWHERE, Step.LOST} or not generation.agrees:
            self.close_live()

    def close_live(self) -> None:
        """Close the running generation, if there is one, so that the engine is free."""
        if self._warming is not None:
            self._cancel(self._warming)
            self._warming = None
        if self._live is None:
            return
        live, self._live = self._live, None
        if not live.task.done():
            self._route.pace.given_up(self._clock.monotonic_ms() - live.started_ms)
            self._cancel(live.task)

    async def close(self) -> None:
        """End everything that runs for the document."""
        self.supersede()
        self._stay()
        self.close_live()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _cancel(self, task: _Work) -> None:
        task.cancel()
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _stay(self) -> None:
        """Somebody goes on with what a withdrawn request began."""
        if self._abandoning is not None:
            self._abandoning.cancel()
            self._abandoning = None

    def _pause_ms(self, asked: Asked) -> float:
        """Return how long a new generation waits for the next key."""
        longest_ms = self._settings.debounce_ms
        is_line_start = not asked.around.before.rpartition("\n")[2].strip()
        if not longest_ms or asked.trigger is Trigger.INVOKED or is_line_start:
            return 0.0
        return self._route.pace.pause_ms(longest_ms, self._clock.monotonic_ms())

    async def _read(self, asked: Asked) -> None:
        generation = Generation(
            asked.spot(), Trail(asked.place), route=self._route, clock=self._clock
        )
        with suppress(FimbleError):  # whoever asks will be told
            await generation.run(Limits(self._settings.window, 1), self._factors)
        self._warming = None

    async def _run(self, generation: Generation, around: Around) -> Answered | None:
        """Run a generation and remember its answer; None where the user went another way."""
        limits = Limits(self._settings.window, self._settings.max_new_tokens)
        started_ms = self._clock.monotonic_ms()
        final = await run_within_context(generation, limits, self._factors)
        if final is None:
            return None
        self._route.pace.answered(self._clock.monotonic_ms() - started_ms)
        answered = _answer_of(generation, final)
        self._cache.put(around, answered)
        return answered

    async def _result_of(
        self, live: _Live, turn: asyncio.Future[None], asked_ms: float
    ) -> Found | None:
        """Return what a generation gives for a request, or None if that is nothing."""
        await self._wait(live, turn, asked_ms)
        if turn.done():
            return None
        if not live.task.done():
            return _found_so_far(live.generation)
        if self._live is live:
            self._live = None
        if live.task.cancelled():
            return None
        trail = live.generation.trail
        answered = live.task.result()  # raises what the engine raised
        if answered is None or not answered.text.startswith(trail.text):
            return None
        rest = answered._replace(text=answered.text[len(trail.text) :])
        return Found(rest, CacheHit.MISS, live.generation.counts)

    async def _wait(self, live: _Live, turn: asyncio.Future[None], asked_ms: float) -> None:
        """Wait until a request can be answered, or must be."""
        waited_for = {live.task, turn}
        deadline_ms = self._settings.deadline_ms
        if not deadline_ms:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            return
        left_s = self._left_s(asked_ms, min(self._settings.lines_after_ms, deadline_ms))
        await asyncio.wait(waited_for, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        while not (live.task.done() or turn.done() or _has_lines(live.generation)):
            left_s = min(LOOK_S, self._left_s(asked_ms, deadline_ms))
            if not left_s:
                return
            await asyncio.wait(waited_for, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    def _left_s(self, asked_ms: float, limit_ms: int) -> float:
        """Return how much of a limit a request has left."""
        waited_ms = self._clock.monotonic_ms() - asked_ms
        return max(0.0, limit_ms - waited_ms) / 1000


def _answer_of(generation: Generation, final: Cut) -> Answered:
    return Answered(
        text=final.text,
        stop_reason=final.reason.value if final.reason else "",
        scope=generation.spot.site.scope.value,
        mean_logprob=generation.counts.mean_logprob,
        prefix_chars=len(generation.window.prefix),
        suffix_chars=len(generation.window.suffix),
        answerer=generation.backend.answerer,
    )


def _has_lines(generation: Generation) -> bool:
    """Return whether complete lines may be shown that the user has not written yet."""
    return bool(generation.whole_lines[len(generation.trail.text) :].strip())


def _found_so_far(generation: Generation) -> Found:
    """Return the complete lines of a generation that goes on; its rest is the next suggestion."""
    so_far = _answer_of(generation, Cut(generation.whole_lines, StopReason.DEADLINE))
    rest = so_far.text[len(generation.trail.text) :]
    return Found(so_far._replace(text=rest), CacheHit.MISS, replace(generation.counts))


def _has_answer(task: asyncio.Task[Found | None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _different(first: str, drawn: list[Found]) -> list[Found]:
    """Return the answers that differ from each other and the first, the likeliest first."""
    seen = {first.strip()}
    different: list[Found] = []
    for found in sorted(drawn, key=lambda each: each.answered.mean_logprob, reverse=True):
        text = found.answered.text.strip()
        if text not in seen:
            seen.add(text)
            different.append(found)
    return different


def _nothing(reason: StopReason) -> Found:
    answered = Answered(
        text="",
        stop_reason=reason.value,
        scope="",
        mean_logprob=0.0,
        prefix_chars=0,
        suffix_chars=0,
        answerer=Answerer(),
    )
    return Found(answered, CacheHit.MISS, Counts(logprobs=[]))


async def _is_done(future: asyncio.Future[None], timeout_s: float) -> bool:
    """Return whether `future` is done within a time."""
    await asyncio.wait({future}, timeout=timeout_s)
    return future.done()


def _retrieved(task: asyncio.Task[Answered | None] | asyncio.Task[Found | None]) -> None:
    """Look at a task's error, so that one nobody waited for is not reported as forgotten."""
    if not task.cancelled():
        task.exception()
