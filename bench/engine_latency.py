"""How long a completion takes: python bench/engine_latency.py [--model DIR] [--rounds N].

Prints one table: milliseconds to the first token and to 16 tokens, median and best, for a prompt of
some 900 tokens, in process and over HTTP, with one and two threads. A text that ends before its
sixteenth token counts with its own pace; one of a single token does not count. The first column is
processor time: what the others come to on a machine with nothing else to do.

    cold           nothing of the prompt is cached
    keystroke      the same prompt with some three more tokens typed
    switch         the same, going around four files
    after cancel   a keystroke in one file, counted from the cancelling of a cold prompt in another
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import math
import os
import platform
import signal
import statistics
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fimble.clock import SystemClock
from fimble.engine import Finish, Query
from fimble.errors import FimbleError
from fimble.fim import FORMATS, FimOrder, infill_prompt
from fimble.manifest import load_manifest
from fimble.paths import model_dir
from lsp_server.engines.embedded import EmbeddedEngine, GeneratedToken, Generation
from lsp_server.engines.graph import Cancellation, CancelledGenerationError
from lsp_server.engines.segments import segments_of
from lsp_server.engines.shared import EngineLaunch, find_or_start
from lsp_server.engines.tgi import TgiEngine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from fimble.clock import Clock
    from fimble.fim import Part
    from fimble.manifest import Manifest

PREFIX_CHARS, SUFFIX_CHARS = 3000, 800
NEW_TOKENS = 16
NUM_FILES = 4
CANCEL_AFTER_S = 0.1
CLOCK = SystemClock()

Prompt = tuple["Part", ...]


class Sample(NamedTuple):
    """One completion."""

    first_ms: float
    whole_ms: float
    """To `NEW_TOKENS` tokens, at the pace of those that came; NaN if there was but one."""
    prompt_tokens: int


class Driver(Protocol):
    """One way to an engine."""

    async def complete(self, prompt: Prompt) -> Sample:
        """Generate `NEW_TOKENS` tokens."""
        ...

    async def complete_after_cancelling(self, cold: Prompt, prompt: Prompt) -> Sample:
        """Cancel `cold` in the middle of its prompt; time `prompt` from that moment."""
        ...


class Sources:
    """Pieces of Python's own library that no prompt used before."""

    def __init__(self) -> None:
        root = Path(sysconfig.get_paths()["stdlib"])
        texts = (p.read_text("utf-8", "replace") for p in sorted(root.glob("*.py")))
        size = PREFIX_CHARS + SUFFIX_CHARS
        self._pieces = (
            text[start : start + size]
            for text in texts
            for start in range(0, len(text) - size, size)
        )

    def next_file(self) -> Callable[[str], Prompt]:
        """Return a function that makes the prompt of one more file, given what was typed."""
        piece, number = next(self._pieces), next(_numbers)
        prefix, suffix = piece[:PREFIX_CHARS], piece[PREFIX_CHARS:]

        def prompt(typed: str) -> Prompt:
            return infill_prompt(
                prefix=f"{prefix}\n{typed}",
                suffix=suffix,
                order=FimOrder.SPM,
                path=f"src/file_{number}.py",
            )

        return prompt


_numbers = itertools.count()


class ProcessorClock:
    """Counts what this process computes; waiting does not count."""

    def wall_ms(self) -> int:
        """Return Unix time in milliseconds, UTC."""
        return CLOCK.wall_ms()

    def monotonic_ms(self) -> float:
        """Return milliseconds of processor time."""
        return time.process_time_ns() / 1_000_000


class InProcess:
    """The engine in this process."""

    def __init__(self, folder: Path, threads: int, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._engine = EmbeddedEngine(folder, num_threads=threads)

    async def complete(self, prompt: Prompt) -> Sample:
        """Generate `NEW_TOKENS` tokens."""
        return self._timed(prompt, self._clock.monotonic_ms())

    async def complete_after_cancelling(self, cold: Prompt, prompt: Prompt) -> Sample:
        """Cancel `cold` in the middle of its prompt; time `prompt` from that moment."""
        cancelled_ms: list[float] = []
        cancellation = Cancellation()

        def cancel() -> None:
            cancelled_ms.append(self._clock.monotonic_ms())
            cancellation.cancel()

        timer = threading.Timer(CANCEL_AFTER_S, cancel)
        timer.start()
        with contextlib.suppress(CancelledGenerationError):
            list(self._engine.generate(self._generation(cold), cancellation))
        timer.join()
        return self._timed(prompt, cancelled_ms[0])

    def _timed(self, prompt: Prompt, start_ms: float) -> Sample:
        generation = self._generation(prompt)
        times = [
            self._clock.monotonic_ms() - start_ms
            for event in self._engine.generate(generation, Cancellation())
            if isinstance(event, GeneratedToken)
        ]
        return _sample(times, len(generation.prompt_ids))

    def _generation(self, prompt: Prompt) -> Generation:
        fim_format = FORMATS[self._engine.manifest.fim_format]
        ids = self._engine.vocabulary.encode(segments_of(prompt, fim_format))
        return Generation(prompt_ids=tuple(ids), max_new_tokens=NEW_TOKENS)


class OverHttp:
    """The engine behind `fimble serve`."""

    def __init__(self, client: TgiEngine) -> None:
        self._client = client

    async def complete(self, prompt: Prompt) -> Sample:
        """Generate `NEW_TOKENS` tokens."""
        return await self._timed(prompt, CLOCK.monotonic_ms())

    async def complete_after_cancelling(self, cold: Prompt, prompt: Prompt) -> Sample:
        """Cancel `cold` in the middle of its prompt; time `prompt` from that moment."""
        task = asyncio.create_task(self._timed(cold, 0))
        await asyncio.sleep(CANCEL_AFTER_S)
        start_ms = CLOCK.monotonic_ms()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return await self._timed(prompt, start_ms)

    async def _timed(self, prompt: Prompt, start_ms: float) -> Sample:
        query = Query(parts=prompt, max_new_tokens=NEW_TOKENS)
        times: list[float] = []
        prompt_tokens = 0
        async for item in self._client.stream(query):
            if isinstance(item, Finish):
                prompt_tokens = item.prompt_tokens
            else:
                times.append(CLOCK.monotonic_ms() - start_ms)
        return _sample(times, prompt_tokens)


def _sample(times_ms: list[float], prompt_tokens: int) -> Sample:
    """Return the sample of a text whose tokens came at `times_ms`."""
    first_ms, gaps = times_ms[0], len(times_ms) - 1
    pace_ms = (times_ms[-1] - first_ms) / gaps if gaps else math.nan
    return Sample(first_ms, first_ms + pace_ms * (NEW_TOKENS - 1), prompt_tokens)


async def measure(driver: Driver, rounds: int) -> dict[str, list[Sample]]:
    """Return the samples of each scenario."""
    sources = Sources()
    typed = [" " + "value + " * count for count in range(1, rounds + 2)]
    files = [sources.next_file() for _ in range(NUM_FILES)]
    for file in files:
        await driver.complete(file(""))
    samples: dict[str, list[Sample]] = {}
    samples["cold"] = [await driver.complete(sources.next_file()("")) for _ in range(rounds)]
    await driver.complete(files[0](""))
    samples["keystroke"] = [await driver.complete(files[0](text)) for text in typed[:rounds]]
    for file in files:
        await driver.complete(file(""))
    samples["switch"] = [
        await driver.complete(files[place % NUM_FILES](typed[place // NUM_FILES]))
        for place in range(rounds)
    ]
    await driver.complete(files[0](""))
    samples["after cancel"] = [
        await driver.complete_after_cancelling(sources.next_file()(""), files[0](text))
        for text in typed[:rounds]
    ]
    return samples


@contextlib.asynccontextmanager
async def server(folder: Path, manifest: Manifest, threads: int) -> AsyncGenerator[OverHttp]:
    """Start `fimble serve` and end it afterwards."""
    with tempfile.TemporaryDirectory() as state:
        launch = EngineLaunch(
            model_folder=folder,
            model_digest=manifest.digest,
            state_folder=Path(state),
            threads=threads,
        )
        found = await asyncio.to_thread(find_or_start, launch, CLOCK)
        client = TgiEngine(found.url, token=found.token, fim_format=FORMATS[manifest.fim_format])
        try:
            yield OverHttp(client)
        finally:
            await client.close()
            os.kill(found.pid, signal.SIGTERM)


async def run(folder: Path, rounds: int) -> dict[str, dict[str, list[Sample]]]:
    """Return the samples of each scenario, by the way to the engine."""
    manifest = load_manifest(folder)
    columns: dict[str, dict[str, list[Sample]]] = {
        "in process, 1 thread, processor time": await measure(
            InProcess(folder, 1, ProcessorClock()), rounds
        )
    }
    for threads in (1, 2):
        columns[f"in process, {threads} thread"] = await measure(InProcess(folder, threads), rounds)
        async with server(folder, manifest, threads) as driver:
            columns[f"HTTP, {threads} thread"] = await measure(driver, rounds)
    return columns


def table(columns: dict[str, dict[str, list[Sample]]]) -> Iterator[str]:
    """Yield the lines of the table."""
    what = f"first token / {NEW_TOKENS} tokens, ms: median (best)"
    yield f"| {what} | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for scenario in next(iter(columns.values())):
        cells = [_cell(samples[scenario]) for samples in columns.values()]
        yield f"| {scenario} | {' | '.join(cells)} |"


def _cell(samples: list[Sample]) -> str:
    first = [sample.first_ms for sample in samples]
    whole = [sample.whole_ms for sample in samples if not math.isnan(sample.whole_ms)] or [math.nan]
    median = f"{statistics.median(first):.0f} / {statistics.median(whole):.0f}"
    return f"{median} ({min(first):.0f} / {min(whole):.0f})"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", help="model folder, or name of a shipped model")
    parser.add_argument("--rounds", type=int, default=15, help="completions a cell (%(default)s)")
    arguments = parser.parse_args()
    try:
        folder = model_dir(arguments.model)
        before = os.getloadavg()[0]
        columns = asyncio.run(run(folder, arguments.rounds))
    except FimbleError as error:
        parser.error(str(error))
    tokens = [s.prompt_tokens for each in columns.values() for s in each["cold"]]
    print(
        f"{folder.name}; prompts of {min(tokens)} to {max(tokens)} tokens; "
        f"{arguments.rounds} rounds; {platform.machine()}, {os.cpu_count()} cores, "
        f"load {before:.1f} before and {os.getloadavg()[0]:.1f} after\n"
    )
    print("\n".join(table(columns)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
