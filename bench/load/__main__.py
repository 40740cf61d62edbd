"""How many users who type at once a server carries.

Users type real edits, key by key, each in a session of the language server of its own; the server
is a new `fimble serve`, or any server with TGI's or OpenAI's API. Open loop: keys are pressed when
they are due, and all times count from then. `docs/load.md` explains the figures.

    python -m bench.load [--users 1,2,4,...] [--minutes M] [--model DIR] [--url URL] [--json]
    python -m bench.load --cpu-clock     the model alone, where other programs disturb the times

Send load only to servers that are yours: it is as much as so many people make.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.load.cpu_clock import CpuClockServer
from bench.load.figures import SHARES, figures, fits
from bench.load.processes import Processes
from bench.load.rung import Here, Schedule, climb, sendable
from bench.load.search import carried, climb_ladder, search
from bench.load.target import ServerWatch, Target, settings_for, started
from bench.load.text import capacities_text, table
from bench.replay.traces import traces_of_repository
from fimble.clock import SystemClock
from fimble.errors import FimbleError, InputError
from fimble.fim import FORMATS
from fimble.paths import model_dir
from fimble.settings import BackendKind
from lsp_server.engines.embedded import EmbeddedEngine
from tests.stand_ins.virtual_time import LoopClock, run_virtually

if TYPE_CHECKING:
    from bench.load.rung import Crowd, Rung, Watch
    from bench.load.search import Carried
    from bench.replay.traces import Trace
    from fimble.clock import Clock
    from fimble.settings import EngineSettings

ROOT = Path(__file__).resolve().parents[2]
TRACES_PER_USER = 4
Measure = Callable[[int], Awaitable["Rung"]]
"""Lets a number of users type."""


class Found(NamedTuple):
    """What a run has measured."""

    rungs: dict[int, Rung]
    """By number of users."""
    carried: dict[str, Carried]
    """By limit."""


async def run(arguments: argparse.Namespace) -> Found:
    """Climb the ladder, and search between its rungs.

    Raises:
        InputError: Options do not go together.
    """
    num_pids, num_urls = len(arguments.pid), len(arguments.url or [])
    if num_pids > num_urls:
        raise InputError(f"{num_pids} --pid for {num_urls} --url; each is the process of one")
    async with AsyncExitStack() as stack:
        measure = await (_measured_here if arguments.cpu_clock else _measured)(arguments, stack)
        wanted = {
            f"p{100 * share:g} within {limit_ms:g} ms, {of}": fits(
                share, limit_ms, made_only=of == "made"
            )
            for share in SHARES
            for limit_ms in arguments.limits_ms
            for of in ("made", "all")
        }
        rungs = await climb_ladder(
            measure,
            arguments.users,
            is_beyond=lambda rung: not any(is_in_time(rung) for is_in_time in wanted.values()),
        )
        if arguments.search:
            for is_in_time in wanted.values():
                await search(measure, rungs, is_in_time)
        # All of them, once everything has been tried.
        found = {name: carried(rungs, is_in_time) for name, is_in_time in wanted.items()}
        return Found(dict(sorted(rungs.items())), found)


async def _measured(arguments: argparse.Namespace, stack: AsyncExitStack) -> Measure:
    """Return what lets users type at a server, which is started unless it is named."""
    if arguments.url:
        pids = chain(arguments.pid, repeat(None))
        targets = [Target(_settings(arguments, url), next(pids)) for url in arguments.url]
    else:
        serving = started(model_dir(arguments.model), threads=arguments.threads)
        targets = [await stack.enter_async_context(serving)]
    engines = [target.engine for target in targets]
    crowd: Crowd = Here(engines[0], SystemClock())
    if len(engines) > 1 or arguments.processes > 1:
        crowd = stack.enter_context(Processes(engines, arguments.processes))
    return _climbing(arguments, crowd, ServerWatch(targets), SystemClock())


async def _measured_here(arguments: argparse.Namespace, stack: AsyncExitStack) -> Measure:
    """Return what lets users type at a model in this process, by its processor time."""
    if arguments.processes > 1:
        raise InputError("--cpu-clock runs in one process; leave out --processes")
    server = CpuClockServer(_engine(arguments))
    stack.push_async_callback(server.end)
    return _climbing(arguments, Here(server, LoopClock()), server, LoopClock())


def _engine(arguments: argparse.Namespace) -> EmbeddedEngine:
    cache_bytes = arguments.cache_mb * 2**20
    return EmbeddedEngine(model_dir(arguments.model), num_threads=1, cache_bytes=cache_bytes)


def _climbing(arguments: argparse.Namespace, crowd: Crowd, watch: Watch, clock: Clock) -> Measure:
    schedule = Schedule(
        warm_up_s=arguments.warm_up_s, measured_s=60 * arguments.minutes, seed=arguments.seed
    )
    traces = _traces(arguments)

    def measure(users: int) -> Awaitable[Rung]:
        print(f"{users} users", file=sys.stderr)
        return climb(users, crowd, traces, schedule, clock=clock, watch=watch)

    return measure


def _settings(arguments: argparse.Namespace, url: str) -> EngineSettings:
    return settings_for(
        url,
        BackendKind(arguments.backend),
        fim_format=arguments.fim_format,
        served_model=arguments.served_model,
    )


def _traces(arguments: argparse.Namespace) -> list[Trace]:
    rng = random.Random(arguments.seed)
    count = TRACES_PER_USER * max(arguments.users)
    drawn = traces_of_repository(arguments.repository, rng)
    return list(islice(sendable(drawn, FORMATS[arguments.fim_format]), count))


def _numbers(text: str) -> list[int]:
    numbers = [int(each) for each in text.split(",")]
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers from 1 up")
    return numbers


def _count(text: str) -> int:
    [number] = _numbers(text)
    return number


def _limits(text: str) -> list[float]:
    limits = [float(each) for each in text.split(",")]
    if not all(math.isfinite(each) and each > 0 for each in limits):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of milliseconds above 0")
    return limits


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load", description=__doc__.partition("\n")[0]
    )
    where = parser.add_mutually_exclusive_group()
    parser.add_argument("--model", help="serve this model folder, or shipped model")
    where.add_argument(
        "--url",
        action="append",
        help="a server that runs; its token is taken from FIMBLE_LOAD_TOKEN. Give several, and "
        "each user stays with one",
    )
    where.add_argument(
        "--cpu-clock",
        action="store_true",
        help="the model in this process, timed by its own processor time, on one thread",
    )
    parser.add_argument(
        "--pid", type=int, action="append", default=[], help="process of each --url, if it is here"
    )
    parser.add_argument("--processes", type=_count, default=1, help="that users are spread over")
    parser.add_argument("--cache-mb", type=int, default=256, help="with --cpu-clock: its cache")
    parser.add_argument("--threads", type=int, default=0, help="of the server that is started")
    kinds = [BackendKind.TGI.value, BackendKind.OPENAI.value]
    parser.add_argument("--backend", choices=kinds, default=kinds[0], help="API at --url")
    parser.add_argument("--fim-format", choices=sorted(FORMATS), default="fimble")
    parser.add_argument("--served-model", default="", help="one of several models at --url")
    parser.add_argument("--users", type=_numbers, default=[1, 2, 4, 8], metavar="N,...")
    parser.add_argument("--minutes", type=float, default=1.0, help="measured for each number")
    parser.add_argument("--warm-up-s", type=float, default=10.0)
    parser.add_argument("--limits-ms", type=_limits, default=[200.0, 400.0], metavar="MS,...")
    parser.add_argument("--search", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--repository", type=Path, default=ROOT, help="whose commits are typed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser


def main() -> int:
    """Print a table, or JSON."""
    arguments = _parser().parse_args()
    before = os.getloadavg()[0]
    try:
        found = (run_virtually if arguments.cpu_clock else asyncio.run)(run(arguments))
    except FimbleError as error:
        print(f"load: {error}", file=sys.stderr)
        return 2
    rows = [figures(rung) for rung in found.rungs.values()]
    loads = before, os.getloadavg()[0]
    if arguments.json:
        capacities = {name: each._asdict() for name, each in found.carried.items()}
        report = {"rungs": [row.as_json() for row in rows], "carried": capacities, "load": loads}
        print(json.dumps(report, indent=2))
    else:
        print(table(rows))
        print(capacities_text(found.carried))
        print(f"Load of this machine: {loads[0]:.1f} before, {loads[1]:.1f} after.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
