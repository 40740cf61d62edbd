"""Views and metrics in a DuckDB connection: each query file is defined once, for every reader."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from telemetry.blocks import all_requests, requests_of
from telemetry.metrics.definition import table_of_metrics
from telemetry.metrics.histogram import MACROS
from telemetry.schema import COLUMNS
from telemetry.texts import (
    daily_of,
    latency_of,
    query,
    quoted,
    stored_daily,
    stored_events,
    stored_latency,
    stored_parts,
)
from telemetry.warehouse import FIRST_THAT_COUNTS, FORMAT_VERSION, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from telemetry.schema import Record
    from telemetry.warehouse import Manifest, Warehouse

VIEWS = (
    "sessions",
    "completions",
    "exposures",
    "typing",
    "facts",
    "daily_facts",
    "hourly_facts",
    "latency",
)
"""Built upon the views `events`, `session_parts`, `opportunities`, `daily` and `histograms`, in
this order."""
EARLIEST_MS = 1_577_836_800_000
"""2020-01-01."""
MAX_AHEAD_MS = 7 * 86_400_000
_STORAGE_VERSION = "v1.2.0"  # DuckDB 1.2 and later, the tools built on them included, can read it


def load_records(
    connection: duckdb.DuckDBPyConnection,
    segments: Mapping[str, Sequence[Record]],
    *,
    work: str,
    now_ms: int,
) -> None:
    """Create the table `loaded` with the events of segments, by the name of the segment.

    The day is that of the event's wall clock, UTC. A clock that says what cannot be, before this
    project or a week ahead, is not believed: then it is the day of `now_ms`.

    Args:
        connection: Where to.
        segments: Events that `telemetry.schema` let pass.
        work: A folder for what lies between.
        now_ms: The time, Unix ms.
    """
    lines = Path(work) / "records.jsonl"
    with lines.open("w", encoding="utf-8") as file:
        for name, records in segments.items():
            file.writelines(f"{json.dumps({**each, 'segment': name})}\n" for each in records)
    columns = {**COLUMNS, "segment": "varchar"}
    typed = ", ".join(f"{name}: {quoted(sql_type)}" for name, sql_type in columns.items())
    source = f"read_json($lines, format = 'newline_delimited', columns = {{{typed}}})"
    believed = f"ts_wall_ms between {EARLIEST_MS} and {now_ms + MAX_AHEAD_MS}"
    wall_ms = f"case when {believed} then ts_wall_ms else {now_ms} end"
    with_day = f"from {source} select epoch_ms({wall_ms})::date as day, *"
    connection.execute(f"create temp table loaded as {with_day}", {"lines": os.fspath(lines)})
    lines.unlink()


def new_events(parquet: Sequence[Path]) -> str:
    """Return a query for the loaded events that are not in `parquet`, each once."""
    of_these = "where session_id in (select session_id from loaded)"
    known = f"from ({stored_events(parquet)}) select session_id, seq {of_these}"
    return (
        f"from loaded anti join ({known}) using (session_id, seq) "
        "qualify row_number() over (partition by session_id, seq order by segment) = 1"
    )


class Queries(NamedTuple):
    """Where the views take their rows from."""

    events: str
    session_parts: str
    requests: str
    daily: str
    latency: str


def queries_of(warehouse: Warehouse, manifest: Manifest) -> Queries:
    """Return queries for what a manifest names; what is to be forgotten is left out."""
    where = not_forgotten(manifest.forgotten) if manifest.is_purge_due else "true"
    is_uniform = manifest.format_version == FORMAT_VERSION
    requests = all_requests(warehouse, manifest)
    kept = f"from ({requests}) select * where {where}"
    counts = _counts(warehouse, manifest)
    events = stored_events(warehouse.files(manifest, Kind.EVENTS), is_uniform=is_uniform)
    parts = stored_parts(warehouse.files(manifest, Kind.SESSIONS), is_uniform=is_uniform)
    return Queries(
        events=f"from ({events}) select * where {where}",
        session_parts=f"from ({parts}) select * where {where}",
        requests=kept,
        daily=f"from ({counts[0]}) select * where {where}",
        # Histograms do not say whose they are.
        latency=latency_of(kept) if manifest.is_purge_due else counts[1],
    )


def _counts(warehouse: Warehouse, manifest: Manifest) -> tuple[str, str]:
    """Return queries for counts and histograms of all days.

    Those that an older release did not write are counted now.
    """
    days = manifest.days
    new = replace(manifest, days={name: day for name, day in days.items() if day.latency})
    stored = [
        stored_daily(warehouse.files(new, Kind.DAILY)),
        stored_latency(warehouse.files(new, Kind.LATENCY)),
    ]
    old = [name for name, day in sorted(days.items()) if day.requests and not day.latency]
    if not old or manifest.format_version < FIRST_THAT_COUNTS:
        return stored[0], stored[1]
    requests = " union all by name ".join(requests_of(warehouse, manifest, day) for day in old)
    return (
        f"{stored[0]} union all by name ({daily_of(requests)})",
        f"{stored[1]} union all by name ({latency_of(requests)})",
    )


def not_forgotten(digests: Iterable[str]) -> str:
    """Return a condition that holds for sessions that are not to be forgotten."""
    names = ", ".join(quoted(digest) for digest in sorted(digests))
    return f"sha256(session_id) not in ({names})" if names else "true"


def create_views(connection: duckdb.DuckDBPyConnection, sources: Queries) -> None:
    """Create views and metrics."""
    for signature, text in MACROS.items():
        connection.execute(f"create macro {signature} as {text}")
    connection.execute(f"create view events as {sources.events}")
    connection.execute(f"create view session_parts as {sources.session_parts}")
    connection.execute(f"create view opportunities as {sources.requests}")
    connection.execute(f"create view daily as {sources.daily}")
    connection.execute(f"create view histograms as {sources.latency}")
    for name in VIEWS:
        connection.execute(f"create view {name} as {query(name)}")
    connection.execute(f"create view metrics as {table_of_metrics()}")


def publish(warehouse: Warehouse, manifest: Manifest) -> None:
    """Write the database of views, unless it is that of this generation already.

    Who has the old one open keeps reading the old files.
    """
    database = warehouse.database
    if published_generation(database) == manifest.generation:
        return
    aside = database.with_name(f".{database.name}.part")
    for leftover in (aside, aside.with_name(f"{aside.name}.wal")):
        leftover.unlink(missing_ok=True)
    with TemporaryDirectory() as work, connect(work) as connection:
        connection.execute(
            f"attach {quoted(os.fspath(aside))} as published (storage_version '{_STORAGE_VERSION}')"
        )
        connection.execute("use published")
        create_views(connection, queries_of(warehouse, manifest))
        connection.execute(f"create table generation as select {manifest.generation:d} as number")
        connection.execute("use memory")
        connection.execute("detach published")
    aside.replace(database)


def published_generation(database: Path) -> int | None:
    """Return the generation whose files a database of views names; None if there is none."""
    if not database.exists():
        return None
    with contextlib.suppress(duckdb.Error), duckdb.connect(database, read_only=True) as connection:
        row = connection.execute("select number from generation").fetchone()
        return row[0] if row else None
    return None


def connect(work: str) -> duckdb.DuckDBPyConnection:
    """Return a connection in memory that never fetches anything, and spills into `work`."""
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": work,
        }
    )
    connection.execute("set enable_progress_bar = false")  # it would stand among the answers
    return connection
