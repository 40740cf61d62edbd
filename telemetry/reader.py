"""Reading the warehouse: what was merged, and on top what open sessions have recorded so far.

The connection can read these events and nothing else: no file, no network, no setting.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.errors import InputError
from telemetry.folds import Sources, fold_fresh, unchanged
from telemetry.metrics.histogram import define
from telemetry.privacy.forget import drop_forgotten
from telemetry.segments import read_all_now
from telemetry.texts import daily_of, latency_of, parquet_query, query, quoted, stored_events
from telemetry.views import Queries, connect, create_views, load_records, new_events, queries_of
from telemetry.warehouse import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from fimble.clock import Clock
    from telemetry.warehouse import Warehouse

_SYSTEM_CLOCK = SystemClock()
READING_STATEMENTS = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""`MULTI` is what DuckDB calls `pivot`."""


@contextlib.contextmanager
def reading(
    spool: Path, warehouse: Warehouse, *, output: Path | None = None, clock: Clock = _SYSTEM_CLOCK
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the views of `telemetry.views`.

    Args:
        spool: Where open sessions write.
        warehouse: Where merged events are.
        output: The one file that a result may be written to.
        clock: Dates events whose own clock says what cannot be.

    Raises:
        InputError: The manifest of the warehouse is damaged.
    """
    segments = read_all_now(spool)  # before the manifest: what is merged meanwhile is in that
    manifest = warehouse.manifest()
    with TemporaryDirectory(prefix="fimble-") as work:
        sources = queries_of(warehouse, manifest)
        allowed = [path for kind in Kind for path in warehouse.files(manifest, kind)]
        unfolded = warehouse.unfolded(manifest)
        if segments or unfolded:
            live = _Live(Path(work))
            with connect(work) as db:
                load_records(db, segments, work=work, now_ms=clock.wall_ms())
                drop_forgotten(db, manifest, clock)
                stored = warehouse.files(manifest, Kind.EVENTS)
                days = manifest.days.values()
                unparted = [warehouse.path_of(d, Kind.EVENTS) for d in days if not d.sessions]
                old = (stored_events(unfolded), stored_events(unparted))
                sources = live.overlay(db, sources, new_events(stored), old)
            allowed += live.files
        with connect(work) as connection:
            create_views(connection, sources)
            _lock_down(connection, [*allowed, *([output] if output else [])])
            yield connection


class _Live:
    """Files of what is not merged yet, so that there is no table that a query could change."""

    def __init__(self, folder: Path) -> None:
        names = ("events", "sessions", "requests", "keys", "daily", "latency")
        self.files = [folder / f"live-{name}.parquet" for name in names]

    def overlay(
        self, db: duckdb.DuckDBPyConnection, stored: Queries, unmerged: str, old: tuple[str, str]
    ) -> Queries:
        """Write the files, and return queries for what is stored together with what is in them.

        Args:
            db: A connection with unmerged events in the table `loaded`.
            stored: What is merged.
            unmerged: A query for those events that are not merged indeed.
            old: Queries for merged events that are not folded as this release does, and for those
                of days of which nothing says what sessions they have.
        """
        unfolded, unparted = old
        events, sessions, requests, keys, daily, latency = self.files
        self._write(db, f"from ({unmerged}) select * exclude (segment)", events)
        all_events = f"{stored.events} union all by name {parquet_query([events])}"
        db.execute(
            f"create temp table fresh as {parquet_query([events])} union all by name {unfolded}"
        )
        no_parts = f"{parquet_query([events])} union all by name {unparted}"
        self._write(db, f"with events as ({no_parts}) {query('session_parts')}", sessions)
        all_parts = f"{stored.session_parts} union all by name {parquet_query([sessions])}"
        fold_fresh(db, Sources(all_events, all_parts))
        self._write(db, "from folded", requests)
        self._write(db, "from keys", keys)
        rest = unchanged(stored.requests, keys=parquet_query([keys]))
        all_requests = f"{rest} union all by name {parquet_query([requests])}"
        changed = f"select session_id from ({parquet_query([keys])})"  # noqa: S608 - literals by `quoted`
        days = _days_of(db, stored.daily, changed)
        theirs = f"session_id in ({changed}) and day in ({days})"
        of_theirs = daily_of(f"from ({all_requests}) select * where {theirs}")
        self._write(db, of_theirs, daily)
        define(db)
        of_days = latency_of(f"from ({all_requests}) select * where day in ({days})")
        self._write(db, of_days, latency)
        unchanged_daily = f"from ({stored.daily}) select * where session_id not in ({changed})"
        all_daily = f"{unchanged_daily} union all by name {parquet_query([daily])}"
        all_latency = (
            f"from ({stored.latency}) select * where day not in ({days}) "
            f"union all by name {parquet_query([latency])}"
        )
        return Queries(all_events, all_parts, all_requests, all_daily, all_latency)

    @staticmethod
    def _write(db: duckdb.DuckDBPyConnection, rows: str, path: Path) -> None:
        db.execute(f"copy ({rows}) to {quoted(os.fspath(path))} (format parquet)")


def _days_of(db: duckdb.DuckDBPyConnection, daily: str, changed: str) -> str:
    """Return the days, as a list of SQL, that have requests of the sessions in a query."""
    rows = db.execute(
        f"select distinct day::varchar from ({daily}) where session_id in ({changed}) "  # noqa: S608 - our own queries
        "union select distinct day::varchar from folded order by all"
    ).fetchall()
    # A list that holds null would make `not in` null; no day is as early as this one.
    return ", ".join(f"{quoted(day)}::date" for (day,) in [*rows, ("0001-01-01",)])


def _lock_down(connection: duckdb.DuckDBPyConnection, allowed: Sequence[Path]) -> None:
    """Allow files to be read by name only, and no other change of settings."""
    names = ", ".join(quoted(os.fspath(path)) for path in allowed)
    connection.execute(f"set allowed_paths = [{names}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def single_query(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the one statement in `sql` if it only reads.

    Raises:
        InputError: There is no statement, more than one, or one that would change something.
        duckdb.Error: It is no SQL.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise InputError(f"give one statement of SQL; this holds {len(statements)}")
    kind = statements[0].type.name
    if kind not in READING_STATEMENTS:
        raise InputError(
            f"`fimble telemetry sql` only reads; this is a statement of the kind {kind}, "
            "allowed are select (also with, from, values, show, describe, summarize), pivot "
            "and explain"
        )
    return statements[0].query
