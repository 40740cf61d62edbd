"""What recording costs the event loop of the language server.

    python -m bench.telemetry_emit [--events N]

`put` hands one event to the writer's thread, at the pace of a typist, at ten times that, and
without any pause; `edited` is all that a change of a document costs: outcomes, counters, and the
spans of accepted texts that are followed. The disk is real. Times are of the thread of the loop
alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fimble.clock import SystemClock
from fimble.text import Position, PositionEncoding
from lsp_server.documents import Documents, Place, Range
from lsp_server.outbox import Outbox
from lsp_server.outcomes import Rest
from lsp_server.recorder import Recorder
from lsp_server.retention import MAX_WATCHED
from lsp_server.trail import Trail
from tests.stand_ins.spool_writer import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
PAUSE_S = 0.005
TYPIST_PAUSE_S = 0.05
URI = "file:///a.py"
TEXT = "".join(f"value_{n} = compute(value_{n}, {n})\n" for n in range(2000))


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=4000)
    num_events = parser.parse_args().events
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    print("| what | p50 µs | p99 µs | p99.9 µs | max µs |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder), session_id="bench", clock=SystemClock())
        events = cycle(session(300, seed=1)[1:-1])
        for name, pause_s, share in (
            ("put, 20 events/s", TYPIST_PAUSE_S, 5),
            ("put, 200 events/s", PAUSE_S, 1),
            ("put, without a pause", 0.0, 1),
        ):
            report(name, timed(outbox.put, islice(events, num_events // share), pause_s))
        for num_watched in (0, MAX_WATCHED):
            asyncio.run(edits(outbox, num_events, num_watched))
        outbox.close()
        print(f"\n{outbox.num_dropped} of {outbox.num_written} events dropped")


async def edits(outbox: Outbox, num_edits: int, num_watched: int) -> None:
    """Measure edits of a document with accepted texts to follow."""
    documents = Documents(PositionEncoding.UTF16)
    document = documents.open(URI, "python", 1, TEXT)
    recorder = Recorder(outbox, documents=documents, clock=SystemClock(), shown_after_ms=250)
    for number in range(num_watched):
        place = Place(20 * number, 10)
        trail = Trail(place)
        rest = Rest(f"c{number}", "compute")
        recorder._outcomes.served(rest, uri=URI, trail=trail, requested_ms=0, now_ms=0)  # noqa: SLF001
        recorder.accepted(rest.completion_id)
    lines = cycle(range(len(document.lines) - 1))

    def edit(line: int) -> None:
        spot = Position(line, 0)
        change = document.replace(Range(spot, spot), "x", PositionEncoding.UTF16)
        recorder.edited(document, change)

    report(f"edited, {num_watched} texts followed", timed(edit, islice(lines, num_edits), PAUSE_S))
    recorder.ended()


def timed(work: Callable[[T], object], things: Iterable[T], pause_s: float) -> list[float]:
    """Return how many microseconds the call for each thing took."""
    found = []
    gc.collect()
    for thing in things:
        started_ns = time.perf_counter_ns()
        work(thing)
        found.append((time.perf_counter_ns() - started_ns) / 1000)
        if pause_s:
            time.sleep(pause_s)
    return sorted(found)


def report(what: str, times_us: list[float]) -> None:
    """Print a row."""
    cells = [times_us[int(share * (len(times_us) - 1))] for share in (0.5, 0.99, 0.999, 1.0)]
    print(f"| {what} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
