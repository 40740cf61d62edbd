"""Ghost text from the shipped model, in real editor sessions: `make demo`.

Starts `fimble lsp`, opens third-party files that no model of ours has seen, takes out code and
types it again as it was, key by key, asking at every key as editors do. Then it says how long
answers took, and what `fimble telemetry` recorded. Everything is kept in a temporary folder; the
user's own telemetry stays as it is.

    python -m bench.demo [--model DIR] [--seed N] [--fast]
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.demo.results import show_acceptance, show_latencies
from bench.demo.screen import Screen
from bench.demo.sources import read_sources
from bench.demo.window import Window
from eval_harness.sessions.client import LspClient, start_client
from eval_harness.sessions.engine import end_engine, wait_for_engine
from eval_harness.sessions.person import Pace, Tally, Typist
from eval_harness.sessions.places import places_in
from fimble.errors import FimbleError, InputError
from fimble.manifest import load_manifest
from fimble.paths import model_dir

IDLE_EXIT_S = 60
"""If this process is killed, the engine it started ends by itself."""
FAST = Pace(fastest_key_ms=5, slowest_key_ms=15, reading_ms=60)


async def run(arguments: argparse.Namespace, environment: dict[str, str], screen: Screen) -> Tally:
    """Type in every file, and return what happened."""
    tally = Tally()
    pace = FAST if arguments.fast else Pace()
    client = await start_client(environment)
    try:
        options = {
            "engine": {"model": str(arguments.model), "idle_exit_s": IDLE_EXIT_S},
            "completion": {"shown_after_ms": pace.shown_after_ms},
        }
        await client.initialize(options=options, encodings=["utf-32"], name="demo")
        started_s = time.perf_counter()
        await wait_for_engine(Path(environment["FIMBLE_STATE_DIR"]), client.messages)
        screen.say(f"The engine was up {time.perf_counter() - started_s:.1f} s after the editor.")
        await _type_in_all(client, screen, tally, pace=pace, seed=arguments.seed)
        await client.close()
    finally:
        if client.process.returncode is None:
            await client.kill()
    for message in client.messages:
        screen.say(message)
    return tally


async def _type_in_all(
    client: LspClient, screen: Screen, tally: Tally, *, pace: Pace, seed: int
) -> None:
    num_places = 1 if pace is FAST else 2
    for source in read_sources():
        rng = random.Random(f"{seed} {source.path.name}")
        uri = source.path.as_uri()
        client.open(source.text, uri=uri, language=source.language.lsp_ids[0])
        for place in places_in(source.text, source.language, rng)[:num_places]:
            screen.title(source, place.line)
            window = Window(screen, source.text, place)
            typist = Typist(client, uri, place, tally=tally, pace=pace, watcher=window)
            await typist.write(rng)
            window.leave()
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


def main() -> int:
    """Run the demo; return 0 if ghost text was shown, accepted, and read back."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.demo", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", metavar="DIR", help="model folder or name of a shipped model")
    parser.add_argument("--seed", type=int, default=1, help="another seed types at other places")
    parser.add_argument(
        "--fast", action="store_true", help="half of the places, and faster than any person"
    )
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # some terminals have no line-drawing characters
    screen = Screen(sys.stdout)
    try:
        return _demo(arguments, screen)
    except FimbleError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Nobody reads on: the interpreter's last flush goes nowhere, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        screen.leave()


def _demo(arguments: argparse.Namespace, screen: Screen) -> int:
    """Type, sum up, and return the exit code.

    Raises:
        EngineError: The engine does not start, or does not end.
        InputError: There is no such model.
    """
    arguments.model = model_dir(arguments.model)
    name = load_manifest(arguments.model, verify=False).name
    screen.say(f"{name} types along in files that it has never seen.")
    with tempfile.TemporaryDirectory(prefix="fimble-demo-") as folder:
        environment = _environment(Path(folder))
        try:
            tally = asyncio.run(run(arguments, environment, screen))
        finally:
            end_engine(Path(environment["FIMBLE_STATE_DIR"]))
        show_latencies(tally, screen)
        num_accepted = show_acceptance(environment, screen)
    return _verdict(tally.num_drawn, num_accepted, screen)


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment that keeps the user's telemetry, engine and configuration out."""
    config = folder / "fimble.toml"
    config.write_text("", encoding="utf-8")
    places = {f"FIMBLE_{name}_DIR": str(folder / name.lower()) for name in ("DATA", "STATE")}
    return {**os.environ, **places, "FIMBLE_CONFIG": str(config)}


def _verdict(num_drawn: int, num_accepted: int, screen: Screen) -> int:
    """Say how to go on, and return the exit code."""
    if not num_drawn or not num_accepted:
        print(
            f"demo: {num_drawn} suggestions were shown and {num_accepted} acceptances recorded; "
            "both must be 1 or more",
            file=sys.stderr,
        )
        return 1
    screen.say(
        "\nIn your own editor: docs/editors.md has the lines for Neovim, VS Code and others.\n"
        "Is everything in place? .venv/bin/fimble doctor"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
