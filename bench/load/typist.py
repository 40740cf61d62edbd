"""One user: a session of the language server, and the keys of real edits at their times.

Open loop: a key is pressed when the trace says so, whether or not an answer has come, and all times
count from when it was due. A server, or a generator, that falls behind does not slow the user down.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from bench.load.meter import MeteredBackend, WatchedPace
from bench.replay.traces import JUMP
from fimble.events import Trigger
from fimble.languages import by_path
from fimble.settings import ContextSettings, ContextUse, EngineSettings, Settings
from fimble.text import Position, PositionEncoding
from lsp_server.asking import Client, Request
from lsp_server.decisions import Why
from lsp_server.documents import Documents, Range
from lsp_server.outbox import Outbox
from lsp_server.recorder import Recorder
from lsp_server.session import Session
from lsp_server.variants import Variants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.load.meter import Ledger
    from bench.replay.traces import Step, Trace
    from fimble.clock import Clock
    from fimble.engine import Engine

FOLDER = "file:///load"
NOWHERE = "http://127.0.0.1"
"""The address of what is in this process."""
_FROM_MEMORY = frozenset({"typed", "cache"})
_ENGINE_SAYS_NOTHING = frozenset({Why.NOTHING, Why.UNSURE, Why.LATE})


class Ask(NamedTuple):
    """One request of an editor, which is made at every edit."""

    due_ms: float
    """When its edit was due, on the clock of the measurement."""
    took_ms: float
    """From then to the answer, or until it was superseded."""
    why: Why
    from_memory: bool
    """Whether the answer was known: no generation was needed."""

    @property
    def is_decided(self) -> bool:
        """Whether the engine's work, or memory, has decided on it."""
        return self.why is Why.SERVED or self.why in _ENGINE_SAYS_NOTHING


@dataclass(slots=True, kw_only=True)
class Typed:
    """What all users have done and got."""

    asks: list[Ask] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    """How much later than due each edit was made: the generator's own fault."""
    due_ms: list[float] = field(default_factory=list)
    """When each edit was due."""


class Typist:
    """One user."""

    def __init__(
        self,
        name: str,
        server: EngineSettings | Engine,
        *,
        typed: Typed,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        """Open an editor.

        Args:
            name: Of the user's folder, so that prompts of two users do not start alike.
            server: Where it is, or what answers in its place.
            typed: What was done goes here.
            ledger: Generations go here.
            clock: Times them.
        """
        self._name = name
        self._clock = clock
        self._typed = typed
        self._pending: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        """Of our own; the server's are answers."""
        self._version = count(2)
        # Code of other files depends on the workspace, which traces do not have.
        is_elsewhere = isinstance(server, EngineSettings)
        engine = server if is_elsewhere else EngineSettings(tgi_url=NOWHERE, failover=False)
        settings = Settings(engine=engine, context=ContextSettings(enabled=ContextUse.OFF))
        backend = MeteredBackend(engine, ledger, engine=None if is_elsewhere else server)
        variants = Variants(settings, backend, clock=clock)
        variants.plain.route.pace = WatchedPace(backend)
        nowhere = Outbox(None, session_id=name, clock=clock)
        documents = Documents(PositionEncoding.UTF32)
        self._session = Session(
            Client(name="load", version="1", encoding=PositionEncoding.UTF32, folders=(FOLDER,)),
            variants,
            recorder=Recorder(
                nowhere,
                documents=documents,
                clock=clock,
                shown_after_ms=settings.completion.shown_after_ms,
            ),
            editor=self,
            clock=clock,
        )

    def show_error(self, message: str) -> None:
        """Leave errors to the counts, where each is one."""

    async def type(self, traces: Sequence[Trace], begin_ms: float) -> None:
        """Type traces one after the other, again from the first, until cancelled.

        Args:
            traces: At least one.
            begin_ms: When the first is opened.
        """
        due_ms = begin_ms
        for number in count():
            trace = traces[number % len(traces)]
            await sleep_until(due_ms, self._clock)
            uri = self._open(trace, number)
            for step in trace.steps:
                due_ms += step.pause_ms
                await sleep_until(due_ms, self._clock)
                self._press(uri, step, due_ms)
            due_ms += JUMP.median_ms
            await sleep_until(due_ms, self._clock)
            self._session.closed(uri)

    async def close(self) -> None:
        """Close the editor; requests under way end as if superseded."""
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        await self._session.close()
        for error in self._errors:
            raise error

    def _open(self, trace: Trace, number: int) -> str:
        uri = f"{FOLDER}/{self._name}/{number}/{trace.path}"
        language = by_path(trace.path)
        assert language is not None
        self._session.opened(uri, language.lsp_ids[0], 1, trace.before)
        return uri

    def _press(self, uri: str, step: Step, due_ms: float) -> None:
        """Make an edit, and ask as an editor does; nobody waits here for the answer."""
        self._typed.due_ms.append(due_ms)
        self._typed.late_ms.append(self._clock.monotonic_ms() - due_ms)
        span = Range(Position(step.line, step.column), Position(*step.end))
        self._session.changed(uri, next(self._version), [(span, step.typed)])
        task = asyncio.create_task(self._ask(uri, step, due_ms))
        self._pending.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    async def _ask(self, uri: str, step: Step, due_ms: float) -> None:
        cursor = Position(*step.cursor)
        request = Request(uri=uri, position=cursor, trigger=Trigger.AUTOMATIC)
        why, cache = Why.SUPERSEDED, ""
        try:
            if await self._session.complete(request) is not None:
                explained = self._session.explain(uri)
                why, cache = Why(explained["why"]), str(explained["cache"])
        finally:
            took_ms = self._clock.monotonic_ms() - due_ms
            self._typed.asks.append(Ask(due_ms, took_ms, why, cache in _FROM_MEMORY))


async def sleep_until(due_ms: float, clock: Clock) -> None:
    """Sleep until a time of a clock; return at once where it is over."""
    await asyncio.sleep(max(0.0, due_ms - clock.monotonic_ms()) / 1000)
