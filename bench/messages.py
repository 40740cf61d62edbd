"""A hundred thousand messages that are none: the server lives, and its memory stays flat.

Sends what looks like LSP and is not: wrong types, missing fields, unknown methods, requests and
notifications in any order, for documents that are not open. The test suite sends a few thousand of
them (`tests/lsp/test_hostile.py`); this sends as many as asked for.

    python -m bench.messages [--count N] [--seed N]

Exits with 1 if the server ends, or has grown by more than `MAX_GROWTH_BYTES` since it was warm.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.lsp.junk import hear_ours_only, send_junk
from tests.stand_ins.lsp_client import start_client

STEP = 1000
WARM_MESSAGES = 5000
MAX_GROWTH_BYTES = 20_000_000


async def run(count: int, seed: int) -> int:
    """Send messages; return the exit code."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="fimble-messages-") as name:
        (Path(name) / "fimble.toml").touch()
        folders = {f"FIMBLE_{kind}_DIR": name for kind in ("DATA", "STATE", "CACHE")}
        client = await start_client({**folders, "FIMBLE_CONFIG": f"{name}/fimble.toml"})
        engine = {"tgi_url": "http://127.0.0.1:9", "failover": False}
        await client.initialize(options={"engine": engine, "completion": {"deadline_ms": 50}})
        hear_ours_only(client)
        process, started_s = psutil.Process(client.process.pid), time.perf_counter()
        warm_bytes = 0
        for number in range(count):
            send_junk(client, rng, number)
            if number % STEP == STEP - 1:
                await client.settle()
                size_bytes = process.memory_info().rss
                if number < WARM_MESSAGES:
                    warm_bytes = size_bytes
                print(f"{number + 1:>8} messages  {size_bytes / 1e6:.1f} MB", flush=True)
        growth_bytes = process.memory_info().rss - warm_bytes
        cpu = process.cpu_times()
        await client.kill()
    print(
        f"grown by {growth_bytes / 1e6:.1f} MB since {min(count, WARM_MESSAGES)} messages; "
        f"{1e6 * (cpu.user + cpu.system) / count:.0f} us of processor time a message, "
        f"{time.perf_counter() - started_s:.0f} s in all"
    )
    return int(growth_bytes > MAX_GROWTH_BYTES)


def main() -> int:
    """Print memory as it goes, and what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    return asyncio.run(run(arguments.count, arguments.seed))


if __name__ == "__main__":
    sys.exit(main())
