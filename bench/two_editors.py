"""Two editors on one engine at a time: what each waits for ghost text, alone and beside the other.

Real edits (`bench.replay`) are typed by two editors, each with a `fimble lsp` of its own and a file
of its own: first one after the other, then both at once, on the machine's one engine. Every phase
begins with an engine that has read nothing.

    python -m bench.two_editors [--repository DIR] [--traces N] [--seed N] [--model DIR] [--json]

Exits with 1 if the median of either, over all its ghost text, is more than twice what it is alone.
Medians below `NOISE_MS` are taken for that: most ghost text is known before it is asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.replay.__main__ import ROOT, our_editor
from bench.replay.players import replay
from bench.replay.sample import Replayed, work_so_far
from bench.replay.traces import traces_of_repository
from eval_harness.sessions.engine import end_engine
from fimble.errors import FimbleError
from fimble.paths import model_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.replay.players import Player
    from bench.replay.traces import Trace

NUM_EDITORS = 2
LARGEST_FACTOR = 2.0
NOISE_MS = 10.0
FIGURES = ("keys", "with_ghost_text", "p50_ms", "p95_ms", "new_p50_ms", "cpu_ms_per_key")


async def phase(model: Path, shares: Sequence[list[Trace]]) -> list[Replayed]:
    """Let as many editors type as there are shares, on one engine; return what each has noted."""
    async with contextlib.AsyncExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fimble-two-")))
        stack.callback(end_engine, state)
        opened = [await stack.enter_async_context(our_editor(model, state)) for _ in shares]
        typing = (_type(player, traces) for (player, _), traces in zip(opened, shares, strict=True))
        results = list(await asyncio.gather(*typing))
        work = await asyncio.to_thread(
            work_so_far, state, [pid for _, pids in opened for pid in pids]
        )
    for result in results:  # the engine's time is nobody's in particular
        result.work.counts = work.counts
        result.work.cpu_s = work.cpu_s / len(results)
    return results


async def _type(player: Player, traces: list[Trace]) -> Replayed:
    result = Replayed()
    for trace in traces:
        result.keys += await replay(player, trace)
    return result


async def run(model: Path, traces: list[Trace]) -> dict[str, dict[str, float]]:
    """Return the figures of each editor, alone and together."""
    shares = [traces[number::NUM_EDITORS] for number in range(NUM_EDITORS)]
    alone = [(await phase(model, [share]))[0] for share in shares]
    together = await phase(model, shares)
    rows = {f"alone {number}": each.summary() for number, each in enumerate(alone, start=1)}
    rows |= {f"together {number}": each.summary() for number, each in enumerate(together, start=1)}
    return {name: {figure: row[figure] for figure in FIGURES} for name, row in rows.items()}


def factors(rows: dict[str, dict[str, float]]) -> list[float]:
    """Return how many times as long each editor waits beside the other."""
    waits = {name: max(NOISE_MS, row["p50_ms"]) for name, row in rows.items()}
    return [waits[f"together {n}"] / waits[f"alone {n}"] for n in range(1, NUM_EDITORS + 1)]


def main() -> int:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.two_editors", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--repository", type=Path, default=ROOT, help="folder of a git repository")
    parser.add_argument("--traces", type=int, default=2, help="of both editors together")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--model", help="model folder or name of a shipped model")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        found = traces_of_repository(arguments.repository, random.Random(arguments.seed))
        traces = list(itertools.islice(found, max(NUM_EDITORS, arguments.traces)))
        rows = asyncio.run(run(model_dir(arguments.model), traces))
    except FimbleError as error:
        print(f"two_editors: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"{'':<18}" + "".join(f"{name:>14}" for name in rows))
        for figure in FIGURES:
            print(f"{figure:<18}" + "".join(f"{row[figure]:>14.4g}" for row in rows.values()))
        print("beside the other:", ", ".join(f"{factor:.2f} times" for factor in factors(rows)))
    return int(max(factors(rows)) > LARGEST_FACTOR)


if __name__ == "__main__":
    raise SystemExit(main())
