"""What a show/hide filter is worth on a simulated company, and what each decision costs.

    python -m bench.show_filter [--users N] [--days N]

The truth of the simulation: three of ten suggestions that are not accepted are such as nobody ever
accepts. The filter is learnt from three fifths of the users; the tables are of those that neither
trees nor threshold have seen. Microseconds are CPU time of the server's own code, decision by
decision.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from fimble.events import CacheHit, Served, Trigger
from fimble.show_filter import NUMBERS, WORDS, read_filter
from telemetry.filters.command import page
from telemetry.filters.learn import Wanted, learn
from telemetry.filters.rows import read_rows
from telemetry.reader import reading
from telemetry.simulate.bulk import write_warehouse
from telemetry.simulate.company import Simulation
from telemetry.warehouse import Warehouse

if TYPE_CHECKING:
    from telemetry.filters.rows import Rows

NUM_DECISIONS = 20_000


def main() -> None:
    """Simulate, learn, and time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--days", type=int, default=20)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        warehouse = Warehouse(Path(folder))
        simulation = Simulation(
            num_users=options.users, num_days=options.days, start=date(2026, 6, 1), seed=1
        )
        write_warehouse(simulation, warehouse)
        with reading(Path(folder) / "spool", warehouse) as connection:
            rows = read_rows(connection)
        start_s = time.process_time()
        learnt = learn(rows, Wanted())
        learning_s = time.process_time() - start_s
        path = Path(folder) / "filter.json"
        path.write_text(learnt.file)
        start_s = time.process_time()
        found = read_filter(path)
        reading_ms = 1000 * (time.process_time() - start_s)
        events = _events(rows)
        took_us = []
        for event in events:
            start_ns = time.thread_time_ns()
            found.judge(event, draw=0.5)
            took_us.append((time.thread_time_ns() - start_ns) / 1000)
    print(page(learnt.evidence))
    print(
        f"\nlearnt from {len(rows):,} suggestions in {learning_s:.1f} CPU s; "
        f"{len(found.trees)} trees, {len(learnt.file) / 1000:.0f} kB, read in {reading_ms:.1f} ms"
    )
    cuts = np.percentile(took_us, [99])
    print(
        f"a decision: median {statistics.median(took_us):.0f} µs, p99 {cuts[0]:.0f} µs "
        f"of {len(took_us):,}"
    )


def _events(rows: Rows) -> list[Served]:
    """Return suggestions as the server has them when it decides."""
    some = rows.of(np.arange(len(rows)) < NUM_DECISIONS)
    columns = {name: values.tolist() for name, values in (some.numbers | some.words).items()}
    listed: list[dict[str, Any]] = [
        {name: columns[name][row] for name in (*NUMBERS, *WORDS)} for row in range(len(some))
    ]
    return [
        Served(
            completion_id="c",
            opportunity_id="o",
            trigger=Trigger.AUTOMATIC,
            model="m",
            model_digest="d",
            backend="embedded",
            prompt_tokens=0,
            cached_tokens=0,
            debounce_ms=0.0,
            first_token_ms=0.0,
            **(each | {"cache": CacheHit(each["cache"])}),
        )
        for each in listed
    ]


if __name__ == "__main__":
    main()
