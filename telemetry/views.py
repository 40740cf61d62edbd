"""Views and metrics in a DuckDB connection: each query file is defined once, for every reader."""

from __future__ import annotations

import contextlib
import json
import os
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import duckdb

from telemetry.schema import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry.schema import Record

VIEWS = ("sessions", "completions")
"""Built upon the view `events`, in this order."""
MACROS = ("acceptance", "latency")
"""Queries with `$since_ms`: `select * from acceptance(since_ms := 0)`."""
_STORAGE_VERSION = "v1.2.0"  # DuckDB 1.2 and later, the tools built on them included, can read it


def query(name: str) -> str:
    """Return the text of `telemetry/queries/<name>.sql`."""
    return files("telemetry.queries").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def quoted(text: str) -> str:
    """Return `text` as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def load_records(
    connection: duckdb.DuckDBPyConnection, segments: Mapping[str, Sequence[Record]], work: str
) -> None:
    """Create the table `loaded` with the events of segments, by the name of the segment.

    Args:
        connection: Where to.
        segments: Events that `telemetry.schema` let pass.
        work: A folder for what lies between.
    """
    lines = Path(work) / "records.jsonl"
    with lines.open("w", encoding="utf-8") as file:
        for name, records in segments.items():
            file.writelines(f"{json.dumps({**each, 'segment': name})}\n" for each in records)
    columns = {**COLUMNS, "segment": "varchar"}
    typed = ", ".join(f"{name}: {quoted(sql_type)}" for name, sql_type in columns.items())
    source = f"read_json($lines, format = 'newline_delimited', columns = {{{typed}}})"
    with_day = f"from {source} select epoch_ms(ts_wall_ms)::date as day, *"
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


def stored_events(parquet: Sequence[Path]) -> str:
    """Return a query for the events in Parquet files.

    It has every column, even without a file and with files of older releases only.
    """
    columns = ", ".join(f"null::{sql_type} as {name}" for name, sql_type in COLUMNS.items())
    none = f"select null::date as day, {columns} where false"
    if not parquet:
        return none
    names = ", ".join(quoted(os.fspath(path)) for path in parquet)
    return f"{none} union all by name from read_parquet([{names}], union_by_name = true)"


def create_views(connection: duckdb.DuckDBPyConnection, events: str) -> None:
    """Create views and metrics over the events that the query `events` gives."""
    connection.execute(f"create view events as {events}")
    for name in VIEWS:
        connection.execute(f"create view {name} as {query(name)}")
    for name in MACROS:
        text = query(name).replace("$since_ms", "since_ms")
        connection.execute(f"create macro {name}(since_ms := 0) as table ({text})")
    connection.execute(f"create view metrics as {query('metrics')}")


def publish(database: Path, parquet: Sequence[Path], generation: int) -> None:
    """Write the database of views, unless it is that of this generation already.

    Who has the old one open keeps reading the old files.
    """
    if published_generation(database) == generation:
        return
    aside = database.with_name(f".{database.name}.part")
    for leftover in (aside, aside.with_name(f"{aside.name}.wal")):
        leftover.unlink(missing_ok=True)
    with TemporaryDirectory() as work, connect(work) as connection:
        connection.execute(
            f"attach {quoted(os.fspath(aside))} as published (storage_version '{_STORAGE_VERSION}')"
        )
        connection.execute("use published")
        create_views(connection, stored_events([path.absolute() for path in parquet]))
        connection.execute(f"create table generation as select {generation:d} as number")
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
    return duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": work,
        }
    )
