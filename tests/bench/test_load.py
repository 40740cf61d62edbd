"""The load generator: its figures for servers of known speed, and against real HTTP."""

from __future__ import annotations

import asyncio
import math
import string
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench.load.cpu_clock import CpuClockServer
from bench.load.figures import Figures, figures, fits
from bench.load.meter import Ledger
from bench.load.processes import Processes
from bench.load.quantiles import Wait, keeps, quantile_ms
from bench.load.rung import Crowd, Here, Rung, Schedule, Work, climb, dealt, sendable
from bench.load.search import Carried, carried, climb_ladder, search
from bench.load.target import TOKEN_VARIABLE, ServerWatch, Target, settings_for
from bench.load.text import capacities_text, table
from bench.load.typist import Typed, Typist
from bench.replay.traces import Step, Trace
from fimble.clock import SystemClock
from fimble.engine import EngineInfo, Finish, FinishReason, Query, Token
from fimble.errors import EngineOverloadedError, InputError
from fimble.fim import FIMBLE, FimOrder, infill_prompt
from fimble.paths import model_dir
from fimble.settings import BackendKind
from lsp_server.engines.embedded import EmbeddedEngine, GeneratedToken, Generation
from lsp_server.engines.graph import Cancellation
from lsp_server.engines.segments import segments_of
from lsp_server.route import LEAVE_S
from tests.stand_ins.openai_app import OpenAiScript, openai_server
from tests.stand_ins.tgi_app import TgiScript, tgi_server
from tests.stand_ins.virtual_time import LoopClock, run_virtually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fimble.settings import EngineSettings

NOWHERE = settings_for("http://127.0.0.1:9", BackendKind.TGI)
SERVICE_MS = 50.0
PREFIX = "def area(width, height):\n    return width "


class Server:
    """Answers each prompt after a fixed time, so many at a time."""

    def __init__(self, *, at_once: int = 1000, service_ms: float = SERVICE_MS) -> None:
        self.service_ms = service_ms
        self.tokens = ["§", "\n"]
        """Nobody types that."""
        self.is_overloaded = False
        self.stalls_until_s = 0.0
        self._slots = asyncio.Semaphore(at_once)

    async def info(self) -> EngineInfo:
        return EngineInfo("stub", "0123456789abcdef", 4000, 4096, "fimble")

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:  # noqa: ARG002 - the seam
        if self.is_overloaded:
            raise EngineOverloadedError("full")
        async with self._slots:
            stalled_s = max(0.0, self.stalls_until_s - asyncio.get_running_loop().time())
            await asyncio.sleep(stalled_s + self.service_ms / 1000)
            for number, text in enumerate(self.tokens):
                yield Token(number, text, -0.5)
            yield Finish(FinishReason.END_TOKEN, 100, 75, len(self.tokens))

    async def close(self) -> None:
        pass


class Still:
    """Looks at nothing."""

    def work(self) -> Work:
        return Work()

    async def watch(self) -> None:
        pass

    def take(self) -> list[tuple[float, float]]:
        return [(0.0, 1.0), (2.0, 3.0)]


def steadily(pause_ms: float, count: int = 40, text: str = "abcdefgh") -> Trace:
    """Return a trace that writes letters, one after the same time each."""
    typed = [text[n % len(text)] for n in range(count)]
    steps = [Step(pause_ms, 1, 4 + n, "", char) for n, char in enumerate(typed)]
    return Trace("t", "a.py", "x = 1 🙂\ny = \nz = 2\n", "", steps)


def measured(server: Server, traces: list[Trace], users: int = 1) -> Figures:
    """Return the figures of users who type at a server, in virtual time."""
    return figures(climbed(server, traces, users))


def climbed(server: Server, traces: list[Trace], users: int = 1) -> Rung:
    async def run() -> Rung:
        schedule = Schedule(warm_up_s=4.0, measured_s=10.0)
        clock = LoopClock()
        crowd = Here(server, clock)
        return await climb(users, crowd, traces, schedule, clock=clock, watch=Still())

    return run_virtually(run())


def test_a_server_of_50_ms_is_measured_as_one_of_50_ms() -> None:
    found = measured(Server(), [steadily(500.0, 100)])
    for times in (found.answers, found.made, found.whole, found.first_token):
        assert [times.p50_ms, times.p95_ms, times.p99_ms] == pytest.approx([SERVICE_MS] * 3)
    assert (found.keys, found.with_text, found.generations) == (20, 20, 20)
    assert (found.abandoned, found.wasted_tokens, found.typed_on, found.errors) == (0, 0, 0, {})
    assert (found.tokens, found.late_p99_ms, found.is_sound) == (20 * 2, 0.0, True)
    assert (found.queue_mean, found.queue_max, found.running_mean) == (1.0, 2.0, 2.0)


def test_who_comes_at_once_to_a_server_of_one_place_waits_in_turn() -> None:
    typed = Typed()
    server = Server(at_once=1)

    async def run() -> None:
        clock = LoopClock()
        ledger = Ledger(clock=clock)
        users = [
            Typist(str(number), server, typed=typed, ledger=ledger, clock=clock)
            for number in range(4)
        ]
        work = [
            asyncio.create_task(user.type([steadily(800.0, 3)], clock.monotonic_ms()))
            for user in users
        ]
        await asyncio.sleep(3.0)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        for user in users:
            await user.close()

    run_virtually(run())
    last = sorted(ask.took_ms for ask in typed.asks[-4:])
    # A stream that has given its answer keeps its place until the answer is written.
    each_ms = SERVICE_MS + LEAVE_S * 1000
    assert last == pytest.approx([SERVICE_MS + n * each_ms for n in range(4)])


def test_a_server_that_stops_does_not_stop_the_users() -> None:
    traces = [steadily(500.0, 100)]
    steady = climbed(Server(), traces)
    server = Server()
    server.stalls_until_s = 1000.0 + 4.0 + 5.0  # within the ten seconds that count
    stalled = climbed(server, traces)
    assert stalled.num_keys == steady.num_keys == 20
    # A closed loop would have asked once in these five seconds, and hidden the rest.
    assert figures(stalled).typed_on >= 8
    assert fits(0.95, 100.0, made_only=True)(steady)
    assert not fits(0.95, 100.0, made_only=True)(stalled)
    assert not fits(0.95, 499.0, made_only=True)(stalled)


def test_what_the_user_writes_otherwise_is_wasted() -> None:
    class Slow(Server):
        async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
            assert query.parts
            for number in range(50):
                await asyncio.sleep(0.1)
                yield Token(number, "§", -0.5)

    found = measured(Slow(), [steadily(480.0, 100)])
    assert found.abandoned == found.generations > 10
    assert found.wasted_tokens == found.tokens == found.generations * 4
    assert (found.with_text, found.answers.p50_ms) == (0, None)
    assert found.typed_on == found.keys


def test_what_is_typed_as_suggested_comes_from_memory() -> None:
    class Knowing(Server):
        async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
            await asyncio.sleep(SERVICE_MS / 1000)
            yield Token(1, string.ascii_letters.partition(str(query.parts[-2])[-1])[2], -0.5)
            yield Finish(FinishReason.END_TOKEN, 100, 75, 1)

    trace = steadily(400.0, 52, string.ascii_letters)
    found = measured(Knowing(), [trace])
    assert found.from_memory == found.keys == 25
    assert (found.generations, found.answers.p99_ms) == (0, 0.0)
    assert found.made.p50_ms is None


def test_refusals_are_errors_and_never_in_time() -> None:
    server = Server()
    server.is_overloaded = True
    climb_of_one = climbed(server, [steadily(500.0, 100)])
    found = figures(climb_of_one)
    assert found.errors == {"EngineOverloadedError": 20}
    assert found.answers.p50_ms == math.inf
    assert not fits(0.95, 1e9, made_only=False)(climb_of_one)


def test_the_search_finds_how_many_a_server_of_one_place_carries() -> None:
    traces = [steadily(400.0 + n, 100) for n in range(8)]

    async def measure(users: int) -> Rung:
        return await asyncio.to_thread(climbed, Server(at_once=1, service_ms=100.0), traces, users)

    async def run() -> tuple[dict[int, Rung], Carried]:
        is_in_time = fits(0.95, 200.0, made_only=True)
        tried = await climb_ladder(
            measure, [8, 1, 3, 6], is_beyond=lambda rung: not is_in_time(rung)
        )
        return tried, await search(measure, tried, is_in_time)

    tried, found = asyncio.run(run())
    # 100 ms of work every 400 ms each: four users leave it no rest, and six are too many.
    assert 1 <= found.users <= 4
    assert found.too_many == found.users + 1
    assert 8 not in tried


def test_waits_cut_short_are_neither_forgotten_nor_answers() -> None:
    # The example of Kaplan and Meier 1958, section 2: deaths, and losses.
    deaths = [Wait(ms, is_over=True) for ms in (0.8, 3.1, 5.4, 9.2)]
    waits = deaths + [Wait(ms, is_over=False) for ms in (1.0, 2.7, 7.0, 12.1)]
    # What is left after each death is 0.875, 0.7, 0.525 and 0.2625.
    assert quantile_ms(waits, 0.125) == 0.8
    assert quantile_ms(waits, 0.126) == 3.1
    assert quantile_ms(waits, 0.3) == 3.1
    assert quantile_ms(waits, 0.475) == 5.4
    assert quantile_ms(waits, 0.7375) == 9.2
    assert quantile_ms(waits, 0.74) is None
    assert quantile_ms([], 0.5) is None
    assert not keeps(waits, 0.95, 10.0)
    assert keeps(waits, 0.95, 12.1)
    assert keeps(waits, 0.7, 9.2)
    assert not keeps([Wait(math.inf, is_over=True)], 0.5, 1e9)


@pytest.mark.parametrize("most", [0, 1, 3, 13, 16, 40])
def test_the_search_halves_until_the_bounds_are_close(most: int) -> None:
    tried: list[int] = []

    async def measure(users: int) -> int:
        tried.append(users)
        return users

    async def run() -> Carried:
        def is_in_time(users: int) -> bool:
            return users <= most

        known = await climb_ladder(
            measure, [1, 2, 4, 8, 16], is_beyond=lambda users: not is_in_time(users)
        )
        return await search(measure, known, is_in_time)

    expected = Carried(min(most, 16), most + 1 if most < 16 else None)
    assert asyncio.run(run()) == expected
    assert len(tried) == len(set(tried))


def test_a_number_that_fits_above_one_that_does_not_counts_for_nothing() -> None:
    assert carried({1: True, 2: False, 4: True}, bool) == Carried(1, 2)


def test_no_two_users_type_the_same() -> None:
    traces = [steadily(100.0 + n) for n in range(5)]
    assert dealt(traces, 2) == [[traces[0], traces[2], traces[4]], [traces[1], traces[3]]]
    with pytest.raises(InputError, match="5 different traces for 6 users"):
        dealt(traces, 6)
    with pytest.raises(InputError, match="0 s"):
        Schedule(measured_s=0)


def test_what_no_server_can_be_sent_is_not_typed() -> None:
    plain = steadily(100.0)
    spelling = plain._replace(before=f"MARK = {FIMBLE.suffix!r}\n")
    written = plain._replace(after=f"MARK = {FIMBLE.end!r}\n")
    assert list(sendable([spelling, plain, written], FIMBLE)) == [plain]


def test_the_report_shows_every_number_of_users_and_every_limit() -> None:
    found = measured(Server(), [steadily(500.0, 100)])
    shown = table([found, found])
    assert "| users | 1 | 1 |" in shown
    assert "| made by the engine | 50 / 50 / 50 | 50 / 50 / 50 |" in shown
    assert "| prompt tokens, from the cache | - | - |" in shown  # closed before the end says so
    assert "(!)" not in shown
    assert capacities_text({"p95 within 200 ms, made": Carried(3, None)}) == (
        "p95 within 200 ms, made: 3 users (all that were tried)"
    )
    assert found.as_json()["keys_per_s"] == 2.0


async def test_users_type_at_tgi_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    with tgi_server(TgiScript(answer=lambda _: ["§", "\n"])) as server:
        found = await _typed_at(_here(settings_for(server.url, BackendKind.TGI)))
        assert len(server.prompts) == len(set(server.prompts))
    assert found.generations > 5
    assert found.tokens >= found.generations
    assert (found.errors, found.abandoned < found.generations) == ({}, True)


async def test_users_type_at_openais_api_over_http() -> None:
    with openai_server(OpenAiScript()) as server:
        engine = settings_for(server.server.url, BackendKind.OPENAI, fim_format="qwen")
        found = await _typed_at(_here(engine))
    assert found.generations > 5
    assert found.errors == {}


async def test_a_server_that_is_not_there_answers_nobody() -> None:
    found = await _typed_at(_here(NOWHERE))
    assert set(found.errors) == {"EngineUnavailableError"}
    assert (found.with_text, found.tokens, found.answers.p50_ms) == (0, 0, math.inf)


async def test_users_of_several_processes_type_what_those_of_one_do() -> None:
    with openai_server(OpenAiScript()) as server:
        engine = settings_for(server.server.url, BackendKind.OPENAI, fim_format="qwen")
        here = await _typed_at(_here(engine), users=3)
        watch = ServerWatch([Target(engine, None)])
        before = watch.work()
        with Processes([engine], 2) as crowd:
            await crowd.ready()
            found = await _typed_at(crowd, users=3)
            used_s = watch.work().generator_cpu_s
        users = _users(server)
    assert (found.users, found.keys, found.errors) == (3, here.keys, {})
    # Each has a folder of his own, whichever process he is of.
    assert users == {"3-0", "3-1", "3-2"}
    assert used_s > before.generator_cpu_s + 0.5, "two processes have loaded the code of a user"


async def test_who_types_stays_with_one_of_several_servers() -> None:
    with openai_server(OpenAiScript()) as one, openai_server(OpenAiScript()) as other:
        engines = [
            settings_for(each.server.url, BackendKind.OPENAI, fim_format="qwen")
            for each in (one, other)
        ]
        with Processes(engines, 2) as crowd:
            found = await _typed_at(crowd, users=4)
        users = [_users(each) for each in (one, other)]
    assert users == [{"4-0", "4-2"}, {"4-1", "4-3"}]
    assert found.generations > 5
    with pytest.raises(InputError, match="2 servers need as many --processes, not 1"):
        Processes(engines, 1)


def _users(server: OpenAiScript) -> set[str]:
    """Return whose files a server was asked about."""
    prompts = [str(body["prompt"]) for body in server.server.bodies]
    return {prompt.removeprefix("<|file_sep|>").partition("/")[0] for prompt in prompts}


def _here(engine: EngineSettings) -> Here:
    return Here(engine, SystemClock())


async def _typed_at(crowd: Crowd, users: int = 2) -> Figures:
    traces = [steadily(90.0 + n, 60) for n in range(users)]
    schedule = Schedule(warm_up_s=0.1, measured_s=0.9, cool_down_s=0.1)
    clock, watch = SystemClock(), Still()
    return figures(await climb(users, crowd, traces, schedule, clock=clock, watch=watch))


def test_by_its_processor_time_a_model_says_what_it_says_when_served() -> None:
    engine = EmbeddedEngine(model_dir(), num_threads=1, cache_bytes=2**30)
    assert engine.max_parallel == 17  # where the default has four, which six users push out
    query = Query(parts=infill_prompt(prefix=PREFIX, suffix="\n", order=FimOrder.SPM))
    ids = engine.vocabulary.encode(segments_of(query.parts, FIMBLE))
    steps = engine.generate(Generation(prompt_ids=tuple(ids), max_new_tokens=8), Cancellation())
    served = [step.token_id for step in steps if isinstance(step, GeneratedToken)]

    async def run() -> tuple[list[int], float, float]:
        clock, server = LoopClock(), CpuClockServer(engine)
        # One who goes in the middle leaves nothing that anybody would wait for.
        gone = server.stream(replace(query, max_new_tokens=8))
        await anext(gone)
        await gone.aclose()
        await asyncio.sleep(1.0)
        before_ms, used_s = clock.monotonic_ms(), server.work().engine_cpu_s
        said = [
            item.token_id
            async for item in server.stream(replace(query, max_new_tokens=8))
            if isinstance(item, Token)
        ]
        took_ms = clock.monotonic_ms() - before_ms
        used_s = server.work().engine_cpu_s - used_s
        await server.end()
        return said, took_ms, 1000 * used_s

    said, took_ms, used_ms = run_virtually(run())
    assert said == served
    assert took_ms == pytest.approx(used_ms, rel=0.05)
    assert used_ms > 0
