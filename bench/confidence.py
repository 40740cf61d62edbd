"""What `completion.min_mean_logprob` withholds: suggestions at places of real files, and how sure.

Code is taken out of files that no model of ours has seen, written again up to a place that is
drawn, and asked for there; the answer is judged by what stood there, as the person of the demo
does. The mean log-probability comes from the recorded events.

    python -m bench.confidence [--model DIR] [--places N] [--minutes N] [--seed N]

A row says: with this limit so many suggestions are left, so many of them are right, and so many of
all right ones, and of the characters that they save, are lost. Counts do not depend on the machine,
unless the minutes are over before all places were asked for; that is said then.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.demo.sources import read_sources
from eval_harness.sessions.engine import end_engine, wait_for_engine
from eval_harness.sessions.person import right_part
from eval_harness.sessions.places import places_in
from fimble.paths import model_dir
from tests.stand_ins.lsp_client import LspClient, events_in, start_client

LIMITS = (-100.0, -2.5, -2.0, -1.75, -1.5, -1.25, -1.0, -0.75, -0.5)
DEADLINE_MS = 20_000
"""For one answer; less than a client waits."""
PROGRESS_PLACES = 20


class Judged(NamedTuple):
    """One suggestion."""

    completion_id: str
    num_chars: int
    right_chars: int


async def judge(
    client: LspClient, num_places: int, rng: random.Random, *, limit_s: float
) -> list[Judged]:
    """Ask at places of all files in turn, until the time is over; return what was suggested."""
    judged: list[Judged] = []
    sources = read_sources()
    started_s = time.perf_counter()
    for number in range(num_places):
        took_s = time.perf_counter() - started_s
        if took_s > limit_s:
            print(f"{number} of {num_places} places in {took_s:.0f} s", file=sys.stderr)
            break
        if number % PROGRESS_PLACES == 0:
            print(f"{number} of {num_places} places", file=sys.stderr)
        source = sources[number % len(sources)]
        place = rng.choice(places_in(source.text, source.language, rng))
        written = place.text[: rng.randrange(len(place.text))] if number % 2 else ""
        lines = source.text.split("\n")
        end = place.line + place.text.count("\n")
        above = [*lines[: place.line], lines[place.line][: place.column]]
        uri = f"{source.path.as_uri()}?{number}"
        text = "\n".join([*above[:-1], above[-1] + written, *lines[end + 1 :]])
        client.open(text, uri=uri, language=source.language.lsp_ids[0])
        head = (above[-1] + written).split("\n")
        cursor = (place.line + len(head) - 1, len(head[-1]))
        items = await client.items(cursor, uri=uri, kind=1)
        for item in items or ():
            suggested = item["insertText"][cursor[1] - item["range"]["start"]["character"] :]
            right = right_part(suggested, place.text[len(written) :])
            judged.append(Judged(item["command"]["arguments"][0], len(suggested), len(right)))
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    return judged


async def run(arguments: argparse.Namespace) -> list[tuple[float, Judged]]:
    """Return each suggestion with its mean log-probability."""
    with tempfile.TemporaryDirectory(prefix="fimble-confidence-") as name:
        folder = Path(name)
        (folder / "fimble.toml").touch()
        places = {f"FIMBLE_{kind}_DIR": name for kind in ("DATA", "STATE", "CACHE")}
        client = await start_client({**places, "FIMBLE_CONFIG": str(folder / "fimble.toml")})
        try:
            options = {
                "engine": {"model": str(model_dir(arguments.model)), "idle_exit_s": 60},
                "completion": {
                    "lines_after_ms": DEADLINE_MS,
                    "deadline_ms": DEADLINE_MS,
                    "num_candidates": 1,
                },
            }
            await client.initialize(options=options, encodings=["utf-32"], name="confidence")
            await wait_for_engine(folder, client.messages)
            rng = random.Random(arguments.seed)
            limit_s = 60.0 * arguments.minutes
            judged = await judge(client, arguments.places, rng, limit_s=limit_s)
            await client.close()
        finally:
            await client.kill()
            end_engine(folder)
        served = {e["completion_id"]: e for e in events_in(folder / "spool") if e["ev"] == "served"}
        return [(float(str(served[each.completion_id]["mean_logprob"])), each) for each in judged]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="model folder or name of a shipped model")
    parser.add_argument("--places", type=int, default=80)
    parser.add_argument("--minutes", type=float, default=5.0, help="no place is begun after them")
    parser.add_argument("--seed", type=int, default=1)
    rows = asyncio.run(run(parser.parse_args()))
    num_right = sum(each.right_chars > 0 for _, each in rows)
    num_chars = sum(each.right_chars for _, each in rows)
    print(f"{'limit':>7}{'left':>7}{'right':>7}{'share':>7}{'lost':>7}{'chars lost':>12}")
    for limit in LIMITS:
        left = [each for logprob, each in rows if logprob >= limit]
        right = [each for each in left if each.right_chars]
        lost = 1 - sum(each.right_chars for each in right) / max(1, num_chars)
        print(
            f"{limit:>7.2f}{len(left):>7}{len(right):>7}{len(right) / max(1, len(left)):>7.0%}"
            f"{1 - len(right) / max(1, num_right):>7.0%}{lost:>12.0%}"
        )


if __name__ == "__main__":
    main()
