"""Requests of months that are over, in a few files by user instead of a file a day.

Who asks for one user's rows, or for what a few users did, reads a row group or two a month; in
files by day it is one a day. Late events take their day out of the block (`telemetry.days`), into a
file of its own; once there are `MIN_DAYS` such files, the month is written anew. As in a merge,
nothing counts before the manifest says so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from telemetry.blocks import all_requests, block_file
from telemetry.days import sync_kinds, write_rows
from telemetry.texts import quoted
from telemetry.views import connect
from telemetry.warehouse import MONTH_CHARS, WORK_PREFIX, Block, Kind, Manifest

if TYPE_CHECKING:
    import duckdb

    from fimble.clock import Clock
    from telemetry.warehouse import Warehouse

MIN_DAYS = 5
"""Months with fewer files of days stay as they are."""
SETTLED_MS = 7 * 86_400_000
"""A month is over so long after its last event could be recorded: most that comes late has come."""
ROWS_PER_FILE = 2_000_000
"""Of a block; sorting so many takes two gigabytes, `_MEMORY`, and some twenty CPU seconds."""
ROWS_BESIDE_A_QUESTION = 500_000
"""Months up to so many requests are compacted by commands that ask; it takes seconds."""
_MEMORY = "2GB"


def compact(
    warehouse: Warehouse,
    manifest: Manifest,
    clock: Clock,
    *,
    max_rows: int | None = None,
    rows_per_file: int = ROWS_PER_FILE,
) -> Manifest:
    """Write the requests of the first month that is due by user; return the manifest that says so.

    It is one at a time, so that a merge stays bounded; the next merge takes the next one.

    Args:
        warehouse: Whose lock is held.
        manifest: Its manifest.
        clock: Tells which months are over.
        max_rows: Larger months are left for another time; None means none is too large.
        rows_per_file: About how many requests a file gets.
    """
    for month, days in sorted(_due(manifest, clock.wall_ms()).items()):
        if max_rows is None or sum(day.num_requests for day in days.days.values()) <= max_rows:
            block = _written(warehouse, days, month, manifest.generation + 1, rows_per_file)
            return warehouse.supersede(
                manifest, _with(manifest, month, block), now_ms=clock.wall_ms()
            )
    return manifest


def _due(manifest: Manifest, now_ms: int) -> dict[str, Manifest]:
    """Return the months to compact, each as a manifest of its days and its block alone."""
    settled = datetime.fromtimestamp((now_ms - SETTLED_MS) / 1000, UTC).date().isoformat()
    months: defaultdict[str, list[str]] = defaultdict(list)
    for day in manifest.days:
        if day[:MONTH_CHARS] < settled[:MONTH_CHARS]:
            months[day[:MONTH_CHARS]].append(day)
    return {
        month: replace(
            manifest,
            days={day: manifest.days[day] for day in days},
            blocks={name: b for name, b in manifest.blocks.items() if name == month},
        )
        for month, days in months.items()
        if sum(bool(manifest.days[day].requests) for day in days) >= MIN_DAYS
    }


def _written(
    warehouse: Warehouse, there: Manifest, month: str, generation: int, rows_per_file: int
) -> Block:
    """Write all requests of a manifest into files by user."""
    requests = all_requests(warehouse, there)
    held = [day for day in there.days if there.days[day].requests or there.block_of(day)]
    with TemporaryDirectory(dir=warehouse.folder, prefix=WORK_PREFIX) as work, connect(work) as db:
        db.execute(f"set memory_limit = '{_MEMORY}'")
        names = []
        for number, condition in enumerate(_slices(db, requests, rows_per_file)):
            names.append(block_file(month, generation, number))
            rows = f"from ({requests}) select * where {condition}"
            path = warehouse.folder / Kind.REQUESTS / names[-1]
            write_rows(db, rows, path, Kind.REQUESTS)
    sync_kinds(warehouse)
    return Block(names=tuple(names), days=tuple(sorted(held)))


def _slices(db: duckdb.DuckDBPyConnection, requests: str, rows_per_file: int) -> list[str]:
    """Return conditions that part requests by user, or by session, each for about so many.

    They compare a column with a text, so that row groups of other users are not even read.
    """
    found: list[str] = []
    for column, group in (("user_key", "user_key is not null"), ("session_id", "user_key is null")):
        sizes = (
            f"select {column} as who, count(*) as num from ({requests}) where {group} group by who"  # noqa: S608 - our own queries
        )
        before = "sum(num) over (order by who) - num"
        rows = db.execute(
            f"with sizes as ({sizes}), "  # noqa: S608 - our own queries
            f"parts as (select who, ({before}) // {rows_per_file:d} as slice from sizes) "
            "select min(who) from parts group by slice order by slice"
        ).fetchall()
        bounds = [quoted(who) for (who,) in rows]
        lower = [f"{column} >= {bound}" for bound in bounds]
        upper = [*(f"{column} < {bound}" for bound in bounds[1:]), group]
        found += [f"{group} and {low} and {up}" for low, up in zip(lower, upper, strict=False)]
    return found


def _with(manifest: Manifest, month: str, block: Block) -> Manifest:
    """Return a manifest in which a block holds the requests of its days."""
    moved = {day: replace(manifest.days[day], requests="") for day in block.days}
    return replace(manifest, days=manifest.days | moved, blocks=manifest.blocks | {month: block})
