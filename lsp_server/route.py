"""Which backend answers: the configured server or, while that fails, the embedded engine.

A server that is overloaded, unreachable or silent is left alone for a while, and the embedded
engine answers meanwhile. Whether the server is back is found out beside the user's requests: none
of them waits for a probe.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from fimble.engine import Query
from fimble.errors import EngineError, FimbleError, InputError, PromptTooLongError
from lsp_server.backend import ANSWER_TIMEOUT_S
from lsp_server.breaker import Breaker
from lsp_server.pace import Pace

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from fimble.clock import Clock
    from fimble.engine import Finish, Token
    from lsp_server.backend import Backend

LEAVE_S = 0.002
"""To close a stream and its connection takes as long as to write an answer, so that goes first."""
_PROBE = Query(parts=("x",), max_new_tokens=1)


class Route:
    """The way to the backend that answers.

    Args:
        server: What the user configured.
        spare: What answers while `server` does not; None where nothing does.
        clock: Tells when to try the server again.
        patience_s: A server that says nothing for so long does not answer.
    """

    def __init__(
        self, server: Backend, spare: Backend | None = None, *, clock: Clock, patience_s: float
    ) -> None:
        self._server = server
        self._spare = spare
        self._clock = clock
        self._patience_s = patience_s
        self._breaker = Breaker()
        self._probe: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._trouble: FimbleError | None = None
        """Why the server is not asked."""
        self._is_told = True
        self.pace = Pace()
        """Of whoever answers, and of the user."""

    @property
    def current(self) -> Backend:
        """What a request of now goes to."""
        spare = self._spare
        return self._server if spare is None or self._breaker.is_closed else spare

    @property
    def is_idle(self) -> bool:
        """Whether what answers is up, and nothing of this session runs on it that is wanted."""
        return self.current.is_up and self.current.num_running <= len(self._leaving)

    @property
    def trouble(self) -> str:
        """Why the spare answers; empty where the server does."""
        return "" if self._breaker.is_closed or self._trouble is None else str(self._trouble)

    def pop_trouble(self) -> FimbleError | None:
        """Return why the spare began to answer, once."""
        if self._is_told:
            return None
        self._is_told = True
        return self._trouble

    async def warm_up(self) -> None:
        """Bring up what answers, so that the first request need not wait for it.

        Raises:
            EngineError: Nothing can be brought up.
            InputError: The model or the configuration is broken.
        """
        if self._spare is None:
            await self._server.info()
            return
        try:
            async with asyncio.timeout(self._patience_s):
                await self._server.info()
        except (EngineError, TimeoutError) as error:
            self._failed(error if isinstance(error, EngineError) else self._silence())
            with suppress(FimbleError):
                await self._spare.info()

    async def stream(self, query_for: Callable[[Backend], Query]) -> AsyncGenerator[Token | Finish]:
        """Yield what the server generates, or the spare where it does not answer.

        Args:
            query_for: Makes the query for a backend that is up; the last it is called with
                generates what comes next.

        Raises:
            EngineError: See `Backend.stream`; that of the server, where both fail.
            InputError: See `Backend.stream`.
        """
        if self.current is self._server:
            has_begun = False
            try:
                async with aclosing(self._from_server(query_for)) as items:
                    async for item in items:
                        has_begun = True
                        yield item
            except PromptTooLongError:
                raise
            except EngineError as error:
                self._failed(error)
                if has_begun or self._spare is None:
                    raise
            else:
                return
        else:
            self._begin_probe()
        async with aclosing(self._from_spare(query_for)) as items:
            async for item in items:
                yield item

    def leave(self, items: AsyncGenerator[Token | Finish]) -> None:
        """Close a stream whose reader has got what it wants, as soon as the answer is written."""
        task = asyncio.create_task(_closed_later(items))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Release both."""
        await asyncio.gather(*self._leaving, return_exceptions=True)
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await self._server.close()
        if self._spare is not None:
            await self._spare.close()

    async def _from_server(
        self, query_for: Callable[[Backend], Query]
    ) -> AsyncGenerator[Token | Finish]:
        patience_s = ANSWER_TIMEOUT_S if self._spare is None else self._patience_s
        async with aclosing(self._server.stream(query_for, patience_s=patience_s)) as items:
            async for item in items:
                self._breaker.succeeded()
                yield item

    async def _from_spare(
        self, query_for: Callable[[Backend], Query]
    ) -> AsyncGenerator[Token | Finish]:
        assert self._spare is not None
        has_begun = False
        try:
            async with aclosing(self._spare.stream(query_for)) as items:
                async for item in items:
                    has_begun = True
                    yield item
        except PromptTooLongError:
            raise
        except (EngineError, InputError) as error:
            if has_begun or self._trouble is None:
                raise
            # Who configured a server wants to know of the server.
            raise self._trouble from error

    def _failed(self, error: EngineError) -> None:
        if self._spare is None:
            return
        if self._breaker.is_closed:
            self._is_told = False
        self._trouble = error
        self._breaker.failed(self._clock.monotonic_ms())

    def _begin_probe(self) -> None:
        if self._breaker.begin_probe(self._clock.monotonic_ms()):
            self._probe = asyncio.create_task(self._try_server())

    async def _try_server(self) -> None:
        """Ask the server for one token, which says more than its health page."""
        try:
            async with aclosing(
                self._server.stream(lambda _: _PROBE, patience_s=self._patience_s)
            ) as items:
                async for _ in items:
                    pass
        except (EngineError, InputError) as error:
            self._failed(error if isinstance(error, EngineError) else self._silence())
        else:
            self._breaker.succeeded()

    def _silence(self) -> EngineError:
        return EngineError(f"the server has said nothing for {self._patience_s:g} s")


async def _closed_later(items: AsyncGenerator[Token | Finish]) -> None:
    try:
        await asyncio.sleep(LEAVE_S)
    finally:
        await items.aclose()
