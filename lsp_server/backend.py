"""The engine of a session: made when first needed, and again after it went away.

Nothing of it is imported before: the server answers the editor first, then brings up the engine.
"""

from __future__ import annotations

import asyncio
import importlib
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, cast

from fimble.errors import EngineError, EngineUnavailableError, InputError
from fimble.fim import FORMATS
from fimble.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from fimble.engine import Engine, EngineInfo, Finish, Query, Token
    from fimble.fim import FimFormat
    from fimble.settings import EngineSettings

START_TIMEOUT_S = 75.0
"""An engine that reads a large model from a slow disk may need a minute."""
ANSWER_TIMEOUT_S = 30.0
"""An engine that is silent for so long is given up."""
_ENGINES = "lsp_server.engines.shared"


class Backend:
    """Whatever `fimble.toml` says answers prompts."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._engine: Engine | None = None
        self._info: EngineInfo | None = None
        self._connecting = asyncio.Lock()

    @property
    def name(self) -> str:
        """What events call the backend: `tgi` or `embedded`."""
        return "tgi" if self._settings.tgi_url else "embedded"

    @property
    def known_info(self) -> EngineInfo | None:
        """What the engine said about itself, if it has been asked."""
        return self._info

    @property
    def fim_format(self) -> FimFormat:
        """The FIM format of the model; the configured one before the engine has named its own."""
        said = self._info.fim_format if self._info else ""
        return FORMATS.get(said) or FORMATS[self._settings.fim_format]

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
            raise _silence(START_TIMEOUT_S) from None
        except EngineUnavailableError:
            await self._forget()
            raise
        except OSError as error:
            raise _no_start(error) from error

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        """Yield what the engine generates; one that went away is started again, once.

        Raises:
            EngineError: See `fimble.engine.Engine.stream`.
            InputError: See `info`, and text that the engine cannot take.
        """
        for attempt in (1, 2):
            started = False
            engine = None
            try:
                await self.info()
                engine = self._engine
                assert engine is not None
                async with (
                    aclosing(engine.stream(query)) as items,
                    aclosing(_in_time(items)) as in_time,
                ):
                    async for item in in_time:
                        started = True
                        yield item
            except EngineUnavailableError:
                async with self._connecting:
                    if engine is None or engine is self._engine:  # others may have a new one
                        await self._forget()
                if started or attempt == 2:
                    raise
            except OSError as error:
                raise _no_start(error) from error
            else:
                return

    async def close(self) -> None:
        """Release the engine."""
        async with self._connecting:
            await self._forget()

    async def _forget(self) -> None:
        engine, self._engine, self._info = self._engine, None, None
        if engine is not None:
            with suppress(EngineError, OSError):
                await engine.close()


async def _in_time(items: AsyncGenerator[Token | Finish]) -> AsyncGenerator[Token | Finish]:
    """Yield the items of an engine, none of which may take longer than the time-out."""
    while True:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                item = await anext(items)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _silence(ANSWER_TIMEOUT_S) from None
        yield item


def _no_start(error: OSError) -> InputError:
    """Return the error of an engine that cannot be started: where its files go cannot be used."""
    return InputError(
        f"the engine cannot be started: {error}; its address and log go into {state_dir()}, "
        "FIMBLE_STATE_DIR names another folder"
    )


def _silence(limit_s: float) -> EngineUnavailableError:
    return EngineUnavailableError(f"the engine has said nothing for {limit_s:.0f} s")
