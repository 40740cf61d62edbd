"""Latency that a user feels: a typing session over standard input and output, engine and all.

Replays typing in a real source file against `fimble lsp`: lines are emptied and written again
character by character, and every key is an edit and a request, as editors send them. At some keys
the session types along the suggestion, or writes a wrong character and takes it back.

    python bench/keystrokes.py [--file FILE] [--lines N] [--model DIR] [--tgi-url URL]

A latency is from the request to its answer, at the pipe. The debounce (`completion.debounce_ms`)
is part of it wherever a generation was needed; `--debounce-ms 0` shows the engine's share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.stand_ins.lsp_client import URI, LspClient, start_client  # noqa: E402 - path set above

KINDS = {
    "initialize": "from the start of the process to its first answer",
    "cold": "first request in a document",
    "moved": "first request at another place",
    "typing on": "a key, new generation",
    "stream": "a key, answered by the running generation",
    "typed": "a key along the suggestion",
    "cache": "back to an earlier text",
}


class Sample(NamedTuple):
    """One request."""

    kind: str
    latency_ms: float


class Typist:
    """Types into one document, and notes how long answers take."""

    def __init__(self, client: LspClient) -> None:
        self.client = client
        self.samples: list[Sample] = []

    async def ask(self, place: tuple[int, int], kind: str) -> str:
        """Ask at a place; return the suggestion behind the cursor."""
        started = time.perf_counter()
        items = await self.client.items(place)
        latency_ms = (time.perf_counter() - started) * 1000
        source = str((await self.client.explain(URI)).get("cache", ""))
        self.samples.append(Sample(kind if source in {"", "miss"} else source, latency_ms))
        if not items:
            return ""
        item = items[0]
        replaced = place[1] - item["range"]["start"]["character"]
        return str(item["insertText"])[replaced:]

    async def write_line(self, number: int, line: str, rng: random.Random, kind: str) -> None:
        """Empty a line and write it again."""
        self.client.change(((number, 0), (number, len(line)), ""))
        indent = len(line) - len(line.lstrip())
        if indent:
            self.client.type((number, 0), line[:indent])
        suggestion = await self.ask((number, indent), kind)
        for column in range(indent, len(line)):
            if rng.random() < 0.15:
                await self.along((number, column), suggestion)
            if rng.random() < 0.1:
                self.client.type((number, column), "§")
                await self.ask((number, column + 1), "typing on")
                self.client.change(((number, column), (number, column + 1), ""))
                await self.ask((number, column), "typing on")
            self.client.type((number, column), line[column])
            suggestion = await self.ask((number, column + 1), "typing on")

    async def along(self, place: tuple[int, int], suggestion: str) -> None:
        """Type the first characters of the suggestion, and take them back."""
        start = suggestion.partition("\n")[0][:4]
        if not start.isascii():
            return
        for offset, char in enumerate(start):
            self.client.type((place[0], place[1] + offset), char)
            await self.ask((place[0], place[1] + offset + 1), "typing on")
        self.client.change((place, (place[0], place[1] + len(start)), ""))


async def measure(arguments: argparse.Namespace) -> list[Sample]:
    """Return the samples of the session."""
    rng = random.Random(arguments.seed)
    text = arguments.file.read_text(encoding="utf-8")
    lines = text.split("\n")
    candidates = [n for n, line in enumerate(lines) if len(line.strip()) >= 10 and line.isascii()]
    chosen = rng.sample(candidates, min(arguments.lines, len(candidates)))
    engine: dict[str, object] = {"idle_exit_s": 30, "threads": arguments.threads}
    if arguments.model:
        engine["model"] = str(arguments.model.resolve())
    if arguments.tgi_url:
        engine["tgi_url"] = arguments.tgi_url
    completion = {
        "debounce_ms": arguments.debounce_ms,
        "max_new_tokens": arguments.max_new_tokens,
    }
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        client = await start_client(
            {f"FIMBLE_{name}_DIR": folder for name in ("DATA", "STATE", "CACHE")}
        )
        await client.initialize(options={"engine": engine, "completion": completion})
        initialize_ms = (time.perf_counter() - started) * 1000
        # The engine starts while the user looks for the first key; that start is not timed here.
        client.open("x = 1\n", uri="file:///warm.py")
        await client.items((0, 5), uri="file:///warm.py")
        client.open(text)
        typist = Typist(client)
        typist.samples.append(Sample("initialize", initialize_ms))
        await typist.ask((chosen[0], 0), "cold")
        for number in chosen:
            await typist.write_line(number, lines[number], rng, "moved")
        await client.close()
    return typist.samples


def main() -> None:
    """Print a table of medians and 95th percentiles."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--file", type=Path, default=ROOT / "fimble" / "manifest.py")
    parser.add_argument("--lines", type=int, default=8)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tgi-url", default="")
    parser.add_argument("--debounce-ms", type=int, default=30)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    samples = asyncio.run(measure(arguments))
    rows = {}
    for kind, meaning in KINDS.items():
        values = sorted(sample.latency_ms for sample in samples if sample.kind == kind)
        if values:
            p95 = values[min(len(values) - 1, int(len(values) * 0.95))]
            rows[kind] = {
                "count": len(values),
                "median_ms": round(statistics.median(values), 2),
                "p95_ms": round(p95, 2),
                "meaning": meaning,
            }
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{len(samples) - 1} requests, debounce {arguments.debounce_ms} ms, {platform.machine()}")
    print(f"{'kind':<10} {'count':>5} {'median ms':>10} {'p95 ms':>8}  meaning")
    for kind, row in rows.items():
        median, p95, meaning = row["median_ms"], row["p95_ms"], row["meaning"]
        print(f"{kind:<10} {row['count']:>5} {median:>10.1f} {p95:>8.1f}  {meaning}")


if __name__ == "__main__":
    main()
