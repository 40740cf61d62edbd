"""A session with an engine that takes its time, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fimble.engine import EngineInfo, Finish, FinishReason, Query, Token
from fimble.events import Trigger
from fimble.settings import CompletionSettings, EngineSettings, Settings
from fimble.text import Position, PositionEncoding
from lsp_server.asking import Client, Request
from lsp_server.backend import Backend
from lsp_server.documents import Documents, Range
from lsp_server.recorder import Recorder
from lsp_server.session import Session
from lsp_server.variants import Variants
from tests.stand_ins.editor_sessions import Collected
from tests.stand_ins.virtual_time import LoopClock, run_virtually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from fimble.errors import EngineOverloadedError

URI = "file:///p/a.py"


class SlowEngine:
    """An engine that takes its time, and notes what became of each query."""

    def __init__(self) -> None:
        self.tokens = ["done", "\n"]
        self.drawn: list[list[str]] = []
        """What it says where tokens are drawn, by seed; empty means as otherwise."""
        self.read_ms = 300.0
        self.token_ms = 20.0
        self.error: EngineOverloadedError | None = None
        self.queries: list[Query] = []
        self.num_closed_early = 0

    async def info(self) -> EngineInfo:
        return EngineInfo("slow", "0123456789abcdef", 4000, 4096, "fimble")

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        self.queries.append(query)
        is_whole = False
        tokens = list(self.tokens)
        if query.seed is not None and self.drawn:
            tokens = self.drawn[query.seed]
        try:
            await asyncio.sleep(self.read_ms / 1000)
            if self.error is not None:
                raise self.error
            for number, text in enumerate(tokens[: query.max_new_tokens]):
                yield Token(number, text, -0.5)
                await asyncio.sleep(self.token_ms / 1000)
            is_whole = True
            yield Finish(FinishReason.END_TOKEN, 10, 0, len(tokens))
        finally:
            self.num_closed_early += not is_whole

    async def close(self) -> None:
        pass


class Editor:
    """One session, its engine, and the one document in it."""

    def __init__(self, **completion: object) -> None:
        self.clock = LoopClock()
        self.engine = SlowEngine()
        backend = Backend(EngineSettings(tgi_url="http://slow", failover=False))
        backend._engine = self.engine
        settings = Settings(completion=CompletionSettings(**{"num_candidates": 1, **completion}))
        self.outbox = Collected()
        documents = Documents(PositionEncoding.UTF32)
        self.session = Session(
            Client(name="timed", version="1", encoding=PositionEncoding.UTF32),
            Variants(settings, backend, clock=self.clock),
            recorder=Recorder(
                self.outbox, documents=documents, clock=self.clock, shown_after_ms=250
            ),
            editor=self,
            clock=self.clock,
        )
        self.messages: list[str] = []

    def show_error(self, message: str) -> None:
        self.messages.append(message)

    def open(self, text: str) -> None:
        self.session.opened(URI, "python", 1, text)

    def write(self, place: tuple[int, int], text: str) -> None:
        at = Position(*place)
        self.session.changed(URI, 2, [(Range(at, at), text)])

    def delete(self, place: tuple[int, int], count: int = 1) -> None:
        span = Range(Position(*place), Position(place[0], place[1] + count))
        self.session.changed(URI, 2, [(span, "")])

    async def ask(
        self, place: tuple[int, int], trigger: Trigger = Trigger.AUTOMATIC
    ) -> tuple[str | None, float]:
        """Return what is suggested (None for null) and after how many milliseconds."""
        started_ms = self.clock.monotonic_ms()
        items = await self.session.complete(
            Request(uri=URI, position=Position(*place), trigger=trigger)
        )
        text = None if items is None else "".join(i.insert_text[len(i.replaced) :] for i in items)
        return text, round(self.clock.monotonic_ms() - started_ms)

    @property
    def why(self) -> str:
        return str(self.session.explain(URI)["why"])


def timed(test: Callable[[Editor], Awaitable[None]], **completion: object) -> None:
    """Run a test in virtual time."""

    async def run() -> None:
        editor = Editor(**completion)
        await test(editor)
        await editor.session.close()

    run_virtually(run())
