"""The engine of a session: made when first needed, and again after it went away.

Nothing of it is imported before: the server answers the editor first, then brings up the engine.
"""

from __future__ import annotations

import asyncio
import importlib
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, cast

from fimble.errors import EngineError, EngineUnavailableError, InputError
from fimble.fim import FORMATS
from fimble.manifest import SNIPPETS
from fimble.paths import state_dir
from fimble.settings import BackendKind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from fimble.engine import Engine, EngineInfo, Finish, Query, Token
    from fimble.fim import FimFormat
    from fimble.settings import EngineSettings
    from lsp_server.generation import Limits

START_TIMEOUT_S = 75.0
"""An engine that reads a large model from a slow disk may need a minute."""
ANSWER_TIMEOUT_S = 30.0
"""An engine that is silent for so long is given up."""
BYTES_PER_TOKEN = 2.5
"""Code has some 3.5 bytes a token; a window that is filled to the brim would often be refused."""
SMALLEST_FACTOR = 1 / 32
"""A prompt this small that does not fit is an error."""
_ENGINES = "lsp_server.engines.shared"


class Answerer(NamedTuple):
    """Who generated an answer; empty where the engine did not say."""

    backend: str = ""
    model: str = ""
    digest: str = ""


class _SilentError(EngineUnavailableError):
    """The engine takes longer than anybody waits: asking again would take as long."""


class Backend:
    """One engine, as settings describe it."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._engine: Engine | None = None
        self._info: EngineInfo | None = None
        self._connecting = asyncio.Lock()
        self._slots = asyncio.Semaphore(settings.num_parallel)
        self.num_running = 0
        """Streams of this session."""
        # The shared engine starts its process again by itself; of a server, a connection that was
        # kept may have ended since the last request.
        self._num_attempts = 1 if settings.kind is BackendKind.EMBEDDED else 2

    @property
    def name(self) -> str:
        """What events call the backend: `embedded`, `tgi` or `openai`."""
        return self._settings.kind.value

    @property
    def answerer(self) -> Answerer:
        """Who answers, as far as is known."""
        info = self._info
        return Answerer(self.name, info.model, info.model_digest) if info else Answerer(self.name)

    @property
    def fim_format(self) -> FimFormat:
        """The FIM format of the model; the configured one before the engine has named its own."""
        said = self._info.fim_format if self._info else ""
        return FORMATS.get(said) or FORMATS[self._settings.fim_format]

    @property
    def takes_snippets(self) -> bool:
        """Whether the model says that it was trained with code of other files in prompts."""
        return self._info is not None and SNIPPETS in self._info.context

    @property
    def takes_beginning(self) -> bool:
        """Whether the engine completes the word that the cursor stands in from its start."""
        return self._info is not None and self._info.takes_beginning

    @property
    def is_up(self) -> bool:
        """Whether the engine has said something about itself."""
        return self._info is not None

    def factor_for(self, limits: Limits) -> float:
        """Return how much of a window's budget the engine's own limits leave room for, up to 1.

        A prompt that is too long nevertheless, in text of many tokens, is halved when the engine
        refuses it.
        """
        if self._info is None or self._info.max_total_tokens <= 0:
            return 1.0
        room_tokens = self._info.max_total_tokens - limits.max_new_tokens
        if self._info.max_input_tokens > 0:
            room_tokens = min(room_tokens, self._info.max_input_tokens)
        needed_bytes = limits.budget.prefix_bytes + limits.budget.suffix_bytes
        return min(1.0, max(SMALLEST_FACTOR, room_tokens * BYTES_PER_TOKEN / needed_bytes))

    async def info(self) -> EngineInfo:
        """Return what the engine says about itself, starting it where that is needed.

        Raises:
            EngineError: The engine cannot be started, or does not answer.
            InputError: The model folder or the configuration is broken.
        """
        async with self._connecting:
            if self._engine is None:
                module = await asyncio.to_thread(importlib.import_module, _ENGINES)
                engine_for = cast("Callable[[EngineSettings], Engine]", module.engine_for)
                self._engine = engine_for(self._settings)
            if self._info is None:
                self._info = await self._said_in_time(self._engine)
            return self._info

    async def _said_in_time(self, engine: Engine) -> EngineInfo:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await engine.info()
        except TimeoutError:
            raise _SilentError(_silence(START_TIMEOUT_S)) from None
        except EngineUnavailableError:
            await self._forget()
            raise
        except OSError as error:
            raise _no_start(error) from error

    async def stream(
        self, query_for: Callable[[Backend], Query], *, patience_s: float = ANSWER_TIMEOUT_S
    ) -> AsyncGenerator[Token | Finish]:
        """Yield what the engine generates; a server that went away is asked again, once.

        Args:
            query_for: Makes the query, once it is known what the engine takes.
            patience_s: An engine that is silent for so long is given up. The embedded one may
                take longer to start.

        Raises:
            EngineError: See `fimble.engine.Engine.stream`.
            InputError: See `info`, and text that the engine cannot take.
        """
        for attempt in range(1, self._num_attempts + 1):
            started = False
            engine = None
            try:
                async with self._slots, self._running():
                    await self._up_in_time(patience_s)
                    engine = self._engine
                    assert engine is not None
                    query = query_for(self)
                    async with (
                        aclosing(engine.stream(query)) as items,
                        aclosing(_in_time(items, patience_s)) as in_time,
                    ):
                        async for item in in_time:
                            started = True
                            yield item
            except EngineUnavailableError as error:
                async with self._connecting:
                    if engine is None or engine is self._engine:  # others may have a new one
                        await self._forget()
                if started or attempt == self._num_attempts or isinstance(error, _SilentError):
                    raise
            except OSError as error:
                raise _no_start(error) from error
            else:
                return

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        self.num_running += 1
        try:
            yield
        finally:
            self.num_running -= 1

    async def _up_in_time(self, patience_s: float) -> None:
        if self._info is not None:
            return
        if self._settings.kind is BackendKind.EMBEDDED:
            patience_s = max(patience_s, START_TIMEOUT_S)
        try:
            async with asyncio.timeout(patience_s):
                await self.info()
        except TimeoutError:
            raise _SilentError(_silence(patience_s)) from None

    async def close(self) -> None:
        """Release the engine."""
        async with self._connecting:
            await self._forget()

    async def _forget(self) -> None:
        engine, self._engine, self._info = self._engine, None, None
        if engine is not None:
            with suppress(EngineError, OSError):
                await engine.close()


async def _in_time(
    items: AsyncGenerator[Token | Finish], limit_s: float
) -> AsyncGenerator[Token | Finish]:
    """Yield the items of an engine, none of which may take longer than the limit."""
    while True:
        try:
            async with asyncio.timeout(limit_s):
                item = await anext(items)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _SilentError(_silence(limit_s)) from None
        yield item


def _no_start(error: OSError) -> InputError:
    """Return the error of an engine that cannot be started: where its files go cannot be used."""
    return InputError(
        f"the engine cannot be started: {error}; its address and log go into {state_dir()}, "
        "FIMBLE_STATE_DIR names another folder"
    )


def _silence(limit_s: float) -> str:
    return f"the engine has said nothing for {limit_s:g} s"
