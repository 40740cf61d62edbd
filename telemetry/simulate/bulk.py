"""Simulated requests straight as the Parquet files of a warehouse, for measuring at scale.

Events would be four times as many rows and hours of merging, so only those that start a session
are written; views of requests, completions and sessions are whole.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from telemetry.days import write_counts, write_rows
from telemetry.simulate.company import (
    CACHES,
    EDITORS,
    LANGUAGES,
    OUTCOMES,
    REASONS,
    TEAMS,
    draw_day,
    draw_users,
)
from telemetry.simulate.sessions import DIGEST, MODEL
from telemetry.texts import query, stored_events, stored_requests
from telemetry.views import connect, publish
from telemetry.warehouse import DayFile, Kind, Manifest, Warehouse

if TYPE_CHECKING:
    import duckdb

    from telemetry.simulate.company import Requests, Simulation, Users


def write_warehouse(simulation: Simulation, warehouse: Warehouse) -> int:
    """Write a warehouse of one generation; return how many requests it holds.

    Raises:
        OSError: The folder cannot be written.
    """
    users = draw_users(simulation)
    days: dict[str, DayFile] = {}
    with TemporaryDirectory() as work, connect(work) as db:
        _load_users(db, users)
        for number in range(simulation.num_days):
            day = (simulation.start + timedelta(days=number)).isoformat()
            _load_requests(db, draw_day(simulation, users, number))
            days[day] = _write_day(db, warehouse, simulation, day)
    manifest = Manifest(generation=1, days=days)
    warehouse.save(manifest)
    publish(warehouse, manifest)
    return sum(day.num_requests for day in days.values())


def _load_users(db: duckdb.DuckDBPyConnection, users: Users) -> None:
    names = {"editor": np.array(EDITORS)[users.editor], "team": np.array(TEAMS)[users.team]}
    table = {"user_key": np.array(users.keys), "number": np.arange(len(users.keys)), **names}
    db.register("given", table)
    db.execute("create table users as from given")
    db.unregister("given")


def _load_requests(db: duckdb.DuckDBPyConnection, requests: Requests) -> None:
    """Create the table `drawn`, with words in place of numbers."""
    table = requests._asdict()
    del table["assignments"], table["arm"], table["active_ms"]
    kept = table.pop("kept_rate")
    table |= {f"kept_{number}": kept[:, number].copy() for number in range(kept.shape[1])}
    words = {"language": LANGUAGES, "reason": REASONS, "cache": CACHES, "outcome": OUTCOMES}
    db.register("given", table)
    named = ", ".join(
        f"[{', '.join(repr(str(word)) for word in some)}][{name} + 1] as {name}"
        for name, some in words.items()
    )
    worded = f"select * replace ({named}) from given"  # noqa: S608 - our own words
    db.execute(f"create or replace table drawn as {worded}")
    db.unregister("given")


def _write_day(
    db: duckdb.DuckDBPyConnection, warehouse: Warehouse, simulation: Simulation, day: str
) -> DayFile:
    """Write the three files of a day."""
    parameters = (
        f"{day!r}::date as day, 'sim{simulation.seed}-' || number || '-' || {day!r} as session_id"
    )
    context = f"from drawn join users on user = number select {parameters}, drawn.*, users.*"
    started = (
        f"{stored_events(())} union all by name "
        f"from ({context}) select day, session_id, 0 as seq, "
        "'session_started' as ev, min(at_ms) - 1000 as ts_wall_ms, 0.0 as ts_mono_ms, editor, "
        "'1.0' as editor_version, '' as plugin_version, '0.1.0' as server_version, "
        "'keys' as level, user_key, 1 as key_epoch, team group by all"
    )
    rows = f"{stored_requests(())} union all by name {query('simulated_requests')}"
    rows = rows.replace("$model_digest", repr(DIGEST)).replace("$model", repr(MODEL))
    db.execute(f"create or replace temp view simulated as {context}")
    name = f"{day}.1.parquet"
    files = DayFile(name=name, num_events=0, sessions=name, requests=name)
    num_events = write_rows(db, started, warehouse.path_of(files, Kind.EVENTS), Kind.EVENTS)
    parts = f"with events as ({started}) {query('session_parts')}"
    write_rows(db, parts, warehouse.path_of(files, Kind.SESSIONS), Kind.SESSIONS)
    num_rows = write_rows(db, rows, warehouse.path_of(files, Kind.REQUESTS), Kind.REQUESTS)
    whole = replace(files, num_events=num_events, num_requests=num_rows)
    return write_counts(db, warehouse, Manifest(days={day: whole}), day, generation=1)
