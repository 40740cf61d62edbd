"""A hundred thousand messages that are none: the server lives, and its memory stays flat.

Sends what looks like LSP and is not: wrong types, missing fields, unknown methods, requests and
notifications in any order, for documents that are not open. The test suite sends a few thousand of
them (`tests/lsp/test_hostile.py`); this sends as many as asked for.

    python -m bench.messages [--count N] [--seed N]

Two numbers say whether it stays flat: the memory that the system counts, with all that the
allocator keeps, and the blocks that Python holds, in which what is never let go would show:
some for each message.

Exits with 1 if the server ends, or has grown by more than `MAX_GROWTH_BYTES` or
`MAX_GROWTH_BLOCKS` since it was warm.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.lsp.junk import hear_ours_only, send_junk
from tests.stand_ins.lsp_client import LspClient

STEP = 1000
WARM_MESSAGES = 5000
MAX_GROWTH_BYTES = 20_000_000
MAX_GROWTH_BLOCKS = 2_000
LIMIT_S = 30.0
SETTLE_S = 3.0
SERVER = """
import gc, os, signal, sys

def say_blocks(*_):
    gc.collect()
    with open(os.environ["BLOCKS"] + ".part", "w") as file:
        file.write(str(sys.getallocatedblocks()))
    os.replace(os.environ["BLOCKS"] + ".part", os.environ["BLOCKS"])

signal.signal(signal.SIGUSR1, say_blocks)
from fimble.cli import main
sys.exit(main(["lsp"]))
"""
"""`fimble lsp`, which says on a signal how many blocks of memory it holds."""


async def run(count: int, seed: int) -> int:
    """Send messages; return the exit code."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="fimble-messages-") as name:
        (Path(name) / "fimble.toml").touch()
        folders = {f"FIMBLE_{kind}_DIR": name for kind in ("DATA", "STATE", "CACHE")}
        blocks = Path(name) / "blocks"
        environment = {**folders, "FIMBLE_CONFIG": f"{name}/fimble.toml", "BLOCKS": str(blocks)}
        client = await start_server(environment)
        engine = {"tgi_url": "http://127.0.0.1:9", "failover": False}
        await client.initialize(options={"engine": engine, "completion": {"deadline_ms": 50}})
        hear_ours_only(client)
        process, started_s = psutil.Process(client.process.pid), time.perf_counter()
        warm_bytes = warm_blocks = 0
        for number in range(count):
            send_junk(client, rng, number)
            if number % STEP == STEP - 1:
                await client.settle()
                size_bytes = process.memory_info().rss
                if number < WARM_MESSAGES:
                    warm_bytes, warm_blocks = size_bytes, await blocks_of(process, blocks)
                print(f"{number + 1:>8} messages  {size_bytes / 1e6:.1f} MB", flush=True)
        growth_bytes = process.memory_info().rss - warm_bytes
        growth_blocks = await blocks_of(process, blocks) - warm_blocks
        cpu = process.cpu_times()
        await client.kill()
    print(
        f"grown by {growth_bytes / 1e6:.1f} MB and {growth_blocks} of {warm_blocks} blocks since "
        f"{min(count, WARM_MESSAGES)} messages; "
        f"{1e6 * (cpu.user + cpu.system) / count:.0f} us of processor time a message, "
        f"{time.perf_counter() - started_s:.0f} s in all"
    )
    return int(growth_bytes > MAX_GROWTH_BYTES or growth_blocks > MAX_GROWTH_BLOCKS)


async def start_server(environment: dict[str, str]) -> LspClient:
    """Start the server, and return a client of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
        limit=1 << 26,
    )
    return LspClient(process)


async def blocks_of(process: psutil.Process, said: Path) -> int:
    """Return how many blocks of memory the server holds once it has done what it was asked."""
    await asyncio.sleep(SETTLE_S)
    said.unlink(missing_ok=True)
    process.send_signal(signal.SIGUSR1)
    async with asyncio.timeout(LIMIT_S):
        while not said.exists():
            await asyncio.sleep(0.05)
    return int(said.read_text())


def main() -> int:
    """Print memory as it goes, and what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    return asyncio.run(run(arguments.count, arguments.seed))


if __name__ == "__main__":
    sys.exit(main())
