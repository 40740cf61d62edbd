"""What the generations of all users cost, seen from outside of the server."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from fimble.clock import Clock
from fimble.engine import Finish
from fimble.errors import FimbleError
from lsp_server.backend import ANSWER_TIMEOUT_S, Backend
from lsp_server.pace import Pace

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from fimble.engine import Engine, Query, Token
    from fimble.settings import EngineSettings


class Ending(StrEnum):
    """How a generation ended."""

    RUNNING = "running"
    ANSWERED = "answered"
    """The suggestion was complete: by the engine's word, or because ours closed the stream."""
    ABANDONED = "abandoned"
    """The user wrote something else."""
    FAILED = "failed"
    UNFINISHED = "unfinished"
    """It ran when the measurement ended."""


@dataclass(slots=True, kw_only=True)
class Generated:
    """One generation."""

    begun_ms: float
    """On the clock of the measurement."""
    first_token_ms: float | None = None
    """From its beginning."""
    took_ms: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0
    """0 where the server does not say, or has not yet."""
    cached_tokens: int = 0
    """Likewise."""
    ending: Ending = Ending.RUNNING
    error: str = ""
    """Kind of error of one that failed."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The generations of all users."""

    clock: Clock
    generations: list[Generated] = field(default_factory=list)
    is_over: bool = False
    """Whether what is ended now is ended because the measurement is."""


class MeteredBackend(Backend):
    """A backend of the language server that notes what each generation took."""

    def __init__(
        self, settings: EngineSettings, ledger: Ledger, *, engine: Engine | None = None
    ) -> None:
        """Begin with nothing.

        Args:
            settings: Where the server is.
            ledger: Generations go here.
            engine: What is asked, where that is no server.
        """
        super().__init__(settings)
        self._engine = engine
        self._ledger = ledger
        self._latest: Generated | None = None

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    async def stream(
        self, query_for: Callable[[Backend], Query], *, patience_s: float = ANSWER_TIMEOUT_S
    ) -> AsyncGenerator[Token | Finish]:
        """Yield what the engine generates; see `Backend.stream`."""
        now_ms = self._ledger.clock.monotonic_ms
        noted = self._latest = Generated(begun_ms=now_ms())
        self._ledger.generations.append(noted)
        try:
            async with aclosing(super().stream(query_for, patience_s=patience_s)) as items:
                async for item in items:
                    _note(noted, item, now_ms())
                    yield item
        except FimbleError as error:
            noted.ending, noted.error = Ending.FAILED, type(error).__name__
            raise
        except (GeneratorExit, asyncio.CancelledError):
            # A stream that has given its answer is closed a little later.
            if noted.ending is Ending.RUNNING:
                noted.ending = Ending.UNFINISHED if self._ledger.is_over else Ending.ABANDONED
            raise
        finally:
            if noted.ending is not Ending.ANSWERED:
                noted.took_ms = now_ms() - noted.begun_ms

    def settle(self) -> None:
        """The latest generation has given its answer."""
        noted = self._latest
        if noted is not None and noted.ending is not Ending.FAILED:
            noted.ending = Ending.ANSWERED
            noted.took_ms = self._ledger.clock.monotonic_ms() - noted.begun_ms


def _note(noted: Generated, item: Token | Finish, at_ms: float) -> None:
    if isinstance(item, Finish):
        noted.prompt_tokens, noted.cached_tokens = item.prompt_tokens, item.cached_tokens
        return
    if noted.first_token_ms is None:
        noted.first_token_ms = at_ms - noted.begun_ms
    if item.prompt is not None:
        noted.prompt_tokens, noted.cached_tokens = item.prompt
    noted.tokens += 1


class WatchedPace(Pace):
    """The pace of a route, which is told when a generation has given its answer."""

    def __init__(self, backend: MeteredBackend) -> None:
        super().__init__()
        self._backend = backend
        self._is_giving_up = False

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def answered(self, took_ms: float) -> None:
        """A generation came to its end."""
        if not self._is_giving_up:  # which `Pace` counts as an answer that took longer
            self._backend.settle()
        super().answered(took_ms)

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def given_up(self, after_ms: float) -> None:
        """A generation was closed before its end."""
        self._is_giving_up = True
        super().given_up(after_ms)
        self._is_giving_up = False
