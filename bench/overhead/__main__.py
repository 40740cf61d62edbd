"""What the language server adds to the backend's own time.

A stub with TGI's API, in a process of its own, answers each prompt after a fixed delay and notes
when a prompt came and when the last token that mattered was sent. The overhead of a request is the
time from the key (an edit and a request, written at once) to the answer at the pipe, less that
time: reading both, the prompt, HTTP, cutting, judging, recording, JSON.

    python -m bench.overhead [--requests N] [--first-ms MS] [--lines N]

Also: answers that need no backend (typed along, cached), the processor time of the server, and the
same for a process that only passes text on (`bench/overhead/relay.py`): four processes that wake
each other up, and Python's own share. The kinds take turns, so that they see the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.overhead.stub import TOKENS
from tests.stand_ins.lsp_client import LspClient, start_client

Place = tuple[int, int]
URI = "file:///project/module.py"
HEAD = "total = "
ANSWER = "".join(TOKENS)
TYPED_CHARS = 10
KEY_S = 0.02
"""Before and behind each key: nobody types without a pause, and caches of processors go cold."""
ROUNDS = 10


@dataclass
class Costs:
    """What one kind of answer costs beyond the backend's time."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    """Processor time of the server, edits included."""


class Bench:
    """A session, and the stub behind it."""

    def __init__(self, client: LspClient, url: str, num_lines: int) -> None:
        self._client = client
        self._url = url
        self._line = 0
        self._last_line = num_lines
        text = "".join(f"value_{n} = compute({n}, {n + 1})\n" for n in range(num_lines))
        client.open(text, uri=URI)

    async def generated(self, count: int, costs: Costs) -> None:
        """Write the start of a line and ask; each answer is a generation."""
        keys: list[tuple[float, float]] = []
        await self._spans()
        for number in range(count):
            self._line = (self._line + 1) % (self._last_line - 2)
            start = f"x{number} = "
            keys.append(await self._key(costs, (self._line, 0), (self._line, 0), start))
        spans = await self._spans()
        assert len(spans) == count
        for (pressed, shown), (came, sent) in zip(keys, spans, strict=True):
            costs.wall_ms.append(1000 * ((shown - pressed) - (sent - came)))

    async def typed(self, count: int, costs: Costs) -> None:
        """Type along a suggestion: no backend is asked."""
        await self._suggested()
        for number in range(count):
            column = len(HEAD) + number % TYPED_CHARS
            place = (self._last_line, column)
            pressed, shown = await self._key(costs, place, place, ANSWER[column - len(HEAD)])
            costs.wall_ms.append(1000 * (shown - pressed))
            if column == len(HEAD) + TYPED_CHARS - 1:
                end = (self._last_line, column + 1)
                await self._key(Costs(), (self._last_line, len(HEAD)), end, "")
        await self._left(len(HEAD) + count % TYPED_CHARS)

    async def cached(self, count: int, costs: Costs) -> None:
        """Take back a wrong character: no backend is asked."""
        await self._suggested()
        place, behind = (self._last_line, len(HEAD)), (self._last_line, len(HEAD) + 1)
        for _ in range(count):
            self._client.type(place, "§", uri=URI)
            pressed, shown = await self._key(costs, place, behind, "")
            costs.wall_ms.append(1000 * (shown - pressed))
        await self._left(len(HEAD))

    async def _key(self, costs: Costs, start: Place, end: Place, text: str) -> tuple[float, float]:
        """Make an edit and ask behind it; return when that was, and when the answer came."""
        await asyncio.sleep(KEY_S)
        before_ms = self._cpu_ms()
        pressed = time.monotonic()
        self._client.change((start, end, text), uri=URI)
        items = await self._client.items((start[0], start[1] + len(text)), uri=URI, kind=1)
        shown = time.monotonic()
        assert items, "there is always an answer"
        await asyncio.sleep(KEY_S)  # what is left for after the answer counts, too
        costs.cpu_ms += self._cpu_ms() - before_ms
        return pressed, shown

    async def _suggested(self) -> None:
        """Have a suggestion in the last line."""
        await self._key(Costs(), (self._last_line, 0), (self._last_line, 0), HEAD)
        await self._spans()

    async def _left(self, column: int) -> None:
        """Empty the last line."""
        assert not await self._spans(), "the backend was asked"
        self._client.change(((self._last_line, 0), (self._last_line, column), ""), uri=URI)

    async def _spans(self) -> list[tuple[float, float]]:
        async with aiohttp.ClientSession() as http, http.get(f"{self._url}/spans") as response:
            return [tuple(span) for span in await response.json(content_type=None)]

    def _cpu_ms(self) -> float:
        """Return the processor time that the server's threads have used."""
        threads = Path(f"/proc/{self._client.process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e6


async def measure(arguments: argparse.Namespace, folder: str) -> dict[str, Costs]:
    """Return the costs of each kind of answer; the kinds take turns."""
    stub = await _started("bench.overhead.stub", str(arguments.first_ms))
    assert stub.stdout is not None
    assert stub.stdin is not None
    url = (await stub.stdout.readline()).decode().strip()
    names = ("DATA", "STATE", "CACHE")
    client = await start_client({f"FIMBLE_{name}_DIR": folder for name in names})
    relay = LspClient(await _started("bench.overhead.relay", url))
    options = {
        "engine": {"tgi_url": url, "failover": False},
        "completion": {"debounce_ms": 0, "num_candidates": 1},
    }
    await client.initialize(options=options)
    await relay.initialize()
    ours, least = Bench(client, url, arguments.lines), Bench(relay, url, arguments.lines)
    kinds = {
        "typed along": ours.typed,
        "cached": ours.cached,
        "a new generation": ours.generated,
        "the same, only passed on": least.generated,
    }
    await ours.generated(20, Costs())  # imports and the first connection
    await least.generated(20, Costs())
    costs = {kind: Costs() for kind in kinds}
    for _ in range(ROUNDS):
        for kind, act in kinds.items():
            await act(arguments.requests // ROUNDS, costs[kind])
    await client.close()
    await relay.kill()
    stub.stdin.close()
    await stub.wait()
    return costs


async def _started(module: str, argument: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, argument),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--first-ms", type=float, default=20.0)
    parser.add_argument("--lines", type=int, default=400)
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        costs = asyncio.run(measure(arguments, folder))
    print(
        f"{arguments.requests} requests of each kind, document of {arguments.lines} lines, first "
        f"token after {arguments.first_ms:g} ms; load {before:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after\n"
    )
    print("| | p50 ms | p99 ms | best ms | processor ms a request |\n|---|---|---|---|---|")
    for kind, (walls, cpu_ms) in ((kind, (c.wall_ms, c.cpu_ms)) for kind, c in costs.items()):
        p50, p99 = statistics.median(walls), statistics.quantiles(walls, n=100)[98]
        row = f"{p50:.2f} | {p99:.2f} | {min(walls):.2f} | {cpu_ms / len(walls):.2f}"
        print(f"| {kind} | {row} |")


if __name__ == "__main__":
    main()
