"""Who answers while a server is overloaded, silent, gone or wrong: real HTTP, a spare beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fimble.engine import EngineInfo, Finish, FinishReason, Query, Token
from fimble.errors import (
    EngineError,
    EngineOverloadedError,
    EngineUnavailableError,
    FimbleError,
    ModelFolderError,
    PromptTooLongError,
)
from fimble.settings import EngineSettings
from lsp_server.backend import Backend
from lsp_server.breaker import LONGEST_PAUSE_MS, Breaker
from lsp_server.route import Route
from tests.stand_ins.hand_clock import HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from tests.stand_ins.tgi_app import TgiScript

OVERLOADED = (429, {"error": "Model is overloaded", "error_type": "overloaded"})


class LocalEngine:
    """An engine on this machine, which is there or not."""

    def __init__(self) -> None:
        self.error: FimbleError | None = None

    async def info(self) -> EngineInfo:
        if self.error is not None:
            raise self.error
        return EngineInfo("local", "d", 1984, 2048, "fimble")

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        del query
        yield Token(1, "local", -1.0)
        yield Finish(FinishReason.END_TOKEN, 1, 0, 1)

    async def close(self) -> None:
        pass


class Ways:
    """A route with a server that follows a script, and a spare."""

    def __init__(self, tgi: TgiScript) -> None:
        self.tgi = tgi
        self.clock = HandClock(0)
        self.local = LocalEngine()
        self.spare = Backend(EngineSettings())
        self.spare._engine = self.local
        self.server = Backend(EngineSettings(tgi_url=tgi.url))
        self.route = Route(self.server, self.spare, clock=self.clock, patience_s=0.3)

    async def ask(self) -> str:
        """Return who answered, and what."""
        asked: list[str] = []

        def query_for(backend: Backend) -> Query:
            asked.append(backend.name)
            return Query(parts=("x",))

        items = [item async for item in self.route.stream(query_for)]
        text = "".join(item.text for item in items if isinstance(item, Token))
        return f"{asked[-1]}: {text}"

    async def probed(self) -> None:
        assert self.route._probe is not None
        await self.route._probe


@pytest.fixture
async def ways(tgi: TgiScript) -> AsyncIterator[Ways]:
    tgi.answer = lambda _: ["served"]
    ways = Ways(tgi)
    yield ways
    await ways.route.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 401])
async def test_the_spare_answers_the_very_request_that_the_server_refuses(
    ways: Ways, status: int
) -> None:
    assert await ways.ask() == "tgi: served"
    ways.tgi.refuses = (status, {})
    assert await ways.ask() == "embedded: local"
    assert ways.route.current is ways.spare
    assert str(status) in ways.route.trouble
    num_asked = len(ways.tgi.prompts)
    assert await ways.ask() == "embedded: local"
    assert len(ways.tgi.prompts) == num_asked
    assert isinstance(ways.route.pop_trouble(), EngineError)
    assert ways.route.pop_trouble() is None


async def test_the_server_is_tried_beside_the_requests_and_answers_again_once_it_can(
    ways: Ways,
) -> None:
    ways.tgi.refuses = OVERLOADED
    assert await ways.ask() == "embedded: local"
    ways.clock.now_ms = 999
    assert await ways.ask() == "embedded: local"
    assert len(ways.tgi.prompts) == 1
    ways.clock.now_ms = 1000
    assert await ways.ask() == "embedded: local"
    await ways.probed()
    assert len(ways.tgi.prompts) == 2
    ways.clock.now_ms = 2999  # the pause has doubled
    assert await ways.ask() == "embedded: local"
    assert len(ways.tgi.prompts) == 2
    ways.tgi.refuses = None
    ways.clock.now_ms = 3000
    assert await ways.ask() == "embedded: local"
    await ways.probed()
    assert await ways.ask() == "tgi: served"
    assert ways.route.trouble == ""


async def test_a_server_that_says_nothing_is_left_after_the_patience_and_not_asked_twice(
    ways: Ways,
) -> None:
    ways.tgi.delay_s = 60
    assert await ways.ask() == "embedded: local"
    assert "has said nothing for 0.3 s" in ways.route.trouble
    assert len(ways.tgi.prompts) == 1
    ways.clock.now_ms = 1000
    assert await ways.ask() == "embedded: local"
    await ways.probed()
    assert ways.route.current is ways.spare


async def test_a_server_that_dies_in_mid_answer_is_an_error_and_then_left_alone(ways: Ways) -> None:
    ways.tgi.answer = lambda _: ["a", "b", "c"]
    ways.tgi.dies_after = 1
    with pytest.raises(EngineUnavailableError):
        await ways.ask()
    assert await ways.ask() == "embedded: local"


async def test_a_prompt_that_is_too_long_says_nothing_against_a_server(ways: Ways) -> None:
    ways.tgi.max_input_chars = 0
    with pytest.raises(PromptTooLongError):
        await ways.ask()
    assert ways.route.current is ways.server


async def test_where_both_fail_the_user_hears_of_the_server(ways: Ways) -> None:
    ways.tgi.refuses = OVERLOADED
    ways.local.error = ModelFolderError("there is no model folder")
    for _ in range(2):
        with pytest.raises(EngineOverloadedError, match="Model is overloaded"):
            await ways.ask()


async def test_without_a_spare_every_request_asks_the_server(ways: Ways) -> None:
    route = Route(ways.server, clock=ways.clock, patience_s=0.3)
    ways.route = route
    ways.tgi.refuses = OVERLOADED
    for _ in range(3):
        with pytest.raises(EngineOverloadedError):
            await ways.ask()
    assert len(ways.tgi.prompts) == 3
    ways.tgi.refuses = None
    assert await ways.ask() == "tgi: served"
    assert (route.trouble, route.pop_trouble()) == ("", None)


async def test_a_server_that_is_not_there_when_a_session_starts_is_no_error(ways: Ways) -> None:
    server = Backend(EngineSettings(tgi_url="http://127.0.0.1:9"))
    ways.route = Route(server, ways.spare, clock=ways.clock, patience_s=0.3)
    await ways.route.warm_up()
    assert ways.route.current is ways.spare
    assert await ways.ask() == "embedded: local"


async def test_no_more_generations_than_configured_are_asked_for_at_a_time(tgi: TgiScript) -> None:
    tgi.delay_s = 0.1
    tgi.answer = lambda _: ["a"]
    backend = Backend(EngineSettings(tgi_url=tgi.url, num_parallel=2))

    async def ask() -> None:
        async for _ in backend.stream(lambda _: Query(parts=("x",))):
            assert len(tgi.prompts) - tgi.num_finished <= 2

    await asyncio.gather(*(ask() for _ in range(6)))
    assert len(tgi.prompts) == 6
    await backend.close()


def test_the_pause_of_a_breaker_doubles_up_to_a_minute() -> None:
    breaker, now_ms, pauses = Breaker(), 0.0, []
    for _ in range(9):
        breaker.failed(now_ms)
        started_ms = now_ms
        while not breaker.begin_probe(now_ms):
            now_ms += 500
        assert not breaker.begin_probe(now_ms)  # one probe at a time
        pauses.append(now_ms - started_ms)
    assert pauses == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]
    assert pauses[-1] == LONGEST_PAUSE_MS
    breaker.succeeded()
    assert breaker.is_closed
    assert not breaker.begin_probe(now_ms)
