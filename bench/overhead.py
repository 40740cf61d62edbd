"""What the language server adds to the backend's own time.

A stub with TGI's API, in a process of its own, answers each prompt after a fixed delay and notes
when a prompt came and when the last token that mattered was sent. The overhead of a request is its
latency at the pipe less that time: reading the request, the prompt, HTTP, cutting, recording, JSON.

    python bench/overhead.py [--requests N] [--first-ms MS] [--lines N]

Also: answers that need no backend (typed along, cached), and the processor time of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from aiohttp import web

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.stand_ins.lsp_client import LspClient, start_client  # noqa: E402 - path set above

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TOKENS = ("compute", "(", "value", ", ", "7", ")", "\n")
TOKEN_MS = 2.0
URI = "file:///project/module.py"
INFO = {"model_id": "stub", "model_sha": "0" * 16, "max_input_tokens": 1984}


class Costs(NamedTuple):
    """What one kind of answer costs beyond the backend's time."""

    kind: str
    wall_ms: list[float]
    cpu_ms: float
    """Processor time of the server a request, edits included."""


class Stub:
    """TGI's API without a model."""

    def __init__(self, first_ms: float) -> None:
        self._first_s = first_ms / 1000
        self._spans: list[tuple[float, float]] = []

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer after the delay, and note when the line was complete."""
        came = time.monotonic()
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(self._first_s)
        for number, text in enumerate(TOKENS, 1):
            token = {"id": number, "text": text, "logprob": -0.5, "special": False}
            event = {"index": number, "token": token, "generated_text": None, "details": None}
            data = f"data:{json.dumps(event)}\n\n".encode()
            if number == len(TOKENS):
                self._spans.append((came, time.monotonic()))
            await response.write(data)
            await asyncio.sleep(TOKEN_MS / 1000)
        return response

    async def spans(self, _: web.Request) -> web.Response:
        """Return when prompts came and answers were complete, once."""
        answer = web.json_response(self._spans)
        self._spans.clear()
        return answer

    async def serve(self) -> None:
        """Listen until standard input ends; the address goes to standard output."""
        app = web.Application()
        app.router.add_post("/generate_stream", self.stream)
        app.router.add_get("/info", lambda _: _info())
        app.router.add_get("/spans", self.spans)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()


async def _info() -> web.Response:
    return web.json_response({**INFO, "max_total_tokens": 2048})


class Bench:
    """An editor session and the stub behind it."""

    def __init__(self, client: LspClient, url: str, text: str) -> None:
        self._client = client
        self._url = url
        self._lines = text.count("\n")
        client.open(text, uri=URI)

    async def generated(self, count: int) -> Costs:
        """Ask at new places, each answered by a generation."""
        latencies: list[tuple[float, float]] = []
        await self._spans()
        before = self._cpu_ms()
        for number in range(count):
            line = number % (self._lines - 2)
            self._client.type((line, 0), f"x{number} = ", uri=URI)
            started = time.monotonic()
            items = await self._client.items((line, len(f"x{number} = ")), uri=URI, kind=1)
            assert items, "the stub always answers"
            latencies.append((started, time.monotonic()))
        spans = await self._spans()
        cpu_ms = (self._cpu_ms() - before) / count
        assert len(spans) == count
        pairs = zip(latencies, spans, strict=True)
        walls = [1000 * ((done - start) - (sent - came)) for (start, done), (came, sent) in pairs]
        return Costs("a new generation", walls, cpu_ms)

    async def known(self, kind: str, count: int) -> Costs:
        """Type along a suggestion, or take that back: no backend is asked."""
        line = self._lines - 1
        head = "total = "
        self._client.type((line, 0), head, uri=URI)
        await self._client.items((line, len(head)), uri=URI, kind=1)
        await self._spans()
        walls: list[float] = []
        before = self._cpu_ms()
        column = len(head)
        for number in range(count):
            if kind == "typed along":
                if column == len(head) + 10:
                    self._client.change(((line, len(head)), (line, column), ""), uri=URI)
                    column = len(head)
                    await self._client.items((line, column), uri=URI)
                self._client.type((line, column), "compute(value"[column - len(head)], uri=URI)
                column += 1
            else:
                self._client.type((line, len(head)), "§", uri=URI)
                self._client.change(((line, len(head)), (line, len(head) + 1), ""), uri=URI)
            started = time.monotonic()
            items = await self._client.items((line, column), uri=URI)
            walls.append(1000 * (time.monotonic() - started))
            assert items, f"request {number} got nothing"
        cpu_ms = (self._cpu_ms() - before) / count
        assert not await self._spans(), "the backend was asked"
        return Costs(kind, walls, cpu_ms)

    async def _spans(self) -> list[tuple[float, float]]:
        async with aiohttp.ClientSession() as http, http.get(f"{self._url}/spans") as response:
            return [tuple(span) for span in await response.json()]

    def _cpu_ms(self) -> float:
        """Return the processor time that the server has used."""
        fields = Path(f"/proc/{self._client.process.pid}/stat").read_text().rpartition(")")[2]
        user, system = fields.split()[11:13]
        return 1000 * (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def sessions(arguments: argparse.Namespace) -> AsyncGenerator[Costs]:
    """Yield the costs of each kind of answer."""
    stub = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--stub", "--first-ms", str(arguments.first_ms)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert stub.stdout is not None
    assert stub.stdin is not None
    url = (await stub.stdout.readline()).decode().strip()
    text = "".join(f"value_{n} = compute({n}, {n + 1})\n" for n in range(arguments.lines))
    with tempfile.TemporaryDirectory() as folder:
        client = await start_client(
            {f"FIMBLE_{name}_DIR": folder for name in ("DATA", "STATE", "CACHE")}
        )
        await client.initialize(
            options={
                "engine": {"tgi_url": url, "failover": False},
                "completion": {"debounce_ms": 0, "num_candidates": 1},
            }
        )
        bench = Bench(client, url, text)
        await bench.generated(20)  # imports and the first connection
        yield await bench.generated(arguments.requests)
        yield await bench.known("typed along", arguments.requests)
        yield await bench.known("cached", arguments.requests)
        await client.close()
    stub.stdin.close()
    await stub.wait()


async def report(arguments: argparse.Namespace) -> None:
    """Print a table."""
    before = os.getloadavg()[0]
    rows = [costs async for costs in sessions(arguments)]
    print(
        f"{arguments.requests} requests of each kind, document of {arguments.lines} lines, first "
        f"token after {arguments.first_ms:g} ms; load {before:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after\n"
    )
    print("| | p50 ms | p99 ms | best ms | processor ms a request |\n|---|---|---|---|---|")
    for kind, walls, cpu_ms in rows:
        p99 = statistics.quantiles(walls, n=100)[98]
        p50 = statistics.median(walls)
        print(f"| {kind} | {p50:.2f} | {p99:.2f} | {min(walls):.2f} | {cpu_ms:.2f} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--first-ms", type=float, default=20.0)
    parser.add_argument("--lines", type=int, default=400)
    parser.add_argument("--stub", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stub:
        asyncio.run(Stub(arguments.first_ms).serve())
    else:
        asyncio.run(report(arguments))


if __name__ == "__main__":
    main()
