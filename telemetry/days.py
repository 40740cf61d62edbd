"""The files of days: written once, under names that nothing refers to until the manifest does."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from telemetry.blocks import requests_of, without_day
from telemetry.folds import Sources, fold_fresh, unchanged
from telemetry.metrics.histogram import define
from telemetry.texts import daily_of, latency_of, query, quoted, stored_events, stored_parts
from telemetry.warehouse import DayFile, Kind, Manifest, Warehouse, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

_ORDERS = {
    Kind.EVENTS: "session_id, seq",
    Kind.SESSIONS: "session_id",
    Kind.REQUESTS: "user_key, session_id, at_ms, opportunity_id",
    Kind.DAILY: "all",
    Kind.LATENCY: "all",
}
"""Rows that are asked for together lie together."""
_ROWS_PER_GROUP = {Kind.REQUESTS: 40_960}
_USUAL_ROWS_PER_GROUP = 122_880
"""Smaller groups of requests, so that little is read where one user is asked for."""


def add_fresh(
    db: duckdb.DuckDBPyConnection, warehouse: Warehouse, manifest: Manifest, generation: int
) -> Manifest:
    """Write the days that the events in the table `fresh` change: events, sessions, requests.

    Returns: The manifest with every day there is then.
    """
    days = dict(manifest.days)
    for (day,) in db.execute("select distinct day::varchar from fresh order by all").fetchall():
        old = [warehouse.path_of(days[day], Kind.EVENTS)] if day in days else []
        added = f"select * exclude (segment) from fresh where day = {quoted(day)}"  # noqa: S608 - literals
        events = f"{stored_events(old)} union all by name {added}"
        fresh = DayFile(name=_name(day, generation), num_events=0)
        num_events = write_rows(db, events, warehouse.path_of(fresh, Kind.EVENTS), Kind.EVENTS)
        days[day] = replace(days.get(day, fresh), name=fresh.name, num_events=num_events)
        days[day] = write_session_parts(db, warehouse, days[day], _name(day, generation))
    return fold_days(db, warehouse, replace(manifest, days=days), generation)


def fold_days(
    db: duckdb.DuckDBPyConnection, warehouse: Warehouse, manifest: Manifest, generation: int
) -> Manifest:
    """Write the requests that the events in the table `fresh` change.

    Returns: The manifest with what was written; days that were changed are in no block.
    """
    sources = Sources(
        stored_events(warehouse.files(manifest, Kind.EVENTS)),
        stored_parts(warehouse.files(manifest, Kind.SESSIONS)),
    )
    days, blocks = dict(manifest.days), manifest.blocks
    for day in fold_fresh(db, sources):
        kept = unchanged(requests_of(warehouse, manifest, day))
        rows = f"{kept} union all by name select * from folded where day = {quoted(day)}"  # noqa: S608 - literals
        fresh = replace(days[day], requests=_name(day, generation))
        num_rows = write_rows(db, rows, warehouse.path_of(fresh, Kind.REQUESTS), Kind.REQUESTS)
        fresh = replace(fresh, num_requests=num_rows)
        blocks = without_day(blocks, day)
        there = Manifest(days={day: fresh})
        days[day] = write_counts(db, warehouse, there, day, generation=generation)
    sync_kinds(warehouse)
    return replace(manifest, days=days, blocks=blocks)


def sync_kinds(warehouse: Warehouse) -> None:
    """Make what was written survive a power loss, where the system can."""
    for kind in Kind:
        (warehouse.folder / kind).mkdir(exist_ok=True, mode=0o700)
        sync_folder(warehouse.folder / kind)


def write_events(
    db: duckdb.DuckDBPyConnection, warehouse: Warehouse, day: DayFile, name: str
) -> DayFile:
    """Write the events of a day anew with every column there is; return the day with that file."""
    events = stored_events([warehouse.path_of(day, Kind.EVENTS)])
    written = replace(day, name=name)
    write_rows(db, events, warehouse.path_of(written, Kind.EVENTS), Kind.EVENTS)
    return written


def write_session_parts(
    db: duckdb.DuckDBPyConnection, warehouse: Warehouse, day: DayFile, name: str
) -> DayFile:
    """Write what the events of a day say about sessions; return the day with that file."""
    events = stored_events([warehouse.path_of(day, Kind.EVENTS)])
    written = replace(day, sessions=name)
    rows = f"with events as ({events}) {query('session_parts')}"
    write_rows(db, rows, warehouse.path_of(written, Kind.SESSIONS), Kind.SESSIONS)
    return written


def write_counts(
    db: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    manifest: Manifest,
    day: str,
    *,
    generation: int,
) -> DayFile:
    """Write the requests of a day as counts and as histograms; return the day with these files."""
    name = _name(day, generation)
    written = replace(manifest.days[day], daily=name, latency=name)
    requests = requests_of(warehouse, manifest, day)
    define(db)
    for kind, rows in ((Kind.DAILY, daily_of(requests)), (Kind.LATENCY, latency_of(requests))):
        write_rows(db, rows, warehouse.path_of(written, kind), kind)
    return written


def write_rows(db: duckdb.DuckDBPyConnection, rows: str, path: Path, kind: Kind) -> int:
    """Write the rows of a query into a file that survives a power loss; return how many."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    ordered = f"from ({rows}\n) order by {_ORDERS[kind]}"
    group = _ROWS_PER_GROUP.get(kind, _USUAL_ROWS_PER_GROUP)
    options = f"format parquet, compression zstd, row_group_size {group}"
    to_file = f"copy ({ordered}) to {quoted(os.fspath(path))} ({options})"
    (count,) = db.execute(to_file).fetchone() or (0,)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return count


def _name(day: str, generation: int) -> str:
    return f"{day}.{generation}.parquet"
