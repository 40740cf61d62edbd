"""The engine of a session, when it goes away under several documents."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fimble.engine import EngineInfo, Finish, FinishReason, Query, Token
from fimble.errors import EngineUnavailableError
from fimble.settings import BackendKind, EngineSettings
from lsp_server.backend import Backend

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


ANSWER = Finish(FinishReason.END_TOKEN, 1, 0, 1)


class Engine:
    """An engine that fails or answers when the test says so."""

    def __init__(self, *, works: bool) -> None:
        self.works = works
        self.is_closed = False
        self.gates: list[asyncio.Event] = []

    async def info(self) -> EngineInfo:
        return EngineInfo("m", "d", 100, 200, "fimble")

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        del query
        if self.works:
            yield Token(1, "a", -1.0)
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        if not self.works or self.is_closed:
            raise EngineUnavailableError("it went away")
        yield ANSWER

    async def close(self) -> None:
        self.is_closed = True


async def test_a_late_failure_of_the_old_engine_leaves_the_new_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = Engine(works=False), Engine(works=True)
    engines = iter([old, new])

    def engine_for(settings: EngineSettings) -> Engine:
        del settings
        return next(engines)

    monkeypatch.setattr("lsp_server.engines.shared.engine_for", engine_for)
    backend = Backend(EngineSettings(tgi_url="http://server"))

    async def ask() -> list[Token | Finish]:
        return [item async for item in backend.stream(lambda _: Query(parts=("x",)))]

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await _until_open(old, 2)
    old.gates[0].set()
    await _until_open(new, 1)
    old.gates[1].set()
    await _until_open(new, 2)
    assert (old.is_closed, new.is_closed) == (True, False)
    for gate in new.gates:
        gate.set()
    assert await first == await second == [Token(1, "a", -1.0), ANSWER]
    await backend.close()


async def test_the_shared_engine_alone_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Engine] = []

    def engine_for(settings: EngineSettings) -> Engine:
        del settings
        made.append(Engine(works=False))
        return made[-1]

    monkeypatch.setattr("lsp_server.engines.shared.engine_for", engine_for)
    for settings, num_attempts in ((EngineSettings(), 1), (EngineSettings(url=URL, **TGI), 2)):
        made.clear()
        backend = Backend(settings)
        asking = asyncio.create_task(_all(backend))
        for number in range(num_attempts):
            async with asyncio.timeout(10):
                while len(made) <= number:
                    await asyncio.sleep(0)
            await _until_open(made[number], 1)
            made[number].gates[0].set()
        with pytest.raises(EngineUnavailableError, match="it went away"):
            await asking
        assert [each.is_closed for each in made] == [True] * num_attempts


URL = "http://server"
TGI = {"backend": BackendKind.TGI}


async def _all(backend: Backend) -> list[Token | Finish]:
    return [item async for item in backend.stream(lambda _: Query(parts=("x",)))]


async def _until_open(engine: Engine, num_streams: int) -> None:
    async with asyncio.timeout(10):
        while len(engine.gates) < num_streams:
            await asyncio.sleep(0)
