"""The server that users type at: started here, or somewhere already."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import psutil

from bench.load.rung import Work
from eval_harness.sessions.engine import end_engine
from fimble.clock import SystemClock
from fimble.errors import InputError
from fimble.manifest import load_manifest
from fimble.settings import BackendKind, EngineSettings
from lsp_server.engines.shared import EngineLaunch, SharedEngine
from telemetry.operations.scrape import Scraper, backend_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

TOKEN_VARIABLE = "FIMBLE_LOAD_TOKEN"  # noqa: S105 - the name of a variable
LOOK_EVERY_S = 0.25
_WAITING = ("tgi_queue_size", "vllm:num_requests_waiting", "llamacpp:requests_deferred")
_RUNNING = ("tgi_batch_current_size", "vllm:num_requests_running", "llamacpp:requests_processing")


class Target(NamedTuple):
    """A server."""

    engine: EngineSettings
    pid: int | None
    """Of its process, where that is on this machine and known."""


@asynccontextmanager
async def started(model: Path, *, threads: int) -> AsyncGenerator[Target]:
    """Start `fimble serve` for the time of a measurement.

    Args:
        model: Folder of the model.
        threads: As `fimble serve --threads`.

    Raises:
        EngineUnavailableError: It does not start.
    """
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fimble-load-")))
        stack.callback(end_engine, state)
        engine = SharedEngine(
            EngineLaunch(
                model_folder=model,
                model_digest=load_manifest(model, verify=False).digest,
                state_folder=state,
                threads=threads,
                idle_exit_s=0,
            )
        )
        try:
            await engine.info()
        finally:
            await engine.close()
        [path] = state.glob("engine-*.json")
        announced = json.loads(path.read_text(encoding="utf-8"))
        os.environ[TOKEN_VARIABLE] = announced["token"]
        stack.callback(os.environ.pop, TOKEN_VARIABLE, "")
        yield Target(settings_for(announced["url"], BackendKind.TGI), int(announced["pid"]))


def settings_for(
    url: str, kind: BackendKind, *, fim_format: str = "fimble", served_model: str = ""
) -> EngineSettings:
    """Return how users reach a server.

    Raises:
        ConfigError: Something does not fit.
    """
    return EngineSettings(
        backend=kind,
        url=url,
        fim_format=fim_format,
        served_model=served_model,
        token_variable=TOKEN_VARIABLE,
        failover=False,  # another engine's answers would flatter the server
    )


class ServerWatch:
    """Implements `bench.load.rung.Watch`: processor time of servers, and what waits at them."""

    def __init__(self, targets: Sequence[Target]) -> None:
        """Begin to look.

        Raises:
            InputError: There is no such process.
        """
        try:
            self._processes = [psutil.Process(each.pid) for each in targets if each.pid]
        except psutil.NoSuchProcess as error:
            raise InputError(f"there is no process {error.pid} on this machine") from None
        self._own = psutil.Process()
        self._scraper = Scraper(
            [backend_of(each.engine.server_url.removesuffix("/v1")) for each in targets],
            clock=SystemClock(),
            timeout_s=2.0,
        )
        self._looks: list[tuple[float, float]] = []

    def work(self) -> Work:
        """Return what was done until now."""
        # A server that was started here is a child, too.
        typing = {self._own, *self._own.children()} - set(self._processes)
        return Work(sum(map(_cpu_s, self._processes)), sum(map(_cpu_s, typing)))

    async def watch(self) -> None:
        """Note the length of their queues now and then, until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                samples = await self._scraper.poll(session)
                waits, runs = (
                    [each.value for each in samples if each.metric in names]
                    for names in (_WAITING, _RUNNING)
                )
                if waits and runs:
                    self._looks.append((sum(waits), sum(runs)))
                await asyncio.sleep(LOOK_EVERY_S)

    def take(self) -> list[tuple[float, float]]:
        """Return what waited and what ran at each look since the last call."""
        looks = list(self._looks)
        self._looks.clear()
        return looks


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
