"""Real edits typed again, key by key, against `fimble lsp` with the embedded engine.

Edits come from the history of a git repository, or from two releases of a package. Each trace is
replayed twice, one after the other in an order that is drawn: by an editor with our server, and by
one that asks the same engine and model as llama.vim asks llama.cpp. Each has an engine of its own.

    python -m bench.replay [--repository DIR | --releases OLD NEW] [--traces N] [--seed N]
                           [--model DIR] [--players ours,llama-style] [--json]

Times are from an edit to ghost text behind its cursor, before the next edit; they depend on what
else the machine does. Ratios, tokens and processor time depend less on it.
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

from bench.replay.players import LlamaStyle, OurEditor, replay
from bench.replay.sample import Replayed, suggestions_made, work_so_far
from bench.replay.traces import traces_of_releases, traces_of_repository
from eval_harness.sessions.engine import end_engine, wait_for_engine
from fimble.errors import FimbleError
from fimble.manifest import load_manifest
from fimble.paths import model_dir
from lsp_server.engines.shared import EngineLaunch, SharedEngine
from tests.stand_ins.lsp_client import start_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from bench.replay.players import Player
    from bench.replay.traces import Trace

OURS, LLAMA = "ours", "llama-style"
IDLE_EXIT_S = 900
"""One player waits while another types."""
ROOT = Path(__file__).resolve().parents[2]


async def run(arguments: argparse.Namespace, traces: list[Trace]) -> dict[str, Replayed]:
    """Replay all traces by all players; return what each has noted."""
    rng = random.Random(arguments.seed)
    results = {name: Replayed() for name in arguments.players}
    openers = {OURS: our_editor, LLAMA: _llama_style}
    async with contextlib.AsyncExitStack() as stack:
        players = {}
        for name in arguments.players:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fimble-replay-")))
            stack.callback(end_engine, state)
            opened = await stack.enter_async_context(openers[name](arguments.model, state))
            players[name] = (*opened, state)
        for number, trace in enumerate(traces, start=1):
            print(f"{number}/{len(traces)} {trace.name}", file=sys.stderr)
            for name in rng.sample(arguments.players, len(arguments.players)):
                player, pids, state = players[name]
                before = await asyncio.to_thread(work_so_far, state, pids)
                results[name].keys += await replay(player, trace)
                after = await asyncio.to_thread(work_so_far, state, pids)
                results[name].work.add(after.since(before))
        await asyncio.sleep(1)  # events are written soon, not at once
        for name, (_, _, state) in players.items():
            results[name].made += await asyncio.to_thread(suggestions_made, state)
    return results


@contextlib.asynccontextmanager
async def our_editor(model: Path, state: Path) -> AsyncGenerator[tuple[Player, list[int]]]:
    """Start `fimble lsp` with an engine in `state`; give an editor with it, and its process."""
    (state / "fimble.toml").touch()
    folders = {f"FIMBLE_{name}_DIR": str(state) for name in ("DATA", "STATE", "CACHE")}
    client = await start_client({**folders, "FIMBLE_CONFIG": str(state / "fimble.toml")})
    try:
        engine = {"model": str(model), "idle_exit_s": IDLE_EXIT_S}
        await client.initialize(options={"engine": engine}, encodings=["utf-32"], name="replay")
        await wait_for_engine(state, client.messages)
        yield OurEditor(client), [client.process.pid]
        await client.close()
    finally:
        await client.kill()


@contextlib.asynccontextmanager
async def _llama_style(model: Path, state: Path) -> AsyncGenerator[tuple[Player, list[int]]]:
    """Start an engine in `state`, and ask it from this process, whose time does not count."""
    engine = SharedEngine(
        EngineLaunch(
            model_folder=model,
            model_digest=load_manifest(model, verify=False).digest,
            state_folder=state,
            idle_exit_s=IDLE_EXIT_S,
        )
    )
    try:
        await engine.info()
        player = LlamaStyle(engine)
        yield player, []
        await player.close()
    finally:
        await engine.close()


def _traces(arguments: argparse.Namespace) -> Iterator[Trace]:
    rng = random.Random(arguments.seed)
    if arguments.releases:
        old, new = arguments.releases
        return traces_of_releases(old, new, rng)
    return traces_of_repository(arguments.repository, rng)


def _show(results: dict[str, Replayed]) -> None:
    rows = {name: result.summary() for name, result in results.items()}
    print(f"{'':<30}" + "".join(f"{name:>14}" for name in rows))
    for figure in next(iter(rows.values())):
        values = "".join(f"{row[figure]:>14.4g}" for row in rows.values())
        print(f"{figure:<30}{values}")


def main() -> int:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.replay", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--repository", type=Path, default=ROOT, help="folder of a git repository")
    parser.add_argument("--releases", type=Path, nargs=2, metavar=("OLD", "NEW"))
    parser.add_argument("--traces", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", help="model folder or name of a shipped model")
    parser.add_argument(
        "--players", type=lambda text: text.split(","), default=[OURS, LLAMA], metavar="NAME,..."
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        arguments.model = model_dir(arguments.model)
        traces = list(itertools.islice(_traces(arguments), arguments.traces))
        results = asyncio.run(run(arguments, traces))
    except FimbleError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({name: result.summary() for name, result in results.items()}, indent=2))
    else:
        _show(results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
